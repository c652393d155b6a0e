//! A stream of any bytes is cut into pictures, each of which decodes into a whole frame or is refused.
#![no_main]

use facetrackd::capture::{JpegDecoder, JpegSplitter};
use facetrackd::frame::Frame;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut decoder) = JpegDecoder::new() else { return };
    let (mut splitter, mut frame) = (JpegSplitter::default(), Frame::default());
    for piece in bytes.chunks(61) {
        splitter.push(piece);
        loop {
            match splitter.next_picture() {
                Ok(None) => break,
                Ok(Some(jpeg)) => {
                    if decoder.decode(jpeg, Some(64), &mut frame).is_ok() {
                        assert!(frame.is_whole());
                    }
                }
                Err(_) => {}
            }
        }
    }
});
