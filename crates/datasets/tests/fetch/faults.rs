//! Servers that are gone, busy, wrong or endless.

use std::time::{Duration, Instant};

use diffguard_datasets::fetch::Silent;
use diffguard_datasets::hash::md5_hex;

use crate::server::{Answer, Server, ranged, status, web_page, whole};
use crate::world::{Ear, World, body, url};

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
fn a_server_that_never_answers_is_given_up() {
    let server = Server::new(|_, _| Answer::Stall(String::new(), Vec::new()));
    let world = World::new(&[url(&server, &body())]);
    let begun = Instant::now();
    let text = world.ensure(&Silent).unwrap_err().to_string();
    assert!(begun.elapsed() < Duration::from_secs(8), "{text}");
    assert!(text.contains("3 times in a row"), "{text}");
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
