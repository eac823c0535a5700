//! What fetching would mean.

use super::item::Offer;
use super::{Fetcher, Presence};
use crate::Result;
use crate::manifest::{Checksum, Place};

/// What fetching would mean, to be told before it is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Items at hand.
    pub present: Vec<String>,
    /// Items that will be fetched.
    pub fetch: Vec<Planned>,
    /// Items that are not free to download, with what the user has to do.
    pub by_hand: Vec<(String, String)>,
}

/// An item that will be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its name.
    pub name: String,
    /// The size of what is fetched, where known.
    pub bytes: Option<u64>,
    /// Its licence, or `unknown`.
    pub licence: String,
    /// The first place.
    pub place: String,
    /// Whether every file has a published checksum.
    pub checked: bool,
    /// What is there of it: nothing, a part, or something damaged.
    pub at_hand: Presence,
}

impl Fetcher<'_> {
    /// What fetching `names` would mean.
    ///
    /// # Errors
    ///
    /// As [`presence`](Self::presence).
    pub fn plan(&self, names: &[&str]) -> Result<Plan> {
        let mut plan = Plan::default();
        for name in names {
            let item = self.manifest.item(name)?;
            let at_hand = self.dirs.look(&item, &self.verified)?;
            if let Presence::Present(_) = at_hand {
                plan.present.push(item.name.into());
                continue;
            }
            let Some((way, bytes)) = item.free().filter(|_| !item.is_by_hand()) else {
                plan.by_hand
                    .push((item.name.into(), at_hand.before(item.by_hand())));
                continue;
            };
            let checked = |offers: &Vec<Offer<'_>>| *offers[0].checksum != Checksum::Unverified;
            plan.fetch.push(Planned {
                name: item.name.into(),
                bytes,
                licence: item.licence.into(),
                place: way
                    .places()
                    .next()
                    .map(Place::to_string)
                    .unwrap_or_default(),
                checked: way.parts.iter().all(checked),
                at_hand,
            });
        }
        Ok(plan)
    }
}
