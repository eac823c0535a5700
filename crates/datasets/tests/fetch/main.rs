//! Fetching from a server on loopback that breaks in every way that servers break.

mod drive;
mod faults;
mod folders;
#[cfg(unix)]
mod npm;
mod resume;
mod server;
mod world;
