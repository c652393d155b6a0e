//! Which of VTube Studio's parameters a face sets, and how its values come into their ranges.
//!
//! | parameter | from | positive |
//! |---|---|---|
//! | `FaceAngleX`, `Y`, `Z` | head, degrees | turns right, looks up, left ear up |
//! | `FacePositionX`, `Y`, `Z` | head, centimetres, from 60 cm before the camera | to the subject's right, up, towards the camera |
//! | `EyeLeftX`, `Y`, … | gaze in the head, 45 degrees being the range | right, up |
//! | `MouthX` | mouth and smile | left |
//! | the rest | coefficients | more of it; `MouthSmile` and brows are at rest in the middle |
//!
//! Values are brought into the range that VTube Studio names: degrees and centimetres are cut off there, everything else
//! is stretched over it.

use super::super::adjust::FaceView;
use super::api::{ApiError, Session};
use crate::face::Blendshape::{
    self, BrowDownLeft, BrowDownRight, BrowInnerUp, BrowOuterUpLeft, BrowOuterUpRight, CheekPuff,
    EyeBlinkLeft, EyeBlinkRight, JawOpen, MouthClose, MouthDimpleLeft, MouthDimpleRight, MouthFrownLeft,
    MouthFrownRight, MouthFunnel, MouthLeft, MouthPucker, MouthRight, MouthRollLower, MouthRollUpper,
    MouthSmileLeft, MouthSmileRight, TongueOut,
};
use serde::{Deserialize, Serialize};
use std::f32::consts::FRAC_PI_4;

/// Where a sitting person's head is; `FacePosition` counts from there.
const REST_DEPTH_CM: f32 = 60.0;

/// What becomes of a value on its way into a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    /// In the parameter's own unit: cut off at the ends.
    Own,
    /// 0 to 1 over the whole range.
    Whole,
    /// -1 to 1 from the lower end to the upper, 0 at the default.
    Signed,
}

type Source = fn(&FaceView) -> f32;

fn eyes(view: &FaceView, eye: usize) -> [f32; 2] {
    let angles = view.eye_angles()[eye];
    [-angles.yaw_rad, -angles.pitch_rad].map(|a| (a / FRAC_PI_4).clamp(-1.0, 1.0))
}

fn brow(view: &FaceView, outer: Blendshape, down: Blendshape) -> f32 {
    let b = &view.blendshapes;
    0.5 + 0.5 * (0.6 * b[outer] + 0.4 * b[BrowInnerUp] - b[down])
}

fn mouth_open(view: &FaceView) -> f32 {
    let b = &view.blendshapes;
    b[JawOpen] - b[MouthClose] - 0.2 * (b[MouthRollUpper] + b[MouthRollLower]) + 0.2 * b[MouthFunnel]
}

fn smile(view: &FaceView) -> f32 {
    let b = &view.blendshapes;
    let up = b[MouthSmileLeft] + b[MouthSmileRight] + 0.5 * (b[MouthDimpleLeft] + b[MouthDimpleRight]);
    let down = b[MouthFrownLeft] + b[MouthFrownRight] + b[MouthPucker];
    0.5 + 0.25 * (up - down)
}

fn mouth_x(view: &FaceView) -> f32 {
    let b = &view.blendshapes;
    b[MouthLeft] - b[MouthRight] + b[MouthSmileLeft] - b[MouthSmileRight]
}

/// VTube Studio's own parameters.
#[rustfmt::skip]
const DEFAULTS: [(&str, Scale, Source); 21] = [
    ("FaceAngleX", Scale::Own, |v| -v.head.angles().yaw_rad.to_degrees()),
    ("FaceAngleY", Scale::Own, |v| -v.head.angles().pitch_rad.to_degrees()),
    ("FaceAngleZ", Scale::Own, |v| v.head.angles().roll_rad.to_degrees()),
    ("FacePositionX", Scale::Own, |v| -0.1 * v.head.translation_mm.x),
    ("FacePositionY", Scale::Own, |v| -0.1 * v.head.translation_mm.y),
    ("FacePositionZ", Scale::Own, |v| REST_DEPTH_CM - 0.1 * v.head.translation_mm.z),
    ("EyeLeftX", Scale::Signed, |v| eyes(v, 0)[0]),
    ("EyeLeftY", Scale::Signed, |v| eyes(v, 0)[1]),
    ("EyeRightX", Scale::Signed, |v| eyes(v, 1)[0]),
    ("EyeRightY", Scale::Signed, |v| eyes(v, 1)[1]),
    ("EyeOpenLeft", Scale::Whole, |v| 1.0 - v.blendshapes[EyeBlinkLeft]),
    ("EyeOpenRight", Scale::Whole, |v| 1.0 - v.blendshapes[EyeBlinkRight]),
    ("BrowLeftY", Scale::Whole, |v| brow(v, BrowOuterUpLeft, BrowDownLeft)),
    ("BrowRightY", Scale::Whole, |v| brow(v, BrowOuterUpRight, BrowDownRight)),
    ("Brows", Scale::Whole, |v| 0.5 * (brow(v, BrowOuterUpLeft, BrowDownLeft) + brow(v, BrowOuterUpRight, BrowDownRight))),
    ("MouthOpen", Scale::Whole, mouth_open),
    ("MouthSmile", Scale::Whole, smile),
    ("MouthX", Scale::Signed, mouth_x),
    ("CheekPuff", Scale::Whole, |v| v.blendshapes[CheekPuff]),
    ("TongueOut", Scale::Whole, |v| v.blendshapes[TongueOut]),
    ("FaceAngry", Scale::Whole, |v| 0.5 * (v.blendshapes[BrowDownLeft] + v.blendshapes[BrowDownRight])),
];

