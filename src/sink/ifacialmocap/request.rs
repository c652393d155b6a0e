//! What receivers ask of the apps, and the thread that hears it.
//!
//! A receiver sends a known line to the tracker's UDP port; from then on the tracker streams to it: datagrams, or a TCP
//! connection that the tracker opens to the receiver. Whatever else comes in is counted and forgotten.

use super::Format;
use crate::sink::{SinkError, listen};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Where receivers await the TCP connection. The developers' page says 49896 in one place; clients listen on this one.
pub(super) const TCP_PORT: u16 = 49986;

/// The longest request there is has 80 bytes; more only tells a long line from a request it begins with.
const REQUEST_BYTES: usize = 512;

/// How soon the thread sees that it shall end.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long a receiver may take to accept the connection it asked for. Other requests wait meanwhile.
const CONNECT_PATIENCE: Duration = Duration::from_millis(500);

/// Requests that wait for the next frame. More than receivers can be had; what comes beyond is dropped.
const WAITING: usize = 32;

/// What a receiver asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// How the values shall be written.
    pub format: Format,
    /// Over TCP rather than in datagrams.
    pub tcp: bool,
    /// The stream shall end instead.
    pub stop: bool,
}

impl Request {
    /// Understands a datagram; `None` for what is no request. Options that are not known are passed over.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let line = datagram.trim_ascii_end();
        let line = line.strip_suffix(b"\0").unwrap_or(line);
        let mut words = line.split(|b| *b == b'|');
        let (format, tcp, stop) = match words.next()? {
            b"iFacialMocap_sahuasouryya9218sauhuiayeta91555dy3719" => (Format::V1, false, false),
            b"iFacialMocap_UDPTCP_sahuasouryya9218sauhuiayeta91555dy3719" => (Format::V1, true, false),
            b"iFacialMocap_UDPTCPSTOP_sahuasouryya9218sauhuiayeta91555dy3719" => (Format::V1, true, true),
            b"FACEMOTION3D_OtherStreaming" => (Format::Facemotion3d, false, false),
            b"StopStreaming_FACEMOTION3D" => (Format::Facemotion3d, false, true),
            _ => return None,
        };
        let mut request = Self { format, tcp, stop };
        for option in words {
            match option {
                b"sendDataVersion=v2" if format == Format::V1 => request.format = Format::V2,
                b"protocol=tcp" => request.tcp = true,
                _ => {}
            }
        }
        Some(request)
    }
}

/// What the frames' thread learns of a request.
pub(super) enum Event {
    /// Datagrams to this address from now on.
    Datagrams(SocketAddr, Format),
    /// A connection that the receiver accepted; it never blocks.
    Connection(TcpStream, SocketAddr, Format),
    /// Nothing more to this machine.
    Stop(SocketAddr),
}

