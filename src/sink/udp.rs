//! Datagrams to one receiver, who may come and go.
//!
//! The socket is connected: it keeps one source port for its life (some receivers follow the sender's port), takes
//! datagrams from nobody else, and is told by the kernel when nobody listens. None of that is ever an error of the
//! stream: it is counted, and said once.

use super::SinkError;
use crate::clock::MonoTime;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::Duration;

/// A receiver counts as back when no send has failed for so long. Routers and hosts answer a lost datagram at most once
/// a second, and an unanswered ARP request takes three.
const QUIET_BEFORE_BACK: Duration = Duration::from_secs(5);

/// How often an address without a route is tried again.
const CONNECT_INTERVAL: Duration = Duration::from_secs(1);

/// What became of the datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Datagrams or lines handed to the system.
    pub sent: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Datagrams that the system could not send, or that it says nobody listened for.
    pub failed: u64,
    /// What came in and was no request of the protocol. Nothing comes where an output does not listen.
    pub ignored: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Up,
    Down { last_failure: MonoTime },
}

/// A connected UDP socket with its bookkeeping.
#[derive(Debug)]
pub(super) struct UdpSender {
    output: &'static str,
    socket: UdpSocket,
    target: SocketAddr,
    /// Set while the system knows no route, and so refuses to connect: when to try next.
    connect_at: Option<MonoTime>,
    link: Link,
    traffic: Traffic,
}

impl UdpSender {
    /// Finds `address` (`HOST` or `HOST:PORT`) and takes a port for sending to it.
    ///
    /// # Errors
    /// The name cannot be resolved, or the system gives no socket. A receiver that is not there is no error.
    pub fn open(output: &'static str, address: &str, default_port: u16) -> Result<Self, SinkError> {
        let target = resolve(address, default_port)?;
        let own: IpAddr = match target.ip() {
            IpAddr::V4(ip) if ip.is_loopback() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(ip) if ip.is_loopback() => Ipv6Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let failed = |source| SinkError::Socket { address: address.to_owned(), source };
        let socket = UdpSocket::bind((own, 0)).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        if target.is_ipv4() {
            socket.set_broadcast(true).map_err(failed)?;
        }
        Ok(Self {
            output,
            socket,
            target,
            connect_at: Some(MonoTime::default()),
            link: Link::Up,
            traffic: Traffic::default(),
        })
    }

    /// Sends to another receiver from now on, from the same port.
    pub fn retarget(&mut self, target: SocketAddr) {
        if target != self.target {
            (self.target, self.connect_at) = (target, Some(MonoTime::default()));
        }
    }

    /// Sends one datagram if it can be sent at once. Allocates nothing unless the link goes up or down.
    pub fn send(&mut self, datagram: &[u8], now: MonoTime) {
        match self.try_send(datagram, now) {
            Ok(()) => {
                self.traffic.sent += 1;
                self.traffic.bytes += datagram.len() as u64;
                self.note_success(now);
            }
            Err(error) => {
                self.traffic.failed += 1;
                self.note_failure(&error, now);
            }
        }
    }

    fn try_send(&mut self, datagram: &[u8], now: MonoTime) -> io::Result<()> {
        if let Some(at) = self.connect_at {
            if now < at {
                return Err(io::ErrorKind::NetworkUnreachable.into());
            }
            self.connect_at = Some(now + CONNECT_INTERVAL);
            self.socket.connect(self.target)?;
            self.connect_at = None;
        }
        let sent = self.socket.send(datagram);
        let Err(error) = &sent else { return Ok(()) };
        if error.kind() == io::ErrorKind::ConnectionRefused {
            // That was the answer to an earlier datagram, and it kept this one from leaving: a receiver that has come
            // up since shall not miss it.
            self.socket.send(datagram)?;
            self.traffic.failed += 1;
            self.note_failure(error, now);
            return Ok(());
        }
        sent.map(|_| ())
    }

    fn note_failure(&mut self, error: &io::Error, now: MonoTime) {
        if self.link == Link::Up {
            tracing::warn!(output = self.output, target = %self.target, %error, "the receiver cannot be reached; sending goes on");
        }
        self.link = Link::Down { last_failure: now };
    }

    fn note_success(&mut self, now: MonoTime) {
        if let Link::Down { last_failure } = self.link
            && now.since(last_failure) >= QUIET_BEFORE_BACK
        {
            tracing::info!(output = self.output, target = %self.target, "the receiver is back");
            self.link = Link::Up;
        }
    }

    /// Counts since the start.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    #[cfg(test)]
    /// Whether the receiver took the last datagrams, as far as the system knows.
    pub fn is_up(&self) -> bool {
        self.link == Link::Up
    }
}

/// Finds the address to send to; see [`find`].
pub(super) fn resolve(address: &str, default_port: u16) -> Result<SocketAddr, SinkError> {
    let found = find(address, default_port)?;
    if found.port() == 0 {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "port 0 cannot be sent to");
        return Err(SinkError::Resolve { address: address.to_owned(), source });
    }
    Ok(found)
}

