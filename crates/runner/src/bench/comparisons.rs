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
    /// By the name of the reconstruction; one a draw, where images are noised.
    reconstructed: BTreeMap<String, Vec<Compared<'a>>>,
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
            let made = made.iter();
            let made = made.map(|made| Compared::reconstruction(pipeline, networks, made));
            (name.clone(), made.collect())
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

    /// A guard's syntheses `made`, one a draw, against one of its references: the means over the draws; `what` is shown while it
    /// is computed.
    ///
    /// # Errors
    /// What the stage meets.
    pub fn columns(
        &mut self,
        what: &str,
        guard: &Guard,
        made: &[Synthesis],
        reference: Reference,
    ) -> Result<Columns> {
        let mut means = Columns::new();
        for (draw, made) in made.iter().enumerate() {
            for (similarity, values) in self.of_draw(what, guard, (draw, made), reference)? {
                let mean = means
                    .entry(similarity)
                    .or_insert_with(|| vec![0.0; values.len()]);
                let pairs = mean.iter_mut().zip(values);
                pairs.for_each(|(mean, value)| *mean += value);
            }
        }
        for value in means.values_mut().flatten() {
            *value /= made.len() as f64;
        }
        Ok(means)
    }

    fn of_draw(
        &mut self,
        what: &str,
        guard: &Guard,
        (draw, made): (usize, &Synthesis),
        reference: Reference,
    ) -> Result<Columns> {
        let reconstruction = guard.reconstruction().0;
        match reference {
            Reference::Input => self.compare(what, guard, made, None),
            Reference::Reconstruction => {
                self.compare(what, guard, made, Some((&reconstruction, draw)))
            }
            Reference::Contrast => {
                let mut columns = self.compare(what, guard, made, None)?;
                let plain = &self.done.reconstructed[&reconstruction][draw];
                let plain = self.compare(what, guard, plain, None)?;
                for (similarity, values) in &mut columns {
                    let pairs = values.iter_mut().zip(&plain[similarity]);
                    pairs.for_each(|(value, plain)| *value -= plain);
                }
                Ok(columns)
            }
        }
    }

    /// With the input, or the reconstruction of a name and a draw.
    fn compare(
        &mut self,
        what: &str,
        guard: &Guard,
        made: &Synthesis,
        with: Option<(&str, usize)>,
    ) -> Result<Columns> {
        let with = match with {
            None => &self.input,
            Some((name, draw)) => &self.reconstructed[name][draw],
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
