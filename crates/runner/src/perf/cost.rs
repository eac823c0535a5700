//! What the method costs against the numbers of images, steps and settings, by whole runs of the program.
//!
//! Each cell is a run of its own process into an empty store, on the quick models, a few times over; the cells take turns,
//! so that a machine that slows down slows all of them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use diffguard_report::plots::{Figure as _, LineChart, LinePoint, LineSeries, Scale};
use diffguard_report::table::{Column, Line, Part, Sheet};
use diffguard_report::write_atomic;
use serde::Serialize;

use super::failed;
use crate::record::Record;
use crate::{Error, Result, Root};

/// Runs of each cell.
const ROUNDS: usize = 3;

/// Images of each test set, DDIM steps, settings of one inversion.
const IMAGES: [usize; 3] = [12, 24, 48];
const STEPS: [usize; 3] = [5, 10, 20];
const SETTINGS: [usize; 3] = [1, 2, 4];
const BASE: (usize, usize, usize) = (IMAGES[1], STEPS[1], SETTINGS[1]);
/// K settings of classifier-free guidance take N + 2 + 2K(N - 1) evaluations in N steps, one by one 3KN: with so many steps, which
/// validation elects on CIFAR-10, (1 + K) / 2K of them, with more of them more.
const FEW_STEPS: usize = 4;

/// How the settings guide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Guidance {
    /// Two U-Net evaluations a step.
    ClassifierFree,
    /// One, and the classifier's gradient.
    Classifier,
}

/// A run, and what it took.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    guidance: Guidance,
    /// Of each of the three test sets and of in-distribution.
    images: usize,
    steps: usize,
    settings: usize,
    /// U-Net evaluations of the run.
    unet_evaluations: u64,
    /// Wall-clock seconds of each run, from its start to its last file.
    seconds: Vec<f64>,
    /// Peak resident memory of each run, in MiB.
    peak_mib: Vec<f64>,
}

impl Cell {
    fn new(guidance: Guidance, (images, steps, settings): (usize, usize, usize)) -> Self {
        Self {
            guidance,
            images,
            steps,
            settings,
            unet_evaluations: 0,
            seconds: Vec::new(),
            peak_mib: Vec::new(),
        }
    }

    fn experiment(&self) -> String {
        let guidance = match self.guidance {
            Guidance::ClassifierFree => r#"kind = "classifier-free""#,
            Guidance::Classifier => r#"kind = "classifier", normalise = true, cutout = false"#,
        };
        // Not 1: there classifier-free guidance needs one evaluation a step.
        let scales: Vec<f64> = (0..self.settings).map(|i| 1.5 + 0.5 * i as f64).collect();
        format!(
            "title = \"cost\"\nbenchmark = \"quick\"\nclassifiers = [\"quick/quick-classifier-0.toml\"]\n\
             diffusion = \"quick/quick-unet.toml\"\nlimit = {}\nvalidation_limit = 1\nbatch = 6\nbootstrap = 1\n\
             [inversion.all]\nspacing = \"ddim{}\"\n\
             [[guard]]\nname = \"guard\"\ninversion = \"all\"\nguidance = {{ {guidance}, scale = 1.0 }}\n\
             similarity = [\"l1\"]\n\
             [[vary]]\n\"guard.guard.guidance.scale\" = {scales:?}\n",
            self.images, self.steps,
        )
    }

