//! What cascades cost: the diffusion model runs where the baseline is not trusted, and nowhere else.

use diffguard_report::table::{Column, Line, Part, Sheet};
use diffguard_report::{Metric, MetricRow, Role};

use super::{
    Run,
    cost::{average, of_row},
};
use crate::cascade_sensitivity::{CascadeReport, Point};

/// The share of the full run's cost that a cascade is to stay within.
const AIM: f64 = 1.0 / 3.0;

/// FPR@95 that counts as equal, for the printed decimal.
const EQUAL: f64 = 0.0005;

/// Rows a cascade: at the trust quantile of the run, at the highest one within a third of the cost, and at the lowest one
/// that costs no FPR@95 on validation data.
/// None where no cascade ends in one of DiffGuard's rows.
pub(super) fn sheet(run: &Run, rows: &[MetricRow], reports: &[CascadeReport]) -> Option<Sheet> {
    let mut lines = Vec::new();
    let mut roles: Vec<Role> = Vec::new();
    for role in [Role::Near, Role::Far] {
        let has = |point: &Point| point.mean(role, |_| 0.0).is_some();
        if reports.iter().any(|report| report.points.iter().any(has)) {
            roles.push(role);
        }
    }
    for report in reports {
        let Some(full) = of_row(run, &report.of[1]).map(|cost| cost.unet_evaluations) else {
            continue;
        };
        let used = report.points.iter().find(|point| point.used);
        let third = report
            .points
            .iter()
            .rfind(|point| point.trust_quantile <= AIM);
        let shown = [
            (used, "used"),
            (third, "a third"),
            (cheapest(report), "by validation"),
        ];
        for (point, how) in shown {
            if let Some(point) = point {
                lines.push(line(report, point, how, full, &roles, rows));
            }
        }
    }
    if lines.is_empty() {
        return None;
    }
    let mut columns = vec![
        Column::words("cascade"),
        Column::words("trust quantile"),
        Column::numbers("diffusion model runs on", "ID"),
    ];
    let of_roles = |group: &'static str| {
        roles
            .iter()
            .map(move |role| Column::numbers(group, role.name()))
    };
    columns.extend(of_roles("diffusion model runs on"));
    columns.push(Column::numbers("U-Net evaluations an ID image", "cascade"));
    columns.push(Column::numbers("U-Net evaluations an ID image", "always"));
    columns.extend(of_roles("FPR@95: cascade (always)"));
    columns.push(Column::words("a third or less at equal FPR@95"));
    Some(Sheet {
        title: String::new(),
        columns,
        lines,
        notes: vec![
            "shares and FPR@95 (average over sets) in percent; always: the diffusion model runs on every image, and its row \
             decides alone"
                .into(),
            "a third: the quantile is the share of in-distribution images that the diffusion model runs on, of 0, 0.1, … 1 the \
             highest up to 1/3"
                .into(),
            "by validation: of the quantiles 0, 0.1, … 1 the lowest whose FPR@95 on the validation sets is not above that of \
             the deciding row alone; –: there is none"
                .into(),
        ],
    })
}

/// The fewest runs of the diffusion model that cost no FPR@95 on validation data.
fn cheapest(report: &CascadeReport) -> Option<&Point> {
    let alone = report.alone_validation_fpr95?;
    report.points.iter().find(|point| {
        point
            .validation_fpr95
            .is_some_and(|fpr| fpr <= alone + EQUAL)
    })
}

fn line(
    report: &CascadeReport,
    point: &Point,
    how: &str,
    full: f64,
    roles: &[Role],
    rows: &[MetricRow],
) -> Line {
    let trusted_id = point
        .sets
        .first()
        .map_or(0.0, |(_, _, found)| found.trusted_id);
    let percent = |share: f64| format!("{:.1}", 100.0 * share);
    let share = 1.0 - trusted_id;
    let mut cells = vec![
        report.row.clone(),
        format!("{} ({how})", point.trust_quantile),
        percent(share),
    ];
    cells.extend(roles.iter().map(|role| {
        let trusted = point.mean(*role, |found| found.trusted_ood);
        trusted.map_or("–".into(), |trusted| percent(1.0 - trusted))
    }));
    cells.push(format!("{:.1}", share * full));
    cells.push(format!("{full:.1}"));
    let mut equal = true;
    cells.extend(roles.iter().map(|role| {
        let cascade = point.mean(*role, |found| found.fpr95_id_positive);
        let Some((cascade, always)) =
            cascade.zip(average(rows, &report.of[1], *role, Metric::Fpr95))
        else {
            return "–".to_owned();
        };
        let always = always.value;
        equal &= cascade <= always + EQUAL;
        format!("{} ({})", percent(cascade), percent(always))
    }));
    let reached = match (share <= AIM, equal) {
        (true, true) => "yes",
        (true, false) => "no: FPR@95 is higher",
        (false, true) => "no: it costs more",
        (false, false) => "no: neither",
    };
    cells.push(reached.to_owned());
    let cells = cells.into_iter().map(|text| vec![Part::plain(text)]);
    Line::Row(cells.collect())
}
