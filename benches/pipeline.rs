//! The whole way of a frame, stage by stage and at once: `cargo bench --bench pipeline`.
//!
//! Frames are the demo clip's, enlarged to 1280x720 and encoded as a webcam's Motion-JPEG. One inference thread.

mod common;

use common::{Stage, peak_resident_mb, print_machine};
use facetrackd::capture::{AviReader, JpegDecoder};
use facetrackd::clock::MonoTime;
use facetrackd::config::Config;
use facetrackd::face::{FaceSample, TrackedFace};
use facetrackd::filter::Filter;
use facetrackd::frame::Frame;
use facetrackd::geom::Intrinsics;
use facetrackd::infer::{CropView, ExpressionNet, Models, Runtime, Tracker, TrackerConfig};
use facetrackd::provision;
use facetrackd::sink::jsonl::LandmarkDetail;
use facetrackd::sink::{JsonlConfig, OutputConfig, ShmConfig, Sink, VmcConfig};
use facetrackd::solve::{Calibration, HeadPoseSolver, RestingExpression, align, eye_look};
use std::io::Cursor;
use std::net::UdpSocket;

/// Size of the frames.
const SIZE: (usize, usize) = (1280, 720);
/// Frames before anything is counted: buffers grow, the tracker locks on.
const WARM_UP: usize = 60;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    print_machine();
    let jpegs = enlarged_clip()?;
    let pack = provision::ensure(&provision::Bars::default())?;
    let runtime = Runtime::load(&pack.runtime)?;
    for models in [Models::Own, Models::Packaged] {
        println!("{models:?} networks");
        let tracking = TrackerConfig { models, detector: models, ..TrackerConfig::default() };
        let tracker = Tracker::from_files(&runtime, |name| pack.model(name), &tracking)?;
        measure(&jpegs, tracker, ExpressionNet::new(&runtime)?)?;
        println!(
            "peak resident memory so far {:.0} MB, the clip in it included",
            peak_resident_mb().unwrap_or(f64::NAN)
        );
    }
    Ok(())
}

/// Plays the clip through one tracker and all behind it.
fn measure(
    jpegs: &[Vec<u8>],
    mut tracker: Tracker,
    mut expression: ExpressionNet,
) -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::default();
    let mut pose: Option<HeadPoseSolver> = None;
    let mut calibration = Calibration::new();
    let mut resting = RestingExpression::new();
    let mut filter = Filter::new(&config.filter);
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    let folder = tempfile::tempdir()?;
    let mut sinks = [
        OutputConfig::Vmc(VmcConfig { address: receiver.local_addr()?.to_string(), ..VmcConfig::default() }),
        OutputConfig::Shm(ShmConfig::new(format!("bench-{}", std::process::id()))),
        OutputConfig::Jsonl(JsonlConfig {
            path: folder.path().join("out.jsonl"),
            landmarks: LandmarkDetail::All,
        }),
    ]
    .iter()
    .map(Sink::open)
    .collect::<Result<Vec<_>, _>>()?;

    let mut decoder = JpegDecoder::new()?;
    let mut frame = Frame { starts_sequence: true, ..Frame::default() };
    let mut sample = FaceSample { from_frame: true, ..FaceSample::default() };
    let mut spare: Vec<TrackedFace> = Vec::with_capacity(8);
    let names =
        ["whole frame", "decode", "track", "pose, gaze", "expression", "filter", "outputs: VMC, ring, JSON"];
    let mut stages = names.map(Stage::new);
    for (n, jpeg) in jpegs.iter().cycle().take(WARM_UP + 2 * jpegs.len()).enumerate() {
        if n == WARM_UP {
            stages = names.map(Stage::new);
        }
        let [whole, decode, track, solve, express, smooth, send] = &mut stages;
        frame.index = n as u64;
        frame.stream_time = MonoTime::from_secs_f64(n as f64 / 30.0);
        whole.measure(|| -> Result<(), Box<dyn std::error::Error>> {
            decode.measure(|| decoder.decode(jpeg, None, &mut frame))?;
            let intrinsics =
                Intrinsics::from_fov(config.pose.fov_deg.to_radians(), frame.width, frame.height);
            let observations = track.measure(|| tracker.track(&frame))?;
            frame.starts_sequence = false;
            spare.append(&mut sample.faces);
            sample.stream_time = frame.stream_time;
            for observation in observations {
                let mut tracked = spare.pop().unwrap_or_default();
                let face = &mut tracked.face;
                let reading = &observation.reading;
                face.landmarks.copy_from_slice(&reading.landmarks[..]);
                let pose =
                    pose.get_or_insert_with(|| HeadPoseSolver::new(&config.pose, reading.depth_along()));
                solve.measure(|| {
                    face.head = pose.solve(&face.landmarks, &intrinsics, frame.stream_time);
                    face.gaze = match &reading.parameters {
                        Some(seen) => CropView::new(&seen.roi, &intrinsics).gaze(seen),
                        None => pose.gaze(),
                    };
                });
                express.measure(|| {
                    let aligned = align(&face.landmarks);
                    match &reading.parameters {
                        Some(seen) => face.blendshapes = seen.blendshapes,
                        None => {
                            expression.predict(&aligned, calibration.neutral(), &mut face.blendshapes)?;
                        }
                    }
                    resting.settle(&mut face.blendshapes, aligned.turn_rad, frame.stream_time);
                    calibration.observe(&aligned, &face.blendshapes, frame.stream_time);
                    Ok::<(), facetrackd::infer::InferError>(())
                })?;
                eye_look(&face.gaze, &face.head, &mut face.blendshapes);
                sample.faces.push(tracked);
            }
            smooth.measure(|| filter.apply(&mut sample, &mut spare));
            send.measure(|| sinks.iter_mut().try_for_each(|sink| sink.send(&sample, MonoTime::now())))?;
            Ok(())
        })?;
    }
    stages.iter_mut().for_each(Stage::print);
    Ok(())
}

/// The demo clip's pictures at [`SIZE`], as JPEGs.
fn enlarged_clip() -> Result<Vec<Vec<u8>>, Box<dyn std::error::Error>> {
    let clip = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo/demo.avi"))?;
    let mut avi = AviReader::new(Cursor::new(clip))?;
    let (mut jpeg, mut jpegs) = (Vec::new(), Vec::new());
    while avi.next_frame(&mut jpeg)? {
        let image = turbojpeg::decompress(&jpeg, turbojpeg::PixelFormat::RGB)?;
        let (w, h) = (image.width, image.height);
        let mut pixels = vec![0; SIZE.0 * SIZE.1 * 3];
        for (i, pixel) in pixels.chunks_exact_mut(3).enumerate() {
            let (x, y) = ((i % SIZE.0) * w / SIZE.0, (i / SIZE.0) * h / SIZE.1);
            pixel.copy_from_slice(&image.pixels[(y * w + x) * 3..][..3]);
        }
        let image = turbojpeg::Image {
            pixels: pixels.as_slice(),
            width: SIZE.0,
            pitch: SIZE.0 * 3,
            height: SIZE.1,
            format: turbojpeg::PixelFormat::RGB,
        };
        jpegs.push(turbojpeg::compress(image, 85, turbojpeg::Subsamp::Sub2x2)?.to_vec());
    }
    Ok(jpegs)
}
