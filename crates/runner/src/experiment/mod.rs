//! Experiment files: what to run, typed; an unknown key is refused.

mod check;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use diffguard_guidance::Reference;
use diffguard_guidance::synthesis::SynthesisConfig;
use diffguard_guidance::{
    DenoisingConfig, GuidanceConfig, InversionConfig, LabelSource, SimilarityName,
};
use diffguard_models::Compute;
use diffguard_ood::detectors::{self, Need};
use diffguard_ood::suggest;
use serde::{Deserialize, Serialize};

pub(crate) use self::check::unknown;
use crate::sweep::{self, Cell};
use crate::traces::Trace;
use crate::{Error, Result, Root, toml_file};

/// The row of the setting that validation elects ([`Headline`]).
pub const HEADLINE: &str = "diffguard";
/// The row of the cheapest setting that is nearly as good ([`Headline::fast`]).
pub const FAST: &str = "diffguard-fast";
/// The row of the elected setting under true labels ([`Headline::oracle`]).
pub const ORACLE: &str = "diffguard-oracle";

/// An experiment.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// One line for listings and tables.
    pub title: String,
    /// The benchmark (`cargo xtask list`), whose sets and splits it uses.
    pub benchmark: String,
    /// Weights records of the classifiers, relative to `assets/`; the first is the one under protection, all of
    /// them together are the deep ensemble.
    pub classifiers: Vec<String>,
    /// Weights record of the diffusion network, relative to `assets/`. An experiment without guards needs none.
    pub diffusion: Option<String>,
    /// Weights records of the diffusion networks of single inversions, by the inversion's name, where they are not
    /// [`diffusion`](Self::diffusion).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub diffusion_of: BTreeMap<String, String>,
    /// Whether the baselines watch each classifier in turn (rows `DETECTOR@CLASSIFIER`), not the first alone.
    #[serde(default)]
    pub each_classifier: bool,
    /// Images of each test set at most.
    pub limit: usize,
    /// Images of each validation set at most.
    pub validation_limit: usize,
    /// Images of each test set beside the benchmark at most; `limit` where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_limit: Option<usize>,
    /// Seed of the choice of images, of random labels, of noise and of the bootstrap.
    #[serde(default)]
    pub seed: u64,
    /// Images of a work unit.
    #[serde(default = "default_batch")]
    pub batch: usize,
    /// What the diffusion networks' convolutions compute on (`"f32"`, `"bf16"`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub compute: Compute,
    /// Bootstrap replicates of every interval.
    #[serde(default = "default_replicates")]
    pub bootstrap: usize,
    /// Whether scores are stored rounded as far as their order allows (`scores::compact`), for experiments with many
    /// rows: every metric stays the same, the file becomes a third.
    #[serde(default)]
    pub compact_scores: bool,
    /// The row that every other is compared with in a table of differences.
    pub against: Option<String>,
    /// Inversions by name.
    #[serde(default)]
    pub inversion: BTreeMap<String, InversionConfig>,
    /// DiffGuard's settings.
    #[serde(default, rename = "guard")]
    pub guards: Vec<Guard>,
    /// Denoising under each label.
    #[serde(default, rename = "denoise", skip_serializing_if = "Vec::is_empty")]
    pub denoisings: Vec<Denoising>,
    /// The row called `diffguard`.
    pub headline: Option<Headline>,
    /// Baselines.
    #[serde(default, rename = "detector")]
    pub detectors: Vec<DetectorChoice>,
    /// Second names of rows.
    #[serde(default, rename = "alias", skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Alias>,
    /// Fusions.
    #[serde(default, rename = "combine")]
    pub combinations: Vec<Combination>,
    /// The guards that `[[vary]]` made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cells: Vec<Cell>,
    /// Line plots over an axis of a sweep.
    #[serde(default, rename = "figure", skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<Figure>,
    /// Values at every noise level, and line plots of them over the training step.
    #[serde(default, rename = "trace", skip_serializing_if = "Vec::is_empty")]
    pub traces: Vec<Trace>,
    /// The published rows that ours stand beside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paper: Option<Paper>,
    /// What the picture grid shows side by side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gallery: Option<Gallery>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn default_batch() -> usize {
    50
}

