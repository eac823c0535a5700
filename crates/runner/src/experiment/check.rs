//! Refuses an experiment that asks for what does not exist, with the nearest name that does.

use std::collections::BTreeSet;

use diffguard_guidance::LabelSource;
use diffguard_ood::{combine, detectors, suggest};

use super::{Combination, DetectorChoice, Experiment, Figure, Tune, base};
use crate::outputs::paper;
use crate::sweep::Cell;
use crate::{Error, Result};

/// What is wrong.
type Checked = Result<(), String>;

impl Experiment {
    /// Says what is wrong, if anything is.
    pub(super) fn check(&self) -> Checked {
        self.check_counts()?;
        self.check_diffusion()?;
        self.check_guards()?;
        self.check_denoisings()?;
        self.check_traces()?;
        self.check_figures()?;
        self.check_headline()?;
        self.check_gallery()?;
        if let Some(paper) = &self.paper {
            paper::check(paper).map_err(|error| error.to_string())?;
        }
        for detector in &self.detectors {
            detector.check().map_err(|error| error.to_string())?;
        }
        let mut rows = self.computed_rows();
        self.check_aliases(&rows)?;
        rows.extend(self.aliases.iter().map(|alias| alias.name.clone()));
        for combination in &self.combinations {
            combination.check(&rows)?;
            if rows.contains(&combination.name) {
                return Err(format!("two rows are called `{}`", combination.name));
            }
            rows.push(combination.name.clone());
        }
        self.check_published(&rows)
    }

    fn check_counts(&self) -> Checked {
        if self.classifiers.is_empty() {
            let what = "`classifiers` is empty; name at least the classifier under protection";
            return Err(what.into());
        }
        let counts = [
            ("batch", self.batch),
            ("limit", self.limit),
            ("validation_limit", self.validation_limit),
            ("extra_limit", self.extra_limit.unwrap_or(1)),
            ("bootstrap", self.bootstrap),
        ];
        match counts.iter().find(|(_, count)| *count == 0) {
            Some((name, _)) => Err(format!("`{name}` is 0; it must be at least 1")),
            None => Ok(()),
        }
    }

    /// That every part has the diffusion network that it needs.
    fn check_diffusion(&self) -> Checked {
        let needs = |what: &str| match self.diffusion {
            Some(_) => Ok(()),
            None => Err(format!(
                "{what} needs `diffusion`, the record of the diffusion network"
            )),
        };
        let known = |inversion: &String| self.diffusion_of.contains_key(base(inversion));
        if !self.inversion.keys().all(known) {
            needs("a [[guard]] or an [inversion]")?;
        }
        for denoising in &self.denoisings {
            needs(&format!("denoise `{}`", denoising.name))?;
        }
        for trace in &self.traces {
            needs(&format!("trace `{}`", trace.name))?;
        }
        for name in self.diffusion_of.keys() {
            let mut bases = self.inversion.keys().map(|known| base(known));
            if !bases.any(|known| known == name) {
                return Err(format!("diffusion_of: no [inversion.{name}]"));
            }
        }
        Ok(())
    }

    fn check_guards(&self) -> Checked {
        let mut known = BTreeSet::new();
        for guard in &self.guards {
            let (name, inversion) = (&guard.name, &guard.inversion);
            if !self.inversion.contains_key(inversion) {
                let what = unknown(inversion, self.inversion.keys().map(String::as_str));
                return Err(format!("guard `{name}`: the inversion {what}"));
            }
            if guard.similarity.is_empty() || guard.reference.is_empty() {
                return Err(format!(
                    "guard `{name}`: `similarity` and `reference` must not be empty"
                ));
            }
            if !known.insert(name) {
                return Err(format!("two guards are called `{name}`"));
            }
            let similarities = repeated(guard.similarity.iter().map(|it| it.as_str()));
            if let Some(twice) = similarities {
                return Err(format!("guard `{name}`: `similarity` has `{twice}` twice"));
            }
            if repeated(&guard.reference).is_some() {
                return Err(format!("guard `{name}`: `reference` has one twice"));
            }
        }
        Ok(())
    }

