//! Fetching from a server on loopback that breaks in every way that servers break.

mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use diffguard_datasets::fetch::{
    DataDirs, Fetcher, Found, Patience, Presence, Progress, Settings, Silent,
};
use diffguard_datasets::hash::{md5_hex, sha256_hex};
use diffguard_datasets::manifest::Manifest;
use diffguard_datasets::{Error, Result};
use server::{Answer, Server, ranged, status, web_page, whole};

/// A cache, a data folder and a manifest.
struct World {
    dir: tempfile::TempDir,
    manifest: Manifest,
    dirs: DataDirs,
}

impl World {
    /// One data set `set` with these archives, each the keys of its table but `layout` and `holds`.
    fn new(archives: &[String]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut text = "checkpoint = []\n[[dataset]]\nname = 'set'\nrole = 'r'\nwhat = 'w'\npreprocessing = 'p'\n\
                        licence = 'MIT'\ncitation = 'c'\n"
            .to_owned();
        for archive in archives {
            text += &format!("[[dataset.archive]]\nlayout = 'l'\nholds = 'other'\n{archive}\n");
        }
        let path = dir.path().join("datasets.toml");
        fs::write(&path, text).unwrap();
        Self {
            manifest: Manifest::read(&path).unwrap(),
            dirs: DataDirs {
                data: vec![dir.path().join("data")],
                cache: dir.path().join("cache"),
            },
            dir,
        }
    }

    fn settings(&self) -> Settings {
        Settings {
            patience: Patience {
                connect: Duration::from_secs(5),
                stall: Duration::from_millis(300),
                pause: Duration::from_millis(5),
                retries: 2,
            },
            ..Settings::default()
        }
    }

    fn ensure(&self, progress: &dyn Progress) -> Result<Vec<Found>> {
        self.ensure_with(self.settings(), progress)
    }

    fn ensure_with(&self, settings: Settings, progress: &dyn Progress) -> Result<Vec<Found>> {
        Fetcher::new(&self.manifest, &self.dirs, settings).ensure(&["set"], progress)
    }

    fn presence(&self) -> Presence {
        Fetcher::new(&self.manifest, &self.dirs, self.settings())
            .presence("set")
            .unwrap()
    }

    fn cached(&self, file: &str) -> PathBuf {
        self.dirs.cache.join("set").join(file)
    }

    /// Leaves the beginning of a fetch behind.
    fn begun(&self, file: &str, bytes: &[u8], url: &str, version: &str) {
        fs::create_dir_all(self.dirs.cache.join("set")).unwrap();
        fs::write(self.cached(&format!("{file}.part")), bytes).unwrap();
        let origin = format!("{{\"url\":{url:?},\"version\":{version:?}}}");
        fs::write(self.cached(&format!("{file}.part.json")), origin).unwrap();
    }

