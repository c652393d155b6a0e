//! The parameters of one avatar, out of the file that VRChat keeps for it, and their values as last sent.

use super::super::SinkError;
use super::super::adjust::FaceView;
use super::unified::{PARAMETERS, Source};
use rosc::{OscMessage, OscPacket, OscType, encoder};
use serde::Deserialize;
use std::collections::HashSet;
use std::io;
use std::path::Path;

#[derive(Deserialize)]
struct File {
    parameters: Vec<FileParameter>,
}

#[derive(Deserialize)]
struct FileParameter {
    input: Option<Input>,
}

/// What can be written: an OSC address, and `Float` or `Bool`.
#[derive(Deserialize)]
pub(super) struct Input {
    pub address: String,
    #[serde(rename = "type")]
    pub kind: String,
}

/// What an avatar takes.
pub(super) struct Avatar {
    parameters: Vec<Parameter>,
}

struct Parameter {
    source: Origin,
    form: Form,
    /// The message as last sent; a bool is its type tag, `T` or `F`.
    message: Vec<u8>,
    /// Where the float, or the bool's tag, stands.
    place: usize,
    is_fresh: bool,
}

#[derive(Clone, Copy)]
enum Origin {
    /// Below `v2/`.
    Expression(Source),
    /// Whether a face is tracked.
    Active,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Form {
    Float,
    /// This bit of the magnitude in `steps` steps.
    Bit {
        bit: u32,
        bits: u32,
        is_signed: bool,
    },
    Negative,
    Bool,
}

/// Names of the flags that say that tracking is going on.
const ACTIVE: [&str; 3] = ["EyeTrackingActive", "ExpressionTrackingActive", "LipTrackingActive"];

impl Avatar {
    pub fn from_file(path: &Path) -> Result<Self, SinkError> {
        let failed = |source| SinkError::Avatar { path: path.to_owned(), source };
        let bytes = std::fs::read(path).map_err(failed)?;
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let file: File = serde_json::from_slice(text).map_err(|e| failed(io::Error::other(e)))?;
        let inputs: Vec<Input> = file.parameters.into_iter().filter_map(|p| p.input).collect();
        let avatar = Self::new(&inputs);
        if avatar.parameters.is_empty() {
            tracing::warn!(path = %path.display(), "the avatar declares no face tracking parameter");
        }
        Ok(avatar)
    }

    pub fn new(inputs: &[Input]) -> Self {
        let bools: HashSet<&str> =
            inputs.iter().filter(|i| i.kind == "Bool").map(|i| i.address.as_str()).collect();
        Self { parameters: inputs.iter().filter_map(|i| Parameter::new(i, &bools)).collect() }
    }

    /// Parameters of a face that it takes.
    pub fn len(&self) -> usize {
        self.parameters.len()
    }

    /// Sends what has changed. Without a face only the flags change.
    pub fn update(&mut self, view: Option<&FaceView>, send: &mut dyn FnMut(&[u8])) {
        for parameter in &mut self.parameters {
            if parameter.update(view) {
                send(&parameter.message);
            }
        }
    }
}

impl Parameter {
    fn new(input: &Input, bools: &HashSet<&str>) -> Option<Self> {
        let name = input.address.rsplit('/').next()?;
        if ACTIVE.contains(&name) && input.kind == "Bool" {
            return Some(Self::laid_out(input, Origin::Active, Form::Bool));
        }
        let (base, below) = input.address.split_once("/v2/")?;
        let source =
            |name: &str| PARAMETERS.iter().find(|(n, _)| *n == name).map(|(_, s)| Origin::Expression(*s));
        match input.kind.as_str() {
            "Float" => Some(Self::laid_out(input, source(below)?, Form::Float)),
            "Bool" => {
                if let Some(stem) = below.strip_suffix("Negative") {
                    return Some(Self::laid_out(input, source(stem)?, Form::Negative));
                }
                let stem = below.trim_end_matches(|c: char| c.is_ascii_digit());
                let weight: u32 = below[stem.len()..].parse().ok()?;
                let bits = bits_declared(bools, base, stem);
                if !weight.is_power_of_two() || weight.ilog2() >= bits {
                    return None;
                }
                let negative = format!("{base}/v2/{stem}Negative");
                let is_signed = bools.contains(negative.as_str());
                let form = Form::Bit { bit: weight.ilog2(), bits, is_signed };
                Some(Self::laid_out(input, source(stem)?, form))
            }
            _ => None,
        }
    }

