//! The image condition without an inversion: the image is noised to the level where one would end.
//!
//! `x_t = sqrt(abar_t) x + sqrt(1 - abar_t) n`, and the synthesis goes down from there. The noise takes of the image what is
//! finer than itself, and the label has to say it again; one draw of it decides much of what comes out, so that a score is the
//! mean over several. DiffNB detects so (luping-liu/DiffOOD, `diff_detect`: `t = 240` among others, four draws, l1 between
//! l2-normalised logits), and SDEdit edits so (Meng et al. 2022). In the DiffGuard paper images are inverted.

use burn::tensor::Tensor;

use crate::{
    Cost, Error, InversionConfig, Inverted, Trajectory, ddim::recompose, random::noise_for,
};

/// Images, noised to the level where the synthesis after their inversion would start; deterministic. No network is asked.
///
/// - `image`: `[batch, channel, height, width]` in [-1, 1], or latent images;
/// - `samples`: an identity of each that does not depend on its batch, from which its noise is drawn;
/// - `draw`: the number of the noise, from 0; [`InversionConfig::starts`] of them are meant.
///
/// # Errors
/// Those of [`InversionConfig::moves`]; [`Error::Shape`] when the identities do not fit the batch.
pub fn noised(
    trajectory: &Trajectory,
    config: &InversionConfig,
    image: Tensor<4>,
    samples: &[u64],
    (draw, seed): (usize, u64),
) -> Result<Inverted, Error> {
    let stop = config.moves(trajectory)? - 1;
    let level = trajectory.synthesis()[trajectory.start_after(stop, None)].from;
    let [batch, channels, height, width] = image.dims();
    if samples.len() != batch {
        return Err(Error::Shape {
            what: "samples of the images",
            expected: batch.to_string(),
            got: samples.len().to_string(),
        });
    }
    let shape = [channels, height, width];
    let noise = noise_for(
        (seed, b"noising-", draw as u64),
        samples,
        shape,
        &image.device(),
    );
    Ok(Inverted {
        latent: recompose(image, noise, level, 0.0),
        stops: vec![stop; batch],
        cost: Cost::default(),
    })
}