/// Finds the address of `HOST`, `HOST:PORT`, `IPV4[:PORT]`, `IPV6` or `[IPV6]:PORT`.
pub(super) fn find(address: &str, default_port: u16) -> Result<SocketAddr, SinkError> {
    let failed = |source| SinkError::Resolve { address: address.to_owned(), source };
    if let Ok(ip) = address.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok((ip, default_port).into());
    }
    let found = match address.rsplit_once(':') {
        Some(_) => address.to_socket_addrs(),
        None => (address, default_port).to_socket_addrs(),
    };
    let mut all: Vec<SocketAddr> = found.map_err(failed)?.collect();
    // Receivers of these protocols mostly listen on IPv4 alone; `localhost` often names IPv6 first.
    all.sort_by_key(SocketAddr::is_ipv6);
    all.into_iter().next().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> MonoTime {
        MonoTime::from_secs_f64(seconds)
    }

    #[test]
    fn a_receiver_that_starts_late_misses_nothing_from_then_on() {
        let seat = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = seat.local_addr().unwrap();
        drop(seat);
        let mut sender = UdpSender::open("test", &address.to_string(), 1).unwrap();
        for i in 0..10 {
            sender.send(b"nobody hears this", at(f64::from(i)));
        }
        assert!(!sender.is_up());
        assert!(sender.traffic().failed >= 9, "{:?}", sender.traffic());

        let receiver = UdpSocket::bind(address).unwrap();
        sender.send(b"hello", at(10.0));
        let mut buffer = [0; 64];
        let n = receiver.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..n], b"hello");
        sender.send(b"still there", at(16.0));
        assert!(sender.is_up());
    }

    #[test]
    fn the_source_port_stays_the_same() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut sender = UdpSender::open("test", &receiver.local_addr().unwrap().to_string(), 1).unwrap();
        let mut buffer = [0; 8];
        let mut ports = Vec::new();
        for i in 0..5 {
            sender.send(b"x", at(f64::from(i)));
            ports.push(receiver.recv_from(&mut buffer).unwrap().1.port());
        }
        assert!(ports.windows(2).all(|w| w[0] == w[1]), "{ports:?}");
    }

    #[test]
    fn an_address_without_a_route_costs_nothing_but_a_count() {
        // Class E: no Linux machine routes it.
        let mut sender = UdpSender::open("test", "240.0.0.1:9", 1).unwrap();
        for i in 0..5 {
            sender.send(b"x", at(f64::from(i) * 0.1));
        }
        let traffic = sender.traffic();
        assert_eq!(traffic.sent + traffic.failed, 5);
    }

    #[test]
    fn addresses_are_taken_with_and_without_port() {
        assert_eq!(resolve("127.0.0.1", 39539).unwrap().to_string(), "127.0.0.1:39539");
        assert_eq!(resolve("127.0.0.1:7", 39539).unwrap().port(), 7);
        assert_eq!(resolve("::1", 39539).unwrap().to_string(), "[::1]:39539");
        assert_eq!(resolve("[::1]:7", 39539).unwrap().port(), 7);
        assert!(resolve("localhost", 5).unwrap().is_ipv4());
    }

    #[test]
    fn an_unknown_host_and_a_bad_port_are_named_in_the_error() {
        for bad in ["no-such-host.invalid:39539", "127.0.0.1:99999", "127.0.0.1:0", ""] {
            let error = resolve(bad, 39539).unwrap_err().to_string();
            assert!(error.contains(bad), "{error}");
        }
    }
}
