//! A run of an experiment: from images to scores.

mod comparisons;
mod election;
mod pictures;
mod plan;
mod rows_of;
mod traces;
mod units;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use burn::tensor::Device;
use diffguard_datasets::benchmark::{LeftOut, Limits, OpenBenchmark};
use diffguard_guidance::{Trajectory, latent};
use diffguard_models::Compute;

pub(crate) use self::election::candidate;
pub use self::election::{Chosen, FAST_WITHIN};
use self::election::{elect, oracle};
use self::pictures::pictures;
pub use self::pictures::{Picture, Shown};
pub use self::plan::Plan;
use self::rows_of::RowsOf;
use self::traces::{trace_units, traces};
pub(crate) use self::units::Done;
use self::units::{costs, denoise_units, invert_units, observe_units, run_guards, samples};
use crate::baselines::{self, Baseline};
use crate::commands::data_folders;
use crate::data::{Data, Missing, tell_left_out};
use crate::donors::LoadedDonors;
use crate::experiment::Experiment;
use crate::lock::Lock;
use crate::networks::Networks;
use crate::outputs::{self, Run};
use crate::parts::{Part, Split};
use crate::perceptual::LoadedPerceptual;
use crate::pipeline::{Account, Pipeline};
use crate::progress::Progress;
use crate::record::{BenchmarkRecord, Record, StageRecord, peak_memory_mib};
use crate::scores::Scores;
use crate::shard::{Shard, ShardRecord};
use crate::spent::GuardCost;
use crate::stages::versions;
use crate::store::{Store, StorePlace};
use crate::traces::Traces;
use crate::{Error, Result, Root, device, evaluate, synthetic};

/// What the command line may change of an experiment.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Images a test set at most; validation sets are cut to it too.
    pub limit: Option<usize>,
    /// The classifier under protection by name, in place of the experiment's first.
    pub protect: Option<String>,
    /// Output directory.
    pub out: Option<PathBuf>,
    /// The share of the work that is computed; all of it and its tables where not given.
    pub shard: Option<Shard>,
    /// Where stages are stored.
    pub store: Option<StorePlace>,
    /// Device by name.
    pub device: Option<String>,
    /// Images of a work unit.
    pub batch: Option<usize>,
    /// What the diffusion networks' convolutions compute on.
    pub compute: Option<Compute>,
    /// Seed.
    pub seed: Option<u64>,
    /// Threads; all cores where not given.
    pub threads: Option<usize>,
    /// The finished run, in `results/` or a folder, that rows are taken from.
    pub rows_of: Option<String>,
    /// Folder that observations are written to for other programs.
    pub export: Option<PathBuf>,
    /// The row that every other is compared with in a table of differences.
    pub against: Option<String>,
    /// Print the plan and stop; nothing is written or fetched.
    pub dry_run: bool,
    /// Draw no progress display.
    pub no_progress: bool,
    /// Compute again what is stored.
    pub force: bool,
    /// Folder that data sets and checkpoints are looked for in first.
    pub data: Option<PathBuf>,
    /// Folder of fetched data sets.
    pub cache: Option<PathBuf>,
    /// Run on generated images with generated weights (see [`synthetic`]).
    pub synthetic: bool,
    /// What to do about data sets that are not at hand.
    pub missing: Missing,
}

/// What the stages and the detectors made of an experiment.
struct Finished {
    scores: Scores,
    traces: Traces,
    /// The chosen headline setting.
    headline: Option<Chosen>,
    /// The baselines as they were run.
    baselines: Vec<Baseline>,
    /// Rows for the picture grid.
    pictures: Shown,
    /// What each guard costs an image.
    costs: BTreeMap<String, GuardCost>,
}

