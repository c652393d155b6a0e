//! Any datagram is a request of iFacialMocap's receivers or none.
#![no_main]

use facetrackd::sink::ifacialmocap::Request;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| {
    if let Some(request) = Request::parse(datagram) {
        let known: [&[u8]; 3] = [b"iFacialMocap_", b"FACEMOTION3D_", b"StopStreaming_"];
        assert!(known.iter().any(|k| datagram.starts_with(k)), "{request:?}");
    }
});
