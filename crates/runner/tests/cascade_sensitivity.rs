//! The cascades of the committed quick run at other trust quantiles.

use std::path::Path;

use diffguard_report::{Metric, csv};
use diffguard_runner::cascade_sensitivity::{reports, write};
use diffguard_runner::outputs::Run;

#[test]
fn the_committed_cascades_agree_with_their_metrics() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../results/quick");
    let run = Run::read(&folder).unwrap();
    let rows = csv::read(folder.join("metrics.csv")).unwrap();
    let reports = reports(&run).unwrap();
    assert!(!reports.is_empty());
    for report in &reports {
        let used = report.points.iter().find(|point| point.used).unwrap();
        assert!(report.points.iter().any(|point| point.best_on_validation));
        for (_, set, found) in &used.sets {
            let value = |metric| {
                let row = rows.iter().find(|row| {
                    row.method == report.row && row.set == *set && row.metric == metric
                });
                row.unwrap().value
            };
            assert_eq!(value(Metric::Auroc), found.auroc);
            assert_eq!(value(Metric::Fpr95), found.fpr95_id_positive);
        }
    }
    let out = tempfile::tempdir().unwrap();
    let written = write(&run, &reports, out.path()).unwrap();
    assert!(written.iter().all(|path| path.is_file()));
}