    fn check_denoisings(&self) -> Checked {
        let mut known = BTreeSet::new();
        for denoising in &self.denoisings {
            let (name, all) = (&denoising.name, denoising.noise.rounds);
            if !known.insert(name) {
                return Err(format!("two [[denoise]] are called `{name}`"));
            }
            if let Some(rounds) = denoising.after.iter().find(|it| !(1..all).contains(*it)) {
                return Err(format!(
                    "denoise `{name}`: `after` = {rounds}, which is not 1 to {} of its {all} rounds",
                    all.saturating_sub(1)
                ));
            }
            if let Some(twice) = repeated(&denoising.after) {
                return Err(format!("denoise `{name}`: `after` has {twice} twice"));
            }
            if let Some(levels) = denoising.levels.filter(|it| !(1..=all).contains(it)) {
                return Err(format!(
                    "denoise `{name}`: `levels` = {levels}, which is not 1 to {all}, its rounds"
                ));
            }
        }
        Ok(())
    }

    /// Traces, whose files stand beside those of the figures.
    fn check_traces(&self) -> Checked {
        let mut files: BTreeSet<&str> = self.figures.iter().map(|it| it.name.as_str()).collect();
        for trace in &self.traces {
            trace.check(&self.classifiers)?;
            if !files.insert(&trace.name) {
                return Err(format!("two traces or figures are called `{}`", trace.name));
            }
        }
        Ok(())
    }

    fn guard_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.guards.iter().map(|guard| guard.name.as_str())
    }

    fn check_guard(&self, name: &str) -> Checked {
        match self.guard_names().any(|known| known == name) {
            true => Ok(()),
            false => Err(format!("the guard {}", unknown(name, self.guard_names()))),
        }
    }

    fn check_headline(&self) -> Checked {
        let Some(headline) = &self.headline else {
            return Ok(());
        };
        if self.guards.is_empty() {
            return Err("headline: there is no [[guard]] to choose from".into());
        }
        let mut named = headline.guards.iter().flatten();
        let checked = named.try_for_each(|name| self.check_guard(name));
        checked.map_err(|what| format!("headline: {what}"))?;
        let mut candidates = self
            .guards
            .iter()
            .filter(|guard| headline.names(&guard.name));
        match candidates.any(|guard| guard.label == LabelSource::Predicted) {
            true => Ok(()),
            false => Err("headline: no guard that it names has `label = \"predicted\"`".into()),
        }
    }

    /// What out-of-distribution validation images are needed for, if for anything.
    pub(crate) fn validates(&self) -> Option<String> {
        let tuned =
            |detector: &&DetectorChoice| !matches!(detector.tune, None | Some(Tune::Switch(false)));
        let fitted = |fusion: &&Combination| {
            combine::entry(&fusion.rule).is_ok_and(|rule| rule.needs_ood_validation)
        };
        let headline = self
            .headline
            .as_ref()
            .map(|_| "the setting of [headline]".into());
        let tuned = self.detectors.iter().find(tuned);
        let fitted = self.combinations.iter().find(fitted);
        headline
            .or(tuned.map(|it| format!("`tune` of the detector `{}`", it.row())))
            .or(fitted.map(|it| format!("the fusion `{}`", it.name)))
    }

    /// Figures over axes that there are.
    fn check_figures(&self) -> Checked {
        for figure in &self.figures {
            let along = |cell: &&Cell| {
                cell.base == figure.guard
                    && (figure.axis == Figure::EVALUATIONS || cell.at(&figure.axis).is_some())
            };
            let fault = |what: String| format!("figure `{}`: {what}", figure.name);
            let points: Vec<&Cell> = self.cells.iter().filter(along).collect();
            if points.is_empty() {
                let (guard, axis) = (&figure.guard, &figure.axis);
                return Err(fault(format!("no guard `{guard}` varies along `{axis}`")));
            }
            let mut names = points.iter().filter_map(|cell| cell.at(&figure.axis));
            if let Some(point) = names.find(|point| Figure::place(point).is_none()) {
                let axis = &figure.axis;
                return Err(fault(format!(
                    "the point `{point}` of `{axis}` is no number"
                )));
            }
        }
        Ok(())
    }

    fn check_gallery(&self) -> Checked {
        let Some(gallery) = &self.gallery else {
            return Ok(());
        };
        let mut named = gallery.guards.iter();
        let checked = named.try_for_each(|name| self.check_guard(name));
        checked.map_err(|what| format!("gallery: {what}"))?;
        let (guards, columns) = (gallery.guards.len(), gallery.columns.len());
        if guards == 0 || (columns != 0 && columns != guards) {
            return Err(format!(
                "gallery: {guards} `guards` and {columns} `columns`; name at least one guard, and as many columns or none"
            ));
        }
        Ok(())
    }

    fn check_aliases(&self, computed: &[String]) -> Checked {
        for alias in &self.aliases {
            if !computed.contains(&alias.of) {
                let what = unknown(&alias.of, computed.iter().map(String::as_str));
                return Err(format!("alias `{}`: its `of` is {what}", alias.name));
            }
            if self.rows().iter().filter(|row| **row == alias.name).count() > 1 {
                return Err(format!("two rows are called `{}`", alias.name));
            }
        }
        Ok(())
    }

    /// That each published row stands beside a row of ours.
    fn check_published(&self, rows: &[String]) -> Checked {
        for (theirs, ours) in self.paper.iter().flat_map(|paper| &paper.rows) {
            let checked = match ours.strip_suffix("/*") {
                Some(guard) => self.check_guard(guard),
                // The rows of several classifiers have names that their records give.
                None if self.each_classifier || rows.contains(ours) => Ok(()),
                None => {
                    let what = unknown(ours, rows.iter().map(String::as_str));
                    Err(format!("the row {what}"))
                }
            };
            checked.map_err(|what| format!("[paper.rows] `{theirs}` stands beside {what}"))?;
        }
        Ok(())
    }

    /// Refuses the name of a row that a run of this experiment will not have. (The rows of several classifiers have
    /// names that their records give; they are not known here.)
    pub fn check_row(&self, row: &str) -> Result<()> {
        let rows = self.table_rows();
        if self.each_classifier || rows.iter().any(|known| known == row) {
            return Ok(());
        }
        let hint = match suggest(row, rows.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", rows.join(", ")),
        };
        Err(Error::Setting(format!(
            "`against`: the experiment has no row `{row}`; {hint}"
        )))
    }
}

