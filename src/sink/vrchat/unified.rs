//! Unified Expressions out of ARKit's coefficients, by the mapping that `VRCFaceTracking` documents for ARKit, and the
//! combined parameters that its avatars use.

use super::super::adjust::FaceView;
use crate::face::Blendshape::{
    self, BrowDownLeft, BrowDownRight, BrowInnerUp, BrowOuterUpLeft, BrowOuterUpRight, CheekPuff,
    CheekSquintLeft, CheekSquintRight, EyeBlinkLeft, EyeBlinkRight, EyeSquintLeft, EyeSquintRight,
    EyeWideLeft, EyeWideRight, JawForward, JawLeft, JawOpen, JawRight, MouthClose, MouthDimpleLeft,
    MouthDimpleRight, MouthFrownLeft, MouthFrownRight, MouthFunnel, MouthLeft, MouthLowerDownLeft,
    MouthLowerDownRight, MouthPressLeft, MouthPressRight, MouthPucker, MouthRight, MouthRollLower,
    MouthRollUpper, MouthShrugLower, MouthShrugUpper, MouthSmileLeft, MouthSmileRight, MouthStretchLeft,
    MouthStretchRight, MouthUpperUpLeft, MouthUpperUpRight, NoseSneerLeft, NoseSneerRight, TongueOut,
};
use std::f32::consts::FRAC_PI_2;

/// How a parameter comes from a face.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// A coefficient as it is.
    Same(Blendshape),
    /// Anything else.
    From(fn(&FaceView) -> f32),
}

impl Source {
    pub fn value(self, view: &FaceView) -> f32 {
        match self {
            Self::Same(shape) => view.blendshapes[shape],
            Self::From(f) => f(view),
        }
    }
}

fn open(v: &FaceView, blink: Blendshape, squint: Blendshape) -> f32 {
    let b = &v.blendshapes;
    1.0 - (b[blink] + b[blink] * b[squint]).clamp(0.0, 1.0)
}

fn lid(v: &FaceView, blink: Blendshape, squint: Blendshape, wide: Blendshape) -> f32 {
    0.75 * open(v, blink, squint) + 0.25 * v.blendshapes[wide]
}

fn mean(v: &FaceView, left: Blendshape, right: Blendshape) -> f32 {
    0.5 * (v.blendshapes[left] + v.blendshapes[right])
}

/// The upper lip cannot be sucked in while it is raised.
fn suck_upper(v: &FaceView, raised: Blendshape) -> f32 {
    (1.0 - v.blendshapes[raised].powf(1.0 / 6.0)).min(v.blendshapes[MouthRollUpper])
}

fn brow_up(v: &FaceView, outer: Blendshape) -> f32 {
    0.6 * v.blendshapes[outer] + 0.4 * v.blendshapes[BrowInnerUp]
}

fn sad(v: &FaceView, frown: Blendshape, stretch: Blendshape) -> f32 {
    v.blendshapes[frown].max(v.blendshapes[stretch])
}

fn difference(v: &FaceView, plus: Blendshape, minus: Blendshape) -> f32 {
    v.blendshapes[plus] - v.blendshapes[minus]
}

/// Tangents of the mean gaze, as `VRCFaceTracking` keeps them: right and up are positive.
fn gaze_x(v: &FaceView, eye: usize) -> f32 {
    (0.0 - v.eye_angles()[eye].yaw_rad).tan().clamp(-1.0, 1.0)
}

fn gaze_y(v: &FaceView, eye: usize) -> f32 {
    (0.0 - v.eye_angles()[eye].pitch_rad).tan().clamp(-1.0, 1.0)
}

fn quarter_turns(radians: f32) -> f32 {
    (radians / FRAC_PI_2).clamp(-1.0, 1.0)
}

