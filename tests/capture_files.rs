//! Files, folders and pipes as a person gives them, good and bad.
#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use facetrackd::capture::avi::{AviInfo, AviReader, AviWriter};
use facetrackd::capture::{CaptureConfig, CaptureError, Next, Source, SourceSpec};
use facetrackd::frame::{ColorSpace, Frame, PixelFormat};
use std::io::{Cursor, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A JPEG of one grey level.
fn grey_jpeg(width: usize, height: usize, level: u8) -> Vec<u8> {
    let pixels = vec![level; width * height * 3];
    let image = turbojpeg::Image {
        pixels: &pixels[..],
        width,
        pitch: width * 3,
        height,
        format: turbojpeg::PixelFormat::RGB,
    };
    turbojpeg::compress(image, 90, turbojpeg::Subsamp::Sub2x2).unwrap().to_vec()
}

/// An AVI whose frame `n` has the grey level `20 n`, at 25 frames a second.
fn avi(frames: u8) -> Vec<u8> {
    let info = AviInfo { width: 64, height: 48, rate: 25, scale: 1 };
    let mut writer = AviWriter::new(Cursor::new(Vec::new()), info).unwrap();
    for n in 0..frames {
        writer.write_frame(&grey_jpeg(64, 48, n * 20)).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn write(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn open(path: &Path) -> Result<Source, CaptureError> {
    Source::open(&SourceSpec::Path(path.into()), &CaptureConfig::default(), false)
}

/// All frames until the end, or the error that came before it.
fn play(mut source: Source) -> (Vec<Frame>, Option<CaptureError>) {
    let mut frames = Vec::new();
    loop {
        let mut frame = Frame::default();
        match source.next(&mut frame) {
            Ok(Next::Frame) => {
                assert!(frame.is_whole());
                frames.push(frame);
            }
            Ok(Next::Waiting) => {}
            Ok(Next::End) => return (frames, None),
            Err(e) => return (frames, Some(e)),
        }
    }
}

fn frames_of(path: &Path) -> Vec<Frame> {
    let (frames, error) = play(open(path).unwrap());
    assert!(error.is_none(), "{error:?}");
    frames
}

fn error_of(path: &Path) -> String {
    match open(path) {
        Err(e) => e.to_string(),
        Ok(source) => play(source).1.expect("the source should have failed").to_string(),
    }
}

/// Runs ffmpeg; `false`, loudly, where there is none.
fn ffmpeg(args: &[&str]) -> bool {
    if let Ok(status) = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(args)
        .stdout(Stdio::null())
        .status()
    {
        assert!(status.success(), "ffmpeg {args:?}");
        true
    } else {
        eprintln!("SKIPPED: this test needs the ffmpeg program (apt install ffmpeg)");
        false
    }
}

#[test]
fn an_avi_gives_every_frame_in_order_with_its_own_time() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, "clip.avi", &avi(5));
    let source = open(&path).unwrap();
    assert_eq!(source.frame_interval(), Some(Duration::from_millis(40)));
    assert!(!source.is_live());
    let frames = frames_of(&path);
    assert_eq!(frames.len(), 5);
    for (n, frame) in frames.iter().enumerate() {
        assert_eq!((frame.index, frame.starts_sequence), (n as u64, n == 0));
        assert_eq!(frame.stream_time.as_nanos(), n as u64 * 40_000_000);
        assert_eq!((frame.format, frame.color), (PixelFormat::I420, ColorSpace::JPEG));
        assert!(frame.data[0].abs_diff(n as u8 * 20) <= 1);
    }
}

#[test]
fn our_avi_is_one_for_ffmpeg_too() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, "clip.avi", &avi(5));
    let out = dir.path().join("out.y4m");
    if ffmpeg(&["-i", path.to_str().unwrap(), "-fps_mode", "passthrough", out.to_str().unwrap()]) {
        let (ours, theirs) = (frames_of(&path), frames_of(&out));
        assert_eq!(ours.len(), theirs.len());
        for (a, b) in ours.iter().zip(&theirs) {
            assert_eq!(a.stream_time, b.stream_time);
            assert!(a.data[0].abs_diff(b.data[0]) <= 1);
        }
    }
}

