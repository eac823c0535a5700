//! Transformed weights of networks that do not learn, kept from one call to the next.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

#[cfg(target_arch = "x86_64")]
use crate::bf16::Packed;
use crate::winograd::{Tile, Weights};

/// Bytes that all kept weights together may take: four times those of the weights, so enough for a hundred million of them. What
/// does not fit is transformed at each call.
const BUDGET: usize = 1536 << 20;

/// What weights are transformed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// Winograd's weights for the forward pass, or (`turned`) for the input gradient; of weights `rounded` to bfloat16
    /// before.
    Winograd {
        tile: Tile,
        turned: bool,
        rounded: bool,
    },
    /// The bfloat16 weights of matrix tiles.
    #[cfg(target_arch = "x86_64")]
    Tiles,
}

/// A form that weights are kept in.
pub(crate) trait Transformed: Any + Send + Sync {
    /// Memory that it takes.
    fn bytes(&self) -> usize;
}

impl Transformed for Weights {
    fn bytes(&self) -> usize {
        self.bytes()
    }
}

#[cfg(target_arch = "x86_64")]
impl Transformed for Packed {
    fn bytes(&self) -> usize {
        self.bytes()
    }
}

/// Which transformation of which values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    address: usize,
    channels: (usize, usize),
    form: Form,
}

/// A transformation, and the tensor that it was made of: as long as it is held here, its storage is neither freed nor
/// written (burn copies shared storage before it writes), so its address stands for its values.
struct Entry {
    source: FloatTensor<Flex>,
    bytes: usize,
    weights: Arc<dyn Any + Send + Sync>,
}

static KEPT: Mutex<Option<HashMap<Key, Entry>>> = Mutex::new(None);

/// What `make` makes of a contiguous `weight` `[out, in, …]`; kept for the next call where there is room.
pub(crate) fn kept<T: Transformed>(
    weight: &FloatTensor<Flex>,
    values: &[f32],
    channels: (usize, usize),
    form: Form,
    make: impl FnOnce() -> T,
) -> Arc<T> {
    let key = Key {
        address: values.as_ptr() as usize,
        channels,
        form,
    };
    {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.get_or_insert_default().get(&key);
        if let Some(Ok(weights)) = known.map(|entry| entry.weights.clone().downcast::<T>()) {
            return weights;
        }
    }
    // Not under the lock: the work runs on all threads, and one of them may be waiting for it.
    let weights = Arc::new(make());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = kept.get_or_insert_default();
    // A network that is gone leaves its tensors to this map alone.
    kept.retain(|_, entry| !entry.source.is_unique());
    let taken: usize = kept.values().map(|entry| entry.bytes).sum();
    let bytes = weights.bytes();
    if taken + bytes <= BUDGET {
        let entry = Entry {
            source: weight.clone(),
            bytes,
            weights: weights.clone(),
        };
        kept.insert(key, entry);
    }
    weights
}
