//! AUROC of two million scores, a million of each kind.

use diffguard_ood::metrics::Ranking;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Row, Work};
use crate::Result;

pub(super) const AUROC: Row = Row {
    name: "metrics_auroc_2m",
    operations: None,
    prepare,
};

fn prepare() -> Result<Work> {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut column = |shift: f64| -> Vec<f64> {
        (0..1_000_000)
            .map(|_| random.random::<f64>() + shift)
            .collect()
    };
    let (id, ood) = (column(0.2), column(0.0));
    Ranking::new("perf", &id, &ood)?;
    Ok(Box::new(move || {
        let ranking = Ranking::new("perf", &id, &ood).expect("went well in preparation");
        std::hint::black_box(ranking.auroc());
    }))
}
