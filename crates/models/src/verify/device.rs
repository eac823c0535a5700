//! The device on which golden cases run.

use std::sync::OnceLock;

use burn::tensor::Device;

static DEVICE: OnceLock<Device> = OnceLock::new();

/// Makes every golden case of this process run on `device`; without it they run on the CPU. The first call counts.
pub fn run_on(device: Device) {
    DEVICE.get_or_init(|| device);
}

/// The device of the golden cases.
pub fn device() -> Device {
    DEVICE.get().cloned().unwrap_or_else(Device::flex)
}
