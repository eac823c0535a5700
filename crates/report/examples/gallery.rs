//! Draws every kind of plot, grid and table with made-up numbers into a folder, to be looked at.
//!
//! `cargo run --release -p diffguard-report --example gallery -- <folder>`

use std::error::Error;
use std::path::PathBuf;

use diffguard_report::pictures::{
    Caption, DifferenceScale, GridGroup, GridRow, PictureGrid, Tile, Verdict,
};
use diffguard_report::plots::{
    Bar, BarGroup, BarKind, BarOrder, BarPlot, Figure, HistogramPanel, HistogramPlot, LineChart,
    LinePoint, LineSeries, LossPlot, LossSeries, RocCurve, RocPanel, RocPlot, Scale,
};
use diffguard_report::table::{Comparison, Mark, MethodGroup, Table, TerminalOptions};
use diffguard_report::{Metric, MetricRow, Role, csv, write_atomic};

const METHODS: [&str; 7] = [
    "msp",
    "ebo",
    "knn",
    "vim",
    "diffguard/logits-l1",
    "diffguard+ebo",
    "diffguard+ebo-oracle",
];
const SETS: [(&str, Role); 6] = [
    ("cifar100", Role::Near),
    ("tin", Role::Near),
    ("mnist", Role::Far),
    ("svhn", Role::Far),
    ("texture", Role::Far),
    ("places365", Role::Far),
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = std::env::args_os()
        .nth(1)
        .ok_or("name the folder to draw into")?
        .into();
    roc(1).write(folder.join("roc"))?;
    roc(6).write(folder.join("roc-sets"))?;
    roc(2).write(folder.join("roc-two"))?;
    histograms(6).write(folder.join("histograms"))?;
    histograms(1).write(folder.join("histogram"))?;
    bars(BarOrder::Given).write(folder.join("bars"))?;
    bars(BarOrder::Descending).write(folder.join("bars-sorted"))?;
    sweep(Scale::Linear).write(folder.join("sweep"))?;
    sweep(Scale::Log).write(folder.join("sweep-log"))?;
    loss(Scale::Log).write(folder.join("loss-log"))?;
    loss(Scale::Linear).write(folder.join("loss"))?;
    grid()?.write(folder.join("grid.png"))?;
    let row = grid()?.groups.swap_remove(0).rows.swap_remove(0);
    PictureGrid::strip(grid()?.columns, row, 5).write(folder.join("strip.png"))?;

    let rows = rows();
    csv::write(folder.join("metrics.csv"), &rows)?;
    let groups = [
        MethodGroup::new("baselines", &METHODS[..4]),
        MethodGroup::new("DiffGuard", &METHODS[4..5]),
        MethodGroup::new("fusions", &METHODS[5..6]),
        MethodGroup::new("oracles (look at test labels)", &METHODS[6..]),
    ];
    let table = Table::new("CIFAR-10", &rows, &groups, &[Metric::Auroc, Metric::Fpr95])?;
    write_atomic(folder.join("table.md"), table.to_markdown())?;
    write_atomic(folder.join("table.tex"), table.to_latex())?;
    for width in [160, 120, 100, 60] {
        println!(
            "{}",
            table.to_terminal(TerminalOptions {
                width,
                mark: Mark::Star
            })
        );
    }
    println!(
        "{}",
        table.to_terminal(TerminalOptions {
            width: 160,
            mark: Mark::Bold
        })
    );
    println!("{}", table.to_markdown());
    println!("{}", table.to_latex());
    let published: Vec<MetricRow> = rows
        .iter()
        .step_by(5)
        .map(|row| MetricRow {
            value: row.value - 0.004,
            ..row.clone()
        })
        .collect();
    let comparison = Comparison::new("published and ours", &published, &rows[..60]).sheet();
    println!(
        "{}\n{}\n{}",
        comparison.to_terminal(Mark::Star),
        comparison.to_markdown(),
        comparison.to_latex()
    );
    Ok(())
}

/// A number in `[0, 1)` that looks random and is always the same.
fn noise(i: usize, stream: usize) -> f64 {
    let mut x = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ (stream as u64 + 1).wrapping_mul(0xd1b5_4a32_d192_ed03);
    x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    ((x ^ (x >> 32)) >> 11) as f64 / (1u64 << 53) as f64
}

