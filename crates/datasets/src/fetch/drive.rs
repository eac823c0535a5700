//! Files of Google Drive. Large ones come behind a page that asks whether to go on unscanned; popular ones behind a
//! page that says that their quota is used up.

use super::http::{Failure, Transfer};

/// Where files are given out.
pub(super) const HOST: &str = "https://drive.usercontent.google.com";

/// Brings the file with this id.
pub(super) fn bring(transfer: &Transfer<'_>, host: &str, id: &str) -> Result<(), Failure> {
    let url = format!("{host}/download?id={id}&export=download&confirm=t");
    let page = match transfer.bring(&url) {
        Err(Failure::Page(page)) => page,
        other => return other,
    };
    let Some(url) = confirmation(&page, host) else {
        return Err(Failure::Place(refusal(&page)));
    };
    match transfer.bring(&url) {
        Err(Failure::Page(page)) => Err(Failure::Place(refusal(&page))),
        other => other,
    }
}

/// The address behind the form of the page that asks whether to go on; only on the same host.
fn confirmation(page: &str, host: &str) -> Option<String> {
    let form = &page[page.find("id=\"download-form\"")?..];
    let form = &form[..form.find("</form>").unwrap_or(form.len())];
    let action = attribute(form, "action")?;
    let path = action.strip_prefix(host)?;
    if !path.starts_with('/') {
        return None;
    }
    let mut url = format!("{action}{}", if path.contains('?') { '&' } else { '?' });
    for input in form.split("<input").skip(1) {
        let input = &input[..input.find('>').unwrap_or(input.len())];
        if let (Some(name), Some(value)) = (attribute(input, "name"), attribute(input, "value")) {
            url += &format!("{}={}&", escaped(&name), escaped(&value));
        }
    }
    url.pop();
    Some(url)
}

/// Why there is a page and no file.
fn refusal(page: &str) -> String {
    let lower = page.to_lowercase();
    let quota = ["quota exceeded", "too many users have viewed or downloaded"];
    let denied = ["you need access", "sign in", "request access"];
    if quota.iter().any(|words| lower.contains(words)) {
        "Google Drive says that too many people fetched this file lately (its quota is used up); try again in a day, \
         or get it by a browser while signed in"
            .into()
    } else if denied.iter().any(|words| lower.contains(words)) {
        "Google Drive does not give this file to people who are not signed in".into()
    } else {
        "Google Drive shows a page and gives no file".into()
    }
}

/// The value of an attribute in a piece of HTML.
fn attribute(html: &str, name: &str) -> Option<String> {
    let start = format!("{name}=\"");
    let rest = &html[html.find(&start)? + start.len()..];
    Some(rest[..rest.find('"')?].replace("&amp;", "&"))
}

/// A value in a query.
fn escaped(text: &str) -> String {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| match safe(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"<form id="download-form" action="https://h/download" method="get">
        <input type="submit" id="x" value="Download anyway"/><input type="hidden" name="id" value="a b">
        <input type="hidden" name="uuid" value="1-2"></form><input name="z" value="z">"#;

    #[test]
    fn the_form_is_followed_on_its_own_host_alone() {
        assert_eq!(
            confirmation(PAGE, "https://h").unwrap(),
            "https://h/download?id=a%20b&uuid=1-2"
        );
        assert_eq!(confirmation(PAGE, "https://other"), None);
        let elsewhere = PAGE.replace("https://h/", "https://h.evil/");
        assert_eq!(confirmation(&elsewhere, "https://h"), None);
        assert_eq!(confirmation("<html>", "https://h"), None);
    }

    #[test]
    fn a_used_up_quota_is_called_so() {
        assert!(refusal("<title>Google Drive - Quota exceeded</title>").contains("quota"));
        assert!(refusal("Sorry").contains("no file"));
    }
}
