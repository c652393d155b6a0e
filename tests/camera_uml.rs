//! The same cameras on a real kernel: `uvcvideo` in User-Mode Linux, a USB camera made of nothing (`vcam/uml/`).
//!
//! The kernel is taken from `FACETRACKD_UML_KERNEL`, or from `../shared/reference/vcam/linux-camera`; where there is
//! none these tests say so and pass. `vcam/uml/build-kernel` makes one. Inside the guest this very test binary runs
//! its `guest_` tests; they are ignored outside.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

#[path = "vcam/frames.rs"]
mod frames;

use facetrackd::capture::avi::AviReader;
use facetrackd::capture::{CaptureConfig, JpegDecoder, Next, Source, list_cameras};
use facetrackd::frame::{Frame, PixelFormat};
use frames::{FRAMES, HEIGHT, WIDTH, ask_until, jpeg, next_frame, next_frames, open, resources, yuyv};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

/// Names the folder that host and guest share, inside the guest.
const GUEST: &str = "FACETRACKD_GUEST";

fn kernel() -> Option<PathBuf> {
    let nearby = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference/vcam/linux-camera");
    let kernel = std::env::var_os("FACETRACKD_UML_KERNEL").map_or(nearby, PathBuf::from);
    kernel.is_file().then_some(kernel)
}

fn compile(source: &str, into: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vcam/uml").join(source);
    let output = into.join(source.file_stem().unwrap());
    let flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-static", "-o"];
    let status = Command::new("cc").args(flags).args([&output, &source]).status();
    assert!(
        status.expect("these tests need a C compiler: apt install gcc").success(),
        "{}",
        source.display()
    );
    output
}