/// Runs an experiment and writes its outputs; returns the directory they are in.
///
/// # Errors
/// Whatever keeps the run from its end; what was computed by then stays stored.
pub fn bench(name: &str, options: &Options, stop: &AtomicBool) -> Result<PathBuf> {
    let begun = Instant::now();
    let dirs = data_folders(options.data.clone(), options.cache.clone())?;
    let root = Root::find()?.with_data(Some(dirs));
    let asked = name;
    let (mut name, mut experiment) = Experiment::read(asked, &root)?;
    let mut reduced = options
        .synthetic
        .then(|| synthetic::reduce(&mut experiment));
    if let Some(limit) = options.limit {
        if limit == 0 {
            return Err(Error::Setting("--limit must be at least 1".into()));
        }
        experiment.limit = limit;
        experiment.validation_limit = experiment.validation_limit.min(limit);
        experiment.extra_limit = experiment.extra_limit.map(|most| most.min(limit));
    }
    if let Some(classifier) = &options.protect {
        experiment.protect(classifier)?;
    }
    experiment.batch = options.batch.unwrap_or(experiment.batch).max(1);
    experiment.seed = options.seed.unwrap_or(experiment.seed);
    experiment.compute = options.compute.unwrap_or(experiment.compute);
    if let Some(threads) = options.threads {
        // Fails only where a pool exists already, which then has its size.
        let _ = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global();
    }
    let device_name = options.device.clone().unwrap_or_else(|| "cpu".into());
    let device = device::parse(&device_name)?;
    if experiment.compute != Compute::F32 && device_name != "cpu" {
        return Err(Error::Setting(format!(
            "`compute = \"{}\"` is for the device cpu; leave it out for `{device_name}`",
            experiment.compute.name()
        )));
    }
    let named = match &options.protect {
        Some(classifier) => format!("{name}-{classifier}"),
        None => name.clone(),
    };
    let out = match (&options.out, options.limit) {
        (Some(out), _) => out.clone(),
        _ if options.synthetic => root.runs().join(format!("{named}-synthetic")),
        (None, Some(limit)) => root.runs().join(format!("{named}-limit-{limit}")),
        (None, None) => root.results().join(&named),
    };
    let store = match (&options.store, &options.out) {
        (Some(store), _) => store.clone(),
        (None, Some(out)) => StorePlace::Folder(out.join("store")),
        (None, None) => StorePlace::Folder(root.runs().join("store")),
    };
    let missing = match (options.dry_run, options.missing) {
        (true, Missing::Fetch) => Missing::Refuse,
        (_, missing) => missing,
    };

    experiment.against = options.against.clone().or(experiment.against);
    if let Some(row) = &experiment.against {
        experiment.check_row(row)?;
    }
    // What the stages and the detectors make: all of the experiment, but for rows that another run has.
    let (rows_of, made) = match &options.rows_of {
        Some(run) => {
            let rows_of = RowsOf::read(run, &root)?;
            rows_of.check_settings(&experiment, &device_name)?;
            let lacking = rows_of.lacking(&experiment)?;
            (Some(rows_of), lacking)
        }
        None => (None, experiment.clone()),
    };
    let data = Data::new(&root, root.data())?;
    if reduced.is_none() {
        data.check_at_hand(&name, &experiment, &root)?;
    }
    // A run that is refused leaves no directory behind.
    let _lock = match options.dry_run {
        true => None,
        false => Some(Lock::take(&out)?),
    };
    let (benchmark, mut networks) = match &mut reduced {
        Some(notes) => {
            name = format!("{} {name}", synthetic::STAMP);
            let folder = out.join("weights");
            let networks = synthetic::networks(&experiment, &root, &folder, &device, notes)?;
            (synthetic::benchmark(&experiment)?, networks)
        }
        None => {
            data.weights(&experiment, &root, missing, stop)?;
            let perceptual = LoadedPerceptual::of(&experiment, &data, &device)?;
            let benchmark = data.benchmark(&experiment.benchmark, missing, stop)?;
            tell_left_out(&benchmark);
            let networks = Networks {
                perceptual,
                ..Networks::load(&experiment, &root, &device)?
            };
            (benchmark, networks)
        }
    };
    // Cut before anything is decoded.
    let most = Limits {
        test: experiment.limit,
        extra: experiment.extra_limit.unwrap_or(experiment.limit),
        validation: experiment.validation_limit,
    };
    let benchmark = benchmark.limit(most, experiment.seed);
    networks.donors = donors(&experiment, &benchmark, &device)?;
    check_fit(&experiment, &benchmark, &networks)?;
    let parts = Part::of(&benchmark);
    let mut pipeline = Pipeline {
        store: Store::open(&store)?,
        force: options.force,
        device,
        device_name,
        progress: Progress::silent(),
        stop,
        accounts: std::sync::Mutex::default(),
    };
    if let Some(rows_of) = &rows_of {
        rows_of.check_inputs(&benchmark, &networks)?;
    }
    let units = plan::units_of(&made, &parts, options.shard);
    let plan = Plan::of(&name, &made, &networks, &parts, &units, &pipeline)?;
    if let Some(rows_of) = &rows_of {
        rows_of.announce(&experiment, &made);
    }
    println!("{plan}");
    if options.dry_run {
        return Ok(out);
    }
    let workers = rayon::current_num_threads();
    pipeline.progress = Progress::new(plan.work(), workers, options.no_progress);
    if let Some(shard) = options.shard {
        stages_of(&made, &networks, &parts, units, &pipeline)?;
        pipeline.progress.finish();
        let record = ShardRecord {
            shard,
            experiment: asked.to_owned(),
            limit: options.limit,
            protect: options.protect.clone(),
            against: options.against.clone(),
            compute: options.compute,
            batch: experiment.batch,
            seed: experiment.seed,
            device: pipeline.device_name.clone(),
        };
        record.note(&pipeline.store)?;
        record.write(&out)?;
        println!("shard {shard} is complete: {}", out.display());
        return Ok(out);
    }
    let mut finished = scores(
        &made,
        &networks,
        &parts,
        units,
        &pipeline,
        (options.export.as_deref(), rows_of.as_ref()),
    )?;
    pipeline.progress.finish();
    let mut stages = stages(&pipeline);
    if let Some(rows_of) = &rows_of {
        finished = rows_of.join(&experiment, &made, finished)?;
        stages = rows_of.stages(stages);
    }
    let Finished {
        scores,
        traces,
        headline,
        baselines,
        pictures,
        costs,
    } = finished;
    let record = Record {
        experiment: name,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        burn: Record::burn_version(),
        stage_versions: versions(),
        device: pipeline.device_name.clone(),
        threads: rayon::current_num_threads(),
        benchmark: BenchmarkRecord::of(&benchmark)?,
        classifiers: networks
            .classifiers
            .iter()
            .map(|classifier| classifier.provenance.clone())
            .collect(),
        diffusion: networks
            .diffusion
            .as_ref()
            .map(|diffusion| diffusion.provenance.clone()),
        diffusion_of: networks
            .diffusion_of
            .iter()
            .map(|(name, diffusion)| (name.clone(), diffusion.provenance.clone()))
            .collect(),
        perceptual_sha256: networks
            .perceptual
            .as_ref()
            .map(|perceptual| perceptual.sha256.to_vec()),
        baselines,
        classifier_accuracy: accuracy(&scores),
        headline,
        conventions: Record::conventions(&experiment),
        costs,
        stages,
        synthetic: reduced,
        rows_of: rows_of.as_ref().map(|rows_of| rows_of.record(&made)),
        // Known when they are written.
        scores_sha256: None,
        seconds: begun.elapsed().as_secs_f64(),
        peak_memory_mib: peak_memory_mib(),
        configuration: experiment,
    };
    let run = Run {
        // Everything is made of what is stored, so that it is made again to the same bytes.
        scores: match record.configuration.compact_scores && rows_of.is_none() {
            true => scores.compacted(),
            false => scores,
        },
        record,
        traces,
    };
    let mut written = run.write(&out)?;
    let rebuilt = run.rebuild(&out)?;
    written.extend_from_slice(&rebuilt.written);
    if !pictures.pictures.is_empty() {
        let path = out.join("pictures.png");
        outputs::grid(&run, &benchmark, &pictures)?.write(&path)?;
        written.push(path);
    } else if let Some(rows_of) = &rows_of {
        let record = &run.record;
        rows_of.pictures(&record.configuration, record.headline.as_ref(), &out)?;
    }
    outputs::print(&run, &rebuilt);
    outputs::print_written(&written, root.path());
    Ok(out)
}

