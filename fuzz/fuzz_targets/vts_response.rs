//! A text of any bytes from what should be VTube Studio is an answer that means something, or none.
#![no_main]

use facetrackd::sink::vts::is_response;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if is_response(bytes) {
        assert!(std::str::from_utf8(bytes).is_ok());
    }
});
