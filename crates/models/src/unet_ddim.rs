//! The U-Net of DDPM and DDIM for CIFAR-10 (Ho et al. 2020; Song et al. 2021) as DiffNB trains it: with a label
//! embedding whose last row stands for "no label".

use burn::config::Config;
use burn::module::Module;
use burn::tensor::activation::silu;
use burn::tensor::{Device, Int, Tensor};
use diffguard_kernels::join_channels;
use serde::{Deserialize, Serialize};

use crate::blocks::plain::{self, DownLevel, LevelConfig, Middle, UpLevel, trace_conv3x3};
use crate::blocks::{
    BLOCKS, CHANNELS, CLASSES, Embedding, GroupNorm, SIDE, TimeMlp, check_levels, check_sizes,
    sinusoid_sin_first,
};
use crate::checkpoint::KeyMap;
use crate::error::check_images;
use crate::keys::keys;
use crate::layers::Conv3x3;
use crate::step::{self, Step};
use crate::summary::{NetworkSummary, Summary, Trace};
use crate::{Error, NoisePredictor};

/// Configuration of a [`DdimUnet`]; fields are called as in the published code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DdimUnetConfig {
    /// Side of the images it was trained on, in pixels: `attn_resolutions` count from it.
    pub image_size: usize,
    /// Channels of the image.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_ch: usize,
    /// Channels that `ch_mult` multiplies.
    pub ch: usize,
    /// Channels of each level, in units of `ch`.
    pub ch_mult: Vec<usize>,
    /// Residual blocks a level on the way down.
    pub num_res_blocks: usize,
    /// SIDES of the feature maps at which there is attention.
    pub attn_resolutions: Vec<usize>,
    /// Classes, the null label not counted; none for an unconditional network.
    #[serde(default)]
    pub num_classes: Option<usize>,
}

impl Config for DdimUnetConfig {}

/// The network; see the module's documentation.
#[derive(Module, Debug)]
pub struct DdimUnet {
    temb: TimeMlp,
    label_emb: Option<Embedding>,
    conv_in: Conv3x3,
    down: Vec<DownLevel>,
    mid: Middle,
    up: Vec<UpLevel>,
    norm_out: GroupNorm,
    conv_out: Conv3x3,
    channels: usize,
    in_channels: usize,
}

impl DdimUnetConfig {
    /// DiffNB's class-conditional model of CIFAR-10 (`ddim_cifar10_cond.yml`).
    pub fn cifar10() -> Self {
        Self {
            image_size: 32,
            in_channels: 3,
            out_ch: 3,
            ch: 128,
            ch_mult: vec![1, 2, 2, 2],
            num_res_blocks: 2,
            attn_resolutions: vec![16],
            num_classes: Some(10),
        }
    }

    fn check(&self) -> Result<(), Error> {
        let network = "DDIM U-Net";
        let fault = |what: String| Err(Error::Configuration { network, what });
        let sizes = [
            ("image_size", self.image_size, SIDE),
            ("in_channels", self.in_channels, CHANNELS),
            ("out_ch", self.out_ch, CHANNELS),
            ("num_res_blocks", self.num_res_blocks, BLOCKS),
            ("num_classes", self.num_classes.unwrap_or(1), CLASSES),
        ];
        check_sizes(network, &sizes)?;
        check_levels(network, "ch", self.ch, &[1])?;
        check_levels(network, "ch_mult", self.ch, &self.ch_mult)?;
        if self.out_ch < self.in_channels {
            return fault(format!(
                "conv_out has to give eps, at least {} channels, found {}",
                self.in_channels, self.out_ch
            ));
        }
        let sides: Vec<usize> = self.sides().collect();
        if !self
            .image_size
            .is_multiple_of(1 << (self.ch_mult.len() - 1))
        {
            return fault(format!(
                "image_size {} cannot be halved {} times",
                self.image_size,
                self.ch_mult.len() - 1
            ));
        }
        match self
            .attn_resolutions
            .iter()
            .find(|side| !sides.contains(side))
        {
            Some(side) => fault(format!(
                "attn_resolutions are sides of feature maps, here of {sides:?}, found {side}"
            )),
            None => Ok(()),
        }
    }

    /// Side of the feature maps of each level.
    fn sides(&self) -> impl Iterator<Item = usize> {
        (0..self.ch_mult.len()).map(|level| self.image_size >> level)
    }

