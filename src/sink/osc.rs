//! OSC messages laid out once, at the start, with the places of their numbers remembered.
//!
//! A stream says the same addresses sixty times a second. They are encoded once by `rosc`; a frame only overwrites
//! numbers in place, so that it neither allocates nor formats.

use rosc::{OscMessage, OscType, encoder};

/// Bytes of a datagram that pass an Ethernet link (1500) whole, after the IPv4 and UDP headers.
pub(super) const MAX_DATAGRAM: usize = 1472;

/// `#bundle`, and the time tag that means "at once".
const BUNDLE_HEAD: [u8; 16] = *b"#bundle\0\0\0\0\0\0\0\0\x01";

/// Where the numbers of one message stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    datagram: usize,
    numbers: usize,
}

/// Datagrams ready to be sent, but for their numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Template {
    bundled: bool,
    datagrams: Vec<Vec<u8>>,
}

impl Template {
    /// `bundled`: as many messages to a datagram as fit; else one.
    pub fn new(bundled: bool) -> Self {
        Self { bundled, datagrams: Vec::new() }
    }

    /// Appends a message. Its arguments are strings first, then 32-bit numbers.
    pub fn push(&mut self, addr: &str, args: Vec<OscType>) -> Slot {
        let is_number = |a: &OscType| matches!(a, OscType::Float(_) | OscType::Int(_));
        let numbers = args.iter().filter(|a| is_number(a)).count();
        debug_assert!(args.iter().rev().take(numbers).all(is_number), "strings come before numbers");
        let message = rosc::OscPacket::Message(OscMessage { addr: addr.to_owned(), args });
        let Ok(bytes) = encoder::encode(&message) else { unreachable!("encoding to memory cannot fail") };
        self.push_encoded(&bytes);
        let datagram = self.datagrams.len() - 1;
        Slot { datagram, numbers: self.datagrams[datagram].len() - 4 * numbers }
    }

    fn push_encoded(&mut self, message: &[u8]) {
        if !self.bundled {
            self.datagrams.push(message.to_vec());
            return;
        }
        let fits = |d: &Vec<u8>| d.len() + 4 + message.len() <= MAX_DATAGRAM;
        if !self.datagrams.last().is_some_and(fits) {
            self.datagrams.push(BUNDLE_HEAD.to_vec());
        }
        if let Some(last) = self.datagrams.last_mut() {
            last.extend_from_slice(&(message.len() as u32).to_be_bytes());
            last.extend_from_slice(message);
        }
    }

    /// Sets numbers of a message, from its `first` on.
    pub fn set_floats(&mut self, slot: Slot, first: usize, values: &[f32]) {
        for (i, v) in values.iter().enumerate() {
            self.put(slot, first + i, v.to_be_bytes());
        }
    }

    /// Sets number `index` of a message.
    pub fn set_int(&mut self, slot: Slot, index: usize, value: i32) {
        self.put(slot, index, value.to_be_bytes());
    }

    fn put(&mut self, slot: Slot, index: usize, bytes: [u8; 4]) {
        let at = slot.numbers + 4 * index;
        self.datagrams[slot.datagram][at..at + 4].copy_from_slice(&bytes);
    }

    /// Puts a time tag (NTP seconds and fraction) on every bundle.
    pub fn set_time_tag(&mut self, seconds: u32, fraction: u32) {
        if self.bundled {
            for datagram in &mut self.datagrams {
                datagram[8..12].copy_from_slice(&seconds.to_be_bytes());
                datagram[12..16].copy_from_slice(&fraction.to_be_bytes());
            }
        }
    }

    /// The datagrams, in order.
    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        self.datagrams.iter().map(Vec::as_slice)
    }
}

/// `n` float arguments, zero.
pub(super) fn floats(n: usize) -> impl Iterator<Item = OscType> {
    std::iter::repeat_n(OscType::Float(0.0), n)
}

#[cfg(test)]
pub(super) mod testing {
    use rosc::{OscMessage, OscPacket, OscType};

    /// All messages of a datagram, decoded by rosc.
    pub fn messages(datagram: &[u8]) -> Vec<OscMessage> {
        fn flatten(packet: OscPacket, out: &mut Vec<OscMessage>) {
            match packet {
                OscPacket::Message(m) => out.push(m),
                OscPacket::Bundle(b) => b.content.into_iter().for_each(|p| flatten(p, out)),
            }
        }
        let (rest, packet) = rosc::decoder::decode_udp(datagram).unwrap();
        assert!(rest.is_empty(), "{} bytes follow the packet", rest.len());
        let mut out = Vec::new();
        flatten(packet, &mut out);
        out
    }

    /// The float arguments of a message.
    pub fn float_args(message: &OscMessage) -> Vec<f32> {
        message.args.iter().filter_map(|a| if let OscType::Float(f) = a { Some(*f) } else { None }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rosc::{OscBundle, OscPacket, OscTime};

    fn message(i: i32) -> OscMessage {
        OscMessage {
            addr: format!("/some/address/{i}"),
            args: vec![OscType::String("name".into()), OscType::Float(i as f32 * 0.25), OscType::Int(i)],
        }
    }

    fn template(bundled: bool, count: i32) -> Template {
        let mut t = Template::new(bundled);
        for i in 0..count {
            let OscMessage { addr, args: _ } = message(i);
            let blank = vec![OscType::String("name".into()), OscType::Float(0.0), OscType::Int(0)];
            let slot = t.push(&addr, blank);
            t.set_floats(slot, 0, &[i as f32 * 0.25]);
            t.set_int(slot, 1, i);
        }
        t
    }

    #[test]
    fn patched_templates_equal_what_rosc_encodes() {
        let singles = template(false, 5);
        for (i, datagram) in (0..).zip(singles.datagrams()) {
            assert_eq!(datagram, encoder::encode(&OscPacket::Message(message(i))).unwrap());
        }
        let mut bundle = template(true, 5);
        bundle.set_time_tag(7, 9);
        let content = (0..5).map(|i| OscPacket::Message(message(i))).collect();
        let timetag = OscTime { seconds: 7, fractional: 9 };
        let expected = encoder::encode(&OscPacket::Bundle(OscBundle { timetag, content })).unwrap();
        assert_eq!(bundle.datagrams().collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn bundles_split_before_they_outgrow_a_datagram_and_lose_nothing() {
        let t = template(true, 100);
        assert!(t.datagrams().all(|d| d.len() <= MAX_DATAGRAM));
        let all: Vec<OscMessage> = t.datagrams().flat_map(testing::messages).collect();
        assert_eq!(all, (0..100).map(message).collect::<Vec<_>>());
    }
}
