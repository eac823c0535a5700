//! The diffusion networks at their published sizes: the names, shapes and count of the tensors of each published file,
//! written here from the configuration by the published code's own rules, against those of our modules.

use std::collections::BTreeMap;

use diffguard_models::latent_diffusion::LatentDiffusionConfig;
use diffguard_models::unet_ddim::DdimUnetConfig;
use diffguard_models::unet_guided::GuidedUnetConfig;
use diffguard_models::unet_iddpm::IddpmUnetConfig;
use diffguard_models::unet_latent::LatentUnetConfig;
use diffguard_models::vq_autoencoder::VqAutoencoderConfig;
use diffguard_models::{NetworkSummary, Summary};

/// A state dict that grows as the published constructors register their parameters.
#[derive(Default)]
struct StateDict(BTreeMap<String, Vec<usize>>);

impl StateDict {
    fn put(&mut self, name: String, shape: &[usize]) {
        let before = self.0.insert(name.clone(), shape.to_vec());
        assert!(before.is_none(), "{name} twice");
    }

    fn layer(&mut self, name: &str, weight: &[usize]) {
        self.put(format!("{name}.weight"), weight);
        self.put(format!("{name}.bias"), &weight[..1]);
    }

    fn conv3(&mut self, name: &str, from: usize, to: usize) {
        self.layer(name, &[to, from, 3, 3]);
    }

    fn conv1(&mut self, name: &str, from: usize, to: usize) {
        self.layer(name, &[to, from, 1, 1]);
    }

    /// `ResBlock` of openaimodel.py and of guided-diffusion's unet.py.
    fn res_block(&mut self, name: &str, from: usize, to: usize, embedding: usize, columns: usize) {
        self.layer(&format!("{name}.in_layers.0"), &[from]);
        self.conv3(&format!("{name}.in_layers.2"), from, to);
        self.layer(&format!("{name}.emb_layers.1"), &[columns * to, embedding]);
        self.layer(&format!("{name}.out_layers.0"), &[to]);
        self.conv3(&format!("{name}.out_layers.3"), to, to);
        if from != to {
            self.conv1(&format!("{name}.skip_connection"), from, to);
        }
    }

    /// `AttentionBlock` of guided-diffusion's unet.py.
    fn attention(&mut self, name: &str, c: usize) {
        self.layer(&format!("{name}.norm"), &[c]);
        self.layer(&format!("{name}.qkv"), &[3 * c, c, 1]);
        self.layer(&format!("{name}.proj_out"), &[c, c, 1]);
    }

    /// `SpatialTransformer` of ldm/modules/attention.py.
    fn transformer(&mut self, name: &str, c: usize, context: usize) {
        self.layer(&format!("{name}.norm"), &[c]);
        self.conv1(&format!("{name}.proj_in"), c, c);
        let block = format!("{name}.transformer_blocks.0");
        for (attention, from) in [("attn1", c), ("attn2", context)] {
            self.put(format!("{block}.{attention}.to_q.weight"), &[c, c]);
            self.put(format!("{block}.{attention}.to_k.weight"), &[c, from]);
            self.put(format!("{block}.{attention}.to_v.weight"), &[c, from]);
            self.layer(&format!("{block}.{attention}.to_out.0"), &[c, c]);
        }
        self.layer(&format!("{block}.ff.net.0.proj"), &[8 * c, c]);
        self.layer(&format!("{block}.ff.net.2"), &[c, 4 * c]);
        for norm in 1..=3 {
            self.layer(&format!("{block}.norm{norm}"), &[c]);
        }
        self.conv1(&format!("{name}.proj_out"), c, c);
    }

    /// `ResnetBlock` of the DDPM code base; the first stage has no embedding.
    fn resnet_block(&mut self, name: &str, from: usize, to: usize, embedding: Option<usize>) {
        self.layer(&format!("{name}.norm1"), &[from]);
        self.conv3(&format!("{name}.conv1"), from, to);
        if let Some(embedding) = embedding {
            self.layer(&format!("{name}.temb_proj"), &[to, embedding]);
        }
        self.layer(&format!("{name}.norm2"), &[to]);
        self.conv3(&format!("{name}.conv2"), to, to);
        if from != to {
            self.conv1(&format!("{name}.nin_shortcut"), from, to);
        }
    }