#[test]
fn an_avi_that_ffmpeg_wrote_is_read_without_it() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("theirs.avi");
    let tone = ["-f", "lavfi", "-i", "sine=duration=1"];
    let picture = ["-f", "lavfi", "-i", "testsrc=duration=1:rate=30000/1001:size=162x121"];
    let codecs = ["-c:v", "mjpeg", "-c:a", "pcm_s16le", path.to_str().unwrap()];
    if ffmpeg(&[&tone[..], &picture, &codecs].concat()) {
        let frames = frames_of(&path);
        assert_eq!(frames.len(), 30);
        assert_eq!((frames[0].width, frames[0].height), (162, 121));
        assert_eq!(frames[29].stream_time.as_nanos(), 29 * 1001 * 1_000_000 / 30);
    }
}

#[test]
fn an_empty_chunk_repeats_the_frame_before() {
    let info = AviInfo { width: 64, height: 48, rate: 25, scale: 1 };
    let mut writer = AviWriter::new(Cursor::new(Vec::new()), info).unwrap();
    writer.write_frame(&grey_jpeg(64, 48, 100)).unwrap();
    writer.write_frame(&[]).unwrap();
    let dir = TempDir::new().unwrap();
    let frames = frames_of(&write(&dir, "clip.avi", &writer.finish().unwrap().into_inner()));
    assert_eq!(frames.len(), 2);
    assert_eq!(frames[0].data, frames[1].data);
}

#[test]
fn a_truncated_avi_gives_its_whole_frames_and_then_says_so() {
    let dir = TempDir::new().unwrap();
    let bytes = avi(5);
    let path = write(&dir, "cut.avi", &bytes[..bytes.len() * 2 / 3]);
    let (frames, error) = play(open(&path).unwrap());
    let error = error.unwrap().to_string();
    assert!((1..5).contains(&frames.len()), "{}", frames.len());
    assert!(error.contains("cut.avi is broken at frame") && error.contains("too early"), "{error}");
}

#[test]
fn an_avi_cut_anywhere_is_an_error_and_never_a_panic() {
    let bytes = avi(3);
    for len in 0..bytes.len() {
        let mut jpeg = Vec::new();
        let outcome = AviReader::new(Cursor::new(&bytes[..len])).and_then(|mut reader| {
            while reader.next_frame(&mut jpeg)? {}
            Ok(())
        });
        assert!(outcome.is_err() || len == bytes.len(), "a file cut at {len} of {} passed", bytes.len());
    }
}

#[test]
fn an_empty_file_says_so() {
    let dir = TempDir::new().unwrap();
    for name in ["a.avi", "a.mp4", "a.jpg"] {
        assert!(error_of(&write(&dir, name, b"")).contains("is empty"));
    }
}

#[test]
fn a_path_that_leads_nowhere_says_so() {
    let error = error_of(Path::new("/no/such/clip.mp4"));
    assert_eq!(error, "there is no /no/such/clip.mp4; check the path");
}

#[test]
fn other_video_comes_through_ffmpeg_whole_and_on_time() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("clip.mp4");
    // Frames 3 and 4 are missing: the times must show the hole.
    let filter = "select='not(between(n,3,4))'";
    let source = "testsrc=duration=2:rate=24:size=322x242";
    let codec = ["-fps_mode", "passthrough", "-c:v", "mpeg4", path.to_str().unwrap()];
    if ffmpeg(&[&["-f", "lavfi", "-i", source, "-vf", filter][..], &codec].concat()) {
        let frames = frames_of(&path);
        assert_eq!(frames.len(), 46);
        assert_eq!((frames[0].width, frames[0].height, frames[0].format), (322, 242, PixelFormat::I420));
        let times: Vec<f64> = frames.iter().take(4).map(|f| f.stream_time.as_secs_f64() * 24.0).collect();
        for (time, want) in times.iter().zip([0.0, 1.0, 2.0, 5.0]) {
            assert!((time - want).abs() < 0.01, "{times:?}");
        }
        assert_eq!(open(&path).unwrap().frame_interval(), Some(Duration::from_secs_f64(1.0 / 24.0)));
    }
}

#[test]
fn a_video_that_says_it_lies_on_its_side_is_turned() {
    let dir = TempDir::new().unwrap();
    let (flat, turned) = (dir.path().join("flat.mp4"), dir.path().join("turned.mp4"));
    let [flat, turned] = [&flat, &turned].map(|p| p.to_str().unwrap());
    if ffmpeg(&["-f", "lavfi", "-i", "testsrc=duration=1:rate=5:size=160x96", "-c:v", "mpeg4", flat])
        && ffmpeg(&["-i", flat, "-c", "copy", "-metadata:s:v", "rotate=90", turned])
    {
        let frames = frames_of(Path::new(turned));
        assert_eq!((frames[0].width, frames[0].height), (96, 160));
    }
}

