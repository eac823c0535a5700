//! The U-Net of latent diffusion with spatial transformers, and its class embedder (Rombach et al. 2022; LDM in the
//! paper). It predicts noise in the latent space of [`crate::vq_autoencoder`].
//!
//! A label is one context token. Over a single token every softmax of the cross-attention is 1, so that its query and
//! key do not matter and its result is one vector an image, the same in every step: [`LabelledUnet`] computes it once a
//! label and block, [`LatentUnet`] once an image and block in place of once a pixel. Contexts of several tokens take the
//! general path ([`LatentUnet::forward`]).

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::blocks::trunk::{self, AttentionKind, Trunk, TrunkConfig};
use crate::blocks::{BLOCKS, CHANNELS, CLASSES, Context, Embedding, SIDE, check_sizes};
use crate::checkpoint::KeyMap;
use crate::keys::keys;
use crate::latent_diffusion;
use crate::step::{self, Step};
use crate::summary::{NetworkSummary, Summary, Trace};
use crate::{Error, NoisePredictor};

/// Configuration of a [`LatentUnet`]; fields are called as in the published code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentUnetConfig {
    /// Side of the latent images it was trained on.
    pub image_size: usize,
    /// Channels of the latent image.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Channels that `channel_mult` multiplies.
    pub model_channels: usize,
    /// Downsampling factors at which there are transformers.
    pub attention_resolutions: Vec<usize>,
    /// Residual blocks a level on the way down.
    pub num_res_blocks: usize,
    /// Channels of each level, in units of `model_channels`.
    pub channel_mult: Vec<usize>,
    /// Heads of every attention.
    pub num_heads: usize,
    /// Blocks of every transformer.
    pub transformer_depth: usize,
    /// Channels of a context token.
    pub context_dim: usize,
    /// Rows of the class embedder: the classes and, last, the null label.
    pub n_classes: usize,
}

impl Config for LatentUnetConfig {}

/// The network; see the module's documentation.
#[derive(Module, Debug)]
pub struct LatentUnet {
    unet: Trunk,
    class_embedder: Embedding,
    in_channels: usize,
}

impl LatentUnetConfig {
    /// The published class-conditional model of ImageNet, 256 x 256 pixels, with the first stage that reduces them by
    /// 4 (`cin256-v2`).
    pub fn cin256_v2() -> Self {
        Self {
            image_size: 64,
            in_channels: 3,
            out_channels: 3,
            model_channels: 192,
            attention_resolutions: vec![8, 4, 2],
            num_res_blocks: 2,
            channel_mult: vec![1, 2, 3, 5],
            num_heads: 1,
            transformer_depth: 1,
            context_dim: 512,
            n_classes: 1001,
        }
    }

    /// Builds the network; its parameters are drawn when they are first asked for.
    ///
    /// # Errors
    /// [`Error::Configuration`] names the layer that the sizes do not fit.
    pub fn init(&self, device: &Device) -> Result<LatentUnet, Error> {
        let network = "latent-diffusion U-Net";
        let fault = |what: String| Err(Error::Configuration { network, what });
        check_sizes(
            network,
            &[
                ("image_size", self.image_size, SIDE),
                ("in_channels", self.in_channels, CHANNELS),
                ("transformer_depth", self.transformer_depth, BLOCKS),
                ("context_dim", self.context_dim, CHANNELS),
                ("n_classes", self.n_classes, CLASSES),
            ],
        )?;
        if self.n_classes < 2 {
            return fault("cond_stage_model needs a class and the null label, found 1 row".into());
        }
        if self.out_channels < self.in_channels {
            return fault(format!(
                "out.2 has to give eps, at least {} channels, found {}",
                self.in_channels, self.out_channels
            ));
        }
        let unet = TrunkConfig {
            network,
            in_channels: self.in_channels,
            model_channels: self.model_channels,
            stem_channels: self.model_channels,
            out_channels: self.out_channels,
            num_res_blocks: self.num_res_blocks,
            attention_factors: self.attention_resolutions.clone(),
            channel_mult: self.channel_mult.clone(),
            scale_shift: false,
            resblock_updown: false,
            attention: AttentionKind::Transformer {
                heads: self.num_heads,
                depth: self.transformer_depth,
                context: self.context_dim,
            },
        }
        .init(device)?;
        Ok(LatentUnet {
            unet,
            class_embedder: Embedding::new(self.n_classes, self.context_dim, device),
            in_channels: self.in_channels,
        })
    }
}

/// The names of the published file, whose first stage is left aside.
pub fn key_map() -> KeyMap {
    let mut map = latent_diffusion::whole_file()
        .with_renames(trunk::NAMES)
        .with_renames([
            ("model.diffusion_model", "unet"),
            ("cond_stage_model.embedding", "class_embedder"),
        ]);
    map.ignore.push("first_stage_model.*".to_owned());
    map
}

impl Summary for LatentUnetConfig {
    fn summary(&self) -> Result<NetworkSummary, Error> {
        let network = self.init(&Device::flex())?;
        let mut trace = Trace::default();
        network.unet.trace(self.image_size, &mut trace);
        Ok(trace.summary(keys(&network, &key_map())))
    }

    fn steps(&self, device: &Device) -> Result<Vec<Step>, Error> {
        let network = step::drawn(self.init(device)?);
        let (channels, side) = (self.in_channels, self.image_size);
        Ok(vec![step::noise_predictor(
            &network, channels, side, device,
        )])
    }
}

