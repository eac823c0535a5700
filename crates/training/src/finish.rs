//! The end of a training: weights, their record, the loss curve.

use std::collections::BTreeMap;

use burn::module::Module;
use diffguard_models::checkpoint::{Precision, sha256, to_bytes};
use diffguard_models::network::WeightsRecord;
use diffguard_report::plots::{Figure, LossPlot, LossSeries, Scale};
use diffguard_report::write_atomic;
use serde::Serialize;

use crate::curve::csv;
use crate::run::Trained;
use crate::{Context, Error, Outcome};

/// Writes weights, record and curve.
#[allow(clippy::too_many_arguments)]
pub(crate) fn finish<M: Module, Network: Serialize + Clone>(
    context: &Context,
    name: &str,
    network: &Network,
    training: toml::Table,
    batch: usize,
    trained: Trained<M>,
    parameters: usize,
    precision: Precision,
    measured: BTreeMap<String, f64>,
) -> Result<Outcome, Error> {
    let bytes = to_bytes(&trained.module, precision, name)?;
    let record = WeightsRecord {
        file: format!("{name}.safetensors"),
        sha256: sha256(&bytes),
        date: time::OffsetDateTime::now_utc().date().to_string(),
        parameters,
        images: trained.steps * batch,
        hours: (trained.seconds / 36.0).round() / 100.0,
        measured,
        network: network.clone(),
        training,
    };
    let path = context.out.join(format!("{name}.toml"));
    let text = toml::to_string(&record).map_err(|error| Error::Config {
        path: path.clone(),
        what: error.to_string(),
    })?;
    write_atomic(context.out.join(&record.file), &bytes)?;
    write_atomic(
        context.out.join(format!("{name}-curve.csv")),
        csv(&trained.curve).as_bytes(),
    )?;
    let plot = LossPlot {
        title: format!("{name}: training loss"),
        x_label: "images seen".into(),
        y_label: "loss".into(),
        y_scale: Scale::Log,
        series: vec![LossSeries {
            label: "training".into(),
            points: trained
                .curve
                .iter()
                .map(|point| (point.images as f64, point.loss))
                .collect(),
            smoothing: 0.0,
        }],
    };
    if !trained.curve.is_empty() {
        plot.write(context.out.join(format!("{name}-curve")))?;
    }
    write_atomic(&path, text.as_bytes())?;
    Ok(Outcome::Finished(path))
}
