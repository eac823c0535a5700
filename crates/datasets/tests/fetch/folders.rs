//! Data folders, the cache, and several fetches at once.

use std::fs;
use std::path::Path;
use std::time::Duration;

use diffguard_datasets::fetch::{DataDirs, Presence, Settings, Silent};
use diffguard_datasets::hash::sha256_hex;
use diffguard_datasets::manifest::Manifest;

use crate::server::{Server, ranged, status};
use crate::world::{World, body, served, url};

#[test]
fn offline_names_the_command() {
    let server = Server::new(|_, _| status("404 Not Found"));
    let world = World::new(&[url(&server, &body())]);
    let settings = Settings {
        offline: true,
        ..world.settings()
    };
    let text = world
        .ensure_with(settings, &Silent)
        .unwrap_err()
        .to_string();
    assert!(text.contains("cargo xtask fetch set"), "{text}");
    assert!(server.requests().is_empty());
}

#[test]
fn a_data_folder_comes_first_and_is_never_written() {
    let (server, body) = served("\"1\"");
    let world = World::new(&[url(&server, &body)]);
    let data = world.dir.path().join("data");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("file"), &body).unwrap();
    let found = world.ensure(&Silent).unwrap();
    assert_eq!(found[0].paths, [data.join("file")]);
    assert!(server.requests().is_empty());

    let mut wrong = body.clone();
    wrong[3] ^= 1;
    fs::write(data.join("file"), &wrong).unwrap();
    let Presence::Damaged { path, problem } = world.presence() else {
        panic!("not noticed");
    };
    assert_eq!(path, data.join("file"));
    assert!(problem.contains("md5"), "{problem}");
    let found = world.ensure(&Silent).unwrap();
    assert_eq!(found[0].paths, [world.cached("file")]);
    assert_eq!(fs::read(data.join("file")).unwrap(), wrong);
}

#[test]
fn a_damaged_file_in_the_cache_is_replaced() {
    let (server, body) = served("\"1\"");
    let world = World::new(&[url(&server, &body)]);
    world.ensure(&Silent).unwrap();
    fs::write(world.cached("file"), &body[..1000]).unwrap();
    assert!(matches!(world.presence(), Presence::Damaged { .. }));
    let offline = Settings {
        offline: true,
        ..world.settings()
    };
    let text = world.ensure_with(offline, &Silent).unwrap_err().to_string();
    assert!(
        text.contains("set (damaged: ") && text.contains("1000 bytes where 300000"),
        "{text}"
    );
    world.ensure(&Silent).unwrap();
    world.assert_only("file", &body);
}

#[test]
fn parts_come_side_by_side_and_only_the_missing_ones() {
    let (server, body) = served("\"1\"");
    let part = |name: &str| {
        format!(
            "url = '{}/{name}'\nsha256 = '{}'\nbytes = 'unknown'\npart = '{name}'",
            server.base,
            sha256_hex(&body)
        )
    };
    let world = World::new(&[part("a"), part("b"), part("c")]);
    let data = world.dir.path().join("data/set");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("b"), &body).unwrap();
    assert_eq!(world.presence(), Presence::Incomplete { have: 1, need: 3 });
    let found = world.ensure(&Silent).unwrap();
    let wanted = [world.cached("a"), data.join("b"), world.cached("c")];
    assert_eq!(found[0].paths, wanted);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn two_fetches_at_once_transfer_once() {
    let body = body();
    let served = body.clone();
    let server = Server::new(move |request, _| {
        std::thread::sleep(Duration::from_millis(150));
        ranged(request, &served, "\"1\"")
    });
    let world = World::new(&[url(&server, &body)]);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| world.ensure(&Silent).unwrap());
        }
    });
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn what_is_not_free_says_what_to_put_where() {
    let world = World::new(&[
        "by_hand = 'folder/file.tar'\nunverified = true\nbytes = 'unknown'".into(),
        "google_drive = 'x'\nfile = 'y'\nunverified = true\nbytes = 'unknown'".into(),
    ]);
    let text = world.ensure(&Silent).unwrap_err().to_string();
    assert!(text.contains("as folder/file.tar"), "{text}");
    let path = world.dir.path().join("data/folder/file.tar");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, b"x").unwrap();
    assert_eq!(world.ensure(&Silent).unwrap()[0].paths, [path]);
}

#[test]
fn a_folder_of_the_archive_alone_is_not_the_unpacked_set() {
    let world = World::new(&[
        "by_hand = 'set/set.tar'\nmd5 = '900150983cd24fb0d6963f7d28e17f72'\nbytes = 3\nunpacked = ['set']".into(),
    ]);
    let folder = world.dir.path().join("data/set");
    fs::create_dir_all(&folder).unwrap();
    for left in [".lock", "set.tar.part", "set.tar.part.json"] {
        fs::write(folder.join(left), "x").unwrap();
        assert_eq!(world.presence(), Presence::Missing, "{left}");
    }
    fs::write(folder.join("set.tar"), "other").unwrap();
    assert!(matches!(world.presence(), Presence::Damaged { .. }));
    let text = world.ensure(&Silent).unwrap_err().to_string();
    assert!(
        text.contains("damaged: ") && text.contains("as set/set.tar"),
        "{text}"
    );
    fs::write(folder.join("1.jpg"), "x").unwrap();
    assert!(matches!(world.presence(), Presence::Present(found) if found.unpacked));
}

#[test]
fn a_file_that_may_be_another_sets_is_not_damaged() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let manifest = Manifest::read(&root.join("datasets.toml")).unwrap();
    let (data, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dirs = DataDirs {
        data: vec![data.path().into()],
        cache: cache.path().into(),
    };
    let presence = || dirs.presence(&manifest.item("mnist").unwrap()).unwrap();
    // Fashion-MNIST's files have the names of MNIST's.
    let name = "train-images-idx3-ubyte.gz";
    fs::write(data.path().join(name), "neither of them").unwrap();
    assert_eq!(presence(), Presence::Missing);
    fs::create_dir(data.path().join("mnist")).unwrap();
    fs::write(data.path().join("mnist").join(name), "damaged").unwrap();
    assert!(matches!(presence(), Presence::Damaged { .. }));
}
