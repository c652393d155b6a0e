//! What the test cameras show, and how tests wait for it.
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]
#![allow(dead_code, reason = "tests and benches use different parts")]

use facetrackd::capture::{CaptureConfig, CaptureError, Next, Source, SourceSpec};
use facetrackd::frame::Frame;
use std::fs;
use std::time::{Duration, Instant};

/// Longest that a test waits for anything before it fails; never what it measures.
const PATIENCE: Duration = Duration::from_mins(1);

pub const WIDTH: usize = 640;
pub const HEIGHT: usize = 360;
/// Frames in the file, played in a loop: enough that no two within reach look alike.
pub const FRAMES: usize = 16;

/// YUYV frame `n`: every byte its own.
pub fn yuyv(n: usize) -> Vec<u8> {
    (0..WIDTH * HEIGHT * 2).map(|i| (i * 7 + i / 997 + n * 31) as u8).collect()
}

/// Motion-JPEG picture `n`, 1280x720.
pub fn jpeg(n: usize) -> Vec<u8> {
    let (width, height) = (1280, 720);
    let pixels: Vec<u8> = (0..width * height)
        .flat_map(|i| [(i % width / 5) as u8, (n * 15) as u8, (i / width / 3) as u8])
        .collect();
    let format = turbojpeg::PixelFormat::RGB;
    let image = turbojpeg::Image { pixels: &pixels[..], width, pitch: width * 3, height, format };
    turbojpeg::compress(image, 85, turbojpeg::Subsamp::Sub2x1).unwrap().to_vec()
}

/// Opens `--camera which`.
pub fn open(which: &str, config: &CaptureConfig) -> Result<Source, CaptureError> {
    Source::open(&SourceSpec::Camera(which.into()), config, false)
}

/// The next frame, however long it takes; each call must come back in time.
pub fn next_frame(source: &mut Source) -> Frame {
    let mut frame = Frame::default();
    ask_until(|| source.next(&mut frame).unwrap() == Next::Frame);
    assert!(frame.is_whole());
    frame
}

/// The next `count` frames.
pub fn next_frames(source: &mut Source, count: usize) -> Vec<Frame> {
    (0..count).map(|_| next_frame(source)).collect()
}

/// Asks again and again until it is so; fails where it never is.
pub fn ask_until(mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "nothing happened for {PATIENCE:?}");
        // Only to leave the processor to whoever is waited for: the guest has one.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Open descriptors and threads of this process, and its resident memory in KiB.
pub fn resources() -> (usize, usize, usize) {
    let count = |folder: &str| fs::read_dir(folder).unwrap().count();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    let kib = line.trim().trim_end_matches(" kB").parse().unwrap();
    (count("/proc/self/fd"), count("/proc/self/task"), kib)
}