    /// `AttnBlock` of the DDPM code base.
    fn attn_block(&mut self, name: &str, c: usize) {
        self.layer(&format!("{name}.norm"), &[c]);
        for part in ["q", "k", "v", "proj_out"] {
            self.conv1(&format!("{name}.{part}"), c, c);
        }
    }

    fn middle(&mut self, name: &str, c: usize, embedding: Option<usize>) {
        self.resnet_block(&format!("{name}.block_1"), c, c, embedding);
        self.attn_block(&format!("{name}.attn_1"), c);
        self.resnet_block(&format!("{name}.block_2"), c, c, embedding);
    }

    fn numbers(&self) -> usize {
        self.0
            .values()
            .map(|shape| shape.iter().product::<usize>())
            .sum()
    }

    fn assert_is(&self, summary: &NetworkSummary, numbers: usize) {
        let ours: BTreeMap<String, Vec<usize>> = summary
            .keys
            .iter()
            .map(|key| (key.published.clone(), key.shape.clone()))
            .collect();
        assert_eq!(ours.len(), summary.keys.len(), "a name twice");
        assert_eq!(ours, self.0);
        assert_eq!(self.numbers(), numbers);
        assert_eq!(summary.parameters, numbers);
    }
}

/// Sizes of guided-diffusion's `UNetModel` and its relatives.
struct Family {
    stem: usize,
    channels: usize,
    mult: &'static [usize],
    blocks: usize,
    attention: &'static [usize],
    /// Columns of a block's projection, in units of its channels: 2 with scale and shift.
    columns: usize,
    updown: bool,
    /// Channels of a context token, where there are transformers.
    context: Option<usize>,
    out: usize,
}

fn openai_unet(dict: &mut StateDict, prefix: &str, f: &Family) {
    let embedding = 4 * f.channels;
    let name = |rest: String| format!("{prefix}{rest}");
    let attend = |dict: &mut StateDict, at: String, c: usize| match f.context {
        Some(context) => dict.transformer(&at, c, context),
        None => dict.attention(&at, c),
    };
    dict.layer(&name("time_embed.0".into()), &[embedding, f.channels]);
    dict.layer(&name("time_embed.2".into()), &[embedding, embedding]);
    dict.conv3(&name("input_blocks.0.0".into()), 3, f.stem);
    let (mut ch, mut ds, mut at) = (f.stem, 1, 1);
    let mut skips = vec![ch];
    for (level, mult) in f.mult.iter().enumerate() {
        for _ in 0..f.blocks {
            let block = name(format!("input_blocks.{at}"));
            dict.res_block(
                &format!("{block}.0"),
                ch,
                mult * f.channels,
                embedding,
                f.columns,
            );
            ch = mult * f.channels;
            if f.attention.contains(&ds) {
                attend(dict, format!("{block}.1"), ch);
            }
            skips.push(ch);
            at += 1;
        }
        if level + 1 != f.mult.len() {
            let block = name(format!("input_blocks.{at}.0"));
            match f.updown {
                true => dict.res_block(&block, ch, ch, embedding, f.columns),
                false => dict.conv3(&format!("{block}.op"), ch, ch),
            }
            skips.push(ch);
            at += 1;
            ds *= 2;
        }
    }
    dict.res_block(&name("middle_block.0".into()), ch, ch, embedding, f.columns);
    attend(dict, name("middle_block.1".into()), ch);
    dict.res_block(&name("middle_block.2".into()), ch, ch, embedding, f.columns);
    at = 0;
    for (level, mult) in f.mult.iter().enumerate().rev() {
        for i in 0..=f.blocks {
            let block = name(format!("output_blocks.{at}"));
            let from = ch + skips.pop().unwrap();
            dict.res_block(
                &format!("{block}.0"),
                from,
                mult * f.channels,
                embedding,
                f.columns,
            );
            ch = mult * f.channels;
            let mut member = 1;
            if f.attention.contains(&ds) {
                attend(dict, format!("{block}.1"), ch);
                member = 2;
            }
            if level > 0 && i == f.blocks {
                let up = format!("{block}.{member}");
                match f.updown {
                    true => dict.res_block(&up, ch, ch, embedding, f.columns),
                    false => dict.conv3(&format!("{up}.conv"), ch, ch),
                }
                ds /= 2;
            }
            at += 1;
        }
    }
    dict.layer(&name("out.0".into()), &[ch]);
    dict.conv3(&name("out.2".into()), ch, f.out);
}

