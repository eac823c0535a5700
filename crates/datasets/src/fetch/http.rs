//! One file over HTTP: goes on where it stopped, notices when nothing comes any more, never trusts a length.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::{Agent, Body};

use super::Patience;
use super::presence::with_suffix;
use super::progress::Progress;
use crate::Error;

/// The most that a file of unknown size may have, bytes: more than any data set here.
pub(super) const SIZE_LIMIT: u64 = 256 << 30;

/// The most of a web page that is read, bytes.
const PAGE_LIMIT: u64 = 1 << 20;

/// The longest wait that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// One file to bring.
pub(super) struct Transfer<'a> {
    pub agent: &'a Agent,
    pub patience: &'a Patience,
    pub progress: &'a dyn Progress,
    /// What progress calls the file.
    pub label: &'a str,
    /// Where it goes until it is whole.
    pub part: &'a Path,
    /// Its published size.
    pub bytes: Option<u64>,
    /// Whether a checksum will tell if pieces of different files were put together.
    pub checked: bool,
}

/// Why a file did not come.
#[derive(Debug)]
pub(super) enum Failure {
    /// The user asked to stop.
    Stopped,
    /// This machine is at fault: no place is better.
    Here(Error),
    /// Not from this place.
    Place(String),
    /// A web page came in place of the file.
    Page(String),
}

/// What ends an attempt.
enum End {
    Failure(Failure),
    /// Worth another attempt, after the time that the server asks for.
    Again(String, Option<Duration>),
    /// Nobody was reached: worth one more attempt, as another place may be better.
    Unreached(String),
}

/// What is known of an unfinished file, beside it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    url: String,
    /// The server's name for this version of the file: a strong ETag or a date.
    version: Option<String>,
}

