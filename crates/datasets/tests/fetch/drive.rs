//! Google Drive's pages in place of files.

use std::sync::Mutex;

use diffguard_datasets::fetch::{Settings, Silent};

use crate::server::{Server, ranged, status, web_page};
use crate::world::{World, body};

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
