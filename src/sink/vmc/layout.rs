//! The messages of a stream, laid out once, and where their numbers stand.

use super::super::adjust::FaceView;
use super::super::osc::{Slot, Template, floats};
use super::unity::{self, Bone};
use super::{Eyes, Names, Presets, Skeleton, Status, VmcConfig, presets};
use crate::face::Blendshape;
use glam::{Mat3, Quat, Vec3};
use rosc::OscType;

/// "Calibrated", the last of the protocol's calibration states.
const CALIBRATED: i32 = 3;

/// Distance of the point that `Set/Eye` names, in metres.
const EYE_TARGET_DISTANCE_M: f32 = 1.0;

/// All that a stream ever says, but for the numbers.
pub(super) struct Layout {
    pub with_face: Template,
    pub without_face: Template,
    pub places: Places,
}

/// Where the numbers stand. Both templates begin alike, so that status and time stand at the same places.
pub(super) struct Places {
    status: Slot,
    says_tracking: bool,
    time: Slot,
    neck: Option<Slot>,
    head: Option<Slot>,
    eyes: Option<[Slot; 2]>,
    eye_target: Option<Slot>,
    blends: Vec<(Blendshape, Slot)>,
    presets: Vec<Slot>,
}

impl Layout {
    pub fn new(config: &VmcConfig) -> Self {
        let mut without_face = Template::new(config.bundled);
        push_beginning(&mut without_face, config.status);
        let mut t = Template::new(config.bundled);
        let (status, time) = push_beginning(&mut t, config.status);
        let (neck, head) = push_body(&mut t, config.skeleton);
        let sends_bones =
            matches!(config.eyes, Eyes::Bones | Eyes::Both) && config.skeleton != Skeleton::None;
        let eyes =
            sends_bones.then(|| [&unity::LEFT_EYE, &unity::RIGHT_EYE].map(|eye| push_bone(&mut t, eye)));
        let eye_target = matches!(config.eyes, Eyes::Target | Eyes::Both).then(|| push_eye_target(&mut t));
        let (blends, presets) = push_blends(&mut t, config.names, config.presets);
        let says_tracking = config.status == Status::Tracking;
        let places = Places { status, says_tracking, time, neck, head, eyes, eye_target, blends, presets };
        Self { with_face: t, without_face, places }
    }
}

fn push_beginning(t: &mut Template, status: Status) -> (Slot, Slot) {
    let numbers: &[i32] = match status {
        Status::Loaded => &[1],
        Status::Calibration => &[1, CALIBRATED, 0],
        Status::Tracking => &[1, CALIBRATED, 0, 0],
    };
    let status = t.push("/VMC/Ext/OK", numbers.iter().map(|n| OscType::Int(*n)).collect());
    (status, t.push("/VMC/Ext/T", floats(1).collect()))
}

fn push_body(t: &mut Template, skeleton: Skeleton) -> (Option<Slot>, Option<Slot>) {
    if skeleton == Skeleton::None {
        return (None, None);
    }
    let root = t.push("/VMC/Ext/Root/Pos", named("root", 7));
    t.set_floats(root, 6, &[1.0]);
    if skeleton == Skeleton::Full {
        for bone in &unity::BODY {
            push_bone(t, bone);
        }
    }
    (Some(push_bone(t, &unity::NECK)), Some(push_bone(t, &unity::HEAD)))
}

fn push_bone(t: &mut Template, bone: &Bone) -> Slot {
    let slot = t.push("/VMC/Ext/Bone/Pos", named(bone.name, 7));
    t.set_floats(slot, 0, &bone.rest());
    slot
}

fn push_eye_target(t: &mut Template) -> Slot {
    let args = std::iter::once(OscType::Int(1)).chain(floats(3)).collect();
    t.push("/VMC/Ext/Set/Eye", args)
}

fn push_blends(t: &mut Template, names: Names, presets: Presets) -> (Vec<(Blendshape, Slot)>, Vec<Slot>) {
    let mut push = |name: &str| t.push("/VMC/Ext/Blend/Val", named(name, 1));
    let blends = match names {
        Names::None => Vec::new(),
        Names::Camel => Blendshape::ALL.map(|b| (b, push(b.name()))).to_vec(),
        Names::Pascal => Blendshape::ALL.map(|b| (b, push(&pascal(b.name())))).to_vec(),
    };
    let presets = match presets {
        Presets::None => Vec::new(),
        Presets::Vrm0 => presets::VRM0.map(push).to_vec(),
        Presets::Vrm1 => presets::VRM1.map(push).to_vec(),
    };
    if !(blends.is_empty() && presets.is_empty()) {
        t.push("/VMC/Ext/Blend/Apply", Vec::new());
    }
    (blends, presets)
}

fn named(name: &str, numbers: usize) -> Vec<OscType> {
    std::iter::once(OscType::String(name.to_owned())).chain(floats(numbers)).collect()
}

fn pascal(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    first.to_ascii_uppercase() + rest
}

impl Places {
    pub fn set_status(&self, template: &mut Template, is_loaded: bool, is_tracked: bool) {
        template.set_int(self.status, 0, i32::from(is_loaded));
        if self.says_tracking {
            template.set_int(self.status, 3, i32::from(is_tracked));
        }
    }

    pub fn set_time(&self, template: &mut Template, seconds: f32) {
        template.set_floats(self.time, 0, &[seconds]);
    }

    pub fn set_bones(&self, template: &mut Template, view: &FaceView, neck_share: f32) {
        let turn = Quat::from_mat3(&view.head_from_neutral());
        let neck = Quat::IDENTITY.slerp(turn, neck_share);
        let head = neck.inverse() * turn;
        let mut set = |slot: Option<Slot>, bone: &Bone, rotation: Mat3| {
            if let Some(slot) = slot {
                template.set_floats(slot, 0, &bone.turned(unity::rotation(rotation)));
            }
        };
        set(self.neck, &unity::NECK, Mat3::from_quat(neck));
        set(self.head, &unity::HEAD, Mat3::from_quat(head));
        let [left, right] = view
            .eye_angles()
            .map(|eye| Mat3::from_rotation_y(eye.yaw_rad) * Mat3::from_rotation_x(eye.pitch_rad));
        set(self.eyes.map(|[slot, _]| slot), &unity::LEFT_EYE, left);
        set(self.eyes.map(|[_, slot]| slot), &unity::RIGHT_EYE, right);
        if let Some(slot) = self.eye_target {
            let [left, right] = view.gaze_in_head();
            let middle = (left + right).normalize_or(Vec3::Z);
            let [x, y, z] = unity::direction(middle * EYE_TARGET_DISTANCE_M);
            template.set_int(slot, 0, 1);
            template.set_floats(slot, 1, &[x, y, z]);
        }
    }

    pub fn set_blends(&self, template: &mut Template, view: &FaceView) {
        for &(blendshape, slot) in &self.blends {
            template.set_floats(slot, 0, &[view.blendshapes[blendshape]]);
        }
        if !self.presets.is_empty() {
            for (slot, value) in self.presets.iter().zip(presets::values(&view.blendshapes)) {
                template.set_floats(*slot, 0, &[value]);
            }
        }
    }
}
