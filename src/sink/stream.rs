//! What all protocols have in common that push datagrams to one receiver.

use super::SinkError;
use super::adjust::{Adjust, Adjuster};
use super::udp::{Traffic, UdpSender};
use crate::clock::MonoTime;
use crate::face::FaceSample;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// A protocol: how it says a sample. Encoders allocate while they are made, and never afterwards.
pub(super) trait Encode {
    /// Hands the datagrams that say `sample` to `send`, in order.
    fn encode(&mut self, sample: &FaceSample, adjuster: &mut Adjuster, send: &mut dyn FnMut(&[u8]));

    /// Where to send from now on, where that has changed. Asked before each sample.
    fn retarget(&mut self) -> Option<SocketAddr> {
        None
    }

    /// The addresses it listens on, where it does.
    fn listens_on(&self) -> Vec<SocketAddr> {
        Vec::new()
    }

    /// Hands over the datagrams that say that nothing more comes, where the protocol can say so.
    fn encode_end(&mut self, _send: &mut dyn FnMut(&[u8])) {}
}

/// Settings of a protocol that has none of its own.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatagramConfig {
    /// The receiver, `HOST:PORT` or `HOST`; this machine at the protocol's own port where it is not given.
    pub address: Option<String>,
    /// Mirroring, gain, rate.
    pub adjust: Adjust,
}

impl DatagramConfig {
    pub(super) fn open(
        &self,
        output: &'static str,
        default_port: u16,
        encoder: impl Encode + Send + 'static,
    ) -> Result<Stream, SinkError> {
        Stream::open(output, self.address.as_deref(), default_port, &self.adjust, encoder)
    }
}

/// One protocol, streaming to one receiver.
pub struct Stream {
    sender: UdpSender,
    adjuster: Adjuster,
    encoder: Box<dyn Encode + Send>,
}

impl Stream {
    pub(super) fn open(
        output: &'static str,
        address: Option<&str>,
        default_port: u16,
        adjust: &Adjust,
        encoder: impl Encode + Send + 'static,
    ) -> Result<Self, SinkError> {
        let sender = UdpSender::open(output, address.unwrap_or("127.0.0.1"), default_port)?;
        Ok(Self { sender, adjuster: Adjuster::new(adjust), encoder: Box::new(encoder) })
    }

    /// Sends one sample, if the rate limit allows.
    pub fn send(&mut self, sample: &FaceSample, now: MonoTime) {
        if self.adjuster.is_due(now) {
            let sender = &mut self.sender;
            if let Some(target) = self.encoder.retarget() {
                sender.retarget(target);
            }
            self.encoder.encode(sample, &mut self.adjuster, &mut |datagram| sender.send(datagram, now));
        }
    }

    /// Says that nothing more comes.
    pub fn close(&mut self, now: MonoTime) {
        let sender = &mut self.sender;
        self.encoder.encode_end(&mut |datagram| sender.send(datagram, now));
    }

    /// The addresses it listens on, where it does.
    pub fn listens_on(&self) -> Vec<SocketAddr> {
        self.encoder.listens_on()
    }

    /// What was sent.
    pub fn traffic(&self) -> Traffic {
        self.sender.traffic()
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// The datagrams that say `sample`.
    pub fn datagrams(encoder: &mut dyn Encode, sample: &FaceSample, adjust: &Adjust) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        encoder.encode(sample, &mut Adjuster::new(adjust), &mut |d| all.push(d.to_vec()));
        all
    }
}
