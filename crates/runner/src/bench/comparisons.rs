//! The comparisons of one work unit, each made once however many guards and references ask for it.

use std::collections::{BTreeMap, HashMap};

use super::Done;
use crate::Result;
use crate::experiment::{Guard, Reference};
use crate::networks::Networks;
use crate::pipeline::Pipeline;
use crate::stages::{Columns, Compared, Synthesis, compare};
use crate::store::Key;

/// What the networks say of a unit's references, and what was compared.
pub(super) struct Comparisons<'a> {
    done: &'a Done,
    networks: &'a Networks,
    pipeline: &'a Pipeline<'a>,
    input: Compared<'a>,
    /// By the name of the reconstruction.
    reconstructed: BTreeMap<String, Compared<'a>>,
    /// By the comparison's key.
    known: HashMap<Key, Columns>,
}

impl<'a> Comparisons<'a> {
    /// Of a unit whose references are made.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub fn of(done: &'a Done, networks: &'a Networks, pipeline: &'a Pipeline<'a>) -> Result<Self> {
        let reconstructed = done.reconstructed.iter().map(|(name, made)| {
            let made = Compared::reconstruction(pipeline, networks, made);
            (name.clone(), made)
        });
        Ok(Self {
            done,
            networks,
            pipeline,
            input: Compared::input(pipeline, networks, &done.unit, &done.observed[0])?,
            reconstructed: reconstructed.collect(),
            known: HashMap::new(),
        })
    }

    /// A guard's synthesis `made` against one of its references; `what` is shown while it is computed.
    ///
    /// # Errors
    /// What the stage meets.
    pub fn columns(
        &mut self,
        what: &str,
        guard: &Guard,
        made: &Synthesis,
        reference: Reference,
    ) -> Result<Columns> {
        let reconstruction = guard.reconstruction().0;
        match reference {
            Reference::Input => self.compare(what, guard, made, None),
            Reference::Reconstruction => self.compare(what, guard, made, Some(&reconstruction)),
            Reference::Contrast => {
                let mut columns = self.compare(what, guard, made, None)?;
                let plain = &self.done.reconstructed[&reconstruction];
                let plain = self.compare(what, guard, plain, None)?;
                for (similarity, values) in &mut columns {
                    let pairs = values.iter_mut().zip(&plain[similarity]);
                    pairs.for_each(|(value, plain)| *value -= plain);
                }
                Ok(columns)
            }
        }
    }

    /// With the input, or a reconstruction by name.
    fn compare(
        &mut self,
        what: &str,
        guard: &Guard,
        made: &Synthesis,
        with: Option<&str>,
    ) -> Result<Columns> {
        let with = match with {
            None => &self.input,
            Some(name) => &self.reconstructed[name],
        };
        let key = with.key_with(self.pipeline, self.networks, made, &guard.similarity);
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let columns = compare(
            self.pipeline,
            what,
            &self.done.unit,
            self.networks,
            with,
            made,
            &guard.similarity,
        )?;
        self.known.insert(key, columns.clone());
        Ok(columns)
    }
}
