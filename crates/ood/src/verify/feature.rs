//! Golden cases of kind `detectors_feature`.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use super::Error;
use super::{Arrays, Case, Produced, table};
use crate::detectors::{
    Detector, FitData, Head, Labelled, Observations, ash, build, dice, fdbd, mds, nci, nnguide,
    openmax, react, residual, rmds, she, vim, vra,
};
use crate::linalg::{affine, inner_products};

pub(super) fn run(case: &Case) -> Result<Vec<Produced>, Error> {
    let method = case.text("method")?;
    let inputs = Inputs::read(case)?;
    let data = inputs.fit_data();
    let mut produced = Vec::new();

    let mut detector = build(method, parameters(case, method)?)?;
    detector.fit(&data)?;
    for (side, (features, logits)) in [("test", &inputs.test), ("ood", &inputs.ood)] {
        let observations = Observations {
            logits: logits.view(),
            features: features.view(),
            members: None,
            perturbed: &[],
        };
        let scores = detector.score(&observations)?;
        if case.has(&format!("out.{side}_score_f64")) {
            produced.push(Produced::new(
                format!("out.{side}_score_f64"),
                scores.clone(),
            ));
        }
        produced.push(Produced::new(format!("out.{side}_score"), scores));
        produced.push(Produced::whole(
            format!("out.{side}_pred"),
            &detector.predict(&observations)?,
        ));
    }
    produced.extend(fitted_state(case, method, &inputs, &data)?);
    Ok(produced)
}

fn parameters(case: &Case, method: &str) -> Result<toml::Table, Error> {
    let number = |key| Ok::<_, Error>(toml::Value::from(case.number(key)?));
    let whole = |key| Ok::<_, Error>(toml::Value::from(case.whole(key)?));
    let text = |key| Ok::<_, Error>(toml::Value::from(case.text(key)?));
    Ok(match method {
        "knn" => table([("k", whole("K")?)]),
        "vim" | "residual" => table([("dim", whole("dim")?)]),
        "she" => table([("metric", text("metric")?)]),
        "react" | "scale" => table([("percentile", number("percentile")?)]),
        "vra" => table([
            ("percentile_low", number("percentile_low")?),
            ("percentile_high", number("percentile_high")?),
        ]),
        "dice" => table([("p", number("p")?)]),
        "ash" => table([
            ("percentile", number("percentile")?),
            ("variant", text("variant")?),
        ]),
        "nnguide" => table([
            ("k", whole("K")?),
            ("alpha", number("alpha")?),
            ("loader_batch", whole("loader_batch")?),
            ("rows", "leading".into()),
        ]),
        "fdbd" => {
            let by_distance = case.config["distance_as_normalizer"]
                .as_bool()
                .unwrap_or(true);
            table([("distance_as_normalizer", by_distance.into())])
        }
        "nci" => table([("alpha", number("alpha")?)]),
        "relation" => table([("pow", number("pow")?), ("threshold", number("threshold")?)]),
        "openmax" => table([
            ("alpha", whole("alpha")?),
            ("tail", whole("tail")?),
            ("threshold", number("threshold")?),
        ]),
        _ => toml::Table::new(),
    })
}

/// Features with the logits that the head gives them.
type Split = (Array2<f32>, Array2<f32>);

struct Inputs {
    weight: Array2<f32>,
    bias: Array1<f32>,
    train: Split,
    train_labels: Vec<usize>,
    val: Split,
    test: Split,
    ood: Split,
}

