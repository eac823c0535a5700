//! What all stages share: the store, the device, the display, the stop signal, and the accounts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use diffguard_guidance::Cost;
use serde::{Deserialize, Serialize};

use crate::parallel;
use crate::progress::Progress;
use crate::store::{Array, Key, Output, Store};
use crate::{Error, Result};

/// What a stage has done in this run.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Account {
    /// Images that were computed.
    pub computed: u64,
    /// Images whose output was stored already.
    pub reused: u64,
    /// Seconds that all of them took when they were computed, in this run or before, summed over the workers.
    pub seconds: f64,
    /// Rows that went through the networks for all of them.
    pub cost: Cost,
}

impl Account {
    /// Images a second, when they were computed.
    pub fn images_per_second(&self) -> f64 {
        (self.computed + self.reused) as f64 / self.seconds.max(1e-9)
    }
}

/// The surroundings of the stages.
pub struct Pipeline<'a> {
    /// Where outputs are stored.
    pub store: Store,
    /// Compute again what is stored.
    pub force: bool,
    /// The device.
    pub device: Device,
    /// Its name, which is part of every key: other devices round otherwise.
    pub device_name: String,
    /// The display.
    pub progress: Progress,
    /// Set from outside to stop between two work units.
    pub stop: &'a AtomicBool,
    /// What each stage has done.
    pub accounts: Mutex<BTreeMap<&'static str, Account>>,
}

impl Pipeline<'_> {
    /// The same device with a store in memory, a silent display and accounts of its own.
    pub fn scratch(&self) -> Self {
        Self {
            store: Store::scratch(),
            force: false,
            device: self.device.clone(),
            device_name: self.device_name.clone(),
            progress: Progress::silent(),
            stop: self.stop,
            accounts: Mutex::default(),
        }
    }

    /// The stored output of a work unit, or the computed one, which is then stored; `what` is said of it on the display.
    ///
    /// # Errors
    /// [`Error::Stopped`] before computing when the user asked for it; what `compute` or the store meet.
    pub fn unit(
        &self,
        stage: &'static str,
        what: &str,
        images: usize,
        key: &Key,
        compute: impl FnOnce() -> Result<Output>,
    ) -> Result<Output> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let stored = match self.force {
            true => None,
            false => self.store.get(stage, key)?,
        };
        let reused = stored.is_some();
        let output = match stored {
            Some(output) => output,
            None => {
                let begun = Instant::now();
                let mut output = compute()?;
                output.seconds = begun.elapsed().as_secs_f64();
                self.store.put(stage, key, &output)?;
                output
            }
        };
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let account = accounts.entry(stage).or_default();
        match reused {
            true => account.reused += images as u64,
            false => account.computed += images as u64,
        }
        account.seconds += output.seconds;
        account.cost += output.cost;
        drop(accounts);
        let seconds = (!reused).then_some(output.seconds);
        self.progress.advance(stage, what, images as u64, seconds);
        Ok(output)
    }

    /// What each stage has done so far.
    pub fn accounts(&self) -> BTreeMap<&'static str, Account> {
        self.accounts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Calls `f` for every item, as many at once as there are threads; the results in the items' order.
    ///
    /// # Errors
    /// The first error in the items' order; no further item is begun after one.
    pub fn each<T: Send, R: Send>(
        &self,
        items: &mut [T],
        f: impl Fn(&mut T) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        parallel::each(items, f)
    }

    /// An array as a tensor on the device.
    pub fn tensor<const D: usize>(&self, array: &Array) -> Tensor<D> {
        tensor(array, &self.device)
    }
}

/// An array as a tensor.
pub fn tensor<const D: usize>(array: &Array, device: &Device) -> Tensor<D> {
    let data = TensorData::new(array.values.clone(), array.shape.clone());
    Tensor::from_data(data, device)
}

/// A tensor as an array.
///
/// # Errors
/// When the device cannot give back its values.
pub fn array<const D: usize>(tensor: Tensor<D>) -> Result<Array> {
    let shape = tensor.dims().to_vec();
    let values = tensor
        .into_data()
        .convert::<f32>()
        .try_into_vec::<f32>()
        .map_err(|error| {
            Error::Setting(format!("the device gave back no f32 values: {error:?}"))
        })?;
    Ok(Array { shape, values })
}
