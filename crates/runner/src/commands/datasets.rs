//! `datasets`: what is at hand, and what it looks like.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::{Args, Subcommand};
use diffguard_datasets::benchmark::{self, AnySet, BENCHMARKS, OpenBenchmark, Role};
use diffguard_datasets::fetch::{Item, Presence, command};
use diffguard_datasets::hash::sha256_hex;
use diffguard_report::pictures::{Caption, GridGroup, GridRow, PictureGrid, Tile};

use super::data_folders;
use crate::data::{Data, Missing, size};
use crate::{Error, Result, Root};

/// Pictures of each set in a sample grid.
const SAMPLES: usize = 10;

/// Arguments of `datasets`.
#[derive(Debug, Args)]
pub struct Datasets {
    #[command(subcommand)]
    show: Option<Show>,
    /// Folder that is looked into first, and never written [default: those of $DIFFGUARD_DATA]
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
    /// Folder of what was fetched [default: $DIFFGUARD_CACHE, else the user's cache]
    #[arg(long, value_name = "DIR", global = true)]
    cache: Option<PathBuf>,
}

/// What to show of one thing.
#[derive(Debug, Subcommand)]
enum Show {
    /// All about a data set, a checkpoint or a benchmark
    Show {
        /// Its name
        name: String,
        /// Write a picture of samples of every set at hand (benchmarks alone)
        #[arg(long, value_name = "FILE.png")]
        grid: Option<PathBuf>,
    },
}

impl Datasets {
    pub(crate) fn run(self) -> Result<()> {
        let dirs = data_folders(self.data, self.cache)?;
        let data = Data::new(&Root::find()?, dirs)?;
        match self.show {
            None => table(&data),
            Some(Show::Show { name, grid }) => {
                if BENCHMARKS.iter().any(|entry| entry.name == name) {
                    return show_benchmark(&data, &name, grid.as_deref());
                }
                if grid.is_some() {
                    let names: Vec<&str> = BENCHMARKS.iter().map(|entry| entry.name).collect();
                    return Err(Error::Setting(format!(
                        "--grid shows a benchmark: one of {}",
                        names.join(", ")
                    )));
                }
                show_item(&data, &name)
            }
        }
    }
}

