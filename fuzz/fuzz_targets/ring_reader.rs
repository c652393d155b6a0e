//! Whatever a ring's file holds, its reader neither panics nor reads outside it: `cargo +nightly fuzz run ring_reader`.
//!
//! The first byte chooses between the input as it is, and the input laid over a sound ring, which gets past the header.
#![no_main]

use facetrackd::clock::MonoTime;
use facetrackd::face::FaceSample;
use facetrackd::sink::ShmConfig;
use facetrackd::sink::shm::{Reader, ShmSink};
use libfuzzer_sys::fuzz_target;
use std::io::Write;
use std::sync::OnceLock;

/// The bytes of a small ring with three samples in it.
fn sound_ring() -> &'static [u8] {
    static RING: OnceLock<Vec<u8>> = OnceLock::new();
    RING.get_or_init(|| {
        let name = format!("fuzz-{}", std::process::id());
        let config = ShmConfig { slots: 2, faces: 1, ..ShmConfig::new(name.clone()) };
        let mut sink = ShmSink::open(&config, MonoTime::now()).expect("room for a small ring");
        (0..3).for_each(|_| sink.send(&FaceSample::default(), MonoTime::now()));
        let path = format!("/dev/shm/facetrackd.{name}");
        let bytes = std::fs::read(&path).expect("the ring just made");
        std::fs::remove_file(path).expect("the ring just made");
        bytes
    })
}

fuzz_target!(|data: &[u8]| {
    let Some((mode, rest)) = data.split_first() else { return };
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    let bytes = if mode & 1 == 0 {
        rest.to_vec()
    } else {
        // From the state on: sizes before it stay sound.
        let mut ring = sound_ring().to_vec();
        let at = 56 + (usize::from(mode >> 1) * 97) % (ring.len() - 56);
        let n = rest.len().min(ring.len() - at);
        ring[at..at + n].copy_from_slice(&rest[..n]);
        ring
    };
    file.write_all(&bytes).expect("room for a small file");
    let Ok(mut reader) = Reader::open_path(file.path()) else { return };
    let mut sample = FaceSample::default();
    let _taken = (reader.latest(&mut sample), reader.next(&mut sample), reader.writer(MonoTime::now()));
    assert!(sample.faces.len() <= 1);
});
