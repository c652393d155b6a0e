//! One line of JSON for each source frame: a contract that other programs read.
//!
//! ```json
//! {"frame":0,"t":0.0,"faces":[{"id":0,"presence":0.99,"box":[x0,y0,x1,y1],"landmarks":[[x,y,z],…478],
//! "landmarks68":[[x,y],…68],"head":{"rotation":[[…],[…],[…]],"translation_mm":[x,y,z],"yaw_deg":0,"pitch_deg":0,
//! "roll_deg":0},"gaze":{"left":[x,y,z],"right":[x,y,z]},"blendshapes":{"browDownLeft":0.0,…52}}]}
//! ```
//!
//! Landmarks are in image pixels (z in the same scale, smaller is nearer), `landmarks68` in the iBUG order, `rotation`
//! is `camera_from_head` by rows, gaze are unit vectors in camera space, `t` is seconds of the stream's own clock.
//! Frames without a measured face have a line too, with no faces. The same samples give the same bytes.

use super::{SinkError, Traffic};
use crate::face::{BLENDSHAPE_COUNT, Blendshapes, Face, FaceSample, Gaze, HeadPose, Landmarks, ibug68};
use glam::{Mat3, Vec3};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The `jsonl` output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonlConfig {
    /// File to write, emptied at the start; `-` is standard output.
    pub path: PathBuf,
    /// Which landmarks a line carries.
    #[serde(default)]
    pub landmarks: LandmarkDetail,
}

/// Which landmarks a line carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LandmarkDetail {
    /// None; lines of about 1.5 kB.
    #[serde(rename = "none")]
    None,
    /// `landmarks68` only.
    #[serde(rename = "68")]
    Ibug68,
    /// `landmarks` and `landmarks68`; lines of about 14 kB.
    #[default]
    #[serde(rename = "all")]
    All,
}

enum Target {
    File(File),
    Stdout(io::Stdout),
}

/// Writes lines.
pub struct JsonlSink {
    path: PathBuf,
    target: Target,
    detail: LandmarkDetail,
    line: Vec<u8>,
    traffic: Traffic,
}

/// Bytes a line with two faces and all landmarks takes.
const LINE_CAPACITY: usize = 40 * 1024;

impl JsonlSink {
    /// Empties the file, or takes standard output.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn open(config: &JsonlConfig) -> Result<Self, SinkError> {
        let path = config.path.clone();
        let target = if path == Path::new("-") {
            Target::Stdout(io::stdout())
        } else {
            Target::File(
                File::create(&path).map_err(|source| SinkError::Open { path: path.clone(), source })?,
            )
        };
        let (detail, line) = (config.landmarks, Vec::with_capacity(LINE_CAPACITY));
        Ok(Self { path, target, detail, line, traffic: Traffic::default() })
    }

    /// Writes one line, whole, at once: whoever reads along never waits for it.
    ///
    /// # Errors
    /// The reader of a pipe is gone, the disk is full, or the write failed otherwise.
    pub fn send(&mut self, sample: &FaceSample) -> Result<(), SinkError> {
        self.line.clear();
        let line = Line {
            frame: sample.index,
            t: round::<6>(sample.stream_time.as_secs_f64()),
            faces: Faces { sample, detail: self.detail },
        };
        serde_json::to_writer(&mut self.line, &line).map_err(|e| self.failed(e.into()))?;
        self.line.push(b'\n');
        let written = match &mut self.target {
            Target::File(file) => file.write_all(&self.line),
            Target::Stdout(stdout) => {
                let mut lock = stdout.lock();
                lock.write_all(&self.line).and_then(|()| lock.flush())
            }
        };
        written.map_err(|e| self.failed(e))?;
        self.traffic.sent += 1;
        self.traffic.bytes += self.line.len() as u64;
        Ok(())
    }

    fn failed(&self, source: io::Error) -> SinkError {
        SinkError::from_write(self.path.clone(), source)
    }

    /// Lines and bytes written.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }
}

#[derive(Serialize)]
struct Line<'a> {
    frame: u64,
    t: f64,
    faces: Faces<'a>,
}

struct Faces<'a> {
    sample: &'a FaceSample,
    detail: LandmarkDetail,
}

impl Serialize for Faces<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.sample.tracked().map(|face| FaceLine::new(face, self.detail)))
    }
}

#[derive(Serialize)]
struct FaceLine<'a> {
    id: u32,
    presence: f64,
    #[serde(rename = "box")]
    bounds: [f64; 4],
    #[serde(skip_serializing_if = "Option::is_none")]
    landmarks: Option<Mesh<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    landmarks68: Option<Ibug>,
    head: HeadLine,
    gaze: GazeLine,
    blendshapes: Coefficients<'a>,
}

