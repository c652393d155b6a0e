//! Recording in the CSV of the Live Link Face app, which face animation tools import.
//!
//! One row for each frame with a face: `Timecode` (HH:MM:SS:FF.part since the stream's start), `BlendShapeCount` (61),
//! then the 52 and the turns of head and eyes, as [`super::livelink`] has them.

use super::SinkError;
use super::adjust::{Adjust, Adjuster};
use super::livelink::{CSV_ORDER, VALUE_COUNT, frame_time, values};
use super::udp::Traffic;
use crate::clock::MonoTime;
use crate::face::{Blendshape, FaceSample};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

/// The `csv` output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CsvConfig {
    /// File to write, emptied at the start.
    pub path: PathBuf,
    /// Frames a second that the timecode counts, 1 to 240.
    #[serde(default = "default_fps")]
    pub fps: u32,
    /// Mirroring, gain, rate.
    #[serde(default)]
    pub adjust: Adjust,
}

const fn default_fps() -> u32 {
    60
}

impl CsvConfig {
    /// # Errors
    /// [`SinkError::Config`] names the setting and its range.
    pub fn validate(&self) -> Result<(), SinkError> {
        if !(1..=240).contains(&self.fps) {
            let problem = format!("fps is {}, but it lies between 1 and 240", self.fps);
            return Err(SinkError::Config { output: "csv", problem });
        }
        self.adjust.validate("csv")
    }
}

/// Writes rows.
pub struct CsvSink {
    path: PathBuf,
    file: File,
    fps: u32,
    adjuster: Adjuster,
    row: Vec<u8>,
    traffic: Traffic,
}

impl CsvSink {
    /// Empties the file and writes the header.
    ///
    /// # Errors
    /// A setting that makes no sense, or a file that cannot be written.
    pub fn open(config: &CsvConfig) -> Result<Self, SinkError> {
        config.validate()?;
        let path = config.path.clone();
        let file = File::create(&path).map_err(|source| SinkError::Open { path: path.clone(), source })?;
        let adjuster = Adjuster::new(&config.adjust);
        let row = Vec::with_capacity(1024);
        let mut sink = Self { path, file, fps: config.fps, adjuster, row, traffic: Traffic::default() };
        sink.write_header()?;
        Ok(sink)
    }

    fn write_header(&mut self) -> Result<(), SinkError> {
        let shapes = CSV_ORDER.into_iter().map(Blendshape::pascal_name);
        let turns = ["Head", "LeftEye", "RightEye"].into_iter();
        let turns = turns.flat_map(|part| ["Yaw", "Pitch", "Roll"].map(|axis| format!("{part}{axis}")));
        let columns: Vec<String> = shapes.chain(turns).collect();
        self.row.extend_from_slice(format!("Timecode,BlendShapeCount,{}\n", columns.join(",")).as_bytes());
        self.flush_row()
    }

    /// Writes one row, if there is a face.
    ///
    /// # Errors
    /// The disk is full, or the write failed otherwise.
    pub fn send(&mut self, sample: &FaceSample, now: MonoTime) -> Result<(), SinkError> {
        if !self.adjuster.is_due(now) {
            return Ok(());
        }
        let Some(view) = self.adjuster.primary(sample) else { return Ok(()) };
        let (frame, part) = frame_time(sample.stream_time, self.fps);
        let (frames, seconds) = (frame % u64::from(self.fps), frame / u64::from(self.fps));
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let part = (part * 1000.0) as u32;
        write!(self.row, "{hours:02}:{minutes:02}:{seconds:02}:{frames:02}.{part:03},{VALUE_COUNT}")
            .map_err(|e| self.failed(e))?;
        for value in values(&view, &CSV_ORDER) {
            write!(self.row, ",{value:.6}").map_err(|e| self.failed(e))?;
        }
        self.row.push(b'\n');
        self.flush_row()
    }

    fn flush_row(&mut self) -> Result<(), SinkError> {
        let written = self.file.write_all(&self.row);
        self.traffic.sent += 1;
        self.traffic.bytes += self.row.len() as u64;
        self.row.clear();
        written.map_err(|e| self.failed(e))
    }

    fn failed(&self, source: io::Error) -> SinkError {
        SinkError::from_write(self.path.clone(), source)
    }

    /// Rows and bytes written.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{face, sample_of};
    use super::*;
    use crate::face::Blendshape;
    use crate::geom::Angles;

    #[test]
    fn rows_are_the_apps() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("take.csv");
        let config = CsvConfig { path: path.clone(), fps: 60, adjust: Adjust::default() };
        let mut sink = CsvSink::open(&config).unwrap();
        let mut subject = face(Angles { yaw_rad: 0.5, ..Angles::default() });
        subject.blendshapes[Blendshape::JawRight] = 0.25;
        let stream_time = MonoTime::from_secs_f64(3661.5125);
        let sample = FaceSample { stream_time, ..sample_of([subject]) };
        sink.send(&sample, MonoTime::default()).unwrap();
        sink.send(&FaceSample::default(), MonoTime::default()).unwrap();

        let text = std::fs::read_to_string(path).unwrap();
        let rows: Vec<Vec<&str>> = text.lines().map(|l| l.split(',').collect()).collect();
        assert_eq!(rows.len(), 2, "a frame without a face has no row");
        assert!(text.starts_with("Timecode,BlendShapeCount,EyeBlinkLeft,EyeLookDownLeft,"));
        assert!(rows.iter().all(|r| r.len() == 63));
        assert_eq!(rows[0][62], "RightEyeRoll");
        assert_eq!(rows[1][..2], ["01:01:01:30.750", "61"]);
        let column = |name: &str| rows[1][rows[0].iter().position(|c| *c == name).unwrap()];
        assert_eq!(
            (column("JawRight"), column("JawLeft"), column("HeadYaw")),
            ("0.250000", "0.000000", "0.500000")
        );
        let place = |name: &str| rows[0].iter().position(|c| *c == name).unwrap();
        assert!(place("JawRight") < place("JawLeft") && place("MouthRight") < place("MouthLeft"));
    }
}