/// Every parameter's name below `v2/` with its source.
#[rustfmt::skip]
pub(super) const PARAMETERS: &[(&str, Source)] = &[
    ("EyeLeftX", Source::From(|v| gaze_x(v, 0))),
    ("EyeLeftY", Source::From(|v| gaze_y(v, 0))),
    ("EyeRightX", Source::From(|v| gaze_x(v, 1))),
    ("EyeRightY", Source::From(|v| gaze_y(v, 1))),
    ("EyeX", Source::From(|v| 0.5 * (gaze_x(v, 0) + gaze_x(v, 1)))),
    ("EyeY", Source::From(|v| 0.5 * (gaze_y(v, 0) + gaze_y(v, 1)))),
    ("EyeOpenLeft", Source::From(|v| open(v, EyeBlinkLeft, EyeSquintLeft))),
    ("EyeOpenRight", Source::From(|v| open(v, EyeBlinkRight, EyeSquintRight))),
    ("EyeLidLeft", Source::From(|v| lid(v, EyeBlinkLeft, EyeSquintLeft, EyeWideLeft))),
    ("EyeLidRight", Source::From(|v| lid(v, EyeBlinkRight, EyeSquintRight, EyeWideRight))),
    ("EyeLid", Source::From(|v| 0.5 * (lid(v, EyeBlinkLeft, EyeSquintLeft, EyeWideLeft) + lid(v, EyeBlinkRight, EyeSquintRight, EyeWideRight)))),
    ("EyeSquintLeft", Source::Same(EyeSquintLeft)),
    ("EyeSquintRight", Source::Same(EyeSquintRight)),
    ("EyeSquint", Source::From(|v| mean(v, EyeSquintLeft, EyeSquintRight))),
    ("EyeWideLeft", Source::Same(EyeWideLeft)),
    ("EyeWideRight", Source::Same(EyeWideRight)),
    ("BrowPinchLeft", Source::Same(BrowDownLeft)),
    ("BrowPinchRight", Source::Same(BrowDownRight)),
    ("BrowLowererLeft", Source::Same(BrowDownLeft)),
    ("BrowLowererRight", Source::Same(BrowDownRight)),
    ("BrowInnerUpLeft", Source::Same(BrowInnerUp)),
    ("BrowInnerUpRight", Source::Same(BrowInnerUp)),
    ("BrowInnerUp", Source::Same(BrowInnerUp)),
    ("BrowOuterUpLeft", Source::Same(BrowOuterUpLeft)),
    ("BrowOuterUpRight", Source::Same(BrowOuterUpRight)),
    ("BrowOuterUp", Source::From(|v| mean(v, BrowOuterUpLeft, BrowOuterUpRight))),
    ("BrowUpLeft", Source::From(|v| brow_up(v, BrowOuterUpLeft))),
    ("BrowUpRight", Source::From(|v| brow_up(v, BrowOuterUpRight))),
    ("BrowUp", Source::From(|v| 0.5 * (brow_up(v, BrowOuterUpLeft) + brow_up(v, BrowOuterUpRight)))),
    ("BrowDownLeft", Source::Same(BrowDownLeft)),
    ("BrowDownRight", Source::Same(BrowDownRight)),
    ("BrowDown", Source::From(|v| mean(v, BrowDownLeft, BrowDownRight))),
    ("NoseSneerLeft", Source::Same(NoseSneerLeft)),
    ("NoseSneerRight", Source::Same(NoseSneerRight)),
    ("NoseSneer", Source::From(|v| mean(v, NoseSneerLeft, NoseSneerRight))),
    ("CheekSquintLeft", Source::Same(CheekSquintLeft)),
    ("CheekSquintRight", Source::Same(CheekSquintRight)),
    ("CheekSquint", Source::From(|v| mean(v, CheekSquintLeft, CheekSquintRight))),
    ("CheekPuffLeft", Source::Same(CheekPuff)),
    ("CheekPuffRight", Source::Same(CheekPuff)),
    ("CheekPuff", Source::Same(CheekPuff)),
    ("JawOpen", Source::Same(JawOpen)),
    ("JawForward", Source::Same(JawForward)),
    ("JawLeft", Source::Same(JawLeft)),
    ("JawRight", Source::Same(JawRight)),
    ("JawX", Source::From(|v| difference(v, JawRight, JawLeft))),
    ("MouthClosed", Source::Same(MouthClose)),
    ("LipFunnelUpperLeft", Source::Same(MouthFunnel)),
    ("LipFunnelUpperRight", Source::Same(MouthFunnel)),
    ("LipFunnelLowerLeft", Source::Same(MouthFunnel)),
    ("LipFunnelLowerRight", Source::Same(MouthFunnel)),
    ("LipFunnelUpper", Source::Same(MouthFunnel)),
    ("LipFunnelLower", Source::Same(MouthFunnel)),
    ("LipFunnel", Source::Same(MouthFunnel)),
    ("LipPuckerUpperLeft", Source::Same(MouthPucker)),
    ("LipPuckerUpperRight", Source::Same(MouthPucker)),
    ("LipPuckerLowerLeft", Source::Same(MouthPucker)),
    ("LipPuckerLowerRight", Source::Same(MouthPucker)),
    ("LipPuckerUpper", Source::Same(MouthPucker)),
    ("LipPuckerLower", Source::Same(MouthPucker)),
    ("LipPucker", Source::Same(MouthPucker)),
    ("LipSuckLowerLeft", Source::Same(MouthRollLower)),
    ("LipSuckLowerRight", Source::Same(MouthRollLower)),
    ("LipSuckLower", Source::Same(MouthRollLower)),
    ("LipSuckUpperLeft", Source::From(|v| suck_upper(v, MouthUpperUpLeft))),
    ("LipSuckUpperRight", Source::From(|v| suck_upper(v, MouthUpperUpRight))),
    ("LipSuckUpper", Source::From(|v| 0.5 * (suck_upper(v, MouthUpperUpLeft) + suck_upper(v, MouthUpperUpRight)))),
    ("MouthUpperUpLeft", Source::Same(MouthUpperUpLeft)),
    ("MouthUpperUpRight", Source::Same(MouthUpperUpRight)),
    ("MouthUpperUp", Source::From(|v| mean(v, MouthUpperUpLeft, MouthUpperUpRight))),
    ("MouthLowerDownLeft", Source::Same(MouthLowerDownLeft)),
    ("MouthLowerDownRight", Source::Same(MouthLowerDownRight)),
    ("MouthLowerDown", Source::From(|v| mean(v, MouthLowerDownLeft, MouthLowerDownRight))),
    ("MouthUpperLeft", Source::Same(MouthLeft)),
    ("MouthUpperRight", Source::Same(MouthRight)),
    ("MouthLowerLeft", Source::Same(MouthLeft)),
    ("MouthLowerRight", Source::Same(MouthRight)),
    ("MouthUpperX", Source::From(|v| difference(v, MouthRight, MouthLeft))),
    ("MouthLowerX", Source::From(|v| difference(v, MouthRight, MouthLeft))),
    ("MouthX", Source::From(|v| difference(v, MouthRight, MouthLeft))),
    ("MouthCornerPullLeft", Source::Same(MouthSmileLeft)),
    ("MouthCornerPullRight", Source::Same(MouthSmileRight)),
    ("MouthCornerSlantLeft", Source::Same(MouthSmileLeft)),
    ("MouthCornerSlantRight", Source::Same(MouthSmileRight)),
    ("MouthSmileLeft", Source::Same(MouthSmileLeft)),
    ("MouthSmileRight", Source::Same(MouthSmileRight)),
    ("MouthFrownLeft", Source::Same(MouthFrownLeft)),
    ("MouthFrownRight", Source::Same(MouthFrownRight)),
    ("MouthStretchLeft", Source::Same(MouthStretchLeft)),
    ("MouthStretchRight", Source::Same(MouthStretchRight)),
    ("MouthStretch", Source::From(|v| mean(v, MouthStretchLeft, MouthStretchRight))),
    ("MouthSadLeft", Source::From(|v| sad(v, MouthFrownLeft, MouthStretchLeft))),
    ("MouthSadRight", Source::From(|v| sad(v, MouthFrownRight, MouthStretchRight))),
    ("SmileFrownLeft", Source::From(|v| difference(v, MouthSmileLeft, MouthFrownLeft))),
    ("SmileFrownRight", Source::From(|v| difference(v, MouthSmileRight, MouthFrownRight))),
    ("SmileFrown", Source::From(|v| mean(v, MouthSmileLeft, MouthSmileRight) - mean(v, MouthFrownLeft, MouthFrownRight))),
    ("SmileSadLeft", Source::From(|v| v.blendshapes[MouthSmileLeft] - sad(v, MouthFrownLeft, MouthStretchLeft))),
    ("SmileSadRight", Source::From(|v| v.blendshapes[MouthSmileRight] - sad(v, MouthFrownRight, MouthStretchRight))),
    ("MouthDimpleLeft", Source::Same(MouthDimpleLeft)),
    ("MouthDimpleRight", Source::Same(MouthDimpleRight)),
    ("MouthDimple", Source::From(|v| mean(v, MouthDimpleLeft, MouthDimpleRight))),
    ("MouthRaiserUpper", Source::Same(MouthShrugUpper)),
    ("MouthRaiserLower", Source::Same(MouthShrugLower)),
    ("MouthPressLeft", Source::Same(MouthPressLeft)),
    ("MouthPressRight", Source::Same(MouthPressRight)),
    ("MouthPress", Source::From(|v| mean(v, MouthPressLeft, MouthPressRight))),
    ("TongueOut", Source::Same(TongueOut)),
    ("Head/Yaw", Source::From(|v| quarter_turns(0.0 - v.head.angles().yaw_rad))),
    ("Head/Pitch", Source::From(|v| quarter_turns(v.head.angles().pitch_rad))),
    ("Head/Roll", Source::From(|v| quarter_turns(0.0 - v.head.angles().roll_rad))),
];
