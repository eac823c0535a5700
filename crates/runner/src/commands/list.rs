//! `list`: every name that can be used.

use clap::Args;

use crate::{Result, Root, list};

/// Arguments of `list`: none.
#[derive(Debug, Args)]
pub struct List {}

impl List {
    pub(crate) fn run(self) -> Result<()> {
        println!("{}", list::text(&Root::find()?)?);
        Ok(())
    }
}
