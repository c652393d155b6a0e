//! Converted networks against their originals, on real pixels, through MediaPipe's own runtime.
//!
//! The reference needs Python 3.9 to 3.12 and three packages in an environment under `target/`, made on first use; where
//! that is not to be had the tests say so loudly and pass.

use facetrackd::capture::{CaptureConfig, Next, Source, SourceSpec};
use facetrackd::frame::Frame;
use facetrackd::geom::Roi;
use facetrackd::infer::Runtime;
use facetrackd::infer::preprocess::{Border, Sampler, Target};
use facetrackd::infer::session::{Session, TensorSpec};
use facetrackd::provision::{self, Bars, InstalledPack, Manifest, Port};
use glam::Vec2;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Largest difference over the range of the original's values. Measured: 2e-5 at most.
const DIFFERENCE_MAX: f32 = 1e-4;
/// Images a network sees.
const IMAGES: usize = 12;

fn pack() -> &'static InstalledPack {
    static PACK: OnceLock<InstalledPack> = OnceLock::new();
    PACK.get_or_init(|| provision::ensure(&Bars::default()).unwrap_or_else(|e| panic!("{e}")))
}

/// A Python with MediaPipe's runtime, or why there is none.
fn reference_python() -> &'static Result<PathBuf, String> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/mediapipe-0.10.21");
        let (python, done) = (folder.join("bin/python"), folder.join("complete"));
        if done.exists() {
            return Ok(python);
        }
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        let packages = ["mediapipe==0.10.21", "numpy<2", "protobuf>=4.25.3,<5"];
        run(Command::new(&python).args(["-m", "pip", "install", "-q", "--no-deps"]).args(packages))?;
        fs::write(done, b"").map_err(|e| e.to_string())?;
        Ok(python)
    })
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {said}")) }
}

/// The first folder or file of real pictures that is there.
fn pictures() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let places = ["../shared/eval/dev/genki", "assets/demo/demo.avi"];
    places.map(|place| root.join(place)).into_iter().find(|p| p.exists())
}

/// Turned squares out of real pictures, as R, G, B bytes: `[count][size][size][3]`.
fn crops(pictures: &Path, size: usize) -> Vec<u8> {
    let spec = SourceSpec::Path(pictures.to_path_buf());
    let mut source = Source::open(&spec, &CaptureConfig::default(), false).expect("pictures open");
    let mut sampler = Sampler::new(Target { size, range: (0.0, 255.0), border: Border::Black });
    let (mut frame, mut planes) = (Frame::default(), vec![0.0; 3 * size * size]);
    let mut pixels = Vec::new();
    let mut taken = 0;
    while taken < IMAGES && matches!(source.next(&mut frame).expect("pictures read"), Next::Frame) {
        // Close and far, upright and turned, some beyond the picture's edge.
        let image = Vec2::new(frame.width as f32, frame.height as f32);
        let turn = [0.0, 0.4, -0.7][taken % 3];
        let side = image.min_element() * [0.5, 0.7, 0.9, 1.2][taken % 4];
        let roi = Roi { center: image * 0.5, side, rotation_rad: turn };
        sampler.sample(&frame, &roi, &mut planes);
        let plane = size * size;
        pixels.extend((0..plane).flat_map(|i| [0, 1, 2].map(|c| planes[c * plane + i].round() as u8)));
        taken += 1;
    }
    pixels
}

/// Shapes and names outlive the test: specs want them static.
fn spec((name, shape): Port) -> TensorSpec {
    let shape: Vec<i64> = shape.into_iter().map(|n| n as i64).collect();
    TensorSpec { name: name.leak(), shape: shape.leak() }
}

/// The original's outputs, one vector for each image and output.
fn original(python: &Path, manifest: &Manifest, pixels: &[u8]) -> Result<Vec<Vec<f32>>, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let (images, result) = (folder.path().join("pixels"), folder.path().join("result"));
    fs::write(&images, pixels).map_err(|e| e.to_string())?;
    let [low, high] = manifest.input.range.map(|v| v.to_string());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/mediapipe_outputs.py");
    let mut command = Command::new(python);
    command.arg(script).args([&manifest.source.path, &low, &high, &manifest.input.shape[2].to_string()]);
    run(command.arg(&images).arg(&result))?;
    let bytes = fs::read(result).map_err(|e| e.to_string())?;
    let mut values = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
    let sizes: Vec<usize> = manifest.outputs.iter().map(|o| o.shape.iter().product()).collect();
    Ok((0..IMAGES).flat_map(|_| sizes.clone()).map(|n| values.by_ref().take(n).collect()).collect())
}