/// The images that a guidance mixes in, where one does.
fn donors(
    experiment: &Experiment,
    benchmark: &OpenBenchmark,
    device: &Device,
) -> Result<Option<LoadedDonors>> {
    let mut guards = experiment.guards.iter();
    match guards.any(|guard| guard.guidance.needs_donors()) {
        true => LoadedDonors::of(benchmark, experiment.seed, device).map(Some),
        false => Ok(None),
    }
}

/// Refuses what cannot run before anything is computed.
fn check_fit(
    experiment: &Experiment,
    benchmark: &OpenBenchmark,
    networks: &Networks,
) -> Result<()> {
    let shape = benchmark.id_test.shape();
    let shape = [shape.channels, shape.height, shape.width];
    for classifier in &networks.classifiers {
        classifier.network.check_input(shape)?;
    }
    for diffusion in networks.diffusions() {
        diffusion.network.check_images(shape).map_err(|error| {
            Error::Setting(format!(
                "the diffusion network {} does not fit the benchmark `{}`: {error} (ImageNet's benchmarks at 256 x 256 are \
                 imagenet-v1-256px and imagenet-v1.5-256px)",
                diffusion.provenance.record, benchmark.name
            ))
        })?;
    }
    for (name, config) in &experiment.inversion {
        let schedule = &networks.diffusion(name)?.schedule;
        let moves = Trajectory::new(schedule, &config.spacing)
            .and_then(|trajectory| config.moves(&trajectory));
        moves.map_err(|error| Error::Setting(format!("inversion `{name}`: {error}")))?;
    }
    for guard in &experiment.guards {
        let diffusion = networks.diffusion(&guard.inversion)?;
        let inversion = &experiment.inversion[&guard.inversion];
        guard
            .synthesis
            .check_start(inversion)
            .map_err(|error| Error::Setting(format!("guard `{}`: {error}", guard.name)))?;
        guard
            .guidance
            .check(diffusion.unet.as_ref())
            .map_err(|error| Error::Setting(format!("guard `{}`: {error}", guard.name)))?;
        if diffusion.first_stage.is_some() {
            latent::check(&guard.guidance, inversion, &guard.synthesis)
                .map_err(|error| Error::Setting(format!("guard `{}`: {error}", guard.name)))?;
        }
    }
    for denoising in &experiment.denoisings {
        let diffusion = networks.main_diffusion()?;
        let checked = denoising
            .noise
            .check(diffusion.unet.as_ref(), &diffusion.schedule);
        checked
            .map_err(|error| Error::Setting(format!("denoise `{}`: {error}", denoising.name)))?;
    }
    for trace in &experiment.traces {
        trace.check_fit(networks)?;
    }
    check_validation(experiment, benchmark)?;
    let classes = networks.protected().network.num_classes();
    if classes != benchmark.class_names.len() {
        return Err(Error::Setting(format!(
            "the classifier knows {classes} classes, the benchmark `{}` has {}",
            benchmark.name,
            benchmark.class_names.len()
        )));
    }
    Ok(())
}