impl Transfer<'_> {
    /// Brings `url` into the unfinished file, which is all there when this is `Ok`.
    pub(super) fn bring(&self, url: &str) -> Result<(), Failure> {
        let mut failures = 0;
        loop {
            if self.progress.stopped() {
                return Err(Failure::Stopped);
            }
            let before = self.have();
            let mut most = self.patience.retries;
            let (problem, asked) = match self.attempt(url) {
                Ok(()) => return Ok(()),
                Err(End::Failure(failure)) => return Err(failure),
                Err(End::Again(problem, asked)) => (problem, asked),
                Err(End::Unreached(problem)) => {
                    most = most.min(1);
                    (problem, None)
                }
            };
            if self.progress.stopped() {
                return Err(Failure::Stopped);
            }
            // A link that breaks often but gets on is worth staying with.
            failures = if self.have() > before {
                1
            } else {
                failures + 1
            };
            if failures > most {
                return Err(Failure::Place(format!(
                    "{problem} ({failures} times in a row)"
                )));
            }
            let wait = self.patience.pause * 2u32.saturating_pow(failures - 1);
            let wait = asked.unwrap_or(wait).min(LONGEST_WAIT);
            let seconds = wait.as_secs_f32();
            self.progress.note(
                self.label,
                &format!("{problem}; trying again in {seconds:.0} s"),
            );
            self.sleep(wait);
        }
    }

    fn attempt(&self, url: &str) -> Result<(), End> {
        let have = self.resumable(url)?;
        let mut request = self
            .agent
            .get(url)
            .header(header::ACCEPT_ENCODING, "identity");
        if have > 0 {
            request = request.header(header::RANGE, format!("bytes={have}-"));
            let version = self.origin().filter(|origin| origin.url == url);
            if let Some(version) = version.and_then(|origin| origin.version) {
                request = request.header(header::IF_RANGE, version);
            }
        }
        let response = request.call().map_err(|error| match error {
            ureq::Error::Io(error)
                if !matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) =>
            {
                End::Unreached(format!("no connection: {error}"))
            }
            error => self.told(&error, 0),
        })?;
        let offset = self.offset(&response, have)?;
        let length = content_length(response.headers());
        let is_page = content_type(response.headers()).starts_with("text/html");
        if is_page {
            let mut page = Vec::new();
            let read = response.into_body().into_reader().take(PAGE_LIMIT);
            { read }
                .read_to_end(&mut page)
                .map_err(|error| End::Again(error.to_string(), None))?;
            return Err(End::Failure(Failure::Page(
                String::from_utf8_lossy(&page).into_owned(),
            )));
        }
        let total = length.map(|length| length.saturating_add(offset));
        self.acceptable(total)?;
        if offset == 0 {
            self.begin(url, version(response.headers()))?;
        }
        self.progress
            .began(self.label, offset, total.or(self.bytes));
        self.receive(response, offset, total)
    }

    /// How many bytes of the unfinished file can be kept for `url`.
    fn resumable(&self, url: &str) -> Result<u64, End> {
        let have = self.have();
        let known = self
            .origin()
            .is_some_and(|origin| origin.url == url && origin.version.is_some());
        let fits = self.bytes.is_none_or(|bytes| have < bytes);
        if have > 0 && !((known || self.checked) && fits) {
            self.discard()?;
            return Ok(0);
        }
        Ok(have)
    }

    /// At which byte the response begins; the unfinished file then has exactly as many, or is begun anew at 0.
    fn offset(&self, response: &Response<Body>, have: u64) -> Result<u64, End> {
        let status = response.status();
        let range = response
            .headers()
            .get(header::CONTENT_RANGE)
            .and_then(|value| value.to_str().ok());
        match status {
            StatusCode::PARTIAL_CONTENT => {
                let begins = range
                    .and_then(|range| range.strip_prefix("bytes "))
                    .and_then(|range| range.split('-').next()?.trim().parse::<u64>().ok());
                if begins == Some(have) {
                    return Ok(have);
                }
                self.discard()?;
                let problem = format!("the server sent another piece than byte {have} onward");
                Err(End::Again(problem, None))
            }
            StatusCode::OK => {
                if have > 0 {
                    self.progress.note(
                        self.label,
                        "the server cannot go on where it stopped, or its file has changed: from the beginning",
                    );
                    // What is there stays until the answer is seen to be the file.
                }
                Ok(0)
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                self.discard()?;
                let problem = "what was there is longer than the server's file";
                Err(End::Again(problem.into(), None))
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Err(End::Again(told_status(status), retry_after(response)))
            }
            status if status.is_server_error() => {
                Err(End::Again(told_status(status), retry_after(response)))
            }
            status => Err(End::Failure(Failure::Place(told_status(status)))),
        }
    }

    /// Whether the whole file may be as large as the server says.
    fn acceptable(&self, total: Option<u64>) -> Result<(), End> {
        let problem = match (total, self.bytes) {
            (Some(total), Some(bytes)) if total != bytes => {
                format!("its file has {total} bytes where {bytes} are published")
            }
            (Some(total), None) if total > SIZE_LIMIT => {
                format!("its file has {total} bytes; at most {SIZE_LIMIT} are fetched")
            }
            _ => return Ok(()),
        };
        Err(End::Failure(Failure::Place(problem)))
    }

    /// Starts an empty unfinished file, and a note beside it of what it is.
    fn begin(&self, url: &str, version: Option<String>) -> Result<(), End> {
        let origin = Origin {
            url: url.into(),
            version,
        };
        let note = serde_json::to_vec(&origin).unwrap_or_default();
        let path = self.origin_path();
        fs::write(&path, note).map_err(|error| here(&path, "write the file", error))?;
        File::create(self.part)
            .map(|_| ())
            .map_err(|error| here(self.part, "make the file", error))
    }

    fn receive(
        &self,
        response: Response<Body>,
        offset: u64,
        total: Option<u64>,
    ) -> Result<(), End> {
        let mut file = OpenOptions::new()
            .append(true)
            .open(self.part)
            .map_err(|error| here(self.part, "open the file", error))?;
        let limit = self.bytes.unwrap_or(SIZE_LIMIT);
        let mut body = response.into_body().into_reader();
        let mut block = vec![0; 1 << 17];
        let mut have = offset;
        loop {
            if self.progress.stopped() {
                return Err(End::Failure(Failure::Stopped));
            }
            let count = match body.read(&mut block) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(self.told(&ureq::Error::from(error), have));
                }
            };
            have += count as u64;
            if have > limit {
                drop(file);
                self.discard()?;
                let problem = format!("it sent more than {limit} bytes");
                return Err(End::Failure(Failure::Place(problem)));
            }
            file.write_all(&block[..count])
                .map_err(|error| here(self.part, "write the file", error))?;
            self.progress.reached(self.label, have);
        }
        let wanted = total.or(self.bytes);
        if let Some(wanted) = wanted.filter(|&wanted| wanted != have) {
            let problem = format!("it ended after {have} of {wanted} bytes");
            return Err(End::Again(problem, None));
        }
        file.sync_all()
            .map_err(|error| here(self.part, "write the file", error))
    }

    /// What a failed request means.
    fn told(&self, error: &ureq::Error, have: u64) -> End {
        let stall = self.patience.stall.as_secs_f32();
        let after = match have {
            0 => String::new(),
            have => format!(" after {have} bytes"),
        };
        match error {
            ureq::Error::Timeout(_) => {
                End::Again(format!("it did not answer for {stall:.0} s{after}"), None)
            }
            ureq::Error::Io(error)
                if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) =>
            {
                End::Again(format!("nothing came for {stall:.0} s{after}"), None)
            }
            ureq::Error::HostNotFound => {
                End::Failure(Failure::Place("its host name cannot be found".into()))
            }
            ureq::Error::BadUri(_)
            | ureq::Error::TooManyRedirects
            | ureq::Error::RedirectFailed => End::Failure(Failure::Place(error.to_string())),
            ureq::Error::Io(_) | ureq::Error::ConnectionFailed | ureq::Error::Protocol(_) => {
                End::Again(format!("the connection failed{after}: {error}"), None)
            }
            error => End::Failure(Failure::Place(error.to_string())),
        }
    }

    /// Bytes of the unfinished file.
    fn have(&self) -> u64 {
        fs::metadata(self.part).map_or(0, |metadata| metadata.len())
    }

    fn origin_path(&self) -> PathBuf {
        with_suffix(self.part, ".json")
    }

    fn origin(&self) -> Option<Origin> {
        serde_json::from_slice(&fs::read(self.origin_path()).ok()?).ok()
    }

    fn discard(&self) -> Result<(), End> {
        discard(self.part).map_err(|error| End::Failure(Failure::Here(error)))
    }

    /// Waits, but not when the user wants to stop.
    fn sleep(&self, wait: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < wait && !self.progress.stopped() {
            std::thread::sleep(Duration::from_millis(50).min(wait));
        }
    }
}

/// Removes an unfinished file and the note beside it.
pub(super) fn discard(part: &Path) -> crate::Result<()> {
    for path in [part.to_path_buf(), with_suffix(part, ".json")] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::io(&path, "remove the file")(error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn here(path: &Path, action: &'static str, error: std::io::Error) -> End {
    let error = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::Full {
            path: path.to_path_buf(),
        },
        _ => Error::io(path, action)(error),
    };
    End::Failure(Failure::Here(error))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn content_type(headers: &HeaderMap) -> String {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_ascii_lowercase()
}

/// What `If-Range` may be given: a strong ETag, else the date.
fn version(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    text(header::ETAG)
        .filter(|tag| !tag.starts_with("W/"))
        .or_else(|| text(header::LAST_MODIFIED))
        .map(str::to_owned)
}

fn retry_after(response: &Response<Body>) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?;
    value.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

fn told_status(status: StatusCode) -> String {
    format!("it answers {status}")
}
