//! Any bytes from a websocket client, before and after the handshake, end its connection at worst.
//!
//! One server lives through all inputs; each input is a client. A probe afterwards shows that it still serves.
#![no_main]

use facetrackd::clock::MonoTime;
use facetrackd::face::FaceSample;
use facetrackd::sink::{OutputConfig, Sink, WebSocketConfig};
use libfuzzer_sys::fuzz_target;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

const HELLO: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static SERVER: LazyLock<(SocketAddr, Mutex<Sink>)> = LazyLock::new(|| {
    let config = WebSocketConfig { listen: "127.0.0.1:0".into(), clients_max: 256, ..WebSocketConfig::default() };
    let sink = Sink::open(&OutputConfig::WebSocket(config)).expect("a free port");
    (sink.listens_on()[0], Mutex::new(sink))
});

fn connect(hello: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(SERVER.0).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket option");
    stream.write_all(hello).expect("it reads");
    stream
}

fuzz_target!(|bytes: &[u8]| {
    let Some((mode, rest)) = bytes.split_first() else { return };
    let mut stream = connect(if mode & 1 == 0 { b"" } else { HELLO });
    // It may have hung up already.
    drop(stream.write_all(rest));
    drop(stream);
    SERVER.1.lock().expect("one thread").send(&FaceSample::default(), MonoTime::now()).expect("it goes on");
    if mode & 6 == 0 {
        let mut answer = [0; 12];
        connect(HELLO).read_exact(&mut answer).expect("it still answers");
        assert_eq!(&answer, b"HTTP/1.1 101");
    }
});
