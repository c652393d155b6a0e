//! An AVI of any bytes is read to its end or to an error, and no chunk is larger than the file.
#![no_main]

use facetrackd::capture::avi::AviReader;
use libfuzzer_sys::fuzz_target;
use std::io::Cursor;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = AviReader::new(Cursor::new(bytes)) else { return };
    let mut jpeg = Vec::new();
    while let Ok(true) = reader.next_frame(&mut jpeg) {
        assert!(jpeg.len() <= bytes.len());
    }
});
