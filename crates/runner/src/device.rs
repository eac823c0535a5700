//! Devices by name, as the command line gives them.

use burn::tensor::Device;
#[cfg(feature = "wgpu")]
use burn::tensor::DeviceType;

use crate::{Error, Result};

/// The names that [`parse`] knows, for help texts.
pub const DEVICES: &str = "cpu (or flex), ndarray, cuda:N, vulkan:N, wgpu:N";

/// The device of a name such as `cpu` or `cuda:0`.
///
/// # Errors
/// For an unknown name, and for a device whose cargo feature this program was built without.
pub fn parse(name: &str) -> Result<Device> {
    let (kind, index) = name.split_once(':').unwrap_or((name, "0"));
    let index: usize = index.parse().map_err(|_| {
        Error::Setting(format!(
            "device `{name}`: `{index}` is not a number; write for example `{kind}:0`"
        ))
    })?;
    match kind {
        "cpu" | "flex" => Ok(Device::flex()),
        "ndarray" => ndarray(),
        "cuda" => cuda(index),
        "vulkan" => vulkan(index),
        "wgpu" => wgpu(index),
        _ => Err(Error::Setting(format!(
            "unknown device `{name}`; there are: {DEVICES}"
        ))),
    }
}

#[allow(dead_code, reason = "used by the devices that are not built in")]
fn not_built_in(kind: &str) -> Result<Device> {
    Err(Error::Setting(format!(
        "this program was built without the device `{kind}`: run `cargo run --release --package xtask --features \
         {kind} -- …` in place of `cargo xtask …`"
    )))
}

#[cfg(feature = "ndarray")]
fn ndarray() -> Result<Device> {
    #[allow(deprecated, reason = "kept for comparison with the faster default")]
    Ok(Device::ndarray())
}
#[cfg(not(feature = "ndarray"))]
fn ndarray() -> Result<Device> {
    not_built_in("ndarray")
}

#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Result<Device> {
    Ok(Device::cuda(index))
}
#[cfg(not(feature = "cuda"))]
fn cuda(_: usize) -> Result<Device> {
    not_built_in("cuda")
}

#[cfg(feature = "vulkan")]
fn vulkan(index: usize) -> Result<Device> {
    adapter("vulkan", DeviceType::Vulkan, index)
}
#[cfg(not(feature = "vulkan"))]
fn vulkan(_: usize) -> Result<Device> {
    not_built_in("vulkan")
}

#[cfg(feature = "wgpu")]
fn wgpu(index: usize) -> Result<Device> {
    adapter("wgpu", DeviceType::Wgpu, index)
}
#[cfg(not(feature = "wgpu"))]
fn wgpu(_: usize) -> Result<Device> {
    not_built_in("wgpu")
}

/// Adapter `index` of one list: discrete graphics cards, then integrated, virtual and software ones. Says on standard
/// error which it is.
#[cfg(feature = "wgpu")]
fn adapter(kind: &str, of: DeviceType, index: usize) -> Result<Device> {
    let mut adapters: Vec<Device> = Device::enumerate(of).into_iter().collect();
    if index >= adapters.len() {
        return Err(Error::Setting(match adapters.len() {
            0 => format!("device `{kind}:{index}`: this machine has no adapter for {kind}"),
            1 => format!("device `{kind}:{index}`: this machine has only `{kind}:0`"),
            count => format!(
                "device `{kind}:{index}`: this machine has `{kind}:0` to `{kind}:{}`",
                count - 1
            ),
        }));
    }
    let device = adapters.swap_remove(index);
    if let Some(identity) = device.identity() {
        eprintln!("{kind}:{index} is {}", identity.name);
    }
    Ok(device)
}