    fn laid_out(input: &Input, source: Origin, form: Form) -> Self {
        let arg = if form == Form::Float { OscType::Float(0.0) } else { OscType::Bool(false) };
        let packet = OscPacket::Message(OscMessage { addr: input.address.clone(), args: vec![arg] });
        let Ok(message) = encoder::encode(&packet) else { unreachable!("encoding to memory cannot fail") };
        let place = match form {
            Form::Float => message.len() - 4,
            // ",F" and two zeros.
            _ => message.len() - 3,
        };
        Self { source, form, message, place, is_fresh: true }
    }

    /// Sets the value; whether it is another than last time, or the first.
    fn update(&mut self, view: Option<&FaceView>) -> bool {
        let value = match (self.source, view) {
            (Origin::Active, view) => f32::from(view.is_some_and(|v| v.tracked)),
            (Origin::Expression(source), Some(view)) => source.value(view),
            (Origin::Expression(_), None) => return false,
        };
        let changed = match self.form {
            // Parameters travel to others with eight bits; a change below that is none.
            Form::Float => self.put(((value * 512.0).round() / 512.0 + 0.0).to_be_bytes()),
            Form::Bit { bit, bits, is_signed } => {
                let magnitude = if is_signed { value.abs() } else { value.max(0.0) };
                self.put([tag(steps(magnitude, bits) >> bit & 1 == 1)])
            }
            Form::Negative => self.put([tag(value < 0.0)]),
            Form::Bool => self.put([tag(value > 0.5)]),
        };
        changed | std::mem::take(&mut self.is_fresh)
    }

    fn put<const N: usize>(&mut self, bytes: [u8; N]) -> bool {
        let place = &mut self.message[self.place..self.place + N];
        let changed = place != bytes;
        place.copy_from_slice(&bytes);
        changed
    }
}

const fn tag(value: bool) -> u8 {
    if value { b'T' } else { b'F' }
}

/// A magnitude in 2^bits steps, all bits set at the top.
fn steps(magnitude: f32, bits: u32) -> u32 {
    let top = 1u32 << bits;
    if magnitude > 0.99999 { top - 1 } else { ((magnitude * top as f32) as u32).min(top - 1) }
}

/// How many of `<stem>1`, `<stem>2`, `<stem>4`, … the avatar has.
fn bits_declared(bools: &HashSet<&str>, base: &str, stem: &str) -> u32 {
    let has = |weight: u32| bools.contains(format!("{base}/v2/{stem}{weight}").as_str());
    (0..8).take_while(|bit| has(1 << bit)).count() as u32
}

#[cfg(test)]
mod tests {
    use super::super::super::adjust::{Adjust, Adjuster};
    use super::super::super::osc::testing::messages;
    use super::super::super::testing::{face, sample_of};
    use super::*;
    use crate::face::{Blendshape, Face};
    use crate::geom::Angles;
    use std::collections::BTreeMap;

    fn avatar(parameters: &[(&str, &str)]) -> Avatar {
        let inputs = parameters.iter().map(|(name, kind)| {
            let address = format!("/avatar/parameters/{name}");
            serde_json::json!({ "name": name, "input": { "address": address, "type": kind } })
        });
        let file =
            serde_json::json!({ "id": "avtr_x", "name": "x", "parameters": inputs.collect::<Vec<_>>() });
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("avtr_x.json");
        // VRChat writes a byte order mark.
        std::fs::write(&path, format!("\u{feff}{file}")).unwrap();
        Avatar::from_file(&path).unwrap()
    }

    fn sent(avatar: &mut Avatar, face: Option<&Face>) -> BTreeMap<String, OscType> {
        let view = face.and_then(|f| Adjuster::new(&Adjust::default()).primary(&sample_of([f.clone()])));
        let mut all = BTreeMap::new();
        avatar.update(view.as_ref(), &mut |d| {
            all.extend(
                messages(d)
                    .into_iter()
                    .map(|mut m| (m.addr.replace("/avatar/parameters/", ""), m.args.remove(0))),
            );
        });
        all
    }

