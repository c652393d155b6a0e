//! What the phone apps iFacialMocap and Facemotion3d stream: a line of text a datagram, pushed without being asked, or
//! sent to whoever asks as the apps' receivers do.
//!
//! | format | an entry | names |
//! |---|---|---|
//! | `v1` | `eyeBlink_L-37` | `_L`, `_R` where ARKit says Left, Right at the end of a pair (but `jawLeft`, `mouthLeft`) |
//! | `v2` | `eyeBlink_L&37` | as v1 |
//! | `facemotion3d` | `eyeBlinkLeft&37` | ARKit's |
//!
//! Entries end with `|`; then `=head#` x, y, z in degrees and x, y, z in metres, `rightEye#` and `leftEye#` x, y, z in
//! degrees. Positive: x down, y to the subject's left, z right ear up. A first entry that names no blendshape is there
//! because one receiver drops the first.

mod answers;
mod request;

pub use answers::Answers;
pub use request::Request;

use super::SinkError;
use super::adjust::{Adjust, Adjuster, FaceView};
use super::stream::Encode;
use crate::face::{Blendshape, FaceSample};
use serde::{Deserialize, Serialize};
use std::io::Write;

/// Where iFacialMocap's receivers listen, and the app too.
pub const DEFAULT_PORT: u16 = 49983;

/// The `ifacialmocap` output.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IFacialMocapConfig {
    /// The receiver to push to, `HOST:PORT` or `HOST`. Without it, and without `listen`, this machine.
    pub address: Option<String>,
    /// Where receivers may ask, `HOST:PORT` or `HOST`: `127.0.0.1` for this machine's, `0.0.0.0` for everyone's.
    pub listen: Option<String>,
    /// The receivers' port that answers go to. Unset: 49983 (Facemotion3d 49993, TCP 49986), as from the apps; to a
    /// receiver on this machine the port it asked from.
    pub reply_port: Option<u16>,
    /// How it is written where it is pushed. Who asks says it themselves.
    pub format: Format,
    /// Mirroring, gain, rate.
    pub adjust: Adjust,
}

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// iFacialMocap, as every receiver knows it.
    #[default]
    V1,
    /// iFacialMocap with `&`.
    V2,
    /// Facemotion3d.
    Facemotion3d,
}

impl Format {
    /// Where receivers of this format listen, and the app too.
    pub const fn port(self) -> u16 {
        match self {
            Self::V1 | Self::V2 => DEFAULT_PORT,
            Self::Facemotion3d => 49993,
        }
    }
}

impl IFacialMocapConfig {
    /// # Errors
    /// [`SinkError::Config`] names the setting and its range.
    pub fn validate(&self) -> Result<(), SinkError> {
        let fail =
            |problem: &str| Err(SinkError::Config { output: "ifacialmocap", problem: problem.to_owned() });
        match (self.reply_port, &self.listen) {
            (Some(0), _) => return fail("reply_port is 0, which no receiver has"),
            (Some(_), None) => {
                return fail("reply_port is for those who ask, but nobody can without `listen`");
            }
            _ => {}
        }
        self.adjust.validate("ifacialmocap")
    }
}

/// Encodes faces.
pub(super) struct Encoder {
    /// Each blendshape with its name and separator.
    entries: Vec<(Blendshape, String)>,
    dummy: &'static str,
    line: Vec<u8>,
}

impl Encoder {
    pub fn new(format: Format) -> Self {
        let separator = if format == Format::V1 { '-' } else { '&' };
        let name = |b: Blendshape| match format {
            Format::V1 | Format::V2 => short_name(b),
            Format::Facemotion3d => b.name().to_owned(),
        };
        let entries = Blendshape::ALL.map(|b| (b, format!("{}{separator}", name(b)))).to_vec();
        let dummy = if format == Format::V1 { "facetrackd-0|" } else { "facetrackd&0|" };
        Self { entries, dummy, line: Vec::with_capacity(2048) }
    }

    /// The line that says `view`; writing to memory does not fail.
    fn line(&mut self, view: &FaceView) -> Option<&[u8]> {
        self.write(view).ok()?;
        Some(&self.line)
    }

