//! Names in archives.

use super::NAME_LIMIT;

/// The name with needless parts (`./`, `//`) taken out, or what is wrong with it.
pub(super) fn normalised(raw: &[u8]) -> Result<String, &'static str> {
    if raw.len() > NAME_LIMIT {
        return Err("the name is longer than 1024 bytes");
    }
    let name = std::str::from_utf8(raw).map_err(|_| "the name is not UTF-8")?;
    if name.contains('\0') {
        return Err("the name holds a zero byte");
    }
    if name.contains('\\') {
        return Err("the name holds a backslash");
    }
    let drive = name.as_bytes().get(1) == Some(&b':');
    if name.starts_with('/') || drive {
        return Err("the name is an absolute path");
    }
    let parts: Vec<&str> = name
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return Err("the name leads out of the archive (`..`)");
    }
    if parts.is_empty() {
        return Err("the name is empty");
    }
    Ok(parts.join("/"))
}

/// A name for messages, whatever its bytes are.
pub(super) fn shown(raw: &[u8]) -> String {
    let end = raw.len().min(200);
    raw[..end].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needless_parts_go() {
        assert_eq!(normalised(b"./a//b/./c.png").unwrap(), "a/b/c.png");
        assert_eq!(normalised("möwe.png".as_bytes()).unwrap(), "möwe.png");
        assert_eq!(normalised(b"..a/b..").unwrap(), "..a/b..");
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        let hostile: [&[u8]; 10] = [
            b"/etc/passwd",
            b"../a",
            b"a/../../b",
            b"a/..",
            b"..\\a",
            b"C:/a",
            b"",
            b"./",
            b"a\0b",
            b"\xff",
        ];
        for name in hostile {
            assert!(normalised(name).is_err(), "{name:?}");
        }
        assert!(normalised(&[b'a'; NAME_LIMIT + 1]).is_err());
    }
}
