//! Whatever a web server answers that calls itself VRChat, and whatever is asked of ours: read or refused, and an avatar
//! made of it sends nothing but what it declares.
#![no_main]

use facetrackd::sink::vrchat::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    fuzz::tree(bytes);
    fuzz::request(bytes);
    fuzz::change(bytes);
});