/// Boots the guest, runs its test of that name (all of them for `guest_`), and returns what it printed. `faces` is a
/// Motion-JPEG film for the camera to show instead of the synthetic pictures.
fn boot(test: &str, faces: Option<Vec<u8>>) -> Option<String> {
    let Some(kernel) = kernel() else {
        eprintln!(
            "SKIPPED: no User-Mode Linux kernel. Build one with tests/vcam/uml/build-kernel OUT and set \
             FACETRACKD_UML_KERNEL=OUT/linux"
        );
        return None;
    };
    let shared = tempfile::tempdir().unwrap();
    let init = compile("init.c", shared.path());
    compile("usbcam.c", shared.path());
    fs::write(shared.path().join("yuyv"), (0..FRAMES).flat_map(yuyv).collect::<Vec<_>>()).unwrap();
    let film = faces.unwrap_or_else(|| (0..FRAMES).flat_map(jpeg).collect());
    fs::write(shared.path().join("mjpg"), film).unwrap();
    // The bound is against a guest that hangs: all of it takes 20 s on an idle machine.
    let output = Command::new("timeout")
        .args(["--kill-after=5", "300"])
        .arg(kernel)
        .args(["mem=512M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet", "panic=-1"])
        .args(["con=null", "con0=fd:0,fd:1", "ssl=null", "initcall_blacklist=vivid_init"])
        .arg(format!("init={}", init.display()))
        .arg(format!("{GUEST}={}", shared.path().display()))
        .arg(format!("FACETRACKD_DATA={}", data_dir().display()))
        .arg("--")
        .arg(std::env::current_exe().unwrap())
        .args([test, "--ignored", "--test-threads=1", "--nocapture"])
        // The kernel keeps its files there; a shared memory folder would do as well.
        .env("TMPDIR", shared.path())
        .env("HOME", shared.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_real_uvc_driver_agrees() {
    let Some(said) = boot("guest_", None) else { return };
    assert!(said.contains("GUEST-ENDED 0") && said.contains("test result: ok. 5 passed"), "{said}");
    said.lines().filter_map(|l| l.find("MEASURED").map(|at| &l[at..])).for_each(|line| println!("{line}"));
}

/// Where the runtime and the networks are installed; the guest may only read it.
fn data_dir() -> PathBuf {
    facetrackd::provision::data_dir().unwrap()
}

/// The project's demo clip as bare Motion-JPEG: 640x480 at 30 frames a second.
fn demo_film() -> Option<Vec<u8>> {
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/demo.avi");
    let Ok(file) = fs::File::open(&clip) else {
        eprintln!("SKIPPED: there is no {}", clip.display());
        return None;
    };
    let mut reader = AviReader::new(BufReader::new(file)).unwrap();
    let (mut film, mut jpeg) = (Vec::new(), Vec::new());
    while reader.next_frame(&mut jpeg).unwrap() {
        film.extend_from_slice(&jpeg);
    }
    Some(film)
}

#[test]
fn a_face_reaches_a_receiver_through_unplug_and_replug() {
    let Some(film) = demo_film() else { return };
    if Command::new("oscdump").arg("-h").output().is_err() {
        eprintln!("SKIPPED: this test needs oscdump (apt install liblo-tools)");
        return;
    }
    facetrackd::provision::ensure(&facetrackd::provision::Bars::default()).unwrap();
    let Some(said) = boot("whole_program", Some(film)) else { return };
    assert!(said.contains("GUEST-ENDED 0") && said.contains("test result: ok. 1 passed"), "{said}");
}

#[test]
#[ignore = "runs in the guest"]
fn whole_program() {
    const FACES: &str = "MJPG 640x480 30 MJPG_FILE";
    let camera = UsbCamera::plug(0, &[FACES]);
    let mut receiver = Command::new("oscdump").args(["-L", "39539"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut heard = BufReader::new(receiver.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut tracker = Command::new(env!("CARGO_BIN_EXE_facetrackd"))
        .args(["--camera", "0", "--vmc", "127.0.0.1:39539"])
        .spawn()
        .unwrap();
    // Listens until a face is tracked (or none is) and the jaw was sent `jaws` times since.
    let mut listen_until = |wanted: &str, jaws: usize| {
        let (mut tracked, mut seen) = (false, 0);
        while !(tracked && seen >= jaws) {
            let line = heard.next().expect("the receiver ended");
            if let Some((_, state)) = line.split_once("/VMC/Ext/OK ") {
                // The fourth of its numbers (loaded, calibration, its mode) is tracking.
                tracked = state.split_ascii_whitespace().last() == Some(wanted);
            }
            seen += usize::from(tracked && line.contains("JawOpen"));
        }
    };
    listen_until("1", 5);
    camera.unplug();
    listen_until("0", 0);
    let camera = UsbCamera::plug(0, &[FACES]);
    listen_until("1", 5);
    let id = tracker.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(tracker.wait().unwrap().success());
    listen_until("0", 0);
    receiver.kill().unwrap();
    receiver.wait().unwrap();
    camera.unplug();
}

/// A USB camera, plugged in while this lives.
struct UsbCamera {
    process: Child,
    log: PathBuf,
}

impl UsbCamera {
    /// Plugs a camera into a port of the hub; its serial number is the port.
    fn plug(port: u32, formats: &[&str]) -> Self {
        let shared = PathBuf::from(std::env::var_os(GUEST).expect("runs in the guest only"));
        let lines: String = formats.iter().flat_map(|f| ["format ", f, "\n"]).collect();
        let config = PathBuf::from(format!("/run/camera{port}"));
        let log = PathBuf::from(format!("/run/camera{port}.log"));
        let file = |name: &str| shared.join(name).display().to_string();
        let lines = lines.replace("YUYV_FILE", &file("yuyv")).replace("MJPG_FILE", &file("mjpg"));
        fs::write(&config, format!("card Fake USB Webcam {port}\n{lines}")).unwrap();
        fs::write(&log, "").unwrap();
        let nodes = video_nodes();
        let process =
            Command::new(shared.join("usbcam")).arg(&config).arg(port.to_string()).arg(&log).spawn().unwrap();
        // Its own node and that of its metadata.
        ask_until(|| video_nodes() >= nodes + 2);
        Self { process, log }
    }

    fn unplug(self) {
        let nodes = video_nodes();
        drop(self);
        ask_until(|| video_nodes() + 2 <= nodes);
    }

    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// When the camera began to send each frame, in nanoseconds; the clip's position is the frame's number.
    fn sent(&self) -> Vec<(u64, f64)> {
        let log = fs::read_to_string(&self.log).unwrap();
        let number = |line: &str, at| line.split(' ').nth(at).unwrap().parse::<f64>().unwrap();
        log.lines().map(|l| (number(l, 1) as u64, number(l, 2))).collect()
    }
}

impl Drop for UsbCamera {
    fn drop(&mut self) {
        self.signal("-TERM");
        self.process.wait().unwrap();
    }
}

fn video_nodes() -> usize {
    let nodes = fs::read_dir("/dev").unwrap().flatten();
    nodes.filter(|e| e.file_name().to_string_lossy().starts_with("video")).count()
}

const YUYV: &str = "YUYV 640x360 30,15 YUYV_FILE";
const MJPG: &str = "MJPG 1280x720 30 MJPG_FILE";

fn config() -> CaptureConfig {
    CaptureConfig { freeze_timeout_s: 0.5, ..CaptureConfig::default() }
}

/// Which of the clip's frames this is; a busy host may drop some on the way, but never mixes two.
fn position(frame: &Frame) -> usize {
    static CLIP: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| (0..FRAMES).map(yuyv).collect());
    assert_eq!((frame.width as usize, frame.height as usize), (WIDTH, HEIGHT));
    CLIP.iter().position(|picture| *picture == frame.data).expect("a frame is none of the clip's")
}

#[test]
#[ignore = "runs in the guest"]
fn guest_yuyv_arrives_bit_exact_and_on_time() {
    let camera = UsbCamera::plug(0, &[YUYV]);
    let mut source = open("0", &config()).unwrap();
    let frames = next_frames(&mut source, 40);
    assert!(frames.is_sorted_by(|a, b| a.index < b.index && a.captured_at < b.captured_at));
    assert_eq!(frames[0].format, PixelFormat::Yuyv);
    // The clip's position says which frame was sent; of those the last one before the driver's time.
    let sent = camera.sent();
    let mut offs: Vec<f64> = frames
        .iter()
        .map(|frame| {
            let at = frame.captured_at.as_nanos() as f64;
            let position = position(frame);
            let same = sent.iter().filter(|(n, _)| *n as usize % FRAMES == position);
            same.map(|(_, time)| (at - time).abs()).fold(f64::INFINITY, f64::min) / 1e6
        })
        .collect();
    offs.sort_by(f64::total_cmp);
    println!(
        "MEASURED driver timestamps off by {:.2} ms at the median, {:.2} ms at most",
        offs[20], offs[39]
    );
    assert!(offs[35] < 1000.0 / 30.0, "more than a frame off: {offs:?}");
    drop(source);
    camera.unplug();
}

#[test]
#[ignore = "runs in the guest"]
fn guest_motion_jpeg_arrives_whole_at_720p() {
    let camera = UsbCamera::plug(0, &[YUYV, MJPG]);
    let mut source = open("fake usb webcam", &config()).unwrap();
    let mut decoder = JpegDecoder::new().unwrap();
    let clip: Vec<Frame> = (0..FRAMES)
        .map(|n| {
            let mut frame = Frame::default();
            decoder.decode(&jpeg(n), None, &mut frame).unwrap();
            frame
        })
        .collect();
    let frames = next_frames(&mut source, 30);
    for frame in &frames {
        assert!(clip.iter().any(|picture| picture.data == frame.data), "a picture is none of the clip's");
    }
    let seconds = frames[29].captured_at.since(frames[0].captured_at).as_secs_f64();
    println!("MEASURED 720p Motion-JPEG at {:.1} frames a second", 29.0 / seconds);
    drop(source);
    camera.unplug();
}

#[test]
#[ignore = "runs in the guest"]
fn guest_cameras_are_listed_once_with_their_serial_numbers() {
    let cameras = [UsbCamera::plug(0, &[YUYV, MJPG]), UsbCamera::plug(1, &[YUYV])];
    let listed = list_cameras().unwrap();
    let names: Vec<_> = listed.iter().map(|c| (&c.name[..], &c.id[..], &c.bus[..])).collect();
    assert_eq!(
        names,
        [
            ("Fake USB Webcam 0", "usb-1209:0001-0-video-index0", "USB 2"),
            ("Fake USB Webcam 1", "usb-1209:0001-1-video-index0", "USB 2"),
        ],
        "{listed:?}"
    );
    assert_eq!(listed[0].chosen.as_ref().unwrap().format, "MJPG");
    cameras.into_iter().for_each(UsbCamera::unplug);
}

/// Asks until the camera is back: a frame that starts a sequence.
fn until_back(source: &mut Source) -> Frame {
    let mut frame = Frame::default();
    ask_until(|| source.next(&mut frame).unwrap() == Next::Frame && frame.starts_sequence);
    frame
}

#[test]
#[ignore = "runs in the guest"]
fn guest_a_camera_comes_back_under_another_number() {
    let camera = UsbCamera::plug(0, &[YUYV]);
    let mut source = open("Webcam 0", &config()).unwrap();
    next_frames(&mut source, 5);
    let before = resources();
    camera.unplug();
    let mut frame = Frame::default();
    ask_until(|| source.next(&mut frame).unwrap() == Next::Waiting);
    // The session notices, and lets go of the node.
    ask_until(|| {
        source.next(&mut frame).unwrap();
        resources().0 < before.0
    });
    let other = UsbCamera::plug(1, &[YUYV]);
    let camera = UsbCamera::plug(0, &[YUYV]);
    until_back(&mut source);
    position(&next_frame(&mut source));
    let node = list_cameras().unwrap().into_iter().find(|c| c.name.ends_with('0')).unwrap();
    assert_ne!(node.index, 0, "the other camera should have taken the number");
    assert_eq!((before.0, before.1), (resources().0, resources().1), "descriptors and threads");
    drop(source);
    camera.unplug();
    other.unplug();
}

#[test]
#[ignore = "runs in the guest"]
fn guest_a_frozen_camera_is_reopened() {
    let camera = UsbCamera::plug(0, &[YUYV]);
    let mut source = open("0", &config()).unwrap();
    next_frames(&mut source, 5);
    camera.signal("-USR1");
    let before = resources();
    let mut frame = Frame::default();
    // The session is given up, its descriptor with it.
    ask_until(|| {
        source.next(&mut frame).unwrap();
        resources().0 < before.0
    });
    camera.signal("-USR1");
    position(&until_back(&mut source));
    drop(source);
    camera.unplug();
}