    #[test]
    fn only_what_the_avatar_declares_is_sent_and_only_when_it_changes() {
        let mut a = avatar(&[
            ("v2/JawOpen", "Float"),
            ("FT/v2/JawX", "Float"),
            ("Hat", "Bool"),
            ("v2/Nonsense", "Float"),
        ]);
        let mut subject = face(Angles::default());
        subject.blendshapes[Blendshape::JawOpen] = 0.5;
        subject.blendshapes[Blendshape::JawLeft] = 0.25;
        let first = sent(&mut a, Some(&subject));
        let expected = [("v2/JawOpen", 0.5), ("FT/v2/JawX", -0.25)];
        assert_eq!(first, expected.map(|(n, v)| (n.to_owned(), OscType::Float(v))).into());
        assert!(sent(&mut a, Some(&subject)).is_empty());
        subject.blendshapes[Blendshape::JawOpen] = 0.75;
        assert_eq!(sent(&mut a, Some(&subject)).into_keys().collect::<Vec<_>>(), ["v2/JawOpen"]);
    }

    #[test]
    fn binary_parameters_carry_magnitude_and_sign() {
        let mut a = avatar(&[
            ("v2/JawX1", "Bool"),
            ("v2/JawX2", "Bool"),
            ("v2/JawX4", "Bool"),
            ("v2/JawXNegative", "Bool"),
        ]);
        let mut bits = |right: f32, left: f32| {
            let mut subject = face(Angles::default());
            subject.blendshapes[Blendshape::JawRight] = right;
            subject.blendshapes[Blendshape::JawLeft] = left;
            sent(&mut a, Some(&subject));
            let state: Vec<u8> = a.parameters.iter().map(|p| p.message[p.place]).collect();
            String::from_utf8(state).unwrap()
        };
        assert_eq!(bits(0.0, 0.0), "FFFF");
        assert_eq!(bits(0.65, 0.0), "TFTF", "0.65 of 8 steps is 5");
        assert_eq!(bits(1.0, 0.0), "TTTF");
        assert_eq!(bits(0.0, 0.5), "FFTT");
    }

    #[test]
    fn negative_values_are_none_where_the_avatar_has_no_sign() {
        let mut a = avatar(&[("v2/JawX1", "Bool"), ("v2/JawX2", "Bool")]);
        let mut subject = face(Angles::default());
        subject.blendshapes[Blendshape::JawLeft] = 1.0;
        assert!(sent(&mut a, Some(&subject)).values().all(|v| *v == OscType::Bool(false)));
    }

    #[test]
    fn flags_say_whether_a_face_is_tracked() {
        let mut a =
            avatar(&[("EyeTrackingActive", "Bool"), ("LipTrackingActive", "Bool"), ("v2/JawOpen", "Float")]);
        let all = sent(&mut a, Some(&face(Angles::default())));
        assert_eq!((all.len(), &all["EyeTrackingActive"]), (3, &OscType::Bool(true)));
        let lost = sent(&mut a, None);
        assert_eq!(lost.into_values().collect::<Vec<_>>(), [OscType::Bool(false), OscType::Bool(false)]);
    }

    #[test]
    fn a_file_that_is_no_avatar_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("avtr.json");
        std::fs::write(&path, "{").unwrap();
        let error = Avatar::from_file(&path).err().unwrap().to_string();
        assert!(error.contains("avtr.json"), "{error}");
    }

    #[test]
    fn every_parameter_stays_in_range_and_is_named_once() {
        let mut wild = face(Angles { yaw_rad: 3.0, pitch_rad: 1.5, roll_rad: -3.0 });
        wild.blendshapes.values_mut().for_each(|(_, v)| *v = 1.0);
        let view = Adjuster::new(&Adjust::default()).primary(&sample_of([wild])).unwrap();
        for (i, (name, source)) in PARAMETERS.iter().enumerate() {
            assert!((-1.0..=1.0).contains(&source.value(&view)), "{name}");
            assert!(PARAMETERS[..i].iter().all(|(other, _)| other != name), "{name} twice");
        }
    }
}
