//! Cameras as people have them, played by a preloaded V4L2 camera (`vcam/`).
#![cfg(target_os = "linux")]

#[path = "vcam/frames.rs"]
mod frames;
#[path = "vcam/soak.rs"]
mod soak;
mod vcam;

use facetrackd::capture::{CaptureConfig, CaptureError, JpegDecoder, Next, Rotation, list_cameras};
use facetrackd::clock::MonoTime;
use facetrackd::frame::{ColorSpace, Frame, PixelFormat};
use frames::{FRAMES, HEIGHT, WIDTH, ask_until, jpeg, next_frame, next_frames, open, resources, yuyv};
use std::time::Duration;
use vcam::Vcam;

/// Runs the test of this name with the preloaded camera in place.
fn inside(test: &str, body: impl FnOnce(&Vcam)) {
    let said = vcam::inside(&["--exact", test, "--nocapture", "--include-ignored"], body);
    if let Some(said) = said {
        assert!(said.contains("1 passed"), "no test is called {test}:\n{said}");
        said.lines().filter(|l| l.starts_with("MEASURED")).for_each(|line| println!("{line}"));
    }
}

/// A camera's lines for those frames at `fps`, and what else it is.
fn yuyv_camera(vcam: &Vcam, fps: u32, more: &str) -> String {
    let frames: Vec<u8> = (0..FRAMES).flat_map(yuyv).collect();
    let path = vcam.file("frames.yuyv", &frames);
    format!("format YUYV {WIDTH}x{HEIGHT} {fps} {}\n{more}\n", path.display())
}

fn jpeg_camera(vcam: &Vcam, more: &str) -> String {
    let path = vcam.file("frames.mjpg", &(0..FRAMES).flat_map(jpeg).collect::<Vec<u8>>());
    format!("format MJPG 1280x720 30 {}\n{more}\n", path.display())
}

/// For what waits until a frozen camera is given up. A busy machine may hold this process up as long: elsewhere the
/// default is what is wanted.
fn impatient() -> CaptureConfig {
    CaptureConfig { freeze_timeout_s: 0.3, ..CaptureConfig::default() }
}

/// The frame is what its number says, and numbers only rise.
fn assert_content(frames: &[Frame]) {
    for frame in frames {
        assert!(
            frame.data == yuyv(frame.index as usize % FRAMES),
            "frame {} holds another's pixels",
            frame.index
        );
    }
    assert!(frames.is_sorted_by(|a, b| a.index < b.index && a.captured_at < b.captured_at));
}

#[test]
fn yuyv_arrives_bit_exact() {
    inside("yuyv_arrives_bit_exact", |vcam| {
        vcam.plug(0, &yuyv_camera(vcam, 60, ""));
        let mut source = open("0", &CaptureConfig::default()).unwrap();
        assert!(source.is_live());
        let frames = next_frames(&mut source, 40);
        assert_content(&frames);
        assert_eq!((frames[0].format, frames[0].color), (PixelFormat::Yuyv, ColorSpace::VIDEO));
        assert!(frames[0].starts_sequence && frames[1..].iter().all(|f| !f.starts_sequence));
        assert_eq!(frames[0].stream_time, MonoTime::default());
    });
}

#[test]
fn motion_jpeg_arrives_at_720p_and_thirty_a_second() {
    inside("motion_jpeg_arrives_at_720p_and_thirty_a_second", |vcam| {
        vcam.plug(0, &jpeg_camera(vcam, ""));
        let mut source = open("/dev/video0", &CaptureConfig::default()).unwrap();
        assert_eq!(source.frame_interval(), Some(Duration::from_secs_f64(1.0 / 30.0)));
        let (mut decoder, mut want) = (JpegDecoder::new().unwrap(), Frame::default());
        let frames = next_frames(&mut source, 30);
        for frame in &frames {
            decoder.decode(&jpeg(frame.index as usize % FRAMES), None, &mut want).unwrap();
            assert!(frame.data == want.data, "frame {}", frame.index);
            assert_eq!((frame.width, frame.format), (1280, PixelFormat::Planar { x_shift: 1, y_shift: 0 }));
        }
        let (first, last) = (&frames[0], &frames[29]);
        let seconds = last.captured_at.since(first.captured_at).as_secs_f64();
        let fps = (last.index - first.index) as f64 / seconds;
        assert!((fps - 30.0).abs() < 1.5, "{fps} frames a second");
    });
}