    /// One run in an empty folder.
    fn run(&mut self, folder: &Path, threads: usize) -> Result<()> {
        let fault = |error: std::io::Error| Error::io(folder, &error);
        if folder.exists() {
            std::fs::remove_dir_all(folder).map_err(fault)?;
        }
        std::fs::create_dir_all(folder).map_err(fault)?;
        let experiment = folder.join("cost.toml");
        write_atomic(&experiment, self.experiment())?;
        let program = std::env::current_exe().map_err(|error| failed("cost", error))?;
        let out = folder.join("out");
        let status = Command::new(program)
            .args(["bench", "--no-progress", "--out"])
            .args([&out, &experiment])
            .env("RAYON_NUM_THREADS", threads.to_string())
            .stdout(Stdio::null())
            .status()
            .map_err(|error| failed("cost", error))?;
        if !status.success() {
            return Err(failed("cost", format!("`bench` ended with {status}")));
        }
        let record = Record::read(&out)?;
        let rows = record.stages.values().map(|it| it.account.cost.unet_rows);
        self.unet_evaluations = rows.sum();
        self.seconds.push(record.seconds);
        let peak = record.peak_memory_mib;
        self.peak_mib.extend(peak.map(|mib| mib as f64));
        std::fs::remove_dir_all(folder).map_err(fault)
    }

    fn median_seconds(&self) -> f64 {
        median(&self.seconds)
    }

    fn fastest_and_slowest(&self) -> (f64, f64) {
        let extreme =
            |of: fn(f64, f64) -> f64| self.seconds.iter().copied().reduce(of).unwrap_or(f64::NAN);
        (extreme(f64::min), extreme(f64::max))
    }
}

/// What varies: its name, the cells along it, and where a cell stands.
struct Axis {
    name: &'static str,
    label: &'static str,
    cells: Vec<Cell>,
    at: fn(&Cell) -> usize,
}

/// Measures, and writes `cost.json`, `cost.md` and a plot an axis into `folder`; `done` hears of each run.
///
/// # Errors
/// When a run fails, or a file cannot be written.
pub fn measure(folder: &Path, threads: usize, mut done: impl FnMut(&str)) -> Result<Vec<PathBuf>> {
    let scratch = Root::find()?.runs().join("cost");
    let mut cells: Vec<Cell> = Vec::new();
    for images in IMAGES {
        cells.push(Cell::new(
            Guidance::ClassifierFree,
            (images, BASE.1, BASE.2),
        ));
    }
    for steps in STEPS.into_iter().filter(|steps| *steps != BASE.1) {
        cells.push(Cell::new(Guidance::ClassifierFree, (BASE.0, steps, BASE.2)));
    }
    for settings in SETTINGS {
        if settings != BASE.2 {
            let size = (BASE.0, BASE.1, settings);
            cells.push(Cell::new(Guidance::ClassifierFree, size));
        }
        cells.push(Cell::new(Guidance::Classifier, (BASE.0, BASE.1, settings)));
        let few = (BASE.0, FEW_STEPS, settings);
        cells.push(Cell::new(Guidance::ClassifierFree, few));
    }
    for round in 1..=ROUNDS {
        for cell in &mut cells {
            cell.run(&scratch, threads)?;
            done(&format!(
                "round {round} of {ROUNDS}: {} images a set, {} steps, {} settings: {:.1} s",
                cell.images,
                cell.steps,
                cell.settings,
                cell.seconds.last().copied().unwrap_or(f64::NAN)
            ));
        }
    }
    let path = folder.join("cost.json");
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, &error))?;
    let text = serde_json::to_string_pretty(&cells).map_err(|error| Error::file(&path, error))?;
    write_atomic(&path, text + "\n")?;
    let mut written = vec![path];
    let axes = axes(&cells);
    for axis in &axes {
        written.extend(
            axis.chart()
                .write(folder.join(format!("cost-{}", axis.name)))?,
        );
    }
    let path = folder.join("cost.md");
    write_atomic(&path, report(&axes, &cells))?;
    written.push(path);
    Ok(written)
}