    fn write(&mut self, view: &FaceView) -> std::io::Result<()> {
        self.line.clear();
        self.line.extend_from_slice(self.dummy.as_bytes());
        for (shape, name) in &self.entries {
            write!(self.line, "{name}{}|", (view.blendshapes[*shape] * 100.0).round() as i32)?;
        }
        let (a, t) = (view.head.angles(), view.head.translation_mm * 0.001);
        let [x, y, z] = [a.pitch_rad, a.yaw_rad, 0.0 - a.roll_rad].map(f32::to_degrees);
        // The apps' place is the camera's own: x right, y up, z backwards.
        write!(self.line, "=head#{x:.4},{y:.4},{z:.4},{:.5},{:.5},{:.5}", t.x, 0.0 - t.y, 0.0 - t.z)?;
        let [left, right] = view.eye_angles();
        for (name, eye) in [("rightEye", right), ("leftEye", left)] {
            let [x, y] = [eye.pitch_rad, eye.yaw_rad].map(f32::to_degrees);
            write!(self.line, "|{name}#{x:.4},{y:.4},0")?;
        }
        self.line.push(b'|');
        Ok(())
    }
}

/// `eyeBlink_L`; the four that move the whole jaw or mouth aside keep their names.
fn short_name(b: Blendshape) -> String {
    let (name, keeps) = (b.name(), ["jawLeft", "jawRight", "mouthLeft", "mouthRight"]);
    let side = |ending: &str, short: &str| name.strip_suffix(ending).map(|stem| format!("{stem}{short}"));
    if keeps.contains(&name) {
        return name.to_owned();
    }
    side("Left", "_L").or_else(|| side("Right", "_R")).unwrap_or_else(|| name.to_owned())
}

impl Encode for Encoder {
    fn encode(&mut self, sample: &FaceSample, adjuster: &mut Adjuster, send: &mut dyn FnMut(&[u8])) {
        let view = adjuster.primary(sample);
        if let Some(line) = view.and_then(|view| self.line(&view)) {
            send(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream::testing::datagrams;
    use super::super::testing::{face, sample_of};
    use super::*;
    use crate::geom::Angles;
    use glam::Vec3;

    fn line(format: Format, mirror: bool) -> String {
        let mut subject = face(Angles { yaw_rad: 0.5, pitch_rad: 0.25, roll_rad: 0.125 });
        subject.head.translation_mm = Vec3::new(30.0, 20.0, 600.0);
        subject.blendshapes[Blendshape::EyeBlinkLeft] = 0.374;
        subject.blendshapes[Blendshape::JawLeft] = 1.0;
        subject.gaze.right = subject.head.rotation * Vec3::new(0.2f32.sin(), 0.0, 0.2f32.cos());
        let adjust = Adjust { mirror, ..Adjust::default() };
        let mut all = datagrams(&mut Encoder::new(format), &sample_of([subject]), &adjust);
        String::from_utf8(all.remove(0)).unwrap()
    }

    #[test]
    fn a_line_is_the_apps() {
        let v1 = line(Format::V1, false);
        assert!(v1.starts_with("facetrackd-0|eyeBlink_L-37|eyeLookDown_L-0|"), "{v1}");
        assert!(v1.contains("|jawForward-0|jawLeft-100|jawRight-0|"), "{v1}");
        let end = "|tongueOut-0|=head#14.3239,28.6479,-7.1620,0.03000,-0.02000,-0.60000\
                   |rightEye#0.0000,11.4592,0|leftEye#0.0000,0.0000,0|";
        assert!(v1.replace("-0.0000", "0.0000").ends_with(end), "{v1}");
        assert_eq!(v1.matches('|').count(), 1 + 52 + 3);
    }

    #[test]
    fn formats_differ_in_separator_and_names() {
        assert!(line(Format::V2, false).starts_with("facetrackd&0|eyeBlink_L&37|"));
        assert!(line(Format::Facemotion3d, false).starts_with("facetrackd&0|eyeBlinkLeft&37|"));
    }

    #[test]
    fn mirroring_changes_sides_and_turns() {
        let mirrored = line(Format::V1, true);
        assert!(mirrored.contains("|eyeBlink_R-37|") && mirrored.contains("|jawRight-100|"));
        assert!(mirrored.contains("=head#14.3239,-28.6479,7.1620,-0.03000,-0.02000,"), "{mirrored}");
        assert!(mirrored.contains("-11.4592,0|"), "{mirrored}");
    }

    #[test]
    fn every_name_is_one_that_receivers_know() {
        let names: Vec<String> = Blendshape::ALL.into_iter().map(short_name).collect();
        for known in
            ["mouthSmile_R", "cheekSquint_L", "browInnerUp", "mouthRollLower", "mouthLeft", "noseSneer_L"]
        {
            assert!(names.iter().any(|n| n == known), "{known}");
        }
        assert_eq!(names.iter().filter(|n| n.ends_with("_L")).count(), 18);
    }
}
