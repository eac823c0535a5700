//! Golden cases of kind `ood_metrics`.

use diffguard_oracle::Values;

use super::Error;
use super::{Case, Produced};
use crate::metrics::{
    Points, Positive, Precision, Ranking, accuracy, aupr_out_of_one_minus, ccr_at_fpr,
};

const LEVELS: [(f64, &str); 4] = [(0.80, "80"), (0.90, "90"), (0.95, "95"), (0.99, "99")];

pub(super) fn run(case: &Case) -> Result<Vec<Produced>, Error> {
    let conf = case.f64("in.conf")?;
    let (label, pred) = (case.f64("in.label")?, case.f64("in.pred")?);
    if label.len() != conf.len() || pred.len() != conf.len() {
        return Err(case.fault("`in.conf`, `in.label` and `in.pred` must have one value a sample"));
    }
    let is_id = |i: &usize| label[*i] >= 0.0;
    let of = |wanted: bool| -> Vec<f64> {
        (0..conf.len())
            .filter(|i| is_id(i) == wanted)
            .map(|i| conf[i])
            .collect()
    };
    let (id, ood) = (of(true), of(false));
    let correct: Vec<bool> = (0..conf.len())
        .filter(is_id)
        .map(|i| label[i] == pred[i])
        .collect();
    let ranking = Ranking::new("conf", &id, &ood)?;
    let width = match case.tensor("in.conf")?.values {
        Values::F32(_) => Precision::Single,
        _ => Precision::Double,
    };

    let mut produced = Vec::new();
    let mut put =
        |name: String, value: f64| produced.push(Produced::new(format!("out.{name}"), [value]));
    for (who, positive) in [("openood", Positive::Ood), ("diffguard", Positive::Id)] {
        put(format!("{who}_auroc"), ranking.auroc());
        put(format!("{who}_aupr_in"), ranking.aupr_in());
        put(format!("{who}_acc"), accuracy(&correct));
        for (fpr, name) in [(0.1, "1e1"), (0.01, "1e2"), (0.001, "1e3"), (0.0001, "1e4")] {
            put(
                format!("{who}_ccr_{name}"),
                ccr_at_fpr("conf", &id, &correct, &ood, fpr)?,
            );
        }
        for (level, name) in LEVELS {
            let point = ranking.operating_point(positive, level, Points::Kept)?;
            put(format!("{who}_fpr{name}"), point.fpr);
            if positive == Positive::Id {
                put(format!("{who}_thresh{name}"), point.threshold);
            }
        }
    }
    put("openood_aupr_out".into(), ranking.aupr_out());
    put(
        "diffguard_aupr_out".into(),
        aupr_out_of_one_minus("conf", &id, &ood, width)?,
    );
    for (level, name) in LEVELS {
        put(
            format!("nodrop_fpr{name}_ood_positive"),
            ranking
                .operating_point(Positive::Ood, level, Points::All)?
                .fpr,
        );
        let point = ranking.operating_point(Positive::Id, level, Points::All)?;
        put(format!("nodrop_fpr{name}_id_positive"), point.fpr);
        put(format!("nodrop_thresh{name}_id_positive"), point.threshold);
    }
    Ok(produced)
}