fn axes(cells: &[Cell]) -> Vec<Axis> {
    use Guidance::{Classifier, ClassifierFree};
    let few = (BASE.0, FEW_STEPS, BASE.2);
    let axis =
        |name, label, (guidance, size), at: fn(&Cell) -> usize, others: fn(&Cell) -> [usize; 2]| {
            let base = Cell::new(guidance, size);
            let along = |cell: &&Cell| cell.guidance == guidance && others(cell) == others(&base);
            let mut cells: Vec<Cell> = cells.iter().filter(along).cloned().collect();
            cells.sort_by_key(at);
            Axis {
                name,
                label,
                cells,
                at,
            }
        };
    let settings = |name, label, base| {
        let others: fn(&Cell) -> [usize; 2] = |cell| [cell.images, cell.steps];
        axis(name, label, base, |cell| cell.settings, others)
    };
    vec![
        axis(
            "images",
            "images of each set",
            (ClassifierFree, BASE),
            |cell| cell.images,
            |cell| [cell.steps, cell.settings],
        ),
        axis(
            "steps",
            "DDIM steps",
            (ClassifierFree, BASE),
            |cell| cell.steps,
            |cell| [cell.images, cell.settings],
        ),
        settings(
            "settings",
            "settings of one inversion, classifier-free",
            (ClassifierFree, BASE),
        ),
        settings(
            "settings-few-steps",
            "settings of one inversion, classifier-free, few steps",
            (ClassifierFree, few),
        ),
        settings(
            "settings-classifier",
            "settings of one inversion, classifier guidance",
            (Classifier, BASE),
        ),
    ]
}

impl Axis {
    /// Least squares: the seconds at zero, and the seconds a unit.
    fn line(&self) -> (f64, f64) {
        let points: Vec<(f64, f64)> = self.points().collect();
        let mean =
            |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
        let (x, y) = (mean(|it| it.0), mean(|it| it.1));
        let both: f64 = points.iter().map(|it| (it.0 - x) * (it.1 - y)).sum();
        let own: f64 = points.iter().map(|it| (it.0 - x).powi(2)).sum();
        let slope = both / own;
        (y - slope * x, slope)
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let cells = self.cells.iter();
        cells.map(|cell| ((self.at)(cell) as f64, cell.median_seconds()))
    }

    /// The largest distance from the line, as a share of what was measured there.
    fn off_line(&self) -> f64 {
        let (at_zero, slope) = self.line();
        let off = |(x, y): (f64, f64)| ((at_zero + slope * x - y) / y).abs();
        self.points().map(off).fold(0.0, f64::max)
    }

    fn chart(&self) -> LineChart {
        let (at_zero, slope) = self.line();
        let plain = |x: f64, y: f64| LinePoint {
            x,
            y,
            interval: None,
        };
        let measured = self.cells.iter().map(|cell| LinePoint {
            interval: Some(cell.fastest_and_slowest()),
            ..plain((self.at)(cell) as f64, cell.median_seconds())
        });
        let last = self.points().last().map_or(0.0, |(x, _)| x);
        let mut series = vec![
            LineSeries {
                label: "one run (median; bars: fastest and slowest)".into(),
                points: measured.collect(),
            },
            LineSeries {
                label: format!("{at_zero:.1} s + {slope:.2} s each"),
                points: vec![plain(0.0, at_zero), plain(last, at_zero + slope * last)],
            },
        ];
        if self.name.starts_with("settings")
            && let Some((_, alone)) = self.points().next()
        {
            let apart = self.points().map(|(x, _)| plain(x, x * alone));
            series.push(LineSeries {
                label: "a run for each setting".into(),
                points: apart.collect(),
            });
        }
        LineChart {
            title: format!("Time against {}", self.label),
            x_label: self.label.into(),
            y_label: "wall-clock seconds".into(),
            x_scale: Scale::Linear,
            y_scale: Scale::Linear,
            series,
            references: Vec::new(),
        }
    }
}

