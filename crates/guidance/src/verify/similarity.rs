//! Golden cases of kind `similarity`.

use burn::tensor::{Tensor, TensorData};
use diffguard_models::verify::device;
use diffguard_models::vgg::Vgg16Features;
use diffguard_oracle::{Case, Error, Kind, Produced, Result, procedural};

use crate::similarity::{DistsWeights, LpipsWeights, Perceptual, dists, lpips};
use crate::{SimilarityName, View};

/// The kind `similarity`: every similarity on pairs of colour images.
pub(super) const KIND: Kind = Kind {
    name: "similarity",
    run,
    not_produced: &[],
};

fn run(case: &Case) -> Result<Vec<Produced>> {
    let perceptual = perceptual(case)?;
    let views = [
        view(case, "x")?.with_perceptual(&perceptual),
        view(case, "y")?.with_perceptual(&perceptual),
    ];
    let mut produced = Vec::new();
    for (name, outputs) in AS_THEY_ARE {
        if case.has(&format!("out.{}", outputs[0])) {
            let values = score(name, &views)?;
            for output in *outputs {
                produced.push(Produced::new(format!("out.{output}"), values.clone()));
            }
        }
    }
    for (name, output) in NEGATED {
        if case.has(&format!("out.{output}")) {
            let values = score(name, &views)?;
            let distances = values.iter().map(|score| -score);
            produced.push(Produced::new(format!("out.{output}"), distances));
        }
    }
    let one_less = score("dists", &views)?.into_iter().map(|score| 1.0 - score);
    produced.push(Produced::new("out.dists", one_less));
    produced.extend(of_pixels(&views)?);
    produced.extend(steps(case, &perceptual, &views)?);
    Ok(produced)
}

/// Similarities whose score is the stored value.
const AS_THEY_ARE: &[(&str, &[&str])] = &[
    ("psnr", &["psnr"]),
    ("ssim", &["ssim", "diffguard_ssim"]),
    ("ms-ssim", &["multi_scale_ssim"]),
    ("fsim", &["fsim", "diffguard_fsim"]),
    ("fsim-grey", &["fsim_gray"]),
    ("vif", &["diffguard_vif"]),
    ("vif-unclamped", &["vif_p"]),
    ("gmsd", &["diffguard_gmsd"]),
    ("mdsi", &["diffguard_mdsi"]),
    ("dists", &["diffguard_dists"]),
    ("lpips", &["diffguard_lpips"]),
    ("l2", &["diffguard_l2"]),
];

/// Similarities whose score is minus the stored value. The authors' normalisation of LPIPS amounts to piq's.
const NEGATED: &[(&str, &str)] = &[
    ("gmsd", "gmsd"),
    ("mdsi", "mdsi"),
    ("lpips", "lpips"),
    ("lpips", "lpips_authors_normalisation"),
    ("l1", "l1_mean"),
    ("l2", "l2_norm"),
];

/// Sums and means that follow from the scores by the number of values.
fn of_pixels(views: &[View<'_>; 2]) -> Result<[Produced; 2]> {
    let values = views[0].image().dims()[1..].iter().product::<usize>() as f64;
    let sums = score("l1", views)?.into_iter().map(|score| -score * values);
    let squares = score("l2", views)?
        .into_iter()
        .map(|score| score * score / values);
    Ok([
        Produced::new("out.l1_sum", sums),
        Produced::new("out.l2_mean", squares),
    ])
}

/// What DISTS and LPIPS compute on their way. The reference took that of DISTS without shrinking large images.
fn steps(case: &Case, perceptual: &Perceptual, [x, y]: &[View<'_>; 2]) -> Result<Vec<Produced>> {
    let layers = |view: &View<'_>| {
        let image = view.rgb("dists").map_err(Error::method)?;
        Ok(dists::layers_as_it_is(perceptual, image))
    };
    let (of_x, of_y) = (layers(x)?, layers(y)?);
    let mut produced: Vec<Produced> = (1..of_x.len())
        .map(|i| {
            let means = values(of_x[i].clone().mean_dims(&[2, 3]));
            Produced::new(format!("out.dists_feature_mean_{i}"), means)
        })
        .collect();
    let structure = dists::terms(&of_x, &of_y)
        .into_iter()
        .map(|[structure, _]| structure.mean_dim(1));
    let structure = values(Tensor::cat(structure.collect(), 1));
    produced.push(Produced::new("out.dists_structure_per_layer", structure));
    if case.has("out.lpips_per_layer") {
        let layers = |view: &View<'_>| view.lpips_layers("lpips").map_err(Error::method);
        let weights = lpips_weights(case)?;
        let per_layer = lpips::per_layer(&layers(x)?, &layers(y)?, Some(weights.layers()));
        produced.push(Produced::new("out.lpips_per_layer", values(per_layer)));
    }
    Ok(produced)
}

/// VGG-16 filled by formula, with the case's own weights of the distances.
fn perceptual(case: &Case) -> Result<Perceptual> {
    let device = device();
    let vgg =
        Vgg16Features::from_values(|key, shape| Ok::<_, Error>(procedural(key, shape)), &device)?;
    let weights = |name: &str| Ok(case.f32(&format!("weights.{name}"))?.1);
    let weights = DistsWeights::new(weights("alpha")?, weights("beta")?, &device);
    let perceptual = Perceptual::new(vgg).with_dists(weights.map_err(Error::method)?);
    match case.has("out.lpips") {
        true => Ok(perceptual.with_lpips(lpips_weights(case)?)),
        false => Ok(perceptual),
    }
}

fn lpips_weights(case: &Case) -> Result<LpipsWeights> {
    let layer = |i| {
        Ok(case
            .f32(&format!("weights.lin{i}.model.1.weight"))?
            .1
            .to_vec())
    };
    let layers = (0..5).map(layer).collect::<Result<Vec<_>>>()?;
    LpipsWeights::new(&layers, &device()).map_err(Error::method)
}

/// The images of an input, bytes or floats in [0, 1], as [`View`].
fn view(case: &Case, input: &str) -> Result<View<'static>> {
    let bytes = format!("in.{input}_u8");
    let (shape, values): (_, Vec<f32>) = match case.has(&bytes) {
        true => {
            let (shape, values) = case.u8(&bytes)?;
            let values = values.iter().map(|&v| f32::from(v) / 255.0);
            (shape, values.collect())
        }
        false => {
            let (shape, values) = case.f32(&format!("in.{input}"))?;
            (shape, values.to_vec())
        }
    };
    let image: Tensor<4> = Tensor::from_data(TensorData::new(values, shape), &device());
    Ok(View::new(image * 2.0 - 1.0, None))
}

/// Scores by the similarity of that name.
fn score(name: &str, [x, y]: &[View<'_>; 2]) -> Result<Vec<f64>> {
    let name: SimilarityName = name.parse().map_err(Error::method)?;
    let scores = name.similarity().score(x, y).map_err(Error::method)?;
    Ok(values(scores))
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}