    /// Builds the network; its parameters are drawn when they are first asked for.
    ///
    /// # Errors
    /// [`Error::Configuration`] names the layer that the sizes do not fit.
    pub fn init(&self, device: &Device) -> Result<DdimUnet, Error> {
        self.check()?;
        let embedding = Some(4 * self.ch);
        let level = |index: usize, resample: bool| LevelConfig {
            channels: self.ch * self.ch_mult[index],
            attention: self.attn_resolutions.contains(&(self.image_size >> index)),
            embedding,
            resample,
        };
        let last = self.ch_mult.len() - 1;
        let mut channels = self.ch;
        let mut skips = vec![channels];
        let mut down = Vec::new();
        for index in 0..=last {
            let config = level(index, index != last);
            let mut inputs = vec![config.channels; self.num_res_blocks];
            inputs[0] = channels;
            down.push(config.down(&inputs, device));
            channels = config.channels;
            let kept = self.num_res_blocks + usize::from(config.resample);
            skips.extend(std::iter::repeat_n(channels, kept));
        }
        let mid = Middle::new(channels, embedding, device);
        let mut up = Vec::new();
        for index in (0..=last).rev() {
            let config = level(index, index != 0);
            let inputs: Vec<usize> = (0..=self.num_res_blocks)
                .map(|_| {
                    let from = channels + skips.pop().expect("as many skips as blocks");
                    channels = config.channels;
                    from
                })
                .collect();
            up.push(config.up(&inputs, device));
        }
        up.reverse();
        Ok(DdimUnet {
            temb: TimeMlp::new(self.ch, device),
            label_emb: self
                .num_classes
                .map(|classes| Embedding::new(classes + 1, 4 * self.ch, device)),
            conv_in: Conv3x3::new(self.in_channels, self.ch, device),
            down,
            mid,
            up,
            norm_out: plain::norm(channels, device),
            conv_out: Conv3x3::new(channels, self.out_ch, device),
            channels: self.ch,
            in_channels: self.in_channels,
        })
    }
}

/// The names of the published files.
pub fn key_map() -> KeyMap {
    KeyMap::published().with_renames([
        ("temb.dense.0", "temb.first"),
        ("temb.dense.1", "temb.second"),
    ])
}

impl Summary for DdimUnetConfig {
    fn summary(&self) -> Result<NetworkSummary, Error> {
        let network = self.init(&Device::flex())?;
        let mut trace = Trace::default();
        network.trace(self.image_size, &mut trace);
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

impl DdimUnet {
    /// The sinusoid of steps `[batch]`: `[batch, ch]`.
    pub fn sinusoid(&self, t: Tensor<1>) -> Tensor<2> {
        sinusoid_sin_first(t, self.channels)
    }

    /// The output `[batch, out, h, w]` of `x_t` `[batch, in, h, w]`, steps `t` `[batch]` and labels `[batch]` (the
    /// null label included; none for an unconditional network).
    fn forward(&self, x_t: Tensor<4>, t: Tensor<1>, label: Option<Tensor<1, Int>>) -> Tensor<4> {
        let [batch, channels, height, width] = x_t.dims();
        assert_eq!(
            channels, self.in_channels,
            "conv_in expects {} channels, found {channels}",
            self.in_channels
        );
        assert_eq!(
            batch,
            t.dims()[0],
            "a batch of {batch} images needs as many steps"
        );
        let factor = 1 << (self.down.len() - 1);
        assert!(
            height.is_multiple_of(factor) && width.is_multiple_of(factor),
            "the levels need sides that are multiples of {factor}, found {height} x {width}"
        );
        let mut embedding = self.temb.forward(self.sinusoid(t));
        if let Some(rows) = &self.label_emb {
            embedding = embedding
                + match label {
                    Some(label) => rows.forward(label),
                    None => rows.last(batch),
                };
        }
        let embedding = silu(embedding);

        let mut h = self.conv_in.forward(x_t);
        let mut skips = vec![h.clone()];
        for level in &self.down {
            h = level.forward(h, Some(&embedding), |h| skips.push(h.clone()));
        }
        h = self.mid.forward(h, Some(&embedding));
        for level in self.up.iter().rev() {
            h = level.forward(h, Some(&embedding), |h| {
                let skip = skips.pop().expect("as many skips as blocks");
                join_channels(h, skip)
            });
        }
        let norm = self.norm_out.plain(h.dims()[0]);
        self.conv_out.forward_normed(h, norm, None, None)
    }

    fn trace(&self, side: usize, trace: &mut Trace) {
        trace.layer(20 * self.channels * self.channels, 8 * self.channels);
        trace_conv3x3(&self.conv_in, side, trace);
        let numbers = |(channels, side): (usize, usize)| channels * side * side;
        let mut at = (self.channels, side);
        let mut skips = vec![numbers(at)];
        trace.hold(numbers(at));
        for level in &self.down {
            level.trace(&mut at, trace, |at, trace| {
                trace.hold(numbers(at));
                skips.push(numbers(at));
            });
        }
        self.mid.trace(at.1, trace);
        for level in self.up.iter().rev() {
            level.trace(&mut at, trace, |trace| {
                trace.release(skips.pop().expect("as many skips as blocks"));
            });
        }
        trace_conv3x3(&self.conv_out, at.1, trace);
    }
}

impl NoisePredictor for DdimUnet {
    /// # Panics
    /// When `x_t` has another number of channels, a side that the levels do not divide, or another batch than `t`; on
    /// a label beyond the null label.
    fn eps(&self, x_t: Tensor<4>, t: Tensor<1>, label: Option<Tensor<1, Int>>) -> Tensor<4> {
        self.forward(x_t, t, label).narrow(1, 0, self.in_channels)
    }

    fn check_input(&self, shape: [usize; 3]) -> Result<(), Error> {
        let sides = (1 << (self.down.len() - 1), true);
        check_images("conv_in", self.in_channels, sides, shape)
    }

    fn num_classes(&self) -> usize {
        self.label_emb.as_ref().map_or(0, |rows| rows.rows() - 1)
    }

    fn null_label(&self) -> Option<usize> {
        self.label_emb.as_ref().map(|rows| rows.rows() - 1)
    }
}