fn latent_unet(dict: &mut StateDict) {
    let family = Family {
        stem: 192,
        channels: 192,
        mult: &[1, 2, 3, 5],
        blocks: 2,
        attention: &[8, 4, 2],
        columns: 1,
        updown: false,
        context: Some(512),
        out: 3,
    };
    openai_unet(dict, "model.diffusion_model.", &family);
}

fn first_stage(dict: &mut StateDict, prefix: &str) {
    let name = |rest: String| format!("{prefix}{rest}");
    dict.conv3(&name("encoder.conv_in".into()), 3, 128);
    let mut ch = 128;
    for (level, to) in [128, 256, 512].into_iter().enumerate() {
        for block in 0..2 {
            dict.resnet_block(
                &name(format!("encoder.down.{level}.block.{block}")),
                ch,
                to,
                None,
            );
            ch = to;
        }
        if level < 2 {
            dict.conv3(
                &name(format!("encoder.down.{level}.downsample.conv")),
                ch,
                ch,
            );
        }
    }
    for half in ["encoder", "decoder"] {
        dict.middle(&name(format!("{half}.mid")), 512, None);
    }
    dict.layer(&name("encoder.norm_out".into()), &[512]);
    dict.conv3(&name("encoder.conv_out".into()), 512, 3);
    dict.conv3(&name("decoder.conv_in".into()), 3, 512);
    for (level, to) in [128, 256, 512].into_iter().enumerate().rev() {
        for block in 0..3 {
            dict.resnet_block(
                &name(format!("decoder.up.{level}.block.{block}")),
                ch,
                to,
                None,
            );
            ch = to;
        }
        if level > 0 {
            dict.conv3(&name(format!("decoder.up.{level}.upsample.conv")), ch, ch);
        }
    }
    dict.layer(&name("decoder.norm_out".into()), &[128]);
    dict.conv3(&name("decoder.conv_out".into()), 128, 3);
    dict.put(name("quantize.embedding.weight".into()), &[8192, 3]);
    dict.conv1(&name("quant_conv".into()), 3, 3);
    dict.conv1(&name("post_quant_conv".into()), 3, 3);
}

#[test]
fn guided_imagenet_256() {
    let mut dict = StateDict::default();
    let family = Family {
        stem: 256,
        channels: 256,
        mult: &[1, 1, 2, 2, 4, 4],
        blocks: 2,
        attention: &[8, 16, 32],
        columns: 2,
        updown: true,
        context: None,
        out: 6,
    };
    openai_unet(&mut dict, "", &family);
    let summary = GuidedUnetConfig::imagenet_256_unconditional()
        .summary()
        .unwrap();
    dict.assert_is(&summary, 552_814_086);
}

#[test]
fn latent_cin256_v2() {
    let mut dict = StateDict::default();
    latent_unet(&mut dict);
    assert_eq!(dict.numbers(), 400_920_579);
    dict.put("cond_stage_model.embedding.weight".into(), &[1001, 512]);
    let summary = LatentUnetConfig::cin256_v2().summary().unwrap();
    dict.assert_is(&summary, 400_920_579 + 1001 * 512);
    first_stage(&mut dict, "first_stage_model.");
    let whole = LatentDiffusionConfig::cin256_v2().summary().unwrap();
    dict.assert_is(&whole, 400_920_579 + 1001 * 512 + 55_322_782);
}