impl Inputs {
    fn read(case: &Case) -> Result<Self, Error> {
        let (weight, bias) = (case.matrix("in.fc_weight")?, case.vector("in.fc_bias")?);
        if bias.len() != weight.nrows() {
            return Err(case.fault("`in.fc_bias` must have one value a row of `in.fc_weight`"));
        }
        let split = |name: &str| -> Result<Split, Error> {
            if !case.has(&format!("in.{name}_features")) {
                return Ok((Array2::zeros((0, 0)), Array2::zeros((0, 0))));
            }
            let features = case.matrix(&format!("in.{name}_features"))?;
            if features.ncols() != weight.ncols() {
                return Err(case.fault(format!(
                    "`in.{name}_features` and `in.fc_weight` differ in width"
                )));
            }
            let logits = match case.has(&format!("in.{name}_logits")) {
                true => case.matrix(&format!("in.{name}_logits"))?,
                false => {
                    let wide = |rows: ArrayView2<f32>| rows.mapv(f64::from);
                    let bias = bias.mapv(f64::from);
                    let logits = affine(
                        wide(features.view()).view(),
                        wide(weight.view()).view(),
                        bias.view(),
                    );
                    logits.mapv(|logit| logit as f32)
                }
            };
            Ok((features, logits))
        };
        let (train, val, test, ood) = (
            split("train")?,
            split("val")?,
            split("test")?,
            split("ood")?,
        );
        let train_labels = if case.has("in.train_labels") {
            case.labels("in.train_labels")?
        } else {
            Vec::new()
        };
        Ok(Self {
            weight,
            bias,
            train,
            train_labels,
            val,
            test,
            ood,
        })
    }

    fn fit_data(&self) -> FitData<'_> {
        FitData {
            train: Labelled {
                observations: observe(&self.train),
                labels: &self.train_labels,
            },
            val: Labelled {
                observations: observe(&self.val),
                labels: &[],
            },
            head: Head {
                weight: self.weight.view(),
                bias: self.bias.view(),
            },
        }
    }
}

fn observe(split: &Split) -> Observations<'_> {
    Observations {
        logits: split.1.view(),
        features: split.0.view(),
        members: None,
        perturbed: &[],
    }
}

