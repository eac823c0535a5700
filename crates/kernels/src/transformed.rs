//! Transformed weights of networks that do not learn, kept from one call to the next.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

#[cfg(target_arch = "x86_64")]
use crate::bf16::Packed;
use crate::conv2d;
use crate::direct::Plan;
use crate::extension::values;
use crate::winograd::{Tile, Weights};

/// Bytes that all kept weights together may take: four times those of the weights, so enough for a hundred million of them. What
/// does not fit is transformed at each call.
const BUDGET: usize = 1536 << 20;

/// What weights are transformed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Form {
    /// Winograd's weights for the forward pass, or (`turned`) for the input gradient.
    Winograd { tile: Tile, turned: bool },
    /// The sums as they are written, for images of this size; `turned` as above.
    Direct { shape: conv2d::Shape, turned: bool },
    /// The bfloat16 weights of matrix tiles.
    #[cfg(target_arch = "x86_64")]
    Tiles,
}

/// A form that weights are kept in.
trait Transformed: Any + Send + Sync {
    /// Memory that it takes.
    fn bytes(&self) -> usize;
}

impl Transformed for Weights {
    fn bytes(&self) -> usize {
        self.bytes()
    }
}

impl Transformed for Plan {
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
    /// Whether the values were rounded to bfloat16 before.
    rounded: bool,
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

/// The weights `[out, in, …]` of a convolution, contiguous, and whether what they are transformed to is kept.
#[derive(Clone, Copy)]
pub(crate) struct Filters<'a> {
    pub values: &'a [f32],
    /// The tensor that transformations are kept for, where it is not being learnt.
    constant: Option<&'a FloatTensor<Flex>>,
    rounded: bool,
}

impl<'a> Filters<'a> {
    /// Those of a contiguous tensor, whose transformations are kept where it is `constant`.
    pub fn of(weight: &'a FloatTensor<Flex>, constant: bool) -> Self {
        Self {
            values: values(weight),
            constant: constant.then_some(weight),
            rounded: false,
        }
    }

    /// `values` are those of the constant `weight`, rounded to bfloat16.
    pub fn rounded(weight: &'a FloatTensor<Flex>, values: &'a [f32]) -> Self {
        Self {
            values,
            constant: Some(weight),
            rounded: true,
        }
    }

    /// Winograd's weights of a convolution with (in, out) `channels`, or (`turned`) of its input gradient.
    pub fn winograd(self, channels: (usize, usize), tile: Tile, turned: bool) -> Arc<Weights> {
        let make = || Weights::of(self.values, channels, tile, turned);
        self.kept(channels, Form::Winograd { tile, turned }, make)
    }

    /// The sums of a convolution, or (`turned`) of its input gradient.
    pub fn direct(self, shape: &conv2d::Shape, turned: bool) -> Arc<Plan> {
        let shape = conv2d::Shape { batch: 0, ..*shape };
        let make = || match turned {
            false => Plan::forward(&shape, self.values),
            true => Plan::turned(&shape, self.values),
        };
        let channels = (shape.channels_in, shape.channels_out);
        self.kept(channels, Form::Direct { shape, turned }, make)
    }

    /// The bfloat16 weights of matrix tiles.
    #[cfg(target_arch = "x86_64")]
    pub fn tiles(self, channels: (usize, usize)) -> Arc<Packed> {
        let make = || Packed::of(self.values, channels.0, channels.1);
        self.kept(channels, Form::Tiles, make)
    }

    /// What `make` makes; kept for the next call where the weights are constant and there is room.
    fn kept<T: Transformed>(
        self,
        channels: (usize, usize),
        form: Form,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        let Some(weight) = self.constant else {
            return Arc::new(make());
        };
        let key = Key {
            address: values(weight).as_ptr() as usize,
            channels,
            rounded: self.rounded,
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
}
