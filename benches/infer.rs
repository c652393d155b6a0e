//! What each step from pixels to landmarks costs, on a frame of 1280x720 (4:2:0) around the demo clip's face.

mod common;

use common::{Stage, peak_resident_mb, print_machine};
use facetrackd::capture::{CaptureConfig, Next, Source, SourceSpec};
use facetrackd::clock::MonoTime;
use facetrackd::frame::{ColorSpace, Frame, PixelFormat};
use facetrackd::geom::Roi;
use facetrackd::infer::detector::{Detector, Range};
use facetrackd::infer::landmarker::{self, Landmarker};
use facetrackd::infer::preprocess::{Border, Sampler, Target};
use facetrackd::infer::session::{Session, TensorSpec};
use facetrackd::infer::{FaceNet, Runtime, Tracker, TrackerConfig};
use facetrackd::provision;
use glam::Vec2;
use std::path::Path;
use std::time::Duration;

const RUNS: usize = 300;
const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;

/// The demo clip's luma, doubled in size, in the middle of a grey frame.
fn frame(shift: usize) -> Frame {
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/demo.avi");
    let mut source =
        Source::open(&SourceSpec::Path(clip), &CaptureConfig::default(), false).expect("the clip");
    let mut small = Frame::default();
    while !matches!(source.next(&mut small).expect("a frame"), Next::Frame) {}
    let (w, h) = (small.width as usize, small.height as usize);
    let format = PixelFormat::I420;
    let mut data = vec![128u8; format.frame_len(WIDTH, HEIGHT)];
    for y in 0..HEIGHT as usize {
        for x in 0..WIDTH as usize {
            let (from_x, from_y) = ((x + shift) * w / WIDTH as usize, y * h / HEIGHT as usize);
            data[y * WIDTH as usize + x] = small.data[from_y.min(h - 1) * w + from_x.min(w - 1)];
        }
    }
    let stream_time = MonoTime::default() + Duration::from_millis(33 * shift as u64);
    let starts_sequence = shift == 0;
    Frame {
        width: WIDTH,
        height: HEIGHT,
        format,
        color: ColorSpace::JPEG,
        data,
        stream_time,
        starts_sequence,
        ..Frame::default()
    }
}

fn preprocess(frame: &Frame) {
    let whole = Roi { center: Vec2::new(640.0, 360.0), side: 1280.0, rotation_rad: 0.0 };
    let face = |side, rotation_rad| Roi { center: Vec2::new(640.0, 360.0), side, rotation_rad };
    for (name, size, roi, border) in [
        ("192 from a face of 300 px", 192, face(300.0, 0.2), Border::Replicate),
        ("192 from a face of 450 px", 192, face(450.0, 0.2), Border::Replicate),
        ("192 from the whole, on a corner", 192, face(1000.0, 0.8), Border::Replicate),
        ("128 from the whole frame", 128, whole, Border::Black),
    ] {
        let mut sampler = Sampler::new(Target { size, range: (0.0, 1.0), border });
        let mut out = vec![0.0; 3 * size * size];
        let mut stage = Stage::new(format!("preprocess {name}"));
        for _ in 0..RUNS {
            stage.measure(|| sampler.sample(frame, &roi, &mut out));
        }
        stage.print();
    }
}

fn main() {
    print_machine();
    let pack = provision::ensure(&provision::Bars::default()).expect("runtime and networks");
    let runtime = Runtime::load(&pack.runtime).expect("ONNX Runtime");
    println!("networks from {}", pack.dir.display());
    let frames: Vec<Frame> = (0..8).map(frame).collect();
    preprocess(&frames[0]);

    let whole = Roi { center: Vec2::new(640.0, 360.0), side: 1280.0, rotation_rad: 0.0 };
    let packaged = |range: Range| Detector::from_file(&runtime, &pack.model(range.model()), range);
    for (range, detector) in [
        (Range::Short, packaged(Range::Short)),
        (Range::Full, packaged(Range::Full)),
        (Range::Own, Detector::own(&runtime)),
    ] {
        let mut detector = detector.expect("a detector");
        let mut stage = Stage::new(format!("detector {}", range.model()));
        for frame in frames.iter().cycle().take(RUNS) {
            stage.measure(|| detector.detect(frame, &whole, 0.5).map(<[_]>::len)).expect("it runs");
        }
        stage.print();
    }

    let mut tracker =
        Tracker::from_files(&runtime, |name| pack.model(name), &TrackerConfig::default()).expect("a tracker");
    let first = tracker.track(&frames[0]).expect("it runs").first().expect("a face").clone();
    let roi = landmarker::roi_around(&first.reading.landmarks, landmarker::MARGIN);
    let mut network = Landmarker::from_file(&runtime, &pack.model(landmarker::MODEL)).expect("a landmarker");
    let mut own = FaceNet::new(&runtime).expect("the face network");
    let mut out = first.reading.landmarks;
    let mut stages = [landmarker::MODEL, "face"].map(|name| Stage::new(format!("landmarks by {name}")));
    for frame in frames.iter().cycle().take(RUNS) {
        stages[0].measure(|| network.landmarks(frame, &roi, &mut out)).expect("it runs");
        stages[1].measure(|| own.landmarks(frame, &roi, None, &mut out)).expect("it runs");
    }
    stages.iter_mut().for_each(Stage::print);

    let input = |name, shape| TensorSpec { name, shape };
    let inputs =
        [input("image", &[1, 3, 192, 192]), input("neutral", &[1, 478, 3]), input("neutral_known", &[1, 1])];
    let onnx = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/face.onnx");
    let mut session = Session::from_file(&runtime, &onnx, 1, &inputs, &[input("landmarks", &[1, 478, 3])])
        .expect("face.onnx");
    let crop = Target { size: 192, range: (-2.0, 2.0), border: Border::Replicate };
    Sampler::new(crop).sample(&frames[0], &roi, session.input_mut(0));
    let mut stage = Stage::new("face, its run alone");
    for _ in 0..10 * RUNS {
        stage.measure(|| session.run()).expect("it runs");
    }
    stage.print();

    let mut stage = Stage::new("tracker, one face followed");
    for i in 0..RUNS {
        let mut frame = frames[1 + i % 7].clone();
        frame.stream_time = MonoTime::default() + Duration::from_millis(33 * (i as u64 + 10));
        stage.measure(|| tracker.track(&frame).map(<[_]>::len)).expect("it runs");
    }
    stage.print();
    if let Some(mb) = peak_resident_mb() {
        println!("peak resident memory {mb:.0} MB, the frames and two landmark networks among it");
    }
}