fn normal(i: usize, stream: usize) -> f64 {
    (0..12)
        .map(|part| noise(i * 12 + part, stream))
        .sum::<f64>()
        - 6.0
}

fn auroc(method: usize, set: usize) -> f64 {
    0.84 + 0.016 * method as f64 + 0.01 * set as f64 - 0.02 * noise(method, set)
}

fn rows() -> Vec<MetricRow> {
    let mut rows = Vec::new();
    for (m, method) in METHODS.iter().enumerate() {
        let averages = [("average", Role::Near), ("average", Role::Far)];
        for (s, (set, role)) in SETS.into_iter().chain(averages).enumerate() {
            for metric in [Metric::Auroc, Metric::Fpr95] {
                let value = match metric {
                    Metric::Auroc => auroc(m, s),
                    _ => 1.2 - 1.1 * auroc(m, s),
                };
                rows.push(MetricRow {
                    experiment: "gallery".into(),
                    method: (*method).into(),
                    set: set.into(),
                    role,
                    metric,
                    value: if (m, s) == (3, 4) { f64::NAN } else { value },
                    ci_low: Some(value - 0.01),
                    ci_high: Some(value + 0.01),
                    n_id: 9000,
                    n_ood: 9000,
                });
            }
        }
    }
    rows
}

fn roc(panels: usize) -> RocPlot {
    let curve = |m: usize, s: usize| {
        let mut scores: Vec<(f64, bool)> = (0..4000)
            .map(|i| {
                (
                    normal(i, m * 10 + s)
                        + if i % 2 == 0 {
                            1.2 + 0.3 * m as f64
                        } else {
                            0.0
                        },
                    i % 2 == 0,
                )
            })
            .collect();
        scores.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (mut fpr, mut tpr) = (0.0, 0.0);
        let mut points = vec![(0.0, 0.0)];
        for (_, id) in scores {
            if id {
                tpr += 1.0 / 2000.0
            } else {
                fpr += 1.0 / 2000.0
            }
            points.push((fpr, tpr));
        }
        RocCurve {
            label: METHODS[m].into(),
            points,
            auroc: Some(auroc(m, s)),
        }
    };
    let panel = |s: usize| RocPanel {
        title: if panels == 1 {
            String::new()
        } else {
            SETS[s].0.into()
        },
        curves: (0..METHODS.len()).map(|m| curve(m, s)).collect(),
    };
    RocPlot {
        title: "ROC curves, CIFAR-10 against OOD sets".into(),
        panels: (0..panels).map(panel).collect(),
    }
}

fn histograms(panels: usize) -> HistogramPlot {
    let panel = |s: usize| HistogramPanel {
        title: SETS[s].0.into(),
        id: (0..5000).map(|i| 4.0 + normal(i, 1)).collect(),
        ood: (0..5000)
            .map(|i| 1.0 + 0.3 * s as f64 + 1.5 * normal(i, 2 + s))
            .collect(),
        threshold: Some(2.36),
        auroc: Some(auroc(4, s)),
    };
    HistogramPlot {
        title: "Scores of diffguard/logits-l1".into(),
        score: "score (higher: more in-distribution)".into(),
        bins: 60,
        panels: (0..panels).map(panel).collect(),
    }
}

fn bars(order: BarOrder) -> BarPlot {
    let bar = |m: usize, s: usize| Bar {
        label: METHODS[m].into(),
        value: if (m, s) == (3, 0) { 0.47 } else { auroc(m, s) },
        interval: Some(if (m, s) == (3, 0) {
            (0.45, 0.49)
        } else {
            (auroc(m, s) - 0.012, auroc(m, s) + 0.011)
        }),
        kind: match m {
            4 | 5 => BarKind::Highlight,
            6 => BarKind::Oracle,
            _ => BarKind::Method,
        },
    };
    let group = |heading: &str, s: usize| BarGroup {
        heading: heading.into(),
        bars: (0..METHODS.len()).map(|m| bar(m, s)).collect(),
    };
    BarPlot {
        title: "AUROC on CIFAR-10".into(),
        measure: "AUROC".into(),
        groups: vec![
            group("near-OOD, average over sets", 0),
            group("far-OOD, average over sets", 2),
        ],
        order,
    }
}

