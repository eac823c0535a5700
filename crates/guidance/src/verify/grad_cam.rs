//! Golden cases of kind `grad_cam`.

use burn::tensor::{Tensor, activation::relu};
use diffguard_oracle::{Case, Error, Kind, Produced, Result};

use super::{
    networks::resnet18,
    tensors::{entries, tensor, values},
};
use crate::{
    grad_cam::{activation_gradient, enlarge_map, grad_cam, raw_map, scale_map, semantic_mask},
    nearest::resize_nearest,
};

/// The kind `grad_cam`: activation maps of a ResNet-18 and the masks that are cut from them.
pub(super) const KIND: Kind = Kind {
    name: "grad_cam",
    run,
    not_produced: &[],
};

/// How near to the cut a pixel of the map may fall on the other side.
const ON_THE_CUT: f64 = 1e-4;

fn run(case: &Case) -> Result<Vec<Produced>> {
    let classifier = resnet18(case)?;
    let x: Tensor<4> = tensor(case, "in.x")?;
    let labels = case.indices("in.label")?;
    let [_, _, height, width] = x.dims();
    let activations = classifier.last_stage(x.clone());
    let gradient = activation_gradient(classifier.as_ref(), activations.clone(), &labels);
    let raw = raw_map(activations.clone(), gradient.clone());
    let plain = grad_cam(classifier.as_ref(), x.clone(), &labels).map_err(Error::method)?;
    // The reference library's default, which the method does not use: scaled before and after it is enlarged.
    let each = scale_map(enlarge_map(scale_map(relu(raw.clone())), [height, width]));
    let mut produced = vec![
        Produced::new("out.logits", values(&classifier.logits(x))),
        Produced::new(
            "out.activations_channel_mean",
            values(&activations.mean_dims(&[2, 3])),
        ),
        Produced::new("out.channel_weights", values(&gradient.mean_dims(&[2, 3]))),
        Produced::new("out.raw_cam", values(&raw)),
        Produced::new("out.cam_plain", values(&plain)),
        Produced::new("out.cam_norm_each", values(&each)),
    ];
    for (name, map) in [("plain", plain), ("norm_each", each)] {
        let scaled = scale_map(map.clone());
        produced.push(Produced::new(format!("out.scaled_{name}"), values(&scaled)));
        for cut in entries(case, "cuts")? {
            let cut = cut.as_f64().unwrap_or(f64::NAN);
            let sign = if cut < 0.0 { "neg" } else { "pos" };
            let name = format!("out.mask_{name}_{sign}{:.0}", 100.0 * cut.abs());
            let mask = semantic_mask(map.clone(), cut).map_err(Error::method)?;
            let small = |map: &Tensor<4>| resize_nearest(map.clone(), [8, 8]);
            produced.push(masked(name.clone(), &mask, &scaled, cut));
            produced.push(masked(
                format!("{name}_latent8"),
                &small(&mask),
                &small(&scaled),
                cut,
            ));
        }
    }
    Ok(produced)
}

/// A mask, where a pixel of the map on the cut may fall on either side.
fn masked(name: String, mask: &Tensor<4>, scaled: &Tensor<4>, cut: f64) -> Produced {
    let near = |value: &f64| ((value - cut.abs()).abs() <= ON_THE_CUT).then_some(1.0);
    Produced {
        loosened: values(scaled).iter().map(near).collect(),
        ..Produced::new(name, values(mask))
    }
}
