//! Streams to the receivers that asked, beside the one that is pushed to.

use super::request::{Event, Listener};
use super::{Encoder, Format, IFacialMocapConfig};
use crate::clock::MonoTime;
use crate::face::FaceSample;
use crate::sink::SinkError;
use crate::sink::adjust::Adjuster;
use crate::sink::udp::{Traffic, UdpSender};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Receivers at once. Whoever asks beyond that takes the place of the one that asked longest ago.
const RECEIVERS: usize = 8;

/// A connection that took nothing for so long is given up.
const STALLED: Duration = Duration::from_secs(5);

/// Ends each frame of a TCP stream.
const FRAME_END: &[u8] = b"___iFacialMocap";

struct Receiver {
    to: SocketAddr,
    format: Format,
    connection: Option<Connection>,
}

/// Bytes that the other end has not taken yet. While there are some, newer frames are left out: a late face is no use.
struct Connection {
    stream: TcpStream,
    pending: Vec<u8>,
    moved_at: MonoTime,
}

impl Connection {
    /// Hands over what can be handed over at once.
    fn flush(&mut self, now: MonoTime) -> io::Result<()> {
        while !self.pending.is_empty() {
            match self.stream.write(&self.pending) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.pending.drain(..n);
                    self.moved_at = now;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let is_stalled = now.since(self.moved_at) > STALLED;
                    return if is_stalled { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) };
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The `ifacialmocap` output where it listens.
pub struct Answers {
    listener: Listener,
    push: Option<(UdpSender, Format)>,
    encoders: [(Format, Encoder); 3],
    adjuster: Adjuster,
    receivers: Vec<Receiver>,
    traffic: Traffic,
}

impl Answers {
    /// Takes the port that `listen` names.
    ///
    /// # Errors
    /// An address that cannot be found, or a port that is taken.
    pub(in crate::sink) fn open(config: &IFacialMocapConfig, listen: &str) -> Result<Self, SinkError> {
        let port = config.format.port();
        let push = config.address.as_deref().map(|to| UdpSender::open("ifacialmocap", to, port));
        Ok(Self {
            listener: Listener::start(listen, port, config.reply_port)?,
            push: push.transpose()?.map(|sender| (sender, config.format)),
            encoders: [Format::V1, Format::V2, Format::Facemotion3d].map(|f| (f, Encoder::new(f))),
            adjuster: Adjuster::new(&config.adjust),
            receivers: Vec::with_capacity(RECEIVERS),
            traffic: Traffic::default(),
        })
    }

    /// Sends one sample to all who asked, if the rate limit allows.
    pub fn send(&mut self, sample: &FaceSample, now: MonoTime) {
        while let Ok(event) = self.listener.events.try_recv() {
            self.obey(event, now);
        }
        if !self.adjuster.is_due(now) {
            return;
        }
        let Some(view) = self.adjuster.primary(sample) else { return };
        for (format, encoder) in &mut self.encoders {
            let is_wanted = self.receivers.iter().any(|r| r.format == *format)
                || self.push.as_ref().is_some_and(|(_, f)| f == format);
            let Some(line) = is_wanted.then(|| encoder.line(&view)).flatten() else { continue };
            if let Some((sender, _)) = self.push.as_mut().filter(|(_, f)| f == format) {
                sender.send(line, now);
            }
            let (listener, traffic) = (&self.listener, &mut self.traffic);
            self.receivers.retain_mut(|receiver| {
                receiver.format != *format || deliver(receiver, line, listener, traffic, now)
            });
        }
    }

    fn obey(&mut self, event: Event, now: MonoTime) {
        let (to, format, connection) = match event {
            Event::Stop(from) => return self.receivers.retain(|r| r.to.ip() != from.ip()),
            Event::Datagrams(to, format) => (to, format, None),
            Event::Connection(stream, to, format) => {
                (to, format, Some(Connection { stream, pending: Vec::with_capacity(4096), moved_at: now }))
            }
        };
        let is_same = |r: &Receiver| r.to == to && r.connection.is_some() == connection.is_some();
        if let Some(known) = self.receivers.iter_mut().find(|r| is_same(r)) {
            // Receivers ask again until they hear something; the connection that they heard first stays.
            known.format = format;
            return;
        }
        if self.receivers.len() == RECEIVERS {
            self.receivers.remove(0);
        }
        self.receivers.push(Receiver { to, format, connection });
    }

    /// What was sent, pushed and asked for.
    pub fn traffic(&self) -> Traffic {
        let pushed = self.push.as_ref().map(|(sender, _)| sender.traffic()).unwrap_or_default();
        Traffic {
            sent: self.traffic.sent + pushed.sent,
            bytes: self.traffic.bytes + pushed.bytes,
            failed: self.traffic.failed + pushed.failed,
            ignored: self.listener.ignored(),
        }
    }
}

/// Sends one line; false where the receiver is gone for good.
fn deliver(
    receiver: &mut Receiver,
    line: &[u8],
    listener: &Listener,
    traffic: &mut Traffic,
    now: MonoTime,
) -> bool {
    let mut is_sent = true;
    let outcome = match &mut receiver.connection {
        None => listener.socket.send_to(line, receiver.to).map(|_| ()),
        Some(connection) => connection.flush(now).and_then(|()| {
            is_sent = connection.pending.is_empty();
            if is_sent {
                connection.pending.extend_from_slice(line);
                connection.pending.extend_from_slice(FRAME_END);
                connection.flush(now)?;
            }
            Ok(())
        }),
    };
    if outcome.is_ok() && is_sent {
        traffic.sent += 1;
        traffic.bytes += line.len() as u64;
    } else {
        traffic.failed += 1;
    }
    // A datagram that could not leave says nothing of the next one.
    receiver.connection.is_none() || outcome.is_ok()
}
