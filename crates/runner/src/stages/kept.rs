//! Arrays of finished stages.

use std::borrow::Cow;

use crate::pipeline::Pipeline;
use crate::store::{Array, Key, Output};
use crate::{Error, Result};

/// An array that a stage made: in memory while its work unit is at work, else in the store alone, so that a run holds
/// no more of them than it has units at work.
#[derive(Clone, Debug)]
pub struct Kept {
    stage: &'static str,
    key: Key,
    name: &'static str,
    array: Option<Array>,
}

impl Kept {
    /// The array `name` of a stage's output.
    ///
    /// # Errors
    /// When the output has none.
    pub(super) fn new(
        stage: &'static str,
        key: &Key,
        mut output: Output,
        name: &'static str,
    ) -> Result<Self> {
        output.array(name)?;
        Ok(Self {
            stage,
            key: key.clone(),
            name,
            array: output.arrays.remove(name),
        })
    }

    /// The array, read again where it was let go.
    ///
    /// # Errors
    /// When it is no longer in the store.
    pub fn get(&self, pipeline: &Pipeline) -> Result<Cow<'_, Array>> {
        if let Some(array) = &self.array {
            return Ok(Cow::Borrowed(array));
        }
        let stored = pipeline.store.get(self.stage, &self.key)?;
        let array = stored.and_then(|mut output| output.arrays.remove(self.name));
        array.map(Cow::Owned).ok_or_else(|| {
            Error::Setting(format!(
                "the stored output {} of `{}` went away during the run; run again",
                self.key.as_str(),
                self.stage
            ))
        })
    }

    /// Lets the array go; the store has it.
    pub fn let_go(&mut self) {
        self.array = None;
    }
}