#[test]
fn first_stage_vq_f4() {
    let mut dict = StateDict::default();
    first_stage(&mut dict, "");
    let summary = VqAutoencoderConfig::vq_f4().summary().unwrap();
    dict.assert_is(&summary, 55_322_782);
}

#[test]
fn iddpm_cifar10() {
    let mut dict = StateDict::default();
    let family = Family {
        stem: 128,
        channels: 128,
        mult: &[1, 2, 2, 2],
        blocks: 3,
        attention: &[2, 4],
        columns: 2,
        updown: false,
        context: None,
        out: 6,
    };
    openai_unet(&mut dict, "", &family);
    dict.put("label_emb.weight".into(), &[11, 512]);
    let summary = IddpmUnetConfig::cifar10().summary().unwrap();
    dict.assert_is(&summary, 52_546_438 + 11 * 512);
}

#[test]
fn ddim_cifar10() {
    let mut dict = StateDict::default();
    let channels = [128, 256, 256, 256];
    dict.layer("temb.dense.0", &[512, 128]);
    dict.layer("temb.dense.1", &[512, 512]);
    dict.put("label_emb.weight".into(), &[11, 512]);
    dict.conv3("conv_in", 3, 128);
    let mut ch = 128;
    for (level, to) in channels.into_iter().enumerate() {
        for block in 0..2 {
            dict.resnet_block(&format!("down.{level}.block.{block}"), ch, to, Some(512));
            ch = to;
            if level == 1 {
                dict.attn_block(&format!("down.{level}.attn.{block}"), ch);
            }
        }
        if level < 3 {
            dict.conv3(&format!("down.{level}.downsample.conv"), ch, ch);
        }
    }
    dict.middle("mid", 256, Some(512));
    for (level, to) in channels.into_iter().enumerate().rev() {
        for block in 0..3 {
            // the skip connections of a level end with the one that the level above gave it
            let skip = match block {
                2 => channels[level.saturating_sub(1)],
                _ => to,
            };
            dict.resnet_block(
                &format!("up.{level}.block.{block}"),
                ch + skip,
                to,
                Some(512),
            );
            ch = to;
            if level == 1 {
                dict.attn_block(&format!("up.{level}.attn.{block}"), ch);
            }
        }
        if level > 0 {
            dict.conv3(&format!("up.{level}.upsample.conv"), ch, ch);
        }
    }
    dict.layer("norm_out", &[128]);
    dict.conv3("conv_out", 128, 3);
    // 35,746,307 without the labels, as published for the unconditional model
    let summary = DdimUnetConfig::cifar10().summary().unwrap();
    dict.assert_is(&summary, 35_746_307 + 11 * 512);
}

/// Work of one evaluation in multiply-adds, as papers print it (mostly without the products inside attention).
#[test]
fn work_is_as_published() {
    let within = |name: &str, summary: NetworkSummary, published: f64| {
        let found = summary.gflop / 2.0;
        let megabytes = summary.activation_bytes / 1_000_000;
        println!("{name}: {found:.1} GMAC, {megabytes} MB of activations");
        assert!(
            (found / published - 1.0).abs() < 0.03,
            "{name}: {found} GMAC, {published} published"
        );
    };
    // Peebles & Xie 2023 (ADM 1120; LDM-4 103.6, where every pixel attends to the label, which ours does once an image);
    // Fang et al. 2023 (DDPM on CIFAR-10 6.1)
    let guided = GuidedUnetConfig::imagenet_256_unconditional();
    within("GDM", guided.summary().unwrap(), 1120.0);
    let latent = LatentUnetConfig::cin256_v2();
    within("LDM", latent.summary().unwrap(), 103.6);
    let ddim = DdimUnetConfig::cifar10();
    within("DDIM", ddim.summary().unwrap(), 6.1);
}
