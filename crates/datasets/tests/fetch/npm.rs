//! Packages by the user's npm.

use std::fs;
use std::path::Path;

use diffguard_datasets::fetch::{Settings, Silent};
use diffguard_datasets::hash::sha256_hex;

use crate::world::World;

fn npm(world: &World, script: &str) -> Settings {
    use std::os::unix::fs::PermissionsExt;
    let path = world.dir.path().join("npm");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    Settings {
        npm: path,
        ..world.settings()
    }
}

#[test]
fn npm_packages_come_by_the_users_npm() {
    let package = format!(
        "npm = 'thing@1.2.3'\nsha256 = '{}'\nbytes = 5",
        sha256_hex(b"bytes")
    );
    let world = World::new(std::slice::from_ref(&package));
    // pack --ignore-scripts --loglevel=error --pack-destination DIR thing@1.2.3
    let settings = npm(
        &world,
        "[ \"$6\" = thing@1.2.3 ] || exit 3; printf bytes > \"$5/thing-1.2.3.tgz\"",
    );
    world.ensure_with(settings, &Silent).unwrap();
    world.assert_only("thing-1.2.3.tgz", b"bytes");

    let world = World::new(std::slice::from_ref(&package));
    let settings = npm(&world, "echo 'npm error code E404' >&2; exit 1");
    let text = world
        .ensure_with(settings, &Silent)
        .unwrap_err()
        .to_string();
    assert!(text.contains("E404"), "{text}");

    let settings = Settings {
        npm: Path::new("/no/such/npm").into(),
        ..world.settings()
    };
    let text = world
        .ensure_with(settings, &Silent)
        .unwrap_err()
        .to_string();
    assert!(text.contains("install Node.js"), "{text}");
}