#[test]
fn a_text_file_as_video_is_refused_in_ffmpegs_words() {
    let dir = TempDir::new().unwrap();
    if ffmpeg(&["-version"]) {
        let error = error_of(&write(&dir, "notes.txt", b"this is no video, and never was one"));
        assert!(error.contains("ffmpeg cannot read") && error.contains("Invalid data"), "{error}");
    }
}

#[test]
fn a_truncated_video_gives_its_frames_and_then_ffmpegs_words() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("clip.mp4");
    let arg = path.to_str().unwrap();
    let source = ["-f", "lavfi", "-i", "testsrc2=duration=4:rate=25:size=320x240"];
    if ffmpeg(&[&source[..], &["-c:v", "mpeg4", "-movflags", "faststart", arg]].concat()) {
        let bytes = std::fs::read(&path).unwrap();
        let (frames, error) = play(open(&write(&dir, "cut.mp4", &bytes[..bytes.len() / 2])).unwrap());
        let error = error.expect("half a video is no whole one").to_string();
        assert!((10..100).contains(&frames.len()), "{}", frames.len());
        assert!(error.contains("partial file"), "{error}");
    }
}

#[test]
fn a_folder_is_one_still_per_image_sorted_by_name() {
    let dir = TempDir::new().unwrap();
    write(&dir, "b.jpg", &grey_jpeg(33, 17, 200));
    write(&dir, "a.PNG", &png(5, 4, 50));
    write(&dir, "notes.txt", b"not an image");
    write(&dir, "c.jpeg", &grey_jpeg(1, 1, 120));
    let frames = frames_of(dir.path());
    let sizes: Vec<_> = frames.iter().map(|f| (f.width, f.height)).collect();
    assert_eq!(sizes, [(5, 4), (33, 17), (1, 1)]);
    assert!(frames.iter().all(|f| f.starts_sequence));
    assert!(frames.iter().zip([50u8, 200, 120]).all(|(f, level)| f.data[0].abs_diff(level) <= 1));
    assert_eq!(frames.iter().map(|f| f.index).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn a_folder_as_a_film_starts_only_once() {
    let dir = TempDir::new().unwrap();
    for n in 0..3 {
        write(&dir, &format!("{n}.jpg"), &grey_jpeg(8, 8, 9));
    }
    let config = CaptureConfig { fps: Some(50.0), ..CaptureConfig::default() };
    let source = Source::open(&SourceSpec::Path(dir.path().into()), &config, true).unwrap();
    assert_eq!(source.frame_interval(), Some(Duration::from_millis(20)));
    let (frames, _) = play(source);
    assert_eq!(frames.iter().map(|f| f.starts_sequence).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(frames[2].stream_time.as_nanos(), 40_000_000);
}

#[test]
fn a_broken_image_in_a_folder_is_named() {
    let dir = TempDir::new().unwrap();
    write(&dir, "a.jpg", &grey_jpeg(64, 64, 9));
    let cut = grey_jpeg(64, 64, 9);
    write(&dir, "b.jpg", &cut[..cut.len() - 30]);
    let (frames, error) = play(open(dir.path()).unwrap());
    let error = error.unwrap().to_string();
    assert_eq!(frames.len(), 1);
    assert!(error.contains("b.jpg") && error.contains("take it out of the folder"), "{error}");
}

#[test]
fn a_folder_without_an_image_says_so() {
    let dir = TempDir::new().unwrap();
    write(&dir, "notes.txt", b"not an image");
    assert!(error_of(dir.path()).contains("holds no image"));
}

#[test]
fn stills_of_8k_come_whole() {
    let dir = TempDir::new().unwrap();
    let frames = frames_of(&write(&dir, "big.jpg", &grey_jpeg(7680, 4320, 77)));
    assert_eq!((frames[0].width, frames[0].height), (7680, 4320));
}

#[test]
fn an_exif_turn_is_undone() {
    let jpeg = grey_jpeg(40, 24, 90);
    let mut exif =
        b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    exif.splice(0..0, jpeg[..2].iter().copied());
    exif.extend_from_slice(&jpeg[2..]);
    let dir = TempDir::new().unwrap();
    let frames = frames_of(&write(&dir, "phone.jpg", &exif));
    assert_eq!((frames[0].width, frames[0].height), (24, 40));
}

#[test]
fn a_bare_mjpeg_film_gives_every_picture() {
    let dir = TempDir::new().unwrap();
    let film: Vec<u8> = (0..4).flat_map(|n| grey_jpeg(32, 32, n * 30)).collect();
    let frames = frames_of(&write(&dir, "film.mjpeg", &film));
    assert_eq!(frames.len(), 4);
    let error = error_of(&write(&dir, "cut.mjpeg", &film[..film.len() - 9]));
    assert!(error.contains("broken at frame 3") && error.contains("inside a frame"), "{error}");
}

#[test]
fn a_missing_ffmpeg_is_named_with_the_remedy() {
    // In a process of its own: the search path belongs to the whole process.
    let dir = TempDir::new().unwrap();
    let clip = write(&dir, "clip.mkv", &[0x1a, 0x45, 0xdf, 0xa3, 0, 0]);
    if let Some(clip) = std::env::var_os("FACETRACKD_TEST_CLIP") {
        println!("{}", error_of(Path::new(&clip)));
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_missing_ffmpeg_is_named_with_the_remedy", "--nocapture"])
        .env("FACETRACKD_TEST_CLIP", &clip)
        .env("PATH", dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("apt install ffmpeg"), "{said}");
}

/// Runs the test of this name in a process of its own, fed with `input`; what it said.
fn in_child(test: &str, input: &[u8]) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("FACETRACKD_TEST_CHILD", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn standard_input_is_raw_frames_or_motion_jpeg() {
    if std::env::var_os("FACETRACKD_TEST_CHILD").is_some() {
        let source = Source::open(&SourceSpec::Stdin, &CaptureConfig::default(), false).unwrap();
        let (frames, error) = play(source);
        let levels: Vec<_> = frames.iter().map(|f| (f.width, f.data[0], f.stream_time.as_nanos())).collect();
        println!("{levels:?} {}", error.map_or(String::new(), |e| e.to_string()));
        return;
    }
    let said = |input: &[u8]| in_child("standard_input_is_raw_frames_or_motion_jpeg", input);
    let mut raw = b"YUV4MPEG2 W4 H2 F10:1 C420jpeg\n".to_vec();
    for level in [7, 9] {
        raw.extend_from_slice(b"FRAME\n");
        raw.extend([level; 12]);
    }
    let got = said(&raw);
    assert!(got.contains("[(4, 7, 0), (4, 9, 100000000)] \n"), "{got}");
    let film = [grey_jpeg(16, 16, 100), grey_jpeg(16, 16, 200)].concat();
    let got = said(&film);
    assert!(got.contains("[(16, 100, 0), (16, 200, 33333333)] \n"), "{got}");
    let got = said(&raw[..raw.len() - 1]);
    assert!(got.contains("broken at frame 1: it ends inside a frame"), "{got}");
    let got = said(b"hello there, tracker");
    assert!(got.contains("neither YUV4MPEG2 nor Motion-JPEG") && got.contains("hello there"), "{got}");
    assert!(said(b"").contains("nothing at all"));
}

/// A phone that serves Motion-JPEG over HTTP and hangs up after 30 pictures, `connections` times.
fn serve_motion_jpeg(connections: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/video", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().take(connections) {
            let mut stream = stream.unwrap();
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0, "a request comes first");
            let head = "HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=edge\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            for n in 0..30 {
                let jpeg = grey_jpeg(64, 48, n * 8);
                let part =
                    format!("--edge\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", jpeg.len());
                stream.write_all(&[part.as_bytes(), &jpeg, b"\r\n"].concat()).unwrap();
            }
        }
    });
    url
}

#[test]
fn a_phone_that_hangs_up_is_called_again() {
    if !ffmpeg(&["-version"]) {
        return;
    }
    let spec = SourceSpec::from_source_arg(&serve_motion_jpeg(2));
    let mut source = Source::open(&spec, &CaptureConfig::default(), false).unwrap();
    assert!(source.is_live());
    let (mut frames, start) = (Vec::new(), Instant::now());
    while frames.iter().filter(|f: &&Frame| f.starts_sequence).count() < 2 {
        let mut frame = Frame::default();
        match source.next(&mut frame).unwrap() {
            Next::Frame => frames.push(frame),
            Next::Waiting => assert!(start.elapsed() < Duration::from_mins(1), "it was never called again"),
            Next::End => panic!("a live stream does not end"),
        }
    }
    assert!(frames.len() > 20);
    assert!(frames.is_sorted_by(|a, b| a.stream_time <= b.stream_time && a.index < b.index));
}

/// A grey PNG.
fn png(width: u32, height: u32, level: u8) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image::GrayImage::from_pixel(width, height, image::Luma([level]))
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}