fn default_replicates() -> usize {
    1000
}

/// One setting of DiffGuard: a guidance, the labels it follows, and what is compared how.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// Its name; its score columns are called `diffguard-NAME/SIMILARITY`.
    pub name: String,
    /// Name of the inversion.
    pub inversion: String,
    /// How the synthesis is guided.
    pub guidance: GuidanceConfig,
    /// How the synthesis is made.
    #[serde(default)]
    pub synthesis: SynthesisConfig,
    /// Which label it follows.
    #[serde(default)]
    pub label: LabelSource,
    /// What the synthesis is compared with.
    #[serde(default = "default_reference")]
    pub reference: Vec<Reference>,
    /// The similarities.
    pub similarity: Vec<SimilarityName>,
}

/// Whether the predicted label fits, by the errors of denoising under it and under others.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denoising {
    /// Its name; its score column is called `denoising-NAME`.
    pub name: String,
    /// The noise and the labels.
    pub noise: DenoisingConfig,
    /// After how many rounds there are scores too: rows `denoising-NAME@ROUNDS`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<usize>,
    /// At how many levels of noise there are columns of how hard the image is: `denoising-NAME/level-1` with the least noise,
    /// and so on. They are parts of fusions, and no rows of the tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub levels: Option<usize>,
}

impl Denoising {
    /// The name of its score column.
    pub fn column(&self) -> String {
        format!("denoising-{}", self.name)
    }

    /// The names of its columns of how hard the image is.
    pub fn level_columns(&self) -> impl Iterator<Item = String> {
        let levels = 1..=self.levels.unwrap_or(0);
        levels.map(|level| format!("{}/level-{level}", self.column()))
    }

    /// Its score columns, and after how many rounds each.
    pub fn columns(&self) -> impl Iterator<Item = (String, usize)> {
        let after = self.after.iter();
        let before_all = after.map(|rounds| (format!("{}@{rounds}", self.column()), *rounds));
        before_all.chain([(self.column(), self.noise.rounds)])
    }
}

fn default_reference() -> Vec<Reference> {
    vec![Reference::Input]
}

/// How the headline row is chosen, on validation data alone: the setting with the highest mean AUROC of
/// in-distribution validation against the out-of-distribution validation sets.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Headline {
    /// Names of the guards that stand for election; all of them where not given.
    pub guards: Option<Vec<String>>,
    /// Pairs of similarities whose mean of z-scores (by in-distribution validation) stands for election too.
    #[serde(default)]
    pub tandems: Vec<[SimilarityName; 2]>,
    /// Whether to run the chosen setting with oracle labels as the row `diffguard-oracle`.
    #[serde(default)]
    pub oracle: bool,
    /// Whether to name the cheapest setting (U-Net evaluations an image) that is nearly as good on validation data as
    /// the row `diffguard-fast`.
    #[serde(default)]
    pub fast: bool,
}

impl Headline {
    /// Whether the guard of this name stands for election.
    pub fn names(&self, guard: &str) -> bool {
        let named = self.guards.as_ref();
        named.is_none_or(|names| names.iter().any(|name| name == guard))
    }
}

/// A baseline.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorChoice {
    /// The detector (`cargo xtask list`).
    pub name: String,
    /// The row's name; the detector's where not given.
    pub row: Option<String>,
    /// Its parameters; published defaults where not given.
    #[serde(default)]
    pub parameters: toml::Table,
    /// Parameters to choose on the benchmark's validation split: `true` for the detector's published grid, or a grid,
    /// e.g. `{ k = [5, 10, 50] }`. Not given, nothing is chosen.
    pub tune: Option<Tune>,
}

/// What to choose on validation data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Tune {
    /// The published grid, or nothing.
    Switch(bool),
    /// Lists of values by parameter.
    Grid(toml::Table),
}

impl DetectorChoice {
    /// The row's name.
    pub fn row(&self) -> &str {
        self.row.as_deref().unwrap_or(&self.name)
    }
}

