//! The tables' text, to the letter.

use diffguard_report::table::{Comparison, Mark, MethodGroup, Table, TerminalOptions};
use diffguard_report::{Error, Metric, MetricRow, Role};

fn row(method: &str, set: &str, role: Role, metric: Metric, value: f64) -> MetricRow {
    MetricRow {
        experiment: "example".into(),
        method: method.into(),
        set: set.into(),
        role,
        metric,
        value,
        ci_low: None,
        ci_high: None,
        n_id: 9000,
        n_ood: 9000,
    }
}

fn rows() -> Vec<MetricRow> {
    let mut rows = Vec::new();
    let mut push = |method: &str, values: [(f64, f64); 4]| {
        let places = [
            ("mnist", Role::Far),
            ("svhn", Role::Far),
            (MetricRow::AVERAGE, Role::Far),
            ("cifar100", Role::Near),
        ];
        for ((set, role), (auroc, fpr95)) in places.into_iter().zip(values) {
            rows.push(row(method, set, role, Metric::Auroc, auroc));
            rows.push(row(method, set, role, Metric::Fpr95, fpr95));
        }
    };
    push(
        "msp",
        [
            (0.9201, 0.30),
            (0.9201, 0.30),
            (0.9201, 0.30),
            (0.8712, 0.4),
        ],
    );
    push(
        "ebo_1",
        [
            (0.9199, 0.28),
            (0.9199, 0.28),
            (0.9199, 0.28),
            (f64::NAN, 0.45),
        ],
    );
    push(
        "fused-oracle",
        [(1.0, 0.0), (1.0, 0.0), (1.0, 0.0), (0.999, 0.01)],
    );
    rows
}

fn groups() -> [MethodGroup; 2] {
    [
        MethodGroup::new("baselines", ["msp", "ebo_1", "knn"]),
        MethodGroup::new("oracles", ["fused-oracle"]),
    ]
}

fn table() -> Table {
    Table::new(
        "example",
        &rows(),
        &groups(),
        &[Metric::Auroc, Metric::Fpr95],
    )
    .unwrap()
}

#[test]
fn markdown_marks_the_best_without_the_oracle_and_ties_alike() {
    assert_eq!(
        table().to_markdown(),
        "### example\n\
         \n\
         | method | near-OOD: cifar100 | far-OOD: mnist | far-OOD: svhn | far-OOD: average |\n\
         | :--- | ---: | ---: | ---: | ---: |\n\
         | *baselines* |  |  |  |  |\n\
         | msp | 87.1 / **40.0** | **92.0** / 30.0 | **92.0** / 30.0 | **92.0** / 30.0 |\n\
         | ebo_1 | – / 45.0 | **92.0** / **28.0** | **92.0** / **28.0** | **92.0** / **28.0** |\n\
         | knn | – / – | – / – | – / – | – / – |\n\
         | *oracles* |  |  |  |  |\n\
         | fused-oracle | 99.9 / 1.0 | 100.0 / 0.0 | 100.0 / 0.0 | 100.0 / 0.0 |\n\
         \n\
         - **bold**: best of the column\n\
         - cells: AUROC ↑ / FPR95 ↓, in percent\n\
         - AUROC: area under the ROC curve\n\
         - FPR95: share of OOD samples accepted when 95 % of ID samples are accepted\n\
         - -oracle, -envelope: look at test labels; bounds, not compared with the others\n\
         - –: not computed or not defined\n"
    );
}

#[test]
fn the_terminal_table_lines_up() {
    let text = table().to_terminal(TerminalOptions {
        width: 80,
        mark: Mark::Star,
    });
    let lines: Vec<&str> = text.lines().take(14).collect();
    assert_eq!(
        lines,
        [
            "example",
            "",
            "                ─ near-OOD ─  ────────────────── far-OOD ───────────────────",
            "method              cifar100           mnist            svhn         average",
            "────────────────────────────────────────────────────────────────────────────",
            "baselines:",
            "  msp           87.1 / 40.0*   92.0* / 30.0    92.0* / 30.0    92.0* / 30.0",
            "  ebo_1            – / 45.0    92.0* / 28.0*   92.0* / 28.0*   92.0* / 28.0*",
            "  knn              – /    –       –  /    –       –  /    –       –  /    –",
            "",
            "oracles:",
            "  fused-oracle  99.9 /  1.0   100.0  /  0.0   100.0  /  0.0   100.0  /  0.0",
            "────────────────────────────────────────────────────────────────────────────",
            "*: best of the column",
        ]
    );
}

