//! What holds for every plot: the same bytes each time, nothing cut off, and an error instead of an empty sheet.

use diffguard_report::plots::{
    Bar, BarGroup, BarKind, BarOrder, BarPlot, Figure, HistogramPanel, HistogramPlot, LineChart,
    LinePoint, LineSeries, LossPlot, LossSeries, RocCurve, RocPanel, RocPlot, Scale,
};
use diffguard_report::{Error, Result};

fn roc(panels: usize) -> RocPlot {
    let curve = |label: &str, bend: f64| RocCurve {
        label: label.into(),
        points: (0..=50)
            .map(|i| f64::from(i) / 50.0)
            .map(|x| (x, x.powf(bend)))
            .collect(),
        auroc: Some(1.0 / (bend + 1.0)),
    };
    let panel = RocPanel {
        title: "set".into(),
        curves: vec![curve("a", 0.2), curve("b", 0.5)],
    };
    RocPlot {
        title: "ROC".into(),
        panels: vec![panel; panels],
    }
}

fn histogram() -> HistogramPlot {
    let panel = HistogramPanel {
        title: "set".into(),
        id: (0..300)
            .map(|i| f64::from(i % 37) + f64::from(i % 11))
            .collect(),
        ood: (0..300).map(|i| f64::from(i % 23)).collect(),
        threshold: Some(5.0),
        auroc: None,
    };
    HistogramPlot {
        title: "scores".into(),
        score: "score".into(),
        bins: 20,
        panels: vec![panel],
    }
}

fn bars() -> BarPlot {
    let bar = |label: &str, value: f64, kind| Bar {
        label: label.into(),
        value,
        interval: Some((value - 0.02, value + 0.01)),
        kind,
    };
    let bars = vec![
        bar("a", 0.7, BarKind::Method),
        bar(
            "a method with a name that goes on and on",
            0.3,
            BarKind::Highlight,
        ),
        bar("c-oracle", 0.99, BarKind::Oracle),
        bar("not defined", f64::NAN, BarKind::Method),
    ];
    let groups = vec![BarGroup {
        heading: "near".into(),
        bars,
    }];
    BarPlot {
        title: "AUROC".into(),
        measure: "AUROC".into(),
        groups,
        order: BarOrder::Descending,
    }
}

fn lines(scale: Scale) -> LineChart {
    let point = |i: i32| LinePoint {
        x: f64::from(i),
        y: f64::from(i * i) - 1.0,
        interval: Some((f64::from(i * i) - 2.0, f64::from(i * i))),
    };
    LineChart {
        title: "sweep".into(),
        x_label: "x".into(),
        y_label: "y".into(),
        x_scale: scale,
        y_scale: scale,
        series: vec![LineSeries {
            label: "a".into(),
            points: (-1..9).map(point).collect(),
        }],
        references: vec![("published".into(), 10.0)],
    }
}

fn loss(smoothing: f64) -> LossPlot {
    let points = (1..200)
        .map(|i| {
            (
                f64::from(i),
                if i == 7 { f64::NAN } else { 1.0 / f64::from(i) },
            )
        })
        .collect();
    LossPlot {
        title: "loss".into(),
        x_label: "step".into(),
        y_label: "loss".into(),
        y_scale: Scale::Log,
        series: vec![LossSeries {
            label: "training".into(),
            points,
            smoothing,
        }],
    }
}

fn check(figure: &impl Figure) -> Result<()> {
    let (svg, png) = (figure.to_svg()?, figure.to_png()?);
    assert_eq!(svg, figure.to_svg()?);
    assert_eq!(png, figure.to_png()?);

    let (width, height) = figure.size();
    assert!(
        svg.starts_with(&format!("<svg width=\"{width}\" height=\"{height}\"")),
        "{}",
        &svg[..80]
    );
    let picture = image::load_from_memory(&png)?.to_rgb8();
    assert_eq!(picture.dimensions(), (2 * width, 2 * height));
    let edge = 8;
    for (x, y, pixel) in picture.enumerate_pixels() {
        if x < edge || y < edge || x >= 2 * width - edge || y >= 2 * height - edge {
            assert_eq!(pixel.0, [255; 3], "something reaches the edge at {x}, {y}");
        }
    }
    Ok(())
}

#[test]
fn roc_curves() {
    check(&roc(1)).unwrap();
    check(&roc(4)).unwrap();
    assert!(roc(1).to_svg().unwrap().contains("a  (AUROC 0.833)"));
}

#[test]
fn histograms() {
    check(&histogram()).unwrap();
}

#[test]
fn bar_plots() {
    check(&bars()).unwrap();
}

#[test]
fn line_charts() {
    check(&lines(Scale::Linear)).unwrap();
    check(&lines(Scale::Log)).unwrap();
}

#[test]
fn losses() {
    check(&loss(0.9)).unwrap();
}

#[test]
fn nothing_to_draw_is_an_error() {
    let refused = |result: Result<String>| matches!(result, Err(Error::Empty { .. }));
    assert!(refused(roc(0).to_svg()));
    assert!(refused(
        HistogramPlot {
            bins: 0,
            ..histogram()
        }
        .to_svg()
    ));
    assert!(refused(
        HistogramPlot {
            panels: Vec::new(),
            ..histogram()
        }
        .to_svg()
    ));
    assert!(refused(
        BarPlot {
            groups: Vec::new(),
            ..bars()
        }
        .to_svg()
    ));
    assert!(refused(
        LineChart {
            series: Vec::new(),
            ..lines(Scale::Log)
        }
        .to_svg()
    ));
    assert!(refused(
        LossPlot {
            series: Vec::new(),
            ..loss(0.0)
        }
        .to_svg()
    ));
    assert!(matches!(loss(1.0).to_svg(), Err(Error::Shape(_))));
}

#[test]
fn both_files_keep_the_dots_of_the_stem() {
    let folder = tempfile::tempdir().unwrap();
    let files = roc(1).write(folder.path().join("cifar10-v1.5")).unwrap();
    let names = files.map(|file| file.file_name().unwrap().to_owned());
    assert_eq!(names, ["cifar10-v1.5.svg", "cifar10-v1.5.png"]);
}
