//! An HTTP server on loopback whose answers a test decides.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// Path and query.
    pub path: String,
    /// The first byte of `Range: bytes=N-`.
    pub from: Option<usize>,
    /// `If-Range`.
    pub if_range: Option<String>,
}

/// What the server does.
pub enum Answer {
    /// A head (status line and headers, lines ended by `\n`) and a body, then the end.
    Send(String, Vec<u8>),
    /// The same, and then silence.
    Stall(String, Vec<u8>),
}

impl Answer {
    /// The beginning of the body alone; after it the end, or silence.
    pub fn cut(self, bytes: usize, silence: bool) -> Self {
        let (Self::Send(head, mut body) | Self::Stall(head, mut body)) = self;
        body.truncate(bytes);
        match silence {
            true => Self::Stall(head, body),
            false => Self::Send(head, body),
        }
    }
}

pub struct Server {
    pub base: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// `answer` is asked with every request and its number, counted from 0.
    pub fn new(answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (seen, answer) = (requests.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, answer) = (seen.clone(), answer.clone());
                std::thread::spawn(move || serve(stream.unwrap(), &seen, &*answer));
            }
        });
        Self { base, requests }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<Request>>,
    answer: &dyn Fn(&Request, usize) -> Answer,
) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(first)) = lines.next() else {
        return;
    };
    let mut request = Request {
        path: first.split(' ').nth(1).unwrap_or_default().to_owned(),
        from: None,
        if_range: None,
    };
    while let Some(Ok(line)) = lines.next() {
        let Some((name, value)) = line.split_once(": ") else {
            break;
        };
        match name.to_lowercase().as_str() {
            "range" => {
                let from = value.trim_start_matches("bytes=").trim_end_matches('-');
                request.from = Some(from.parse().unwrap());
            }
            "if-range" => request.if_range = Some(value.to_owned()),
            _ => {}
        }
    }
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(request.clone());
        seen.len() - 1
    };
    let (head, body, stall) = match answer(&request, number) {
        Answer::Send(head, body) => (head, body, false),
        Answer::Stall(head, body) => (head, body, true),
    };
    let head = format!(
        "{}\r\nConnection: close\r\n\r\n",
        head.replace('\n', "\r\n")
    );
    // A client that has given up is no fault of the test.
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(&body);
    let _ = stream.flush();
    if stall {
        std::thread::sleep(Duration::from_secs(20));
    }
}

/// The whole file, or what a range asks for if its version is `etag`.
pub fn ranged(request: &Request, body: &[u8], etag: &str) -> Answer {
    let same = request
        .if_range
        .as_deref()
        .is_none_or(|wanted| wanted == etag);
    match request.from.filter(|_| same) {
        Some(from) => Answer::Send(
            format!(
                "HTTP/1.1 206 Partial Content\nETag: {etag}\nContent-Length: {}\nContent-Range: bytes {from}-{}/{}",
                body.len() - from,
                body.len() - 1,
                body.len()
            ),
            body[from..].to_vec(),
        ),
        None => whole(body, etag),
    }
}

/// The whole file.
pub fn whole(body: &[u8], etag: &str) -> Answer {
    Answer::Send(
        format!(
            "HTTP/1.1 200 OK\nETag: {etag}\nContent-Length: {}",
            body.len()
        ),
        body.to_vec(),
    )
}

/// Nothing but a status.
pub fn status(line: &str) -> Answer {
    Answer::Send(format!("HTTP/1.1 {line}\nContent-Length: 0"), Vec::new())
}

/// A page in place of a file.
pub fn web_page(html: &str) -> Answer {
    Answer::Send(
        format!(
            "HTTP/1.1 200 OK\nContent-Type: text/html; charset=utf-8\nContent-Length: {}",
            html.len()
        ),
        html.into(),
    )
}
