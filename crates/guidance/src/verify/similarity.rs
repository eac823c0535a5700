//! Golden cases of kind `similarity`.

use burn::tensor::{Device, Tensor, TensorData};
use diffguard_oracle::{Case, Error, Kind, Produced, Result};

use crate::{SimilarityName, View};

/// The kind `similarity`: every similarity on pairs of colour images.
pub(super) const KIND: Kind = Kind {
    name: "similarity",
    run,
    not_produced: &[],
};

fn run(case: &Case) -> Result<Vec<Produced>> {
    let views = [view(case, "x")?, view(case, "y")?];
    Ok(vec![Produced::new("out.psnr", score("psnr", &views)?)])
}

/// The images of an input, bytes or floats in [0, 1], as [`View`].
fn view(case: &Case, input: &str) -> Result<View<'static>> {
    let bytes = format!("in.{input}_u8");
    let (shape, values): (_, Vec<f32>) = match case.has(&bytes) {
        true => {
            let (shape, values) = case.u8(&bytes)?;
            (
                shape,
                values.iter().map(|&v| f32::from(v) / 255.0).collect(),
            )
        }
        false => {
            let (shape, values) = case.f32(&format!("in.{input}"))?;
            (shape, values.to_vec())
        }
    };
    let image: Tensor<4> = Tensor::from_data(TensorData::new(values, shape), &Device::flex());
    Ok(View::new(image * 2.0 - 1.0, None))
}

/// Scores by the similarity of that name.
fn score(name: &str, [x, y]: &[View<'_>; 2]) -> Result<Vec<f64>> {
    let name: SimilarityName = name.parse().map_err(Error::method)?;
    let score = name.similarity().score(x, y).map_err(Error::method)?;
    Ok(score.into_data().iter::<f64>().collect())
}
