//! What has come is kept, and gone on with.

use std::fs;
use std::time::{Duration, Instant};

use diffguard_datasets::Error;
use diffguard_datasets::fetch::{Presence, Silent};

use crate::server::{Answer, Server, ranged, web_page, whole};
use crate::world::{Ear, World, body, served, url};

#[test]
fn a_whole_file_is_fetched_once() {
    let (server, body) = served("\"1\"");
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
    let (server, body) = served("\"1\"");
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
    let (server, body) = served("\"2\"");
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
    let (server, body) = served("W/\"1\"");
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
fn an_answer_that_is_no_file_leaves_what_was_begun() {
    let body = body();
    let served = body.clone();
    let server = Server::new(move |request, number| match number {
        0 => web_page("<html>come back tomorrow"),
        _ => ranged(request, &served, "\"1\""),
    });
    let world = World::new(&[url(&server, &body)]);
    let address = format!("{}/file", server.base);
    world.begun("file", &body[..1000], &address, "\"1\"");
    let text = world.ensure(&Silent).unwrap_err().to_string();
    assert!(text.contains("web page"), "{text}");
    assert!(matches!(
        world.presence(),
        Presence::Begun { bytes: 1000, .. }
    ));
    world.ensure(&Silent).unwrap();
    world.assert_only("file", &body);
    assert_eq!(server.requests().last().unwrap().from, Some(1000));
}

#[test]
fn what_came_whole_and_was_not_looked_at_is_not_fetched_again() {
    let (server, body) = served("\"1\"");
    let world = World::new(&[url(&server, &body)]);
    let address = format!("{}/file", server.base);
    world.begun("file", &body, &address, "\"1\"");
    world.ensure(&Silent).unwrap();
    world.assert_only("file", &body);
    assert!(server.requests().is_empty());
    // Of so many other bytes it is.
    let world = World::new(&[url(&server, &body)]);
    world.begun("file", &vec![7; body.len()], &address, "\"1\"");
    world.ensure(&Silent).unwrap();
    world.assert_only("file", &body);
}

#[test]
fn a_begun_file_with_wrong_bytes_is_noticed_and_fetched_again() {
    let (server, body) = served("\"1\"");
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
fn a_stall_is_noticed_and_gone_on_from() {
    let body = body();
    let served = body.clone();
    let server = Server::new(move |request, number| match number {
        0 => whole(&served, "\"1\"").cut(200_000, true),
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
fn a_short_body_is_gone_on_from() {
    let body = body();
    let served = body.clone();
    let server = Server::new(move |request, number| match number {
        0 => whole(&served, "\"1\"").cut(100_000, false),
        _ => ranged(request, &served, "\"1\""),
    });
    let world = World::new(&[url(&server, &body)]);
    world.ensure(&Silent).unwrap();
    world.assert_only("file", &body);
    assert_eq!(server.requests()[1].from, Some(100_000));
}

#[test]
fn a_stop_keeps_what_has_come() {
    let body = body();
    let served = body.clone();
    let server = Server::new(move |request, number| match number {
        0 => whole(&served, "\"1\"").cut(200_000, true),
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