#[test]
fn frames_carry_the_drivers_own_time() {
    inside("frames_carry_the_drivers_own_time", |vcam| {
        vcam.plug(0, &yuyv_camera(vcam, 60, ""));
        let frames = next_frames(&mut open("0", &CaptureConfig::default()).unwrap(), 20);
        let truth = vcam.delivered();
        for frame in &frames {
            let (_, time) = truth.iter().find(|(n, _)| *n == frame.index).unwrap();
            assert_eq!(frame.captured_at.as_nanos(), *time);
        }
    });
}

#[test]
fn a_driver_on_the_wall_clock_is_converted() {
    inside("a_driver_on_the_wall_clock_is_converted", |vcam| {
        vcam.plug(0, &yuyv_camera(vcam, 60, "realtime 1"));
        let frames = next_frames(&mut open("0", &CaptureConfig::default()).unwrap(), 20);
        let truth = vcam.delivered();
        let off = |f: &Frame| {
            let (_, time) = truth.iter().find(|(n, _)| *n == f.index).unwrap();
            f.captured_at.as_nanos().abs_diff(*time)
        };
        let mut offs: Vec<_> = frames.iter().map(off).collect();
        offs.sort_unstable();
        assert!(offs[15] < 16_000_000, "more than a frame off: {offs:?}");
    });
}

#[test]
fn a_camera_plugged_in_elsewhere_is_the_same_camera() {
    inside("a_camera_plugged_in_elsewhere_is_the_same_camera", |vcam| {
        let lines = yuyv_camera(vcam, 60, "");
        vcam.plug(0, &lines);
        vcam.name_by_id("usb-fake_one-video-index0", 0);
        let mut source = open("0", &CaptureConfig::default()).unwrap();
        next_frames(&mut source, 5);
        let before = resources();
        vcam.unplug(0);
        let mut frame = Frame::default();
        ask_until(|| source.next(&mut frame).unwrap() == Next::Waiting && !vcam.log("unplugged").is_empty());
        // Another camera takes its number; it is not the one.
        vcam.plug(0, &format!("card Impostor\n{lines}"));
        vcam.name_by_id("usb-other-video-index0", 0);
        vcam.plug(3, &lines);
        vcam.name_by_id("usb-fake_one-video-index0", 3);
        let back = next_frame(&mut source);
        assert!(back.starts_sequence, "a gap was not marked");
        let after = next_frames(&mut source, 5);
        assert!(after.iter().all(|f| !f.starts_sequence && f.stream_time > back.stream_time));
        assert_eq!((before.0, before.1), (resources().0, resources().1), "descriptors and threads");
        assert_eq!(vcam.log("streamon").len(), 2);
    });
}

#[test]
fn a_frozen_camera_is_reopened() {
    inside("a_frozen_camera_is_reopened", |vcam| {
        vcam.plug(0, &yuyv_camera(vcam, 60, ""));
        let mut source = open("0", &impatient()).unwrap();
        next_frames(&mut source, 5);
        vcam.freeze(0, true);
        let mut frame = Frame::default();
        ask_until(|| {
            source.next(&mut frame).unwrap();
            vcam.log("streamon").len() == 2
        });
        vcam.freeze(0, false);
        assert!(next_frame(&mut source).starts_sequence);
    });
}

#[test]
fn a_program_that_was_held_up_does_not_take_the_camera_for_frozen() {
    inside("a_program_that_was_held_up_does_not_take_the_camera_for_frozen", |vcam| {
        vcam.plug(0, &yuyv_camera(vcam, 60, ""));
        let config = CaptureConfig::default();
        let mut source = open("0", &config).unwrap();
        next_frames(&mut source, 5);
        // The camera goes on for longer than a frozen one is borne, and has just nothing new when we are back.
        let dropped = (60.0 * config.freeze_timeout_s) as usize + 10;
        ask_until(|| vcam.log("dropped").len() >= dropped);
        vcam.freeze(0, true);
        assert_eq!(source.next(&mut Frame::default()).unwrap(), Next::Waiting);
        vcam.freeze(0, false);
        assert!(!next_frame(&mut source).starts_sequence);
        assert_eq!(vcam.log("streamon").len(), 1);
    });
}

#[test]
fn a_busy_camera_is_an_error_or_waited_for() {
    inside("a_busy_camera_is_an_error_or_waited_for", |vcam| {
        vcam.plug(0, &yuyv_camera(vcam, 60, "busy 1"));
        let error = open("0", &CaptureConfig::default()).unwrap_err();
        assert!(error.to_string().contains("/dev/video0 is in use by another program"), "{error}");
        assert!(error.may_pass());
        let mut source = open("0", &CaptureConfig { wait: true, ..CaptureConfig::default() }).unwrap();
        assert_eq!(source.next(&mut Frame::default()).unwrap(), Next::Waiting);
        vcam.plug(0, &yuyv_camera(vcam, 60, ""));
        assert_content(&next_frames(&mut source, 3));
    });
}