/// What VTube Studio has.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List {
    default_parameters: Vec<Listed>,
    #[serde(default)]
    custom_parameters: Vec<Listed>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    name: String,
    min: f32,
    max: f32,
    #[serde(default)]
    default_value: f32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Creation<'a> {
    parameter_name: &'a str,
    explanation: &'a str,
    min: f32,
    max: f32,
    default_value: f32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Injection<'a> {
    face_found: bool,
    mode: &'static str,
    parameter_values: Vec<Value<'a>>,
}

#[derive(Serialize)]
struct Value<'a> {
    id: &'a str,
    value: f32,
}

#[derive(Clone, Copy)]
enum From {
    Default(Source),
    Coefficient(Blendshape),
}

struct Parameter {
    range: Listed,
    scale: Scale,
    from: From,
}

/// The parameters that are set.
pub(super) struct Parameters {
    all: Vec<Parameter>,
}

/// An object with whatever in it.
type Anything = serde::de::IgnoredAny;

impl Parameters {
    /// Finds which parameters there are, and creates those that are missing.
    pub fn agree(session: &mut Session, creates: bool, stopped: &dyn Fn() -> bool) -> Result<Self, ApiError> {
        let nothing = serde_json::Map::new();
        let (list, _): (List, _) = session.ask("InputParameterListRequest", &nothing, stopped)?;
        let mut all = from_defaults(&list);
        for shape in Blendshape::ALL.into_iter().filter(|_| creates) {
            let name = shape.pascal_name();
            if all.iter().any(|p| p.range.name == name) {
                continue;
            }
            let range = match list.custom_parameters.iter().find(|c| c.name == name) {
                Some(known) if is_sane(known) => known.clone(),
                _ => match create(session, &name, stopped) {
                    Ok(created) => created,
                    Err(ApiError::Refused { id, message, .. }) => {
                        tracing::warn!("VTube Studio has no place for {name}: {message} (error {id})");
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            all.push(Parameter { range, scale: Scale::Whole, from: From::Coefficient(shape) });
        }
        Ok(Self { all })
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Sets all of them; gives the size of the message. A parameter that VTube Studio refuses is left out from then on.
    pub fn inject(
        &mut self,
        session: &mut Session,
        view: &FaceView,
        face_found: bool,
        stopped: &dyn Fn() -> bool,
    ) -> Result<usize, ApiError> {
        let parameter_values =
            self.all.iter().map(|p| Value { id: &p.range.name, value: p.value(view) }).collect();
        let injection = Injection { face_found, mode: "set", parameter_values };
        match session.ask::<Anything>("InjectParameterDataRequest", &injection, stopped) {
            Ok((_, bytes)) => Ok(bytes),
            Err(ApiError::Refused { request, id, message }) => {
                // Another plugin holds it, or it was deleted: the message names it.
                let before = self.all.len();
                self.all.retain(|p| !names(&message, &p.range.name));
                if self.all.len() == before || self.all.is_empty() {
                    return Err(ApiError::Refused { request, id, message });
                }
                tracing::warn!("VTube Studio does not take a parameter any more: {message} (error {id})");
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether a sentence holds this word.
fn names(message: &str, word: &str) -> bool {
    message.split(|c: char| !c.is_alphanumeric()).any(|w| w == word)
}

fn is_sane(range: &Listed) -> bool {
    range.min.is_finite() && range.max.is_finite() && range.default_value.is_finite() && range.min < range.max
}

fn from_defaults(list: &List) -> Vec<Parameter> {
    let known = |name: &str| list.default_parameters.iter().find(|p| p.name == name && is_sane(p)).cloned();
    let parameter =
        |(name, scale, source)| Some(Parameter { range: known(name)?, scale, from: From::Default(source) });
    DEFAULTS.into_iter().filter_map(parameter).collect()
}

fn create(session: &mut Session, name: &str, stopped: &dyn Fn() -> bool) -> Result<Listed, ApiError> {
    let explanation = "ARKit's coefficient of this name, by facetrackd";
    let (min, max, default_value) = (0.0, 1.0, 0.0);
    let creation = Creation { parameter_name: name, explanation, min, max, default_value };
    session.ask::<Anything>("ParameterCreationRequest", &creation, stopped)?;
    Ok(Listed { name: name.to_owned(), min, max, default_value })
}

impl Parameter {
    fn value(&self, view: &FaceView) -> f32 {
        let value = match self.from {
            From::Default(source) => source(view),
            From::Coefficient(shape) => view.blendshapes[shape],
        };
        let Listed { min, max, default_value: rest, .. } = self.range;
        let scaled = match self.scale {
            Scale::Own => value,
            Scale::Whole => min + value * (max - min),
            Scale::Signed if value < 0.0 => rest + value * (rest - min),
            Scale::Signed => rest + value * (max - rest),
        };
        // Four digits are more than any camera gives, and keep the message short.
        (scaled.clamp(min, max) * 1e4).round() * 1e-4
    }
}