/// One line for everything in the manifest.
fn table(data: &Data) -> Result<()> {
    let fetcher = data.fetcher();
    let mut rows = Vec::new();
    let mut remarks = Vec::new();
    for item in data.manifest.items() {
        let presence = fetcher.presence(item.name)?;
        let state = match &presence {
            Presence::Present(found) if found.verified => "present",
            Presence::Present(_) => "present *",
            Presence::Begun { .. } => "begun",
            Presence::Incomplete { .. } => "incomplete",
            Presence::Damaged { .. } => "DAMAGED",
            Presence::Missing if item.in_repository.is_some() => "in repository",
            Presence::Missing if item.is_by_hand() => "missing, by hand",
            Presence::Missing => "missing",
        };
        match &presence {
            Presence::Damaged { .. } | Presence::Begun { .. } | Presence::Incomplete { .. } => {
                remarks.push(format!(
                    "{}: {presence}\n  mend: {}",
                    item.name,
                    command(&[item.name])
                ));
            }
            _ => {}
        }
        rows.push([
            item.name.to_owned(),
            state.to_owned(),
            bytes_of(&item, &presence).map_or("unknown".into(), size),
            short(item.licence, 14),
            item.role.to_owned(),
        ]);
    }
    let heads = ["name", "at hand", "size", "licence", "role"].map(str::to_owned);
    let widths: Vec<usize> = (0..4)
        .map(|column| {
            let cells = rows.iter().chain([&heads]);
            cells
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    for row in [&heads].into_iter().chain(&rows) {
        println!(
            "{:<w0$}  {:<w1$}  {:>w2$}  {:<w3$}  {}",
            row[0],
            row[1],
            row[2],
            row[3],
            row[4],
            w0 = widths[0],
            w1 = widths[1],
            w2 = widths[2],
            w3 = widths[3]
        );
    }
    println!(
        "\n*  not compared with a published checksum: there is none, or the files are unpacked\n\
         by hand  not free to download: `cargo xtask datasets show NAME` says which file to put where"
    );
    for remark in remarks {
        println!("\n{remark}");
    }
    let folders: Vec<String> = data
        .dirs
        .data
        .iter()
        .map(|dir| dir.display().to_string())
        .collect();
    println!(
        "\nlooked in: {}\ncache:     {}\nfetch:     {}, or cargo xtask fetch --benchmark cifar10-v1.5",
        folders.join(", "),
        data.dirs.cache.display(),
        command(&["NAME"])
    );
    Ok(())
}

/// The size of what is at hand, else of what would be fetched.
fn bytes_of(item: &Item<'_>, presence: &Presence) -> Option<u64> {
    match presence {
        Presence::Present(found) if !found.unpacked => found
            .paths
            .iter()
            .map(|path| std::fs::metadata(path).ok().map(|file| file.len()))
            .sum(),
        _ => item.ways.iter().find_map(|way| way.bytes()),
    }
}

fn short(text: &str, width: usize) -> String {
    match text.chars().count() > width {
        true => text.chars().take(width - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

/// All about a data set or a checkpoint.
fn show_item(data: &Data, name: &str) -> Result<()> {
    let item = data.manifest.item(name)?;
    let presence = data.fetcher().presence(name)?;
    let mut lines = vec![
        ("what", item.what.to_owned()),
        ("role", item.role.to_owned()),
        ("licence", item.licence.to_owned()),
    ];
    if let Ok(dataset) = data.manifest.dataset(name) {
        lines.push(("cite", dataset.citation.clone()));
        lines.push(("images", dataset.preprocessing.clone()));
    }
    lines.extend(item.page.map(|page| ("page", page.to_owned())));
    lines.extend(item.note.map(|note| ("note", note.to_owned())));
    lines.extend(item.in_repository.map(|path| {
        (
            "here",
            format!("in the repository: {path}; nothing needs to be fetched"),
        )
    }));
    lines.push(("at hand", presence.to_string()));
    if let Presence::Present(found) = &presence {
        for path in &found.paths {
            lines.push(("", path.display().to_string()));
        }
    }
    for (index, offer) in item
        .ways
        .iter()
        .flat_map(|way| way.parts.iter().flatten())
        .enumerate()
    {
        let bytes = offer.bytes.map_or("size unknown".into(), size);
        let from = if index == 0 { "from" } else { "" };
        lines.push((
            from,
            format!("{} ({bytes}, {})", offer.place, offer.checksum),
        ));
    }
    match &presence {
        Presence::Present(_) => {}
        _ if item.is_by_hand() => lines.push(("get it", item.by_hand())),
        _ => lines.push(("get it", command(&[name]))),
    }
    println!("{name}");
    for (head, text) in lines {
        println!("  {head:<8} {text}");
    }
    Ok(())
}

/// The sets of a benchmark, and a picture of them.
fn show_benchmark(data: &Data, name: &str, grid: Option<&Path>) -> Result<()> {
    let never = AtomicBool::new(false);
    let opened = match data.benchmark(name, Missing::LeaveOut, &never) {
        Ok(opened) => opened,
        Err(error) => {
            tell_needed(data, name)?;
            return Err(error);
        }
    };
    println!("{name}: {} classes", opened.class_names.len());
    println!(
        "  {:<14} {:<12} {:>7}  checksum of the names",
        "set", "role", "images"
    );
    for (role, set) in sets(&opened) {
        println!(
            "  {:<14} {role:<12} {:>7}  {}",
            set.name(),
            set.len(),
            &names_checksum(set)[..16]
        );
    }
    if !opened.left_out.is_empty() {
        println!("not at hand:");
        for set in &opened.left_out {
            println!(
                "  {:<14} {:<12} {}; {}",
                set.name, set.role, set.reason, set.command
            );
        }
    }
    if let Some(path) = grid {
        sample_grid(&opened)?.write(path)?;
        println!("written: {}", path.display());
    }
    Ok(())
}

/// What a benchmark that cannot be opened needs.
fn tell_needed(data: &Data, name: &str) -> Result<()> {
    println!("{name}: its in-distribution images are not at hand. It needs:");
    for dataset in benchmark::entry(name)?.datasets {
        let item = data.manifest.item(dataset)?;
        let presence = data.fetcher().presence(dataset)?;
        println!("  {dataset:<16} {presence}");
        if !matches!(presence, Presence::Present(_)) {
            println!("  {:<16} {}", "", item.mend());
        }
    }
    Ok(())
}

/// Every set at hand with the word for its role.
fn sets(opened: &OpenBenchmark) -> Vec<(&'static str, &AnySet)> {
    let mut sets = vec![
        ("fit", &opened.fit),
        ("ID val", &opened.id_val),
        ("ID test", &opened.id_test),
    ];
    sets.extend(opened.ood_val.iter().map(|set| ("OOD val", set)));
    sets.extend(opened.ood_test.iter().map(|ood| {
        let role = match ood.role {
            Role::Near => "near OOD",
            Role::Far => "far OOD",
            Role::Extra => "extra",
        };
        (role, &ood.set)
    }));
    sets.retain(|(_, set)| !set.is_empty());
    sets
}

/// SHA-256 over the list names of a set in order.
fn names_checksum(set: &AnySet) -> String {
    let ids = match set {
        AnySet::Memory(set) => &set.ids,
        AnySet::Listed(set) => &set.ids,
    };
    sha256_hex(ids.join("\n").as_bytes())
}

/// A row of samples for every set at hand.
fn sample_grid(opened: &OpenBenchmark) -> Result<PictureGrid> {
    let mut rows = Vec::new();
    let mut side = 0;
    for (role, set) in sets(opened) {
        let samples = set.limit(SAMPLES, 0).load()?;
        let shape = samples.shape;
        side = side.max(shape.width);
        let tiles = (0..samples.len())
            .map(|index| {
                let planes: Vec<f32> = samples.image(index).iter().map(|&v| f32::from(v)).collect();
                let (height, width) = (shape.height, shape.width);
                Tile::from_planes(shape.channels, height, width, &planes, (0.0, 255.0)).map(Some)
            })
            .collect::<Result<Vec<_>, _>>()?;
        rows.push(GridRow {
            tiles,
            caption: Caption {
                lines: vec![
                    set.name().to_owned(),
                    format!("{role}, {} images", set.len()),
                ],
                verdict: None,
            },
        });
    }
    Ok(PictureGrid {
        title: format!("{}: samples of every set at hand", opened.name),
        columns: vec![String::new(); SAMPLES],
        groups: vec![GridGroup {
            heading: String::new(),
            rows,
        }],
        factor: (64 / side.max(1)).max(1),
        differences: None,
    })
}