#[test]
fn broken_buffers_are_counted_and_never_shown() {
    inside("broken_buffers_are_counted_and_never_shown", |vcam| {
        // Of every 30 frames 3 are short and 5 flagged, one of them both.
        vcam.plug(0, &yuyv_camera(vcam, 120, "short_every 10\nerror_every 6"));
        let mut source = open("0", &CaptureConfig::default()).unwrap();
        let frames = next_frames(&mut source, 60);
        assert_content(&frames);
        assert!(frames.iter().all(|f| f.index % 10 != 9 && f.index % 6 != 5));
        let seen = frames.last().unwrap().index + 1;
        assert!(source.skipped() >= seen - 60, "{} skipped of {seen}", source.skipped());
    });
}

#[test]
fn a_truncated_motion_jpeg_is_skipped() {
    inside("a_truncated_motion_jpeg_is_skipped", |vcam| {
        vcam.plug(0, &jpeg_camera(vcam, "short_every 4\nlossless 1"));
        let mut source = open("0", &CaptureConfig::default()).unwrap();
        let frames = next_frames(&mut source, 12);
        assert!(frames.iter().all(|f| f.index % 4 != 3));
        assert!(source.skipped() >= 3);
    });
}

#[test]
fn a_camera_that_is_slow_to_wake_is_given_time() {
    inside("a_camera_that_is_slow_to_wake_is_given_time", |vcam| {
        vcam.plug(0, &yuyv_camera(vcam, 60, "startup_ms 1500"));
        assert_content(&next_frames(&mut open("0", &CaptureConfig::default()).unwrap(), 3));
        assert_eq!(vcam.log("streamon").len(), 1, "it was reopened while it woke up");
    });
}

#[test]
fn a_slow_consumer_gets_fresh_frames_and_an_exact_count() {
    inside("a_slow_consumer_gets_fresh_frames_and_an_exact_count", |vcam| {
        vcam.plug(0, &yuyv_camera(vcam, 100, ""));
        let mut source = open("0", &CaptureConfig::default()).unwrap();
        let (mut frames, mut fresh) = (Vec::new(), 0);
        for given in 1..=20 {
            let frame = next_frame(&mut source);
            // What the camera had delivered by the time the frame was ours, against the frame's number.
            let newest = vcam.delivered().last().unwrap().0;
            fresh += usize::from(newest <= frame.index + 2);
            assert_eq!(frame.index + 1, given + source.skipped(), "the books do not balance");
            frames.push(frame);
            // Ten frames pass while the frame is worked on.
            ask_until(|| vcam.log("frame ").len() + vcam.log("dropped").len() >= newest as usize + 10);
        }
        assert_content(&frames);
        // The machine may stop this process at any moment: not every single one.
        assert!(fresh >= 16, "only {fresh} of 20 frames were fresh");
    });
}

#[test]
fn a_camera_with_only_an_odd_format_says_what_it_has() {
    inside("a_camera_with_only_an_odd_format_says_what_it_has", |vcam| {
        vcam.plug(0, "format RGGB 1280x720 30 /dev/null");
        let error = open("0", &CaptureConfig::default()).unwrap_err().to_string();
        assert!(
            error.contains("offers no format that we decode") && error.contains("RGGB 1280x720 at 30"),
            "{error}"
        );
    });
}

#[test]
fn a_request_that_cannot_be_met_prints_what_can() {
    inside("a_request_that_cannot_be_met_prints_what_can", |vcam| {
        vcam.plug(0, &yuyv_camera(vcam, 30, ""));
        let request = CaptureConfig {
            resolution: Some("800x600".parse().unwrap()),
            fps: Some(60.0),
            ..CaptureConfig::default()
        };
        let error = open("0", &request).unwrap_err().to_string();
        assert!(error.contains("cannot do 800x600 60 fps; it offers YUYV 640x360 at 30"), "{error}");
    });
}

