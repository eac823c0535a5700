//! What each guard and each denoising costs, beside what it reaches.

use diffguard_report::table::{Column, Line, Part, Sheet};
use diffguard_report::{Metric, MetricRow, Role};

use super::{Run, tables::best_column};
use crate::experiment::{Denoising, FAST, HEADLINE};
use crate::spent::GuardCost;

/// One row a guard, and one a denoising: evaluations and seconds an image, and the average AUROC (of the guard's best
/// similarity on validation data).
pub(super) fn sheet(run: &Run, rows: &[MetricRow]) -> Sheet {
    let mut columns = vec![Column::words("setting")];
    columns.extend(
        [
            "U-Net",
            "U-Net backward",
            "classifier",
            "classifier backward",
        ]
        .map(|title| Column::numbers("evaluations an image", title)),
    );
    let latent = run.record.costs.values().any(|cost| cost.encodings > 0.0);
    if latent {
        let titles = ["encoder", "decoder"];
        columns.extend(titles.map(|title| Column::numbers("evaluations an image", title)));
    }
    columns.push(Column::numbers("one worker", "images/s"));
    columns.extend(["near", "far"].map(|title| Column::numbers("AUROC (average)", title)));
    let experiment = &run.record.configuration;
    let guards = experiment.guards.iter().filter_map(|guard| {
        let column = best_column(run, &guard.name)?;
        Some((guard.name.clone(), column))
    });
    let denoisings = experiment.denoisings.iter().flat_map(Denoising::columns);
    let denoisings = denoisings.map(|(column, _)| (column.clone(), column));
    let lines = guards
        .chain(denoisings)
        .filter_map(|(name, column)| {
            let cost = of_row(run, &column)?;
            let auroc = |role| match average(rows, &column, role, Metric::Auroc) {
                Some(row) => format!("{:.1}", 100.0 * row.value),
                None => "–".to_owned(),
            };
            let mut counts = vec![
                cost.unet_evaluations,
                cost.unet_gradients,
                cost.classifier_evaluations,
                cost.classifier_gradients,
            ];
            if latent {
                counts.extend([cost.encodings, cost.decodings]);
            }
            let mut cells = vec![name];
            cells.extend(counts.iter().map(|count| format!("{count:.1}")));
            cells.push(format!("{:.2}", 1.0 / cost.seconds.max(1e-9)));
            cells.extend([auroc(Role::Near), auroc(Role::Far)]);
            Some(Line::Row(
                cells
                    .into_iter()
                    .map(|text| vec![Part::plain(text)])
                    .collect(),
            ))
        })
        .collect();
    let mut notes = vec![format!(
        "inversion and synthesis as if the setting ran alone, comparing apart; device {}, one worker of {}, as measured \
             when it was computed (the median of the work units); AUROC of the similarity that is best on validation data",
        run.record.device, run.record.threads
    )];
    if run.record.counts_reconstructions() {
        notes.push(
            "a similarity that takes the unconditional reconstruction (@recon, @contrast) pays for it too".into(),
        );
    }
    Sheet {
        title: String::new(),
        columns,
        lines,
        notes,
    }
}

/// What the row of a guard, of denoising, of the headline or of an alias of them costs; none for rows of detectors and
/// fusions.
pub(super) fn of_row<'a>(run: &'a Run, row: &str) -> Option<&'a GuardCost> {
    let experiment = &run.record.configuration;
    let headline = run.record.headline.as_ref();
    if let Some(alias) = experiment.aliases.iter().find(|alias| alias.name == row) {
        return of_row(run, &alias.of);
    }
    let mut denoised = experiment.denoisings.iter().flat_map(Denoising::columns);
    if denoised.any(|(column, _)| column == row) {
        return run.record.costs.get(row);
    }
    match row {
        HEADLINE => of_row(run, headline?.elected()),
        FAST => of_row(run, headline?.fast.as_deref()?),
        _ => experiment.guards.iter().find_map(|guard| {
            let of = row.strip_prefix(&format!("diffguard-{}/", guard.name))?;
            GuardCost::find(&run.record.costs, &guard.name, of.contains('@'))
        }),
    }
}

/// The average of a metric of a row over the sets of a role.
pub(super) fn average<'a>(
    rows: &'a [MetricRow],
    method: &str,
    role: Role,
    metric: Metric,
) -> Option<&'a MetricRow> {
    rows.iter().find(|row| {
        row.method == method
            && row.role == role
            && row.set == MetricRow::AVERAGE
            && row.metric == metric
    })
}