/// The converted network's outputs, laid out alike.
fn converted(runtime: &Runtime, manifest: &Manifest, pixels: &[u8]) -> Vec<Vec<f32>> {
    let outputs: Vec<TensorSpec> = manifest.output_ports().into_iter().map(spec).collect();
    let file = pack().model(&manifest.name);
    let mut session = Session::from_file(runtime, &file, 1, &[spec(manifest.input_port())], &outputs)
        .expect("the network loads");
    let [low, high] = manifest.input.range;
    let plane = manifest.input.shape[2] * manifest.input.shape[3];
    let mut results = Vec::new();
    for image in pixels.chunks_exact(3 * plane) {
        let input = session.input_mut(0);
        for (i, rgb) in image.as_chunks::<3>().0.iter().enumerate() {
            for (c, value) in rgb.iter().enumerate() {
                input[c * plane + i] = f32::from(*value) / 255.0 * (high - low) + low;
            }
        }
        session.run().expect("the network runs");
        results.extend((0..outputs.len()).map(|o| session.output(o).to_vec()));
    }
    results
}

#[test]
fn converted_networks_agree_with_the_originals_on_real_pixels() {
    let python = match reference_python() {
        Ok(python) => python,
        Err(reason) => return eprintln!("SKIPPED: no reference runtime: {reason}"),
    };
    let Some(pictures) = pictures() else {
        return eprintln!("SKIPPED: no pictures to compare on");
    };
    let runtime = Runtime::load(&pack().runtime).unwrap();
    for manifest in Manifest::all() {
        let pixels = crops(&pictures, manifest.input.shape[2]);
        let reference = original(python, &manifest, &pixels).unwrap();
        let results = converted(&runtime, &manifest, &pixels);
        assert_eq!((reference.len(), results.len()), (IMAGES * manifest.outputs.len(), reference.len()));
        for (o, output) in manifest.outputs.iter().enumerate() {
            let of = |all: &[Vec<f32>]| -> Vec<f32> {
                all.iter().skip(o).step_by(manifest.outputs.len()).flatten().copied().collect()
            };
            let (expected, got) = (of(&reference), of(&results));
            assert_eq!(expected.len(), got.len(), "{} {}", manifest.name, output.name);
            let (min, max) = expected.iter().fold((f32::MAX, f32::MIN), |(a, b), &v| (a.min(v), b.max(v)));
            let worst = expected.iter().zip(&got).map(|(e, g)| (e - g).abs()).fold(0.0, f32::max);
            let share = worst / (max - min);
            println!(
                "{} {}: {min:.1} to {max:.1}, off by {worst:.1e} ({share:.1e})",
                manifest.name, output.name
            );
            assert!(share < DIFFERENCE_MAX, "{} {}: {share:.1e} of the range", manifest.name, output.name);
        }
    }
}

#[test]
fn converted_files_have_the_inputs_and_outputs_that_their_manifests_state() {
    for manifest in Manifest::all() {
        let signature = provision::signature(&fs::read(pack().model(&manifest.name)).unwrap()).unwrap();
        assert_eq!(signature.inputs, [manifest.input_port()], "{}", manifest.name);
        assert_eq!(signature.outputs, manifest.output_ports(), "{}", manifest.name);
    }
}

#[test]
fn no_damage_to_a_real_network_makes_the_converter_panic() {
    let python = match reference_python() {
        Ok(python) => python,
        Err(reason) => return eprintln!("SKIPPED: no originals to damage: {reason}"),
    };
    let libraries = python.parent().unwrap().parent().unwrap().join("lib");
    let site = fs::read_dir(libraries).unwrap().next().unwrap().unwrap().path().join("site-packages");
    // A fixed sequence (numerical recipes' generator), so that a failure can be seen again.
    let mut state = 1u32;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    for manifest in Manifest::all() {
        let whole = fs::read(site.join(&manifest.source.path)).unwrap();
        for _ in 0..20 {
            let mut bytes = whole.clone();
            // The structure lies at the file's end in some and at its start in others: damage clusters.
            let around = next() as usize % bytes.len();
            for _ in 0..24 {
                let at = (around + next() as usize % 4096) % bytes.len();
                bytes[at] = next() as u8;
            }
            let (input, outputs) = (manifest.input_port(), manifest.output_ports());
            match provision::convert(&bytes, &manifest.name, &input, manifest.source.outputs, &outputs) {
                Ok(onnx) => assert!(provision::signature(&onnx).is_ok()),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
}