/// The thread that hears requests; it ends when this is dropped.
pub(super) struct Listener {
    pub socket: UdpSocket,
    pub events: Receiver<Event>,
    ignored: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Takes the port and starts the thread. `reply_port`: the receivers' port that datagrams go to.
    pub fn start(address: &str, default_port: u16, reply_port: Option<u16>) -> Result<Self, SinkError> {
        let failed = |source| SinkError::Listen { address: address.to_owned(), source };
        let (socket, own) = listen::udp(address, default_port)?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        // The frames' thread sends on this socket too, and must not be held up.
        socket.set_write_timeout(Some(Duration::from_millis(1))).map_err(failed)?;
        let (ignored, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (tell, events) = bounded(WAITING);
        let ears = Ears {
            socket: socket.try_clone().map_err(failed)?,
            own,
            reply_port,
            tell,
            ignored: Arc::clone(&ignored),
            stop: Arc::clone(&stop),
        };
        let thread = std::thread::Builder::new().name("ft-ifacialmocap".into());
        let failed = |source| SinkError::Thread { output: "ifacialmocap", source };
        let thread = thread.spawn(move || ears.run()).map_err(failed)?;
        Ok(Self { socket, events, ignored, stop, thread: Some(thread) })
    }

    /// Datagrams that were no request, or could not be answered.
    pub fn ignored(&self) -> u64 {
        self.ignored.load(Ordering::Relaxed)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // The port is free again only when the thread has let it go.
        if self.thread.take().is_some_and(|t| t.join().is_err()) {
            tracing::error!("the thread that hears iFacialMocap's requests panicked");
        }
    }
}

struct Ears {
    socket: UdpSocket,
    own: SocketAddr,
    reply_port: Option<u16>,
    tell: Sender<Event>,
    ignored: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Ears {
    fn run(self) {
        let mut buffer = [0; REQUEST_BYTES];
        while !self.stop.load(Ordering::Relaxed) {
            let (n, from) = match self.socket.recv_from(&mut buffer) {
                Ok(got) => got,
                Err(error) if is_silence(&error) => continue,
                Err(error) => {
                    // Such as an earlier answer that came back as refused. A lasting fault shall not spin.
                    tracing::debug!(%error, "while waiting for a request");
                    std::thread::park_timeout(Duration::from_millis(10));
                    continue;
                }
            };
            let event = Request::parse(&buffer[..n]).and_then(|request| self.event(request, from));
            if event.is_none_or(|event| self.tell.try_send(event).is_err()) {
                let before = self.ignored.fetch_add(1, Ordering::Relaxed);
                if before == 0 {
                    tracing::warn!(%from, "a datagram that is no request of iFacialMocap is ignored, as all further ones");
                }
            }
        }
    }

    fn event(&self, request: Request, from: SocketAddr) -> Option<Event> {
        if request.stop {
            return Some(Event::Stop(from));
        }
        tracing::info!(%from, ?request, "a receiver asks for the face");
        if !request.tcp {
            let to = self.answer_to(request.format, from);
            return (to != self.own).then_some(Event::Datagrams(to, request.format));
        }
        let to = SocketAddr::new(from.ip(), self.reply_port.unwrap_or(TCP_PORT));
        let connect = || -> io::Result<TcpStream> {
            let stream = TcpStream::connect_timeout(&to, CONNECT_PATIENCE)?;
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        match connect() {
            Ok(stream) => Some(Event::Connection(stream, to, request.format)),
            Err(error) => {
                tracing::warn!(%to, %error, "the receiver asked for a connection and does not accept it");
                None
            }
        }
    }

    /// The apps answer to a fixed port, whichever one the request came from. On this machine that port is ours, so a
    /// receiver here is answered where it asked from.
    fn answer_to(&self, format: Format, from: SocketAddr) -> SocketAddr {
        let port = match self.reply_port {
            Some(port) => port,
            None if from.ip().is_loopback() => from.port(),
            None => format.port(),
        };
        SocketAddr::new(from.ip(), port)
    }
}

fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "sahuasouryya9218sauhuiayeta91555dy3719";

    #[test]
    fn requests_are_understood_with_their_options() {
        let ask = |text: &str| {
            Request::parse(text.replace("KEY", KEY).as_bytes()).map(|r| (r.format, r.tcp, r.stop))
        };
        assert_eq!(ask("iFacialMocap_KEY"), Some((Format::V1, false, false)));
        assert_eq!(ask("iFacialMocap_KEY|sendDataVersion=v2"), Some((Format::V2, false, false)));
        assert_eq!(ask("iFacialMocap_UDPTCP_KEY|sendDataVersion=v2\n"), Some((Format::V2, true, false)));
        assert_eq!(ask("iFacialMocap_UDPTCPSTOP_KEY"), Some((Format::V1, true, true)));
        assert_eq!(ask("FACEMOTION3D_OtherStreaming\0"), Some((Format::Facemotion3d, false, false)));
        assert_eq!(
            ask("FACEMOTION3D_OtherStreaming|protocol=tcp"),
            Some((Format::Facemotion3d, true, false))
        );
        assert_eq!(ask("StopStreaming_FACEMOTION3D"), Some((Format::Facemotion3d, false, true)));
        for garbage in
            ["", "|", "iFacialMocap", "iFacialMocap_lookForward", "iFacialMocap_KEY1", "x|iFacialMocap_KEY"]
        {
            assert_eq!(ask(garbage), None, "{garbage}");
        }
    }

    proptest! {
        #[test]
        fn no_datagram_panics_and_random_ones_are_no_request(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert_eq!(Request::parse(&bytes), None);
        }

        #[test]
        fn a_request_with_a_bit_turned_is_none(bit in 0..8usize * 51) {
            let mut request = format!("iFacialMocap_{KEY}").into_bytes();
            request[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Request::parse(&request), None);
        }
    }
}