impl LatentUnet {
    /// The U-Net without its labels: sinusoid, time embedding and the activations between its halves.
    pub fn trunk(&self) -> &Trunk {
        &self.unet
    }

    /// Context of labels `[batch]` (the null label included): `[batch, 1, context_dim]`.
    ///
    /// # Panics
    /// On a label beyond the null label.
    pub fn context(&self, label: Tensor<1, Int>) -> Tensor<3> {
        self.class_embedder.forward(label).unsqueeze_dim(1)
    }

    /// The output `[batch, out, h, w]` of `x_t` `[batch, in, h, w]`, steps `t` `[batch]` and context tokens
    /// `[batch, token, context_dim]`.
    ///
    /// # Panics
    /// As [`Trunk::encode`].
    pub fn forward(&self, x_t: Tensor<4>, t: Tensor<1>, context: &Tensor<3>) -> Tensor<4> {
        let embedding = self.unet.time_embedding(t);
        self.unet
            .forward(x_t, embedding, Some(Context::Tokens(context)))
    }

    /// The same network for inference: what its cross-attentions make of a label is computed here, once for all.
    pub fn labelled(self) -> LabelledUnet {
        let rows = self.class_embedder.rows();
        let labels = Tensor::arange(0..rows as i64, &self.class_embedder.table().device());
        LabelledUnet {
            seen: self.unet.seen(&self.context(labels)),
            unet: self,
        }
    }
}

/// A [`LatentUnet`] whose cross-attentions have seen every label. Its weights must not change any more.
#[derive(Debug)]
pub struct LabelledUnet {
    unet: LatentUnet,
    /// Of each transformer block, `[label, channel]`.
    seen: Vec<Tensor<2>>,
}

impl NoisePredictor for LabelledUnet {
    /// # Panics
    /// On a label beyond the null label, and as [`Trunk::encode`].
    fn eps(&self, x_t: Tensor<4>, t: Tensor<1>, label: Option<Tensor<1, Int>>) -> Tensor<4> {
        let rows = x_t.dims()[0];
        let null = self.num_classes() as i64;
        let label = label.unwrap_or_else(|| Tensor::full([rows], null, &x_t.device()));
        let of_label = |vectors: &Tensor<2>| vectors.clone().select(0, label.clone());
        let seen: Vec<Tensor<2>> = self.seen.iter().map(of_label).collect();
        let trunk = &self.unet.unet;
        let embedding = trunk.time_embedding(t);
        trunk
            .forward(x_t, embedding, Some(Context::Seen(&seen)))
            .narrow(1, 0, self.unet.in_channels)
    }

    fn check_input(&self, shape: [usize; 3]) -> Result<(), Error> {
        self.unet.check_input(shape)
    }

    fn num_classes(&self) -> usize {
        self.unet.num_classes()
    }

    fn null_label(&self) -> Option<usize> {
        self.unet.null_label()
    }
}

impl NoisePredictor for LatentUnet {
    /// # Panics
    /// On a label beyond the null label, and as [`Trunk::encode`].
    fn eps(&self, x_t: Tensor<4>, t: Tensor<1>, label: Option<Tensor<1, Int>>) -> Tensor<4> {
        let context = match label {
            Some(label) => self.context(label),
            None => self.class_embedder.last(x_t.dims()[0]).unsqueeze_dim(1),
        };
        self.forward(x_t, t, &context)
            .narrow(1, 0, self.in_channels)
    }

    fn check_input(&self, shape: [usize; 3]) -> Result<(), Error> {
        self.unet.check_input(shape)
    }

    fn num_classes(&self) -> usize {
        self.class_embedder.rows() - 1
    }

    fn null_label(&self) -> Option<usize> {
        Some(self.num_classes())
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tolerance;

    use super::*;
    use crate::blocks::counted;

    #[test]
    fn a_label_is_looked_at_once() {
        let device = Device::flex();
        let config = LatentUnetConfig {
            image_size: 8,
            model_channels: 32,
            attention_resolutions: vec![1, 2],
            num_res_blocks: 1,
            channel_mult: vec![1, 2],
            context_dim: 16,
            n_classes: 6,
            ..LatentUnetConfig::cin256_v2()
        };
        let plain = config.init(&device).unwrap();
        let before = counted::tokens();
        let labelled = plain.clone().labelled();
        // Two transformers on the way down, one in the middle, four on the way up; five classes and the null label.
        assert_eq!(counted::tokens() - before, 7 * 6);
        assert!(labelled.check_input([3, 8, 8]).is_ok());
        assert!(labelled.check_input([1, 8, 8]).is_err());
        let values: Vec<f32> = (0..3 * 3 * 64).map(|i| (i as f32 * 0.37).sin()).collect();
        let x = Tensor::<1>::from_floats(values.as_slice(), &device).reshape([3, 3, 8, 8]);
        for (t, labels) in [
            (400.0, Some([0, 3, 5])),
            (20.0, Some([3, 3, 1])),
            (7.0, None),
        ] {
            let t = Tensor::<1>::full([3], t, &device);
            let label = labels.map(|labels: [i32; 3]| Tensor::from_ints(labels, &device));
            let before = counted::tokens();
            let fast = labelled.eps(x.clone(), t.clone(), label.clone());
            assert_eq!(counted::tokens(), before, "asked again in a step");
            let slow = plain.eps(x.clone(), t, label);
            assert_eq!(counted::tokens() - before, 7 * 3);
            fast.into_data()
                .assert_approx_eq::<f32>(&slow.into_data(), Tolerance::absolute(1e-5));
        }
    }
}