impl DetectorChoice {
    /// Builds the detector at every point that it may be run at, so that a wrong name or value is met at once.
    fn check(&self) -> Result<(), diffguard_ood::Error> {
        let entry = detectors::entry(&self.name)?;
        let grid = match &self.tune {
            None | Some(Tune::Switch(false)) => {
                return entry.build(self.parameters.clone()).map(|_| ());
            }
            Some(Tune::Switch(true)) => None,
            Some(Tune::Grid(grid)) => Some(grid),
        };
        let (_, tables) = entry.candidates(&self.parameters, grid)?;
        tables
            .into_iter()
            .try_for_each(|table| entry.build(table).map(|_| ()))
    }
}

impl Combination {
    /// `rows`: those before it.
    fn check(&self, rows: &[String]) -> Checked {
        combine::build(&self.rule, self.parameters.clone()).map_err(|error| error.to_string())?;
        let entry = combine::entry(&self.rule).map_err(|error| error.to_string())?;
        let (name, rule, given) = (&self.name, &self.rule, self.of.len());
        match entry.components {
            Some(takes) if takes != given => {
                return Err(format!(
                    "`{name}`: {rule} combines {takes} rows, and `of` has {given}"
                ));
            }
            None if given == 0 => return Err(format!("`{name}`: `of` has no row to combine")),
            _ => {}
        }
        for row in &self.of {
            if !rows.contains(row) {
                let what = unknown(row, rows.iter().map(String::as_str));
                return Err(format!("`{}` combines the row {what}", self.name));
            }
        }
        for row in &self.log_odds {
            if !self.of.contains(row) {
                let what = unknown(row, self.of.iter().map(String::as_str));
                return Err(format!("`{}`: log_odds names the row {what}", self.name));
            }
        }
        Ok(())
    }
}

/// The first item that is there twice.
fn repeated<T: Ord>(items: impl IntoIterator<Item = T>) -> Option<T> {
    let mut known = BTreeSet::new();
    let mut items = items.into_iter();
    items.find_map(|item| known.replace(item))
}

/// That there is no `name`, with the nearest one, or all that there are.
pub(crate) fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match suggest(name, known.clone()) {
        Some(near) => format!("`{name}`, which does not exist; did you mean `{near}`?"),
        None => {
            let all: Vec<&str> = known.collect();
            format!(
                "`{name}`, which does not exist; there are: {}",
                all.join(", ")
            )
        }
    }
}
