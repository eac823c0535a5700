//! A similarity by name, as an experiment asks for it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{SIMILARITIES, Similarity};
use crate::Error;

/// The name of one of the [`SIMILARITIES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SimilarityName(&'static str);

impl SimilarityName {
    /// `logits-l1`, the paper's similarity of table 1.
    pub const LOGITS_L1: Self = Self("logits-l1");

    /// The similarity of that name.
    pub fn similarity(self) -> &'static Similarity {
        // A name is only ever made from the list.
        SIMILARITIES
            .iter()
            .find(|s| s.name == self.0)
            .unwrap_or(&SIMILARITIES[0])
    }

    /// The name as it is written.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl FromStr for SimilarityName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(found) = SIMILARITIES.iter().find(|s| s.name == text) {
            return Ok(Self(found.name));
        }
        let names = || SIMILARITIES.iter().map(|s| s.name);
        let nearest = names()
            .min_by_key(|name| strsim::levenshtein(name, text))
            .unwrap_or_default();
        let all: Vec<&str> = names().collect();
        Err(Error::UnknownSimilarity {
            name: text.into(),
            hint: format!("did you mean `{nearest}`? There are: {}", all.join(", ")),
        })
    }
}

impl Serialize for SimilarityName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

// Derived, it would ask for input that lives forever, because of the name.
impl<'de> Deserialize<'de> for SimilarityName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for SimilarityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