/// Refuses to choose on validation data where there are none.
fn check_validation(experiment: &Experiment, benchmark: &OpenBenchmark) -> Result<()> {
    let Some(what) = experiment
        .validates()
        .filter(|_| benchmark.ood_val.is_empty())
    else {
        return Ok(());
    };
    let mut left_out = benchmark.left_out.iter();
    let mend = match left_out.find(|it| it.role == LeftOut::VALIDATION) {
        Some(set) => format!("{} is {}; {}", set.name, set.reason, set.command),
        None => "take a benchmark that has some".to_owned(),
    };
    Err(Error::Setting(format!(
        "{what} is chosen on validation data, and the benchmark `{}` has no out-of-distribution validation images: {mend}",
        benchmark.name
    )))
}

fn accuracy(scores: &Scores) -> f64 {
    let test = || {
        scores
            .samples
            .iter()
            .filter(|sample| sample.split == Split::IdTest)
    };
    let right = test()
        .filter(|sample| sample.label == sample.predicted)
        .count();
    right as f64 / test().count().max(1) as f64
}

fn stages(pipeline: &Pipeline) -> BTreeMap<String, StageRecord> {
    let record = |account: Account| StageRecord {
        images_per_second: account.images_per_second(),
        account,
    };
    pipeline
        .accounts()
        .into_iter()
        .map(|(stage, account)| (stage.to_owned(), record(account)))
        .collect()
}