#[test]
fn a_narrow_terminal_gets_one_table_a_metric_and_then_parts() {
    let at = |width| {
        table().to_terminal(TerminalOptions {
            width,
            mark: Mark::Star,
        })
    };
    for width in [48, 34] {
        let text = at(width);
        assert!(text.contains("example: AUROC ↑") && text.contains("example: FPR95 ↓"));
        let rules = text.lines().filter(|line| line.starts_with("───"));
        assert!(rules.clone().count() > 0);
        assert!(
            rules
                .map(|line| line.chars().count())
                .all(|rule| rule <= width),
            "{text}"
        );
        assert_eq!(text.matches("cells: AUROC ↑ / FPR95 ↓").count(), 1);
    }
    assert!(at(34).lines().count() > at(48).lines().count());
}

#[test]
fn bold_marks_take_no_room() {
    let sheet = table().sheet();
    assert!(sheet.terminal_width(Mark::Bold) < sheet.terminal_width(Mark::Star));
    assert!(
        sheet
            .to_terminal(Mark::Bold)
            .contains("\u{1b}[1m40.0\u{1b}[0m")
    );
}

#[test]
fn latex_escapes_names_and_rules_off_the_roles() {
    let text = table().decimals(2).to_latex();
    for line in [
        "     & \\multicolumn{1}{c}{near-OOD} & \\multicolumn{3}{c}{far-OOD} \\\\",
        "    ebo\\_1 & -- / 45.00 & 91.99 / \\textbf{28.00} & 91.99 / \\textbf{28.00} & 91.99 / \\textbf{28.00} \\\\",
        "    \\multicolumn{5}{l}{\\emph{oracles}} \\\\",
        "    fused-oracle & 99.90 / 1.00 & 100.00 / 0.00 & 100.00 / 0.00 & 100.00 / 0.00 \\\\",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(
        text.contains("\\cmidrule(lr){2-2} \\cmidrule(lr){3-5}"),
        "{text}"
    );
}

#[test]
fn two_values_for_one_cell_are_refused() {
    let twice = [rows(), rows()].concat();
    let error = Table::new("example", &twice, &groups(), &[Metric::Auroc]).unwrap_err();
    assert!(matches!(error, Error::Duplicate { .. }), "{error}");
}

#[test]
fn no_rows_still_print_a_table() {
    let table = Table::new("", &[], &groups(), &[Metric::Auroc]).unwrap();
    assert!(
        table
            .to_markdown()
            .starts_with("| method |\n| :--- |\n| *baselines* |\n| msp |\n")
    );
    assert!(
        table
            .to_terminal(TerminalOptions::default())
            .contains("  msp\n")
    );
}

#[test]
fn the_comparison_shows_what_was_published() {
    let published = [
        row("msp", "cifar100", Role::Near, Metric::Auroc, 0.8719),
        row("msp", MetricRow::AVERAGE, Role::Far, Metric::Auroc, 0.91),
        row("vim", "cifar100", Role::Near, Metric::Auroc, 0.9),
    ];
    let sheet = Comparison::new("", &published, &rows()).decimals(2).sheet();
    assert_eq!(
        sheet.to_markdown(),
        "| method | set | AUROC: published | AUROC: ours | AUROC: difference |\n\
         | :--- | :--- | ---: | ---: | ---: |\n\
         | msp | cifar100 | 87.19 | 87.12 | −0.07 |\n\
         | msp | far average | 91.00 | 92.01 | +1.01 |\n\
         | vim | cifar100 | 90.00 | – | – |\n\
         \n\
         - values in percent, differences (ours − published) in percentage points\n\
         - –: not published, not computed or not defined\n"
    );
}