/// A plot of average AUROC over an axis of a sweep, one line a role and a value of every other axis.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// Name of its files.
    pub name: String,
    /// Its title.
    pub title: String,
    /// The axis (the last word of a varied key); `evaluations` for U-Net evaluations an image.
    pub axis: String,
    /// What the axis is called under the plot; its name where not given.
    pub label: Option<String>,
    /// The guard that was varied.
    pub guard: String,
    /// The similarity; where not given, each cell's best one on validation data.
    pub similarity: Option<SimilarityName>,
}

impl Figure {
    /// The axis of cost.
    pub const EVALUATIONS: &str = "evaluations";

    /// A point's place on an axis: its number, or the one that its name ends with (`ddim25`).
    pub fn place(point: &str) -> Option<f64> {
        let digits =
            point.trim_start_matches(|c: char| !c.is_ascii_digit() && c != '-' && c != '.');
        digits.parse().ok()
    }
}

/// A published table (experiments/paper.toml) and which of its rows are which of ours.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paper {
    /// The table's name.
    pub table: String,
    /// What differs between its setting and ours, for the heading.
    pub differs: String,
    /// Our row by the published row's name; `GUARD/*` is the guard's best similarity on validation data.
    pub rows: BTreeMap<String, String>,
    /// Our set by the published column's name; an average over near or far sets is `near` or `far`.
    pub columns: BTreeMap<String, String>,
}

/// Syntheses side by side in the picture grid.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gallery {
    /// Names of the guards, a column each.
    pub guards: Vec<String>,
    /// The columns' headings; the guards' names where not given.
    #[serde(default)]
    pub columns: Vec<String>,
}

/// A row under a second name: a published method that one of our settings is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alias {
    /// The name.
    pub name: String,
    /// The row, of a detector, a guard or the headline.
    pub of: String,
    /// What it is, for the table's foot.
    pub note: Option<String>,
}

/// A fusion of rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Combination {
    /// The row's name; fusions contain a `+`.
    pub name: String,
    /// The rows that are combined; for a cascade, the baseline first.
    pub of: Vec<String>,
    /// Those of them that are probabilities and enter the rule as log-odds, so that it tells apart what is crowded below 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_odds: Vec<String>,
    /// The rule (`cargo xtask list`).
    pub rule: String,
    /// Its parameters.
    #[serde(default)]
    pub parameters: toml::Table,
}

impl Experiment {
    /// Reads the experiment of a name (`experiments/NAME.toml`) or at a path that ends in `.toml`, and its name.
    ///
    /// # Errors
    /// When there is no such experiment, or its file asks for what does not exist; the nearest valid name or key
    /// is named.
    pub fn read(name: &str, root: &Root) -> Result<(String, Self)> {
        let path = match name.ends_with(".toml") {
            true => PathBuf::from(name),
            false => root.experiments().join(format!("{name}.toml")),
        };
        if !path.is_file() {
            let names = names(root)?;
            let hint = match suggest(name, names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are: {}", names.join(", ")),
            };
            return Err(Error::Setting(format!(
                "no experiment `{name}` ({}): {hint}",
                path.display()
            )));
        }
        let experiment: Self = toml_file::read_expanded(&path, sweep::expand)?;
        experiment
            .check()
            .map_err(|what| Error::file(&path, what))?;
        let name = path.file_stem().map_or_else(
            || name.to_owned(),
            |stem| stem.to_string_lossy().into_owned(),
        );
        Ok((name, experiment))
    }

    /// Puts the classifier of this name (that of its file) under protection: it becomes the first one.
    ///
    /// # Errors
    /// When the experiment has none of that name.
    pub fn protect(&mut self, name: &str) -> Result<()> {
        let stem = |path: &String| {
            let stem = Path::new(path).file_stem();
            stem.map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
        };
        let names: Vec<String> = self.classifiers.iter().map(stem).collect();
        let place = names.iter().position(|known| known == name);
        let place = place.ok_or_else(|| {
            let what = unknown(name, names.iter().map(String::as_str));
            Error::Setting(format!("--protect: no classifier {what}"))
        })?;
        self.classifiers[..=place].rotate_right(1);
        Ok(())
    }

