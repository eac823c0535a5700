//! The golden cases that this crate runs: the transforms of PIL, torchvision and torch.

use diffguard_oracle::{Case, Error, Kind, Produced, Result};

use crate::ImageShape;
use crate::transforms::{
    Antialias, Filter, Normalization, Picture, Preprocess, nearest, nearest_index, normalized,
    resize_planes, resize_shorter_side, shorter_side_to,
};

/// The kinds of golden case of this crate.
pub const KINDS: &[Kind] = &[Kind {
    name: "resize",
    run: resize,
    not_produced: &[],
}];

fn resize(case: &Case) -> Result<Vec<Produced>> {
    match case.text("op")? {
        "pil_resize" | "pil_resize_centercrop" => pil(case),
        "tensor_resize" => tensor(case),
        "nearest" => nearest_positions(case),
        other => Err(case.fault(format!("nothing here runs the operation `{other}`"))),
    }
}

/// [`Preprocess`] as the loader applies it.
fn pil(case: &Case) -> Result<Vec<Produced>> {
    let filter = match case.text("interpolation")? {
        "bilinear" => Filter::Bilinear,
        "bicubic" => Filter::Bicubic,
        other => return Err(case.fault(format!("no filter is called `{other}`"))),
    };
    let input = picture(case, "in.image")?;
    let side = whole(case, "resize")?;
    let resized = resize_shorter_side(&input, side, filter).map_err(Error::method)?;
    let mut produced = vec![Produced::new("out.resized", interleaved(&resized))];
    if !case.has("out.image") {
        return Ok(produced);
    }
    let preprocess = Preprocess {
        resize: side,
        crop: whole(case, "crop")?,
        filter,
    };
    let image = preprocess.apply(&input).map_err(Error::method)?;
    produced.push(Produced::new("out.image", interleaved(&image)));
    if case.has("out.normalized") {
        let normalization = match case.text("norm")? {
            "cifar10" => Normalization::CIFAR10,
            "cifar100" => Normalization::CIFAR100,
            "imagenet" => Normalization::IMAGENET,
            other => return Err(case.fault(format!("no normalisation is called `{other}`"))),
        };
        let values = normalized(&image, &normalization);
        produced.push(Produced::new("out.normalized", values));
    }
    Ok(produced)
}

fn tensor(case: &Case) -> Result<Vec<Produced>> {
    let (shape, input) = case.f32("in.image")?;
    let &[_, _, height, width] = shape else {
        return Err(case.fault("`in.image` must have four axes"));
    };
    let from = (height, width);
    let to = shorter_side_to(height, width, whole(case, "size")?);
    let ways = [
        (Antialias::Off, "out.antialias_false"),
        (Antialias::On, "out.antialias_true"),
    ];
    let resized = |(way, name)| Produced::new(name, resize_planes(input, from, to, way));
    Ok(ways.map(resized).into())
}

fn nearest_positions(case: &Case) -> Result<Vec<Produced>> {
    let out = whole(case, "out")?;
    let sizes = case.indices("in.sizes")?;
    let index: Vec<usize> = sizes
        .iter()
        .flat_map(|&size| nearest_index(size, out))
        .collect();
    let mut produced = vec![Produced::whole("out.index", &index)];
    for pair in case.config["extra"].as_array().into_iter().flatten() {
        let (Some(from), Some(to)) = (pair[0].as_u64(), pair[1].as_u64()) else {
            return Err(case.fault("`extra` must list pairs of sizes"));
        };
        let name = format!("out.index_{from}_to_{to}");
        produced.push(Produced::whole(
            name,
            &nearest_index(from as usize, to as usize),
        ));
    }
    let (shape, image) = case.u8("in.image")?;
    let &[_, height, width] = shape else {
        return Err(case.fault("`in.image` must have three axes"));
    };
    let left = whole(case, "crop_offset_x")?;
    let top = whole(case, "crop_offset_y")?;
    let side = whole(case, "crop_size")?;
    if left + side > width || top + side > height {
        return Err(case.fault("the crop reaches beyond the image"));
    }
    let planes = image.chunks(height * width);
    let rows = planes.flat_map(|plane| plane.chunks(width).skip(top).take(side));
    let cut: Vec<u8> = rows
        .flat_map(|row| &row[left..left + side])
        .copied()
        .collect();
    let crop = nearest(&cut, (side, side), (out, out));
    produced.push(Produced::new("out.crop", crop));
    Ok(produced)
}

/// A tensor `[height, width, channel]` of bytes.
fn picture(case: &Case, name: &str) -> Result<Picture> {
    let (shape, values) = case.u8(name)?;
    let &[height, width, channels] = shape else {
        return Err(case.fault(format!("`{name}` must have three axes")));
    };
    let shape = ImageShape {
        channels,
        height,
        width,
    };
    Picture::from_interleaved(shape, values).map_err(Error::method)
}

/// The values `[height, width, channel]`.
fn interleaved(picture: &Picture) -> Vec<u8> {
    let ImageShape { channels, .. } = picture.shape();
    let pixels = picture.pixels();
    let plane = pixels.len() / channels;
    (0..pixels.len())
        .map(|place| pixels[place % channels * plane + place / channels])
        .collect()
}

fn whole(case: &Case, key: &str) -> Result<usize> {
    let number = case.whole(key)?;
    usize::try_from(number).map_err(|_| case.fault(format!("`{key}` is {number}")))
}
