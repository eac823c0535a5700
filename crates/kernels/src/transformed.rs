//! Transformed weights of networks that do not learn, kept from one call to the next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use crate::winograd::{Tile, Weights};

/// Bytes that all kept weights together may take; what does not fit is transformed at each call.
const BUDGET: usize = 256 << 20;

/// Which transformation of which values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    address: usize,
    channels: (usize, usize),
    tile: Tile,
    turned: bool,
}

/// A transformation, and the tensor that it was made of: as long as it is held here, its storage is neither freed nor
/// written (burn copies shared storage before it writes), so its address stands for its values.
struct Entry {
    source: FloatTensor<Flex>,
    weights: Arc<Weights>,
}

static KEPT: Mutex<Option<HashMap<Key, Entry>>> = Mutex::new(None);

/// The transformation of a contiguous `weight` `[out, in, 3, 3]`, for the forward pass or (`turned`) for the input
/// gradient; kept for the next call where there is room.
pub(crate) fn kept(
    weight: &FloatTensor<Flex>,
    values: &[f32],
    channels: (usize, usize),
    tile: Tile,
    turned: bool,
) -> Arc<Weights> {
    let key = Key {
        address: values.as_ptr() as usize,
        channels,
        tile,
        turned,
    };
    {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = kept.get_or_insert_default().get(&key) {
            return entry.weights.clone();
        }
    }
    // Not under the lock: the work runs on all threads, and one of them may be waiting for it.
    let weights = Arc::new(Weights::of(values, channels, tile, turned));
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = kept.get_or_insert_default();
    // A network that is gone leaves its tensors to this map alone.
    kept.retain(|_, entry| !entry.source.is_unique());
    let taken: usize = kept.values().map(|entry| entry.weights.bytes()).sum();
    if taken + weights.bytes() <= BUDGET {
        let entry = Entry {
            source: weight.clone(),
            weights: weights.clone(),
        };
        kept.insert(key, entry);
    }
    weights
}