/// The stages of one shard's units, up to the comparisons.
fn stages_of(
    experiment: &Experiment,
    networks: &Networks,
    parts: &[Part],
    mut units: Vec<Done>,
    pipeline: &Pipeline,
) -> Result<()> {
    observe_units(experiment, networks, parts, &mut units, pipeline)?;
    units.retain(|unit| parts[unit.part].split != Split::Fit);
    invert_units(experiment, networks, parts, &mut units, pipeline)?;
    let guards = &experiment.guards;
    run_guards(
        experiment, guards, networks, parts, &mut units, pipeline, None,
    )?;
    let denoisings = &experiment.denoisings;
    denoise_units(
        experiment, denoisings, networks, parts, &mut units, pipeline, None,
    )?;
    trace_units(experiment, networks, parts, &mut units, pipeline).map(|_| ())
}

fn scores(
    experiment: &Experiment,
    networks: &Networks,
    parts: &[Part],
    mut done: Vec<Done>,
    pipeline: &Pipeline,
    (export, rows_of): (Option<&Path>, Option<&RowsOf>),
) -> Result<Finished> {
    observe_units(experiment, networks, parts, &mut done, pipeline)?;
    let (fit, mut rest): (Vec<Done>, Vec<Done>) = done
        .into_iter()
        .partition(|d| parts[d.part].split == Split::Fit);
    let mut scores = Scores::new(samples(parts, &rest));
    if let Some(rows_of) = rows_of {
        rows_of.check_samples(&scores.samples)?;
    }
    let baselines = baselines::run(
        experiment,
        networks,
        parts,
        (&fit, &rest),
        pipeline,
        &mut scores,
        export,
    )?;
    drop(fit);

    invert_units(experiment, networks, parts, &mut rest, pipeline)?;
    for (column, values) in run_guards(
        experiment,
        &experiment.guards,
        networks,
        parts,
        &mut rest,
        pipeline,
        None,
    )? {
        scores.push(column, values)?;
    }
    let denoisings = &experiment.denoisings;
    for (column, values) in denoise_units(
        experiment, denoisings, networks, parts, &mut rest, pipeline, None,
    )? {
        scores.push(column, values)?;
    }
    let costs = costs(experiment, &rest);
    let headline = match &experiment.headline {
        Some(_) => Some(elect(experiment, &costs, &mut scores)?),
        None => None,
    };
    if let (Some(chosen), true) = (
        &headline,
        experiment.headline.as_ref().is_some_and(|h| h.oracle),
    ) {
        oracle(
            experiment,
            chosen,
            networks,
            parts,
            &mut rest,
            pipeline,
            &mut scores,
        )?;
    }
    evaluate::add_fusions(experiment, &mut scores)?;
    let pictures = pictures(experiment, headline.as_ref(), parts, &rest, pipeline)?;
    let traces = traces(experiment, networks, parts, &mut rest, pipeline)?;
    Ok(Finished {
        scores,
        traces,
        headline,
        baselines,
        pictures,
        costs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_chosen_without_validation_images() {
        let root = Root::find().unwrap();
        let (_, mut experiment) = Experiment::read("quick", &root).unwrap();
        let mut benchmark = synthetic::benchmark(&experiment).unwrap();
        assert!(check_validation(&experiment, &benchmark).is_ok());
        benchmark.ood_val.clear();
        benchmark.left_out.push(LeftOut {
            name: "some-val".into(),
            dataset: "some".into(),
            role: LeftOut::VALIDATION,
            reason: "missing".into(),
            command: "cargo xtask fetch some".into(),
        });
        let refused = |experiment: &Experiment| {
            let error = check_validation(experiment, &benchmark).unwrap_err();
            error.to_string()
        };
        let error = refused(&experiment);
        assert!(error.contains("[headline]"), "{error}");
        assert!(
            error.contains("some-val is missing; cargo xtask fetch some"),
            "{error}"
        );
        experiment.headline = None;
        assert!(refused(&experiment).contains("the fusion `"));
        experiment.combinations.clear();
        assert!(check_validation(&experiment, &benchmark).is_ok());
    }
}