#[test]
fn cameras_are_listed_once_and_found_by_what_people_call_them() {
    inside("cameras_are_listed_once_and_found_by_what_people_call_them", |vcam| {
        let lines = yuyv_camera(vcam, 30, "");
        vcam.plug(0, &format!("card HD Webcam C270\n{lines}"));
        vcam.plug(1, "card HD Webcam C270\nmetadata 1");
        vcam.plug(4, &format!("card Webcam Mini\n{lines}"));
        vcam.name_by_id("usb-c270-video-index0", 0);
        vcam.name_by_id("usb-c270-video-index1", 1);
        let cameras = list_cameras().unwrap();
        let listed: Vec<_> = cameras.iter().map(|c| (c.index, &c.name[..], &c.id[..])).collect();
        assert_eq!(
            listed,
            [(0, "HD Webcam C270", "usb-c270-video-index0"), (4, "Webcam Mini", "Webcam Mini@platform:vcam")]
        );
        let chosen = cameras[0].chosen.as_ref().unwrap();
        assert_eq!((&chosen.format[..], chosen.fps), ("YUYV", 30.0));
        let json = serde_json::to_value(&cameras[0]).unwrap();
        assert_eq!(json["formats"][0]["resolution"], "640x360");
        for name in
            ["0", "/dev/video0", "c270", "usb-c270-video-index0", "/dev/v4l/by-id/usb-c270-video-index0"]
        {
            open(name, &CaptureConfig::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        let error = open("webcam", &CaptureConfig::default()).unwrap_err().to_string();
        assert!(error.contains("/dev/video0 HD Webcam C270, /dev/video4 Webcam Mini"), "{error}");
        let error = open("1", &CaptureConfig::default()).unwrap_err();
        assert!(matches!(error, CaptureError::NoSuchCamera { .. }), "{error}");
    });
}

#[test]
fn the_slow_bus_is_seen_and_motion_jpeg_taken() {
    inside("the_slow_bus_is_seen_and_motion_jpeg_taken", |vcam| {
        let raw = "format YUYV 1280x720 30 /dev/null\n";
        vcam.plug(0, &format!("{}{raw}", jpeg_camera(vcam, "")));
        vcam.sysfs("video0/speed", "480");
        vcam.sysfs("video0/device/placeholder", "");
        let chosen = list_cameras().unwrap()[0].chosen.clone().unwrap();
        assert_eq!(chosen.format, "MJPG", "{}", chosen.why);
        assert!(chosen.why.contains("USB 2 carries 25"), "{}", chosen.why);
    });
}

#[test]
fn no_camera_and_no_permission_say_what_to_do() {
    inside("no_camera_and_no_permission_say_what_to_do", |vcam| {
        assert!(matches!(open("0", &CaptureConfig::default()).unwrap_err(), CaptureError::NoCamera));
        assert!(list_cameras().unwrap().is_empty());
        vcam.plug(0, &yuyv_camera(vcam, 30, "deny 1"));
        let error = open("0", &CaptureConfig::default()).unwrap_err();
        assert!(error.to_string().contains("usermod -aG video"), "{error}");
        assert!(!error.may_pass());
        assert!(list_cameras().unwrap()[0].problem.as_ref().unwrap().contains("usermod"));
    });
}

#[test]
fn controls_are_set_and_put_back() {
    inside("controls_are_set_and_put_back", |vcam| {
        vcam.plug(0, &yuyv_camera(vcam, 60, ""));
        let controls = [("brightness".to_owned(), 7), ("white_balance_automatic".to_owned(), 0)].into();
        let mut source =
            open("0", &CaptureConfig { controls, lock_fps: true, ..CaptureConfig::default() }).unwrap();
        next_frame(&mut source);
        let set = ["White Balance, Automatic=0", "Brightness=7", "Exposure, Dynamic Framerate=0"];
        let mut log = vcam.log("control ");
        log.sort_unstable();
        let mut want = set.to_vec();
        want.sort_unstable();
        assert_eq!(log, want);
        drop(source);
        let back: Vec<_> = vcam.log("control ").split_off(3);
        assert_eq!(back.len(), 3);
        for line in ["White Balance, Automatic=1", "Brightness=128", "Exposure, Dynamic Framerate=1"] {
            assert!(back.iter().any(|l| l == line), "{back:?}");
        }
        let wrong = |name: &str, value| CaptureConfig {
            controls: [(name.to_owned(), value)].into(),
            ..CaptureConfig::default()
        };
        let error = open("0", &wrong("brightnes", 1)).unwrap_err().to_string();
        assert!(error.contains("it has brightness, contrast"), "{error}");
        let error = open("0", &wrong("brightness", 900)).unwrap_err().to_string();
        assert!(error.contains("takes 0 to 255, not 900"), "{error}");
    });
}

#[test]
fn a_camera_on_its_side_is_turned_upright() {
    inside("a_camera_on_its_side_is_turned_upright", |vcam| {
        vcam.plug(0, &yuyv_camera(vcam, 60, ""));
        let mut source =
            open("0", &CaptureConfig { rotate: Rotation::Cw90, ..CaptureConfig::default() }).unwrap();
        let frame = next_frame(&mut source);
        assert_eq!((frame.width as usize, frame.height as usize), (HEIGHT, WIDTH));
        let source = yuyv(frame.index as usize % FRAMES);
        assert_eq!(frame.data[HEIGHT - 1], source[0], "the top left corner goes to the top right");
    });
}