    /// Whether a detector fits to training images.
    pub fn fits(&self) -> bool {
        self.detectors.iter().any(|choice| {
            // A name that is none was refused when the experiment was read.
            detectors::entry(&choice.name).is_ok_and(|entry| {
                let training = [Need::TrainLogits, Need::TrainFeatures, Need::TrainLabels];
                training.iter().any(|need| entry.needs.contains(need))
            })
        })
    }

    /// The rows that a run has before its fusions.
    fn rows(&self) -> Vec<String> {
        let mut rows = self.computed_rows();
        rows.extend(self.aliases.iter().map(|alias| alias.name.clone()));
        rows
    }

    /// The rows of its tables, fusions and all.
    pub(crate) fn table_rows(&self) -> Vec<String> {
        let mut rows = self.rows();
        rows.extend(self.combinations.iter().map(|it| it.name.clone()));
        rows.retain(|row| self.in_tables(row));
        rows
    }

    /// The rows of detectors, guards, denoising and the headline.
    fn computed_rows(&self) -> Vec<String> {
        let mut rows: Vec<String> = self
            .detectors
            .iter()
            .map(|detector| detector.row().to_owned())
            .collect();
        for guard in &self.guards {
            for reference in &guard.reference {
                rows.extend(
                    guard
                        .similarity
                        .iter()
                        .map(|similarity| guard.column(*reference, *similarity)),
                );
            }
        }
        let denoised = self.denoisings.iter().flat_map(Denoising::columns);
        rows.extend(denoised.map(|(column, _)| column));
        rows.extend(self.denoisings.iter().flat_map(Denoising::level_columns));
        rows.extend(self.headline_rows().map(str::to_owned));
        rows
    }

    /// The rows of the election.
    pub(crate) fn headline_rows(&self) -> impl Iterator<Item = &'static str> {
        let headline = self.headline.iter();
        headline.flat_map(|it| {
            let fast = it.fast.then_some(FAST);
            let oracle = it.oracle.then_some(ORACLE);
            [HEADLINE].into_iter().chain(fast).chain(oracle)
        })
    }

    /// Whether a column of scores is a row of tables: all are but those of how hard an image is.
    pub fn in_tables(&self, column: &str) -> bool {
        let mut parts = self.denoisings.iter().flat_map(Denoising::level_columns);
        !parts.any(|part| part == column)
    }
}

impl Guard {
    /// Whether one of its references takes the unconditional reconstruction.
    pub fn needs_reconstruction(&self) -> bool {
        let mut references = self.reference.iter();
        references.any(|reference| reference.needs_reconstruction())
    }

    /// The unconditional reconstruction that its syntheses may be compared with, and a name of it that other guards
    /// share where theirs is the same.
    pub fn reconstruction(&self) -> (String, SynthesisConfig) {
        let config = self.synthesis.reconstruction();
        // Plain settings: nothing in them can fail to serialise.
        let settings = serde_json::to_string(&config).unwrap_or_default();
        (format!("{} {settings}", self.inversion), config)
    }

    /// The name of the score column of a reference and a similarity.
    pub fn column(&self, reference: Reference, similarity: SimilarityName) -> String {
        self.column_called(reference, similarity.as_str())
    }

    /// The same of several similarities together, by whatever name they have.
    pub(crate) fn column_called(&self, reference: Reference, similarity: &str) -> String {
        match reference {
            Reference::Input => format!("diffguard-{}/{similarity}", self.name),
            Reference::Reconstruction => format!("diffguard-{}/{similarity}@recon", self.name),
            Reference::Contrast => format!("diffguard-{}/{similarity}@contrast", self.name),
        }
    }
}

/// The name of a guard or an inversion before a sweep made cells of it.
pub fn base(name: &str) -> &str {
    name.split('[').next().unwrap_or(name)
}

/// Names of the experiments that come with the repository.
///
/// # Errors
/// When the folder cannot be read.
pub fn names(root: &Root) -> Result<Vec<String>> {
    let folder = root.experiments();
    let entries = std::fs::read_dir(&folder).map_err(|error| Error::io(&folder, &error))?;
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .filter(|name| name != "paper")
        .collect();
    names.sort();
    Ok(names)
}