/// Where a head is and how it is turned.
#[derive(Serialize)]
pub(super) struct HeadLine {
    rotation: [[f64; 3]; 3],
    translation_mm: [f64; 3],
    yaw_deg: f64,
    pitch_deg: f64,
    roll_deg: f64,
}

/// Where the eyes look.
#[derive(Serialize)]
pub(super) struct GazeLine {
    left: [f64; 3],
    right: [f64; 3],
}

impl HeadLine {
    pub fn new(head: &HeadPose) -> Self {
        let angles = head.angles();
        let degrees = |radians: f32| round::<4>(f64::from(radians).to_degrees());
        Self {
            rotation: rows(head.rotation).map(|row| row.map(round::<6>)),
            translation_mm: triple::<3>(head.translation_mm),
            yaw_deg: degrees(angles.yaw_rad),
            pitch_deg: degrees(angles.pitch_rad),
            roll_deg: degrees(angles.roll_rad),
        }
    }
}

impl GazeLine {
    pub fn new(gaze: &Gaze) -> Self {
        Self { left: triple::<6>(gaze.left), right: triple::<6>(gaze.right) }
    }
}

impl<'a> FaceLine<'a> {
    fn new(face: &'a Face, detail: LandmarkDetail) -> Self {
        Self {
            id: face.id,
            presence: round::<4>(face.presence),
            bounds: [face.bounds.min.x, face.bounds.min.y, face.bounds.max.x, face.bounds.max.y]
                .map(round::<3>),
            landmarks: (detail == LandmarkDetail::All).then_some(Mesh(&face.landmarks)),
            landmarks68: (detail != LandmarkDetail::None).then(|| Ibug(ibug68(&face.landmarks))),
            head: HeadLine::new(&face.head),
            gaze: GazeLine::new(&face.gaze),
            blendshapes: Coefficients(&face.blendshapes),
        }
    }
}

struct Mesh<'a>(&'a Landmarks);

impl Serialize for Mesh<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|p| triple::<3>(*p)))
    }
}

struct Ibug([Vec3; 68]);

impl Serialize for Ibug {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|p| [round::<3>(p.x), round::<3>(p.y)]))
    }
}

/// The 52 by name.
pub(super) struct Coefficients<'a>(pub &'a Blendshapes);

impl Serialize for Coefficients<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(BLENDSHAPE_COUNT))?;
        for (blendshape, value) in self.0.iter() {
            map.serialize_entry(blendshape.name(), &round::<4>(value))?;
        }
        map.end()
    }
}

/// Rounds to `DECIMALS` places, so that the shortest form of the number has no more. Never negative zero.
pub(super) fn round<const DECIMALS: i32>(value: impl Into<f64>) -> f64 {
    let scale = 10f64.powi(DECIMALS);
    (value.into() * scale).round() / scale + 0.0
}

fn triple<const DECIMALS: i32>(v: Vec3) -> [f64; 3] {
    v.to_array().map(round::<DECIMALS>)
}

