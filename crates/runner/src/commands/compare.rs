//! `compare`: two methods side by side, and the samples on which they disagree most.

use std::path::PathBuf;

use clap::Args;
use diffguard_datasets::benchmark::{self, AnySet};
use diffguard_report::pictures::{Caption, GridGroup, GridRow, PictureGrid, Verdict};

use super::data_folders;
use crate::data::Data;
use crate::differences::{self, p_value};
use crate::disagreement::{Disagreement, disagreements};
use crate::parts::Split;
use crate::stored_run::StoredRun;
use crate::{Error, Result, Root, outputs};

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub struct Compare {
    /// A row of the run
    first: String,
    /// Another row
    second: String,
    /// The out-of-distribution test set
    #[arg(long, value_name = "NAME")]
    set: String,
    /// The run: its name in results/, or its folder
    #[arg(long, value_name = "RUN", default_value = "quick")]
    run: String,
    /// Samples shown of each kind of disagreement; 0 for no pictures
    #[arg(long, value_name = "N", default_value_t = 6)]
    samples: usize,
    /// Output directory [default: runs/compare-FIRST-SECOND-SET]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Folder of data sets, before those in DIFFGUARD_DATA
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Compare {
    pub(crate) fn run(self) -> Result<()> {
        let dirs = data_folders(self.data.clone(), None)?;
        let root = Root::find()?.with_data(Some(dirs));
        let run = StoredRun::read(&self.run, &root)?;
        let found = differences::difference(&run.scores, &self.first, &self.second, &self.set)?;
        let test = &found.test;
        println!(
            "AUROC on {} of run {}: {} minus {} is {:+.2} points (95 % interval {:+.2} to {:+.2}, p {}; DeLong, paired)",
            self.set,
            run.name,
            self.first,
            self.second,
            100.0 * test.difference,
            100.0 * test.interval.0,
            100.0 * test.interval.1,
            p_value(test.p_value)
        );
        if self.samples == 0 {
            return Ok(());
        }
        match self.pictures(&run, &root) {
            // The numbers stand without them.
            Err(Error::Data(error @ diffguard_datasets::Error::Missing { .. })) => {
                eprintln!("no pictures: {error}");
                Ok(())
            }
            other => other,
        }
    }

    fn pictures(&self, run: &StoredRun, root: &Root) -> Result<()> {
        let all = disagreements(
            &run.scores,
            &self.first,
            &self.second,
            &self.set,
            self.samples,
        )?;
        if all.is_empty() {
            eprintln!("no pictures: the rows rank every sample alike");
            return Ok(());
        }
        let grid = self.grid(run, &all, root)?;
        let name = format!("compare-{}-{}-{}", self.first, self.second, self.set);
        let out = self
            .out
            .clone()
            .unwrap_or_else(|| root.runs().join(name.replace(['/', '@'], "_")));
        let path = out.join("disagreements.png");
        grid.write(&path)?;
        println!("written:\n  {}", path.display());
        Ok(())
    }

    fn grid(
        &self,
        run: &StoredRun,
        all: &[(String, Vec<Disagreement>)],
        root: &Root,
    ) -> Result<PictureGrid> {
        let (sets, classes) = self.images(run, root)?;
        let class = |label: i64| {
            usize::try_from(label)
                .ok()
                .and_then(|label| classes.get(label))
                .cloned()
        };
        let mut groups = Vec::new();
        for (heading, rows) in all {
            let rows = rows.iter().map(|row| {
                let sample = &run.scores.samples[row.sample];
                let place = sets.iter().find_map(|set| {
                    let place = set.ids().iter().position(|id| *id == sample.id)?;
                    (set.name() == sample.set).then_some((set, place))
                });
                let (set, place) = place.ok_or_else(|| {
                    Error::Setting(format!(
                        "the benchmark `{}` has no image {} of {} any more",
                        run.experiment.benchmark, sample.id, sample.set
                    ))
                })?;
                let image = set.decode(place..place + 1)?;
                let tile = outputs::tile(image.shape, &image.signed(0..1))?;
                let mut lines = vec![sample.id.clone()];
                lines.extend(class(sample.label).map(|name| format!("is {name}")));
                lines.extend(class(sample.predicted).map(|name| format!("predicted {name}")));
                lines.push(format!("{}: rank {:.0} %", self.first, 100.0 * row.first));
                lines.push(format!("{}: rank {:.0} %", self.second, 100.0 * row.second));
                let right = (row.first > row.second) == (sample.split == Split::IdTest);
                let better = if right { &self.first } else { &self.second };
                Ok(GridRow {
                    tiles: vec![Some(tile)],
                    caption: Caption {
                        lines,
                        verdict: Some(Verdict {
                            text: format!("{better} is nearer the truth"),
                            right,
                        }),
                    },
                })
            });
            groups.push(GridGroup {
                heading: heading.clone(),
                rows: rows.collect::<Result<_>>()?,
            });
        }
        Ok(PictureGrid {
            title: format!("{} against {} on {}", self.first, self.second, self.set),
            columns: vec!["input".into()],
            groups,
            factor: 3,
            differences: None,
        })
    }

    /// The in-distribution test images and those of the set, and the classes.
    fn images(&self, run: &StoredRun, root: &Root) -> Result<([AnySet; 2], Vec<String>)> {
        let data = Data::new(root, root.data())?;
        let shelf = data.shelf();
        let opened = benchmark::open(&run.experiment.benchmark, &shelf)?;
        let ood = opened
            .ood_test
            .iter()
            .find(|ood| ood.set.name() == self.set);
        let Some(ood) = ood else {
            let mut left_out = opened.left_out.iter();
            if let Some(left_out) = left_out.find(|it| it.name == self.set) {
                shelf.find(&left_out.dataset)?;
            }
            let (benchmark, set) = (&run.experiment.benchmark, &self.set);
            let what = format!("the benchmark `{benchmark}` has no set `{set}` any more");
            return Err(Error::Setting(what));
        };
        let sets = [opened.id_test.clone(), ood.set.clone()];
        Ok((sets, opened.class_names))
    }
}
