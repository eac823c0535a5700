//! Grad-CAM (Selvaraju et al. 2017) and the mask of distinct semantic guidance (P tech 3).

use burn::tensor::{
    Int, Tensor, TensorData,
    activation::relu,
    module::interpolate,
    ops::{InterpolateMode, InterpolateOptions},
};
use diffguard_models::Classifier;

use crate::Error;

/// Keeps a constant map from dividing by zero (the reference's value).
const RANGE_EPSILON: f64 = 1e-7;

/// Grad-CAM of each image for its label: `[batch, 1, height, width]`, not negative, of the images' size.
///
/// The gradient of the label's logit with respect to the activations of the classifier's last stage; it goes through
/// pooling and head only, so the classifier itself runs once, forward and unrecorded.
///
/// - `image`: `[batch, channel, height, width]` in [-1, 1];
/// - `labels`: a class of each.
///
/// # Errors
/// When the labels do not fit the batch or the classifier.
pub fn grad_cam(
    classifier: &dyn Classifier,
    image: Tensor<4>,
    labels: &[usize],
) -> Result<Tensor<4>, Error> {
    let [batch, _, height, width] = image.dims();
    if labels.len() != batch {
        return Err(Error::Shape {
            what: "labels of an activation map",
            expected: format!("{batch} labels"),
            got: format!("{} labels", labels.len()),
        });
    }
    let classes = classifier.num_classes();
    if let Some(sample) = labels.iter().position(|label| *label >= classes) {
        return Err(Error::Label {
            label: labels[sample] as i64,
            sample,
            classes,
        });
    }
    let activations = classifier.last_stage(image).detach().without_autodiff();
    let gradient = activation_gradient(classifier, activations.clone(), labels);
    Ok(enlarge_map(raw_map(activations, gradient), [height, width]))
}

/// Gradient of each label's logit with respect to the activations `[batch, feature, h, w]` of the last stage.
pub(crate) fn activation_gradient(
    classifier: &dyn Classifier,
    activations: Tensor<4>,
    labels: &[usize],
) -> Tensor<4> {
    let recorded = activations.clone().autodiff().require_grad();
    let batch = labels.len();
    let labels: Vec<i64> = labels.iter().map(|label| *label as i64).collect();
    let labels =
        Tensor::<2, Int>::from_data(TensorData::new(labels, [batch, 1]), &recorded.device());
    let logits = classifier.head(classifier.pool(recorded.clone()));
    let gradients = logits.gather(1, labels).sum().backward();
    // A classifier whose logits ignore the activations has no gradient there: the map is zero.
    recorded
        .grad(&gradients)
        .unwrap_or_else(|| activations.zeros_like())
}

/// `sum_c mean_hw(gradient_c) activation_c`: `[batch, 1, h, w]` of two tensors `[batch, feature, h, w]`.
pub fn raw_map(activations: Tensor<4>, gradient: Tensor<4>) -> Tensor<4> {
    (activations * gradient.mean_dims(&[2, 3])).sum_dim(1)
}

/// Keeps the positive part of raw maps and enlarges them to `[height, width]`, bilinearly with pixel centres at half
/// integers.
pub fn enlarge_map(raw: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let options = InterpolateOptions::new(InterpolateMode::Bilinear)
        .with_align_corners(false)
        .with_output_size(size);
    interpolate(relu(raw), options)
}

/// Each map of `[batch, 1, height, width]` scaled to [0, 1]: `(cam - min) / (max - min + 1e-7)`.
pub fn scale_map(map: Tensor<4>) -> Tensor<4> {
    let lowest = map.clone().min_dims(&[2, 3]);
    let highest = map.clone().max_dims(&[2, 3]);
    (map - lowest.clone()) / (highest - lowest + RANGE_EPSILON)
}

/// The mask of distinct semantic guidance, of activation maps `[batch, 1, height, width]`: 1 where the scaled map lies
/// above `cut`, 0 elsewhere; with a negative `cut`, 1 where it lies BELOW its magnitude.
///
/// # Errors
/// When `cut` is not in (-1, 1).
pub fn semantic_mask(map: Tensor<4>, cut: f64) -> Result<Tensor<4>, Error> {
    check_cut(cut)?;
    let scaled = scale_map(map);
    let mask = if cut < 0.0 {
        scaled.lower_scalar(-cut)
    } else {
        scaled.greater_scalar(cut)
    };
    Ok(mask.float())
}

/// Refuses a cut-point outside (-1, 1).
pub(crate) fn check_cut(cut: f64) -> Result<(), Error> {
    if !(cut > -1.0 && cut < 1.0) {
        return Err(Error::Setting {
            setting: "dsg_cut",
            value: cut.to_string(),
            reason:
                "the activation map lies between 0 and 1: choose a cut-point above -1 and below 1"
                    .into(),
        });
    }
    Ok(())
}
