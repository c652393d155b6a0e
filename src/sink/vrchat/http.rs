//! As much HTTP as OSCQuery needs: short answers to anybody, short questions to VRChat.

use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::clock::MonoTime;

/// A request's head; VRChat's has some 100 bytes.
const HEAD_BYTES_MAX: usize = 4096;
const HEADERS_MAX: usize = 32;
/// An avatar's tree has up to some hundred kilobytes.
const TREE_BYTES_MAX: u64 = 4 << 20;
/// How long whoever asks us may take for the question, and for the answer.
const CLIENT_PATIENCE: Duration = Duration::from_millis(500);
const SERVER_PATIENCE: Duration = Duration::from_secs(3);

/// What we tell of ourselves.
pub(super) struct Page {
    host_info: String,
    tree: Value,
}

impl Page {
    pub fn new(name: &str, osc: SocketAddr) -> Self {
        let change = json!({ "FULL_PATH": "/avatar/change", "ACCESS": 2, "TYPE": "s", "DESCRIPTION": "the avatar's id" });
        let avatar = json!({ "FULL_PATH": "/avatar", "ACCESS": 0, "CONTENTS": { "change": change } });
        let host_info = json!({
            "NAME": name, "OSC_IP": osc.ip().to_string(), "OSC_PORT": osc.port(), "OSC_TRANSPORT": "UDP",
            "EXTENSIONS": { "ACCESS": true, "TYPE": true, "VALUE": false },
        });
        let tree = json!({ "FULL_PATH": "/", "ACCESS": 0, "DESCRIPTION": "facetrackd", "CONTENTS": { "avatar": avatar } });
        Self { host_info: host_info.to_string(), tree }
    }

    /// Reads one request and answers it.
    ///
    /// # Errors
    /// The other side was too slow, too verbose, or gone.
    pub fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(CLIENT_PATIENCE))?;
        let until = MonoTime::now() + CLIENT_PATIENCE;
        let (mut head, mut length) = ([0; HEAD_BYTES_MAX], 0);
        let (status, body) = loop {
            let left = until.since(MonoTime::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            stream.set_read_timeout(Some(left))?;
            let n = stream.read(&mut head[length..])?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            length += n;
            match request(&head[..length]) {
                Request::Unfinished if length < head.len() => {}
                Request::Unfinished => break ("431 Request Header Fields Too Large", None),
                Request::Bad => break ("400 Bad Request", None),
                Request::NotGet => break ("405 Method Not Allowed", None),
                Request::Get(target) => match self.body(target) {
                    Some(body) => break ("200 OK", Some(body)),
                    None => break ("404 Not Found", None),
                },
            }
        };
        let body = body.unwrap_or_default();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes())
    }

    fn body(&self, target: &str) -> Option<String> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if query.split('&').any(|q| q == "HOST_INFO") {
            return Some(self.host_info.clone());
        }
        let mut node = &self.tree;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            node = node.get("CONTENTS")?.get(part)?;
        }
        Some(node.to_string())
    }
}

#[derive(Debug, PartialEq)]
enum Request<'a> {
    Unfinished,
    Bad,
    NotGet,
    Get(&'a str),
}

fn request(head: &[u8]) -> Request<'_> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Partial) => Request::Unfinished,
        Err(_) => Request::Bad,
        Ok(httparse::Status::Complete(_)) => match (request.method, request.path) {
            (Some("GET"), Some(path)) => Request::Get(path),
            _ => Request::NotGet,
        },
    }
}

/// Reads a request and finds its answer, for the fuzzer.
pub(super) fn try_request(head: &[u8]) {
    let page = Page::new("facetrackd-1", SocketAddr::from(([127, 0, 0, 1], 1)));
    if let Request::Get(target) = request(head)
        && let Some(body) = page.body(target)
    {
        assert!(body.starts_with('{'));
    }
}

/// Asks without a proxy, without following anybody elsewhere, and not for long.
pub(super) fn client() -> ureq::Agent {
    ureq::Agent::config_builder()
        .proxy(None)
        .max_redirects(0)
        .timeout_global(Some(SERVER_PATIENCE))
        .max_response_header_size(HEAD_BYTES_MAX)
        .build()
        .into()
}

/// The body of what `server` has at `target`.
pub(super) fn get(client: &ureq::Agent, server: SocketAddr, target: &str) -> Result<Vec<u8>, ureq::Error> {
    let mut response = client.get(format!("http://{server}{target}")).call()?;
    response.body_mut().with_config().limit(TREE_BYTES_MAX).read_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// What is answered to these bytes.
    fn answered(request: &[u8]) -> io::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.write_all(request)?;
        let page = Page::new("facetrackd-1", "127.0.0.1:9999".parse().unwrap());
        page.answer(listener.accept().unwrap().0)?;
        let mut answer = Vec::new();
        // Bytes that were not read make the end a reset.
        stream.read_to_end(&mut answer).map_or_else(|e| eprintln!("{e}"), |_| ());
        Ok(String::from_utf8(answer).unwrap())
    }

    #[test]
    fn the_tree_has_a_writable_avatar_change() {
        for target in ["/", "/avatar", "/avatar/change"] {
            let answer = answered(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(answer.contains("\"FULL_PATH\":\"/avatar/change\""), "{answer}");
        }
        let info = answered(b"GET /?HOST_INFO HTTP/1.1\r\n\r\n").unwrap();
        assert!(info.contains("\"OSC_PORT\":9999"), "{info}");
    }

    #[test]
    fn what_is_no_sound_request_is_refused() {
        for (request, status) in [
            (&b"GET /avatar/parameters HTTP/1.1\r\n\r\n"[..], "404"),
            (b"POST / HTTP/1.1\r\n\r\n", "405"),
            (b"\x16\x03\x01\x02\r\n\r\n", "400"),
            (b"GET /../../etc/passwd HTTP/1.1\r\n\r\n", "404"),
        ] {
            let answer = answered(request).unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        }
        let endless = [&b"GET / HTTP/1.1\r\nX: "[..], &vec![b'x'; 20_000]].concat();
        assert!(answered(&endless).unwrap().starts_with("HTTP/1.1 431"));
    }

    #[test]
    fn whoever_says_nothing_is_not_waited_for() {
        assert!(answered(b"GET / HT").is_err());
    }
}