fn report(axes: &[Axis], cells: &[Cell]) -> String {
    let mut columns = vec![Column::words("guidance")];
    let numbers = [
        "images a set",
        "steps",
        "settings",
        "U-Net evaluations",
        "seconds",
        "fastest",
        "slowest",
        "peak MiB",
    ];
    columns.extend(numbers.map(|title| Column::numbers("", title)));
    let row = |cell: &Cell| {
        let (fastest, slowest) = cell.fastest_and_slowest();
        let cells = [
            match cell.guidance {
                Guidance::ClassifierFree => "classifier-free".to_owned(),
                Guidance::Classifier => "classifier".to_owned(),
            },
            cell.images.to_string(),
            cell.steps.to_string(),
            cell.settings.to_string(),
            cell.unet_evaluations.to_string(),
            format!("{:.1}", cell.median_seconds()),
            format!("{fastest:.1}"),
            format!("{slowest:.1}"),
            format!("{:.0}", median(&cell.peak_mib)),
        ];
        Line::Row(cells.map(|text| vec![Part::plain(text)]).into())
    };
    let sheet = Sheet {
        title: String::new(),
        columns,
        lines: cells.iter().map(row).collect(),
        notes: Vec::new(),
    };
    let mut text = format!(
        "# Cost\n\nWhole runs of `bench` with the quick models into an empty store, {ROUNDS} of each, in turns; four sets of images.\n\n{}\n",
        sheet.to_markdown()
    );
    text += "| against | seconds at none | seconds each | furthest from that line |\n| :--- | ---: | ---: | ---: |\n";
    for axis in axes {
        let (at_zero, slope) = axis.line();
        let off = 100.0 * axis.off_line();
        text += &format!(
            "| {} | {at_zero:.1} | {slope:.2} | {off:.1} % |\n",
            axis.label
        );
    }
    text += "\n| K settings of one inversion | steps | K | time of one run / of K runs | U-Net evaluations, the same | (1 + K) / 2K |\n\
             | :--- | ---: | ---: | ---: | ---: | ---: |\n";
    for axis in axes.iter().filter(|it| it.name.starts_with("settings")) {
        let Some((alone, several)) = axis.cells.split_first() else {
            continue;
        };
        for cell in several {
            let k = cell.settings as f64;
            text += &format!(
                "| {} | {} | {} | {:.2} | {:.2} | {:.2} |\n",
                match cell.guidance {
                    Guidance::ClassifierFree => "classifier-free (two evaluations a step)",
                    Guidance::Classifier => "classifier (one, and the classifier's gradient)",
                },
                cell.steps,
                cell.settings,
                cell.median_seconds() / (k * alone.median_seconds()),
                cell.unet_evaluations as f64 / (k * alone.unet_evaluations as f64),
                (1.0 + k) / (2.0 * k),
            );
        }
    }
    text
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    diffguard_ood::quantile(&mut values, 0.5).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Experiment;

    fn cell(size: (usize, usize, usize), seconds: f64) -> Cell {
        Cell {
            seconds: vec![seconds + 1.0, seconds, seconds - 1.0],
            peak_mib: vec![80.0],
            unet_evaluations: (size.0 * size.1 * (1 + 2 * size.2)) as u64,
            ..Cell::new(Guidance::ClassifierFree, size)
        }
    }

    #[test]
    fn lines_go_through_what_is_linear() {
        let cells = [
            cell((12, 10, 2), 5.0),
            cell(BASE, 8.0),
            cell((48, 10, 2), 14.0),
        ];
        let axes = axes(&cells);
        let (at_zero, slope) = axes[0].line();
        assert!((at_zero - 2.0).abs() < 1e-9 && (slope - 0.25).abs() < 1e-9);
        assert!(axes[0].off_line() < 1e-9);
        let bent = [
            cell((12, 10, 2), 5.0),
            cell(BASE, 8.0),
            cell((48, 10, 2), 20.0),
        ];
        assert!(super::axes(&bent)[0].off_line() > 0.05);
        let text = report(&axes, &cells);
        assert!(
            text.contains("| images of each set | 2.0 | 0.25 | 0.0 % |"),
            "{text}"
        );
    }

    #[test]
    fn the_experiments_are_experiments() {
        for guidance in [Guidance::ClassifierFree, Guidance::Classifier] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("cost.toml");
            std::fs::write(&path, Cell::new(guidance, (3, 5, 4)).experiment()).unwrap();
            let root = Root::find().unwrap();
            let (_, read) = Experiment::read(path.to_str().unwrap(), &root).unwrap();
            assert_eq!((read.guards.len(), read.limit), (4, 3));
        }
    }
}
