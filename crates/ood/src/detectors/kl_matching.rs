//! KL matching.
//!
//! Hendrycks et al., "Scaling Out-of-Distribution Detection for Real-World Settings", ICML 2022.

use ndarray::{Array2, Axis};

use super::{
    Detector, DetectorEntry, FitData, Need, Observations, fitted, softmax, without_parameters,
};
use crate::Error;

const NAME: &str = "kl_matching";

pub(super) const ENTRY: DetectorEntry = DetectorEntry {
    name: NAME,
    summary: "negative smallest KL divergence to a class's mean softmax on validation data",
    citation: "Hendrycks et al., ICML 2022",
    needs: &[Need::Logits, Need::ValLogits],
    defaults: toml::Table::new,
    grid: &[],
    construct: |table| without_parameters::<KlMatching>(NAME, table),
};

/// Score `-min_c KL(p || template_c)`, template_c the mean softmax of the validation samples *predicted* as c
/// (labels are not used); 0 log 0 = 0. A class that is never predicted has no template: OpenOOD gives it the
/// one-hot vector, whose divergence is infinite, so that it never wins either.
#[derive(Debug, Default)]
pub struct KlMatching {
    templates: Option<Array2<f64>>,
}

impl KlMatching {
    /// Mean softmax of each predicted class, [class, class]; the one-hot vector where a class is never
    /// predicted.
    pub fn templates(&self) -> Option<&Array2<f64>> {
        self.templates.as_ref()
    }
}

impl Detector for KlMatching {
    fn fit(&mut self, data: &FitData) -> Result<(), Error> {
        let logits = data.val.observations.logits;
        let classes = logits.ncols();
        let mut sums = Array2::<f64>::zeros((classes, classes));
        let mut counts = vec![0usize; classes];
        for row in logits.axis_iter(Axis(0)) {
            let class = softmax::argmax(row);
            counts[class] += 1;
            let p = softmax::softmax(row.mapv(f64::from).view());
            sums.row_mut(class)
                .iter_mut()
                .zip(p)
                .for_each(|(sum, p)| *sum += p);
        }
        for (class, &count) in counts.iter().enumerate() {
            match count {
                0 => sums[(class, class)] = 1.0,
                _ => sums.row_mut(class).mapv_inplace(|sum| sum / count as f64),
            }
        }
        self.templates = Some(sums);
        Ok(())
    }

    fn score(&self, observations: &Observations) -> Result<Vec<f64>, Error> {
        let templates = fitted(NAME, &self.templates)?;
        Ok(softmax::score_rows(observations.logits, |z| {
            let p = softmax::softmax(z);
            let divergence = |template: ndarray::ArrayView1<f64>| -> f64 {
                let terms = p.iter().zip(template).filter(|(p, _)| **p > 0.0);
                terms.map(|(p, q)| p * (p.ln() - q.ln())).sum()
            };
            -templates
                .axis_iter(Axis(0))
                .map(divergence)
                .fold(f64::INFINITY, f64::min)
        }))
    }
}
