//! Any bytes to the TFLite converter: an error is right, a panic or a memory of gigabytes is not.
//!
//! Seeds: the four originals out of MediaPipe's wheel, named in `models/*.toml`.
#![no_main]

use facetrackd::provision::{Manifest, convert};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for manifest in Manifest::all() {
        let (input, outputs) = (manifest.input_port(), manifest.output_ports());
        let result = convert(data, &manifest.name, &input, manifest.source.outputs, &outputs);
        // What converts must read back.
        if let Ok(onnx) = result {
            assert!(facetrackd::provision::signature(&onnx).is_ok());
        }
    }
});