fn rows(m: Mat3) -> [[f32; 3]; 3] {
    m.transpose().to_cols_array_2d()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{face, sample_of};
    use super::*;
    use crate::clock::MonoTime;
    use crate::face::{Blendshape, Presence};
    use crate::geom::Angles;
    use serde_json::Value;

    fn lines(detail: LandmarkDetail, samples: &[FaceSample]) -> (Vec<u8>, Vec<Value>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.jsonl");
        std::fs::write(&path, "left over from an earlier run\n").unwrap();
        let mut sink = JsonlSink::open(&JsonlConfig { path: path.clone(), landmarks: detail }).unwrap();
        for sample in samples {
            sink.send(sample).unwrap();
        }
        let bytes = std::fs::read(path).unwrap();
        let parsed =
            bytes.split_inclusive(|b| *b == b'\n').map(|l| serde_json::from_slice(l).unwrap()).collect();
        (bytes, parsed)
    }

    fn two_frames() -> [FaceSample; 2] {
        let mut looking_down = face(Angles { yaw_rad: 0.1, pitch_rad: 0.2, roll_rad: 0.3 });
        looking_down.presence = 0.987_66;
        looking_down.landmarks[7] = Vec3::new(1.0 / 3.0, 200.0, -5.432_1);
        looking_down.blendshapes[Blendshape::JawOpen] = 0.1;
        let mut first = sample_of([looking_down]);
        first.index = 41;
        first.stream_time = MonoTime::from_secs_f64(41.0 / 30.0);
        let second = FaceSample { index: 42, ..FaceSample::default() };
        [first, second]
    }

    #[test]
    fn a_line_has_every_field_of_the_contract() {
        let (_, lines) = lines(LandmarkDetail::All, &two_frames());
        let line = &lines[0];
        assert_eq!((line["frame"].as_u64(), line["t"].as_f64()), (Some(41), Some(1.366_667)));
        let face = &line["faces"][0];
        assert_eq!(face["presence"], 0.9877);
        assert_eq!(face["box"].as_array().unwrap().len(), 4);
        assert_eq!(face["landmarks"].as_array().unwrap().len(), 478);
        assert_eq!(face["landmarks"][7], serde_json::json!([0.333, 200.0, -5.432]));
        assert_eq!(face["landmarks68"].as_array().unwrap().len(), 68);
        assert_eq!(face["landmarks68"][0].as_array().unwrap().len(), 2);
        let head = &face["head"];
        let degrees = ["yaw_deg", "pitch_deg", "roll_deg"].map(|k| head[k].as_f64().unwrap());
        for (got, want) in degrees.into_iter().zip([0.1f64, 0.2, 0.3]) {
            assert!((got - want.to_degrees()).abs() < 1e-3);
        }
        assert_eq!(head["translation_mm"], serde_json::json!([0.0, 0.0, 600.0]));
        for side in ["left", "right"] {
            assert_eq!(face["gaze"][side].as_array().unwrap().len(), 3);
        }
        let coefficients = face["blendshapes"].as_object().unwrap();
        assert_eq!(coefficients.len(), BLENDSHAPE_COUNT);
        assert_eq!(coefficients["jawOpen"], 0.1);
    }

    #[test]
    fn the_rotation_is_camera_from_head_by_rows() {
        let samples = two_frames();
        let (_, lines) = lines(LandmarkDetail::None, &samples);
        let rotation = samples[0].faces[0].face.head.rotation;
        let got: Vec<Vec<f64>> =
            serde_json::from_value(lines[0]["faces"][0]["head"]["rotation"].clone()).unwrap();
        let wanted = (0..3).map(|row| rotation.row(row).to_array().map(f64::from));
        for (got, wanted) in got.iter().zip(wanted) {
            assert!(got.iter().zip(wanted).all(|(g, w)| (g - w).abs() < 1e-6), "{got:?} {wanted:?}");
        }
    }

    #[test]
    fn a_frame_without_a_measured_face_has_a_line_without_faces() {
        let mut samples = two_frames();
        samples[0].faces[0].presence = Presence::Fading;
        let (bytes, lines) = lines(LandmarkDetail::All, &samples);
        assert_eq!(lines.iter().map(|l| l["frame"].as_u64().unwrap()).collect::<Vec<_>>(), [41, 42]);
        assert!(bytes.ends_with(b"{\"frame\":42,\"t\":0.0,\"faces\":[]}\n"));
        assert!(lines.iter().all(|l| l["faces"].as_array().unwrap().is_empty()));
    }

    #[test]
    fn lines_are_as_short_as_asked_for() {
        let (_, none) = lines(LandmarkDetail::None, &two_frames());
        let (_, some) = lines(LandmarkDetail::Ibug68, &two_frames());
        let has = |l: &[Value], key: &str| l[0]["faces"][0].get(key).is_some();
        assert_eq!((has(&none, "landmarks"), has(&none, "landmarks68")), (false, false));
        assert_eq!((has(&some, "landmarks"), has(&some, "landmarks68")), (false, true));
    }

    #[test]
    fn the_same_samples_give_the_same_bytes() {
        let (first, second) =
            (lines(LandmarkDetail::All, &two_frames()).0, lines(LandmarkDetail::All, &two_frames()).0);
        assert_eq!(first, second);
        assert!(!String::from_utf8(first).unwrap().contains("-0.0,"), "no negative zero");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_says_so() {
        let full = JsonlConfig { path: "/dev/full".into(), landmarks: LandmarkDetail::None };
        let error = JsonlSink::open(&full).unwrap().send(&FaceSample::default()).unwrap_err();
        assert!(matches!(error, SinkError::DiskFull { .. }), "{error}");
        assert!(error.to_string().contains("/dev/full"));
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_whose_reader_left_is_told_apart() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let path = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer)));
        let mut sink = JsonlSink::open(&JsonlConfig { path, landmarks: LandmarkDetail::None }).unwrap();
        let error = sink.send(&FaceSample::default()).unwrap_err();
        assert!(matches!(error, SinkError::PipeClosed { .. }), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let missing = JsonlConfig { path: "/no/such/folder/x.jsonl".into(), landmarks: LandmarkDetail::None };
        let error = JsonlSink::open(&missing).err().unwrap().to_string();
        assert!(error.contains("/no/such/folder/x.jsonl"), "{error}");
    }
}