    fn assert_only(&self, file: &str, body: &[u8]) {
        assert!(fs::read(self.cached(file)).unwrap() == body, "other bytes");
        let left: Vec<_> = fs::read_dir(self.dirs.cache.join("set"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name != ".lock" && name != file)
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

/// 300,000 bytes without a pattern that a shift would hide.
fn body() -> Vec<u8> {
    let mut state = 1u32;
    (0..300_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

fn url(server: &Server, body: &[u8]) -> String {
    format!(
        "url = '{}/file'\nmd5 = '{}'\nbytes = {}",
        server.base,
        md5_hex(body),
        body.len()
    )
}

/// Keeps what was said; stops after so many bytes.
#[derive(Default)]
struct Ear {
    notes: Mutex<Vec<String>>,
    stop_at: Option<u64>,
    stop: AtomicBool,
    reached: AtomicU64,
}

impl Progress for Ear {
    fn reached(&self, _: &str, have: u64) {
        self.reached.store(have, Ordering::Relaxed);
        if self.stop_at.is_some_and(|at| have >= at) {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn note(&self, file: &str, text: &str) {
        self.notes.lock().unwrap().push(format!("{file}: {text}"));
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Ear {
    fn heard(&self, words: &str) -> bool {
        self.notes
            .lock()
            .unwrap()
            .iter()
            .any(|note| note.contains(words))
    }
}

#[test]
fn a_whole_file_is_fetched_once() {
    let body = body();
    let served = body.clone();
    let server = Server::new(move |request, _| ranged(request, &served, "\"1\""));
    let world = World::new(&[url(&server, &body)]);
    assert_eq!(world.presence(), Presence::Missing);
    let found = world.ensure(&Silent).unwrap().remove(0);
    assert_eq!(found.paths, [world.cached("file")]);
    assert!(found.verified && !found.unpacked);
    world.assert_only("file", &body);
    world.ensure(&Silent).unwrap();
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn what_was_begun_is_gone_on_with() {
    let body = body();
    let served = body.clone();
    let server = Server::new(move |request, _| ranged(request, &served, "\"1\""));
    let world = World::new(&[url(&server, &body)]);
    let address = format!("{}/file", server.base);
    world.begun("file", &body[..123_456], &address, "\"1\"");
    assert!(matches!(
        world.presence(),
        Presence::Begun { bytes: 123_456, .. }
    ));
    world.ensure(&Silent).unwrap();
    world.assert_only("file", &body);
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].from, Some(123_456));
    assert_eq!(requests[0].if_range.as_deref(), Some("\"1\""));
}

#[test]
fn a_file_that_changed_on_the_server_is_not_patched_together() {
    let body = body();
    let served = body.clone();
    let server = Server::new(move |request, _| ranged(request, &served, "\"2\""));
    let world = World::new(&[format!(
        "url = '{}/file'\nunverified = true\nbytes = 'unknown'",
        server.base
    )]);
    let address = format!("{}/file", server.base);
    world.begun("file", &[7; 1000], &address, "\"1\"");
    let ear = Ear::default();
    let found = world.ensure(&ear).unwrap();
    world.assert_only("file", &body);
    assert!(!found[0].verified);
    assert!(ear.heard("UNVERIFIED") && ear.heard("from the beginning"));
}

#[test]
fn without_version_and_checksum_nothing_is_gone_on_with() {
    let body = body();
    let served = body.clone();
    let server = Server::new(move |request, _| ranged(request, &served, "W/\"1\""));
    let world = World::new(&[format!(
        "url = '{}/file'\nunverified = true\nbytes = 'unknown'",
        server.base
    )]);
    fs::create_dir_all(world.dirs.cache.join("set")).unwrap();
    fs::write(world.cached("file.part"), [7; 1000]).unwrap();
    world.ensure(&Silent).unwrap();
    world.assert_only("file", &body);
    assert_eq!(server.requests()[0].from, None);
}

#[test]
fn a_server_without_ranges_begins_again() {
    let body = body();
    let served = body.clone();
    let server = Server::new(move |_, _| whole(&served, "\"1\""));
    let world = World::new(&[url(&server, &body)]);
    let address = format!("{}/file", server.base);
    world.begun("file", &body[..1000], &address, "\"1\"");
    world.ensure(&Silent).unwrap();
    world.assert_only("file", &body);
}

#[test]
fn a_begun_file_with_wrong_bytes_is_noticed_and_fetched_again() {
    let body = body();
    let served = body.clone();
    let server = Server::new(move |request, _| ranged(request, &served, "\"1\""));
    let world = World::new(&[url(&server, &body)]);
    let address = format!("{}/file", server.base);
    world.begun("file", &[0; 5000], &address, "\"1\"");
    let ear = Ear::default();
    world.ensure(&ear).unwrap();
    world.assert_only("file", &body);
    assert!(ear.heard("once more from the beginning"));
    let from: Vec<_> = server
        .requests()
        .iter()
        .map(|request| request.from)
        .collect();
    assert_eq!(from, [Some(5000), None]);
}

#[test]
fn redirects_keep_the_range() {
    let body = body();
    let served = body.clone();
    let server = Server::new(move |request, _| match request.path.as_str() {
        "/file" => Answer::Send(
            "HTTP/1.1 302 Found\nLocation: /elsewhere\nContent-Length: 0".into(),
            Vec::new(),
        ),
        _ => ranged(request, &served, "\"1\""),
    });
    let world = World::new(&[url(&server, &body)]);
    let address = format!("{}/file", server.base);
    world.begun("file", &body[..77], &address, "\"1\"");
    world.ensure(&Silent).unwrap();
    world.assert_only("file", &body);
    let requests = server.requests();
    assert_eq!(requests[1].path, "/elsewhere");
    assert_eq!(requests[1].from, Some(77));
}

#[test]
fn a_mirror_follows_a_404() {
    let body = body();
    let served = body.clone();
    let gone = Server::new(|_, _| status("404 Not Found"));
    let mirror = Server::new(move |request, _| ranged(request, &served, "\"1\""));
    let world = World::new(&[
        format!("{}\npart = 'a'", url(&gone, &body)),
        format!("{}\npart = 'a'", url(&mirror, &body)),
    ]);
    let ear = Ear::default();
    world.ensure(&ear).unwrap();
    world.assert_only("file", &body);
    assert_eq!(gone.requests().len(), 1, "a 404 is not tried again");
    assert!(ear.heard("404 Not Found"));
}

#[test]
fn where_no_place_has_it_every_place_is_named() {
    let body = body();
    let gone = Server::new(|_, _| status("404 Not Found"));
    let world = World::new(&[
        url(&gone, &body),
        "debian = 'dataset-set'\nunverified = true\nbytes = 'unknown'".into(),
    ]);
    let text = world.ensure(&Silent).unwrap_err().to_string();
    for told in [
        "`set`",
        &gone.base,
        "404",
        "cargo xtask fetch set",
        "sudo apt install dataset-set",
        "put file into",
    ] {
        assert!(text.contains(told), "{told} in {text}");
    }
}

#[test]
fn a_stall_is_noticed_and_gone_on_from() {
    let body = body();
    let served = body.clone();
    let server = Server::new(move |request, number| match number {
        0 => Answer::Stall(
            format!(
                "HTTP/1.1 200 OK\nETag: \"1\"\nContent-Length: {}",
                served.len()
            ),
            served[..200_000].to_vec(),
        ),
        _ => ranged(request, &served, "\"1\""),
    });
    let world = World::new(&[url(&server, &body)]);
    let ear = Ear::default();
    let begun = Instant::now();
    world.ensure(&ear).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
    world.assert_only("file", &body);
    assert_eq!(server.requests()[1].from, Some(200_000));
    assert!(ear.heard("after 200000 bytes"), "{:?}", ear.notes);
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let server = Server::new(|_, _| Answer::Stall(String::new(), Vec::new()));
    let world = World::new(&[url(&server, &body())]);
    let begun = Instant::now();
    let text = world.ensure(&Silent).unwrap_err().to_string();
    assert!(begun.elapsed() < Duration::from_secs(8), "{text}");
    assert!(text.contains("3 times in a row"), "{text}");
}

#[test]
fn a_short_body_is_gone_on_from() {
    let body = body();
    let served = body.clone();
    let server = Server::new(move |request, number| match number {
        0 => Answer::Send(
            format!(
                "HTTP/1.1 200 OK\nETag: \"1\"\nContent-Length: {}",
                served.len()
            ),
            served[..100_000].to_vec(),
        ),
        _ => ranged(request, &served, "\"1\""),
    });
    let world = World::new(&[url(&server, &body)]);
    world.ensure(&Silent).unwrap();
    world.assert_only("file", &body);
    assert_eq!(server.requests()[1].from, Some(100_000));
}

#[test]
fn a_corrupt_body_never_gets_its_name() {
    let body = body();
    let mut wrong = body.clone();
    wrong[150_000] ^= 1;
    let served = body.clone();
    let bad = Server::new(move |_, _| whole(&wrong, "\"1\""));
    let good = Server::new(move |request, _| ranged(request, &served, "\"1\""));
    let alone = World::new(&[url(&bad, &body)]);
    let text = alone.ensure(&Silent).unwrap_err().to_string();
    assert!(text.contains(&md5_hex(&body)), "{text}");
    assert!(!alone.cached("file").exists() && !alone.cached("file.part").exists());
    assert_eq!(bad.requests().len(), 2);
    let world = World::new(&[url(&bad, &body), url(&good, &body)]);
    world.ensure(&Silent).unwrap();
    world.assert_only("file", &body);
}

#[test]
fn a_busy_server_is_asked_again() {
    let body = body();
    let served = body.clone();
    let server = Server::new(move |request, number| match number {
        0 => status("503 Service Unavailable\nRetry-After: 0"),
        1 => status("429 Too Many Requests"),
        _ => ranged(request, &served, "\"1\""),
    });
    let world = World::new(&[url(&server, &body)]);
    world.ensure(&Silent).unwrap();
    world.assert_only("file", &body);
}

#[test]
fn other_lengths_and_web_pages_are_refused_before_they_are_read() {
    let body = body();
    let longer = Server::new(|_, _| whole(&[0; 400_000], "\"1\""));
    let page = Server::new(|_, _| web_page("<html>"));
    let world = World::new(&[url(&longer, &body), url(&page, &body)]);
    let text = world.ensure(&Silent).unwrap_err().to_string();
    assert!(text.contains("400000 bytes where 300000"), "{text}");
    assert!(text.contains("web page"), "{text}");
}

#[test]
fn a_body_without_end_is_cut() {
    let endless = Server::new(|_, _| Answer::Send("HTTP/1.1 200 OK".into(), vec![0; 2_000_000]));
    let world = World::new(&[url(&endless, &body())]);
    let text = world.ensure(&Silent).unwrap_err().to_string();
    assert!(text.contains("more than 300000 bytes"), "{text}");
    assert!(!world.cached("file.part").exists());
}

#[test]
fn a_stop_keeps_what_has_come() {
    let body = body();
    let served = body.clone();
    let server = Server::new(move |request, number| match number {
        0 => Answer::Stall(
            format!(
                "HTTP/1.1 200 OK\nETag: \"1\"\nContent-Length: {}",
                served.len()
            ),
            served[..200_000].to_vec(),
        ),
        _ => ranged(request, &served, "\"1\""),
    });
    let world = World::new(&[url(&server, &body)]);
    let ear = Ear {
        stop_at: Some(150_000),
        ..Ear::default()
    };
    let mut settings = world.settings();
    settings.patience.stall = Duration::from_secs(30);
    let begun = Instant::now();
    assert!(matches!(
        world.ensure_with(settings, &ear),
        Err(Error::Stopped)
    ));
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "waited for the stall"
    );
    let kept = fs::metadata(world.cached("file.part")).unwrap().len();
    assert!(kept >= 150_000);
    world.ensure(&Silent).unwrap();
    world.assert_only("file", &body);
    assert_eq!(server.requests()[1].from, Some(kept as usize));
}

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
    let body = body();
    let served = body.clone();
    let server = Server::new(move |request, _| ranged(request, &served, "\"1\""));
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
    let body = body();
    let served = body.clone();
    let server = Server::new(move |request, _| ranged(request, &served, "\"1\""));
    let world = World::new(&[url(&server, &body)]);
    world.ensure(&Silent).unwrap();
    fs::write(world.cached("file"), &body[..1000]).unwrap();
    assert!(matches!(world.presence(), Presence::Damaged { .. }));
    world.ensure(&Silent).unwrap();
    world.assert_only("file", &body);
}

#[test]
fn parts_come_side_by_side_and_only_the_missing_ones() {
    let body = body();
    let served = body.clone();
    let server = Server::new(move |request, _| ranged(request, &served, "\"1\""));
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

fn drive(world: &World, server: &Server) -> Settings {
    Settings {
        drive: server.base.clone(),
        ..world.settings()
    }
}

const DRIVE: &str = "google_drive = 'the-id'\nfile = 'file'\nunverified = true\nbytes = 'unknown'";

#[test]
fn a_form_that_leads_to_another_host_is_not_followed() {
    let other = Server::new(|_, _| status("404 Not Found"));
    let page = format!(
        "<form id=\"download-form\" action=\"{}/download\"><input name=\"id\" value=\"the-id\"></form>",
        other.base
    );
    let server = Server::new(move |_, _| web_page(&page));
    let world = World::new(&[DRIVE.into()]);
    let text = world
        .ensure_with(drive(&world, &server), &Silent)
        .unwrap_err()
        .to_string();
    assert!(text.contains("gives no file"), "{text}");
    assert!(other.requests().is_empty());
}

#[test]
fn google_drives_form_is_followed() {
    let body = body();
    let served = body.clone();
    // The form names the server's own address, which is known once it runs.
    let address: std::sync::Arc<Mutex<String>> = std::sync::Arc::default();
    let own = address.clone();
    let server = Server::new(move |request, _| {
        if request.path.contains("uuid=1") {
            return ranged(request, &served, "\"1\"");
        }
        let page = format!(
            "<form id=\"download-form\" action=\"{}/download\"><input type=\"hidden\" name=\"id\" value=\"the-id\">\
             <input type=\"hidden\" name=\"uuid\" value=\"1\"></form>",
            own.lock().unwrap()
        );
        web_page(&page)
    });
    *address.lock().unwrap() = server.base.clone();
    let world = World::new(&[DRIVE.into()]);
    world.ensure_with(drive(&world, &server), &Silent).unwrap();
    world.assert_only("file", &body);
    let paths: Vec<_> = server
        .requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert_eq!(
        paths,
        [
            "/download?id=the-id&export=download&confirm=t",
            "/download?id=the-id&uuid=1"
        ]
    );
}

#[test]
fn google_drives_quota_is_called_so() {
    let server =
        Server::new(|_, _| web_page("<html><title>Google Drive - Quota exceeded</title></html>"));
    let world = World::new(&[DRIVE.into()]);
    let text = world
        .ensure_with(drive(&world, &server), &Silent)
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("quota is used up") && text.contains("browser"),
        "{text}"
    );
}

#[cfg(unix)]
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

#[cfg(unix)]
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