/// The tensors of a case that describe what the detector learnt.
fn fitted_state(
    case: &Case,
    method: &str,
    inputs: &Inputs,
    data: &FitData,
) -> Result<Vec<Produced>, Error> {
    let mut produced = Vec::new();
    let mut put = |name: &str, values: &mut dyn Iterator<Item = f64>| {
        produced.push(Produced::new(format!("out.{name}"), values))
    };
    let missing = || case.fault("a fitted detector has no state");
    match method {
        "react" => {
            let mut detector = react::React::new(react::Parameters {
                percentile: case.number("percentile")?,
            });
            detector.fit(data)?;
            put("threshold", &mut detector.threshold().into_iter());
        }
        "vra" => {
            let mut detector = vra::Vra::new(vra::Parameters {
                percentile_low: case.number("percentile_low")?,
                percentile_high: case.number("percentile_high")?,
            });
            detector.fit(data)?;
            let [low, high] = detector.thresholds().ok_or_else(missing)?;
            put("threshold_low", &mut [low].into_iter());
            put("threshold_high", &mut [high].into_iter());
        }
        "dice" => {
            let mut detector = dice::Dice::new(dice::Parameters {
                p: case.number("p")?,
            });
            detector.fit(data)?;
            let state = detector.state().ok_or_else(missing)?;
            put("threshold", &mut [state.threshold].into_iter());
            put(
                "mean_activation",
                &mut state.mean_activation.iter().copied(),
            );
            put("masked_weight", &mut state.masked_weight().iter().copied());
        }
        "ash" => {
            let variant = match case.text("variant")? {
                "p" => ash::Variant::P,
                "s" => ash::Variant::S,
                _ => ash::Variant::B,
            };
            for (side, (features, _)) in [("test", &inputs.test), ("ood", &inputs.ood)] {
                let mut shaped = features.mapv(f64::from);
                let percentile = case.number("percentile")?;
                shaped
                    .axis_iter_mut(Axis(0))
                    .for_each(|row| ash::shape(row, variant, percentile));
                put(&format!("{side}_shaped"), &mut shaped.iter().copied());
            }
        }
        "mds" => {
            let mut detector = mds::Mds::default();
            detector.fit(data)?;
            let gaussians = detector.gaussians().ok_or_else(missing)?;
            put("class_mean", &mut gaussians.means.iter().copied());
            put("precision", &mut gaussians.precision().iter().copied());
        }
        "rmds" => {
            let mut detector = rmds::Rmds::default();
            detector.fit(data)?;
            let (classes, whole) = detector.gaussians().ok_or_else(missing)?;
            put("class_mean", &mut classes.means.iter().copied());
            put("precision", &mut classes.precision().iter().copied());
            put("whole_mean", &mut whole.means.iter().copied());
            put("whole_precision", &mut whole.precision().iter().copied());
        }
        "vim" => {
            let mut detector = vim::Vim::new(residual::Parameters {
                dim: Some(case.whole("dim")? as usize),
            });
            detector.fit(data)?;
            let (space, alpha) = detector.state().ok_or_else(missing)?;
            put("alpha", &mut [alpha].into_iter());
            put("alpha_f64", &mut [alpha].into_iter());
            put("u", &mut space.origin.iter().copied());
            put("eig_vals_desc", &mut space.eigenvalues.iter().copied());
            let projector = inner_products(space.basis.view(), space.basis.view());
            put("null_space_projector", &mut projector.iter().copied());
            put("null_space_projector_f64", &mut projector.iter().copied());
        }
        "residual" => {
            let mut detector = residual::Residual::new(residual::Parameters {
                dim: Some(case.whole("dim")? as usize),
            });
            detector.fit(data)?;
            let space = detector.null_space().ok_or_else(missing)?;
            put("u", &mut space.origin.iter().copied());
            let projector = inner_products(space.basis.view(), space.basis.view());
            put("null_space_projector", &mut projector.iter().copied());
            put("null_space_projector_f64", &mut projector.iter().copied());
        }
        "she" => {
            let mut detector = she::She::new(she::Parameters::default());
            detector.fit(data)?;
            put(
                "class_patterns",
                &mut detector.patterns().ok_or_else(missing)?.iter().copied(),
            );
        }
        "nnguide" => {
            let mut detector = nnguide::NnGuide::new(nnguide::Parameters {
                k: case.whole("K")? as usize,
                alpha: case.number("alpha")?,
                loader_batch: case.whole("loader_batch")? as usize,
                rows: nnguide::BankRows::Leading,
            });
            detector.fit(data)?;
            let bank = detector.bank().ok_or_else(missing)?;
            put(
                "bank_guide_first16",
                &mut bank
                    .slice(s![..16, ..])
                    .iter()
                    .map(|&value| f64::from(value)),
            );
        }
        "fdbd" => {
            let mut detector = fdbd::Fdbd::new(fdbd::Parameters::default());
            detector.fit(data)?;
            let state = detector.state().ok_or_else(missing)?;
            put("train_mean", &mut state.train_mean.iter().copied());
            put(
                "denominator_matrix",
                &mut state.denominators.iter().copied(),
            );
        }
        "nci" => {
            let mut detector = nci::Nci::new(nci::Parameters {
                alpha: case.number("alpha")?,
            });
            detector.fit(data)?;
            put(
                "train_mean",
                &mut detector.train_mean().ok_or_else(missing)?.iter().copied(),
            );
        }
        "openmax" => {
            let mut detector = openmax::OpenMax::new(openmax::Parameters {
                alpha: case.whole("alpha")? as usize,
                tail: case.whole("tail")? as usize,
                threshold: case.number("threshold")?,
            });
            detector.fit(data)?;
            put(
                "test_prob",
                &mut detector
                    .probabilities(inputs.test.1.view())?
                    .iter()
                    .copied(),
            );
            put(
                "ood_prob",
                &mut detector.probabilities(inputs.ood.1.view())?.iter().copied(),
            );
            let classes = detector.classes().ok_or_else(missing)?;
            put(
                "mav",
                &mut classes
                    .iter()
                    .flat_map(|class| class.mean_activation.iter().copied()),
            );
            put(
                "tail_distances",
                &mut classes.iter().flat_map(|class| class.tail.iter().copied()),
            );
            put(
                "weibull_scale",
                &mut classes.iter().map(|class| class.weibull.scale),
            );
            put(
                "weibull_shape",
                &mut classes.iter().map(|class| class.weibull.shape),
            );
            put(
                "weibull_small_score",
                &mut classes.iter().map(|class| class.tail[0]),
            );
        }
        _ => {}
    }
    Ok(produced)
}