fn sweep(x_scale: Scale) -> LineChart {
    let series = |m: usize| LineSeries {
        label: METHODS[m].into(),
        points: (0..8)
            .map(|i| {
                let x = match x_scale {
                    Scale::Linear => i as f64 * 0.1,
                    Scale::Log => 10f64.powf(i as f64 / 2.0 - 2.0),
                };
                let y =
                    0.86 + 0.02 * m as f64 - 0.003 * (i as f64 - 3.0).powi(2) + 0.004 * noise(i, m);
                LinePoint {
                    x,
                    y,
                    interval: (m < 3).then_some((y - 0.008, y + 0.007)),
                }
            })
            .collect(),
    };
    LineChart {
        title: "AUROC against the guidance cut".into(),
        x_label: "guidance cut".into(),
        y_label: "AUROC, near average".into(),
        x_scale,
        y_scale: Scale::Linear,
        series: (0..5).map(series).collect(),
        references: vec![("published".into(), 0.905), ("ebo alone".into(), 0.872)],
    }
}

fn loss(y_scale: Scale) -> LossPlot {
    let series = |label: &str, s: usize, every: usize| LossSeries {
        label: label.into(),
        points: (0..2000)
            .step_by(every)
            .map(|i| {
                (
                    i as f64 * 10.0,
                    (1.1 * (-(i as f64) / 300.0).exp() + 0.03 + 0.02 * s as f64)
                        * (1.0 + 0.25 * normal(i, s)).abs(),
                )
            })
            .collect(),
        smoothing: if every == 1 { 0.95 } else { 0.0 },
    };
    LossPlot {
        title: "Training of the denoiser".into(),
        x_label: "training step".into(),
        y_label: "mean squared error of ε".into(),
        y_scale,
        series: vec![series("training", 0, 1), series("validation", 1, 10)],
    }
}

fn grid() -> Result<PictureGrid, diffguard_report::Error> {
    let tile = |stream: usize, channels: usize| {
        let side = if channels == 1 { 28 } else { 32 };
        let pixel = |i: usize| {
            let (x, y) = (
                (i / channels % side) as f64 / 6.0,
                (i / channels / side) as f64 / 6.0,
            );
            let wave =
                (x + stream as f64).sin() * (y - stream as f64 + (i % channels) as f64).cos();
            (128.0 + 90.0 * wave + 20.0 * (noise(i, stream) - 0.5)) as u8
        };
        Tile::new(
            side,
            side,
            channels,
            (0..side * side * channels).map(pixel).collect(),
        )
    };
    let row =
        |s: usize, channels: usize, right: bool| -> Result<GridRow, diffguard_report::Error> {
            let (input, again, made) = (
                tile(s, channels)?,
                tile(s, channels)?,
                tile(s + 3, channels)?,
            );
            let difference = Tile::difference(&input, &made, DifferenceScale::default())?;
            Ok(GridRow {
                tiles: vec![
                    Some(input),
                    Some(again),
                    (s != 2).then_some(made),
                    Some(difference),
                ],
                caption: Caption {
                    lines: vec![
                        "true: automobile".into(),
                        "predicted: truck".into(),
                        format!("score: −{s}.31"),
                    ],
                    verdict: Some(Verdict {
                        text: if s < 2 {
                            "accepted".into()
                        } else {
                            "rejected".into()
                        },
                        right,
                    }),
                },
            })
        };
    Ok(PictureGrid {
        title: "DiffGuard on CIFAR-10".into(),
        columns: [
            "input",
            "reconstruction",
            "synthesis (predicted label)",
            "|input − synthesis|",
        ]
        .map(String::from)
        .to_vec(),
        groups: vec![
            GridGroup {
                heading: "in-distribution".into(),
                rows: vec![row(0, 3, true)?, row(1, 3, true)?],
            },
            GridGroup {
                heading: "near-OOD: cifar100".into(),
                rows: vec![row(2, 3, false)?, row(3, 3, true)?],
            },
            GridGroup {
                heading: "far-OOD: mnist".into(),
                rows: vec![row(4, 1, true)?],
            },
        ],
        factor: 4,
        differences: Some(DifferenceScale::default()),
    })
}
