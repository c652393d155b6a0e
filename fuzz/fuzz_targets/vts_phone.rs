//! A datagram of any bytes is a request for the phone's stream or none.
#![no_main]

use facetrackd::sink::vts_phone::is_request;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if is_request(bytes) {
        assert!(bytes.starts_with(b"{") || bytes.first().is_some_and(u8::is_ascii_whitespace) || bytes[0] == b'[');
    }
});
