//! The measurements as lines of a Markdown table.

use super::Measured;

pub(super) fn head() -> String {
    "| row | ours ms | spread | peer ms | spread | peer / ours | GFLOP/s | of sgemm peak | MiB | peer MiB |\n\
     | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
        .to_owned()
}

pub(super) fn line(row: &Measured) -> String {
    let number = |value: Option<f64>, digits: usize| {
        value.map_or("–".to_owned(), |value| format!("{value:.digits$}"))
    };
    let percent =
        |value: Option<f64>| value.map_or("–".to_owned(), |v| format!("{:.0} %", 100.0 * v));
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        row.name,
        number(Some(row.ours_ms), 2),
        percent(Some(row.ours_spread)),
        number(row.peer_ms, 2),
        percent(row.peer_spread),
        number(row.ratio, 2),
        number(row.gflops, 0),
        percent(row.share_of_peak),
        number(row.peak_mib, 0),
        number(row.peer_peak_mib, 0),
    )
}
