//! The tongue that is not put out: where it lies in an open mouth. No coefficient tells of it.

use super::pack::HeadAsset;
use super::shape::MM_PER_UNIT;
use crate::face::{Blendshape, Blendshapes};

/// A tongue at rest or in speech, behind the teeth.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Tongue {
    /// How far its body is arched, and its tip lifted, as shares of the room that the jaw leaves.
    pub arched: f32,
    /// How far the tip is lifted, as a share of the same.
    pub lifted: f32,
    /// How far the tip has come forward to the teeth, 0 to 1.
    pub forward: f32,
    /// How much wider than the model's its tip is, 0 to 1.
    pub wide: f32,
    /// How far it lies in the light: 0 as the shut mouth shades it, 1 as outside.
    pub lit: f32,
}

impl Tongue {
    /// How far it lies in the light, and from which depth to which, millimetres: one that is put out does before the lips.
    /// Last, how far light reaches the rest of the mouth.
    pub fn light(&self, expression: &Blendshapes) -> [f32; 4] {
        match expression[Blendshape::TongueOut] {
            out if out > 0.0 => [out, 2.0, 14.0, 0.0],
            _ => [self.lit, -30.0, 0.0, 0.4 * self.lit],
        }
    }
}

/// The front teeth leave this much room, in millimetres, to a jaw that is wide open; some stays free.
const ROOM_MM: f32 = 22.0;
/// Where the tip at rest lies behind the lower teeth's edge.
const FORWARD_MM: f32 = 3.0;
/// The model's tip is narrower than the arch of the lower teeth by this share of its width.
const WIDER: f32 = 0.45;

/// The tongue's vertices, and how near each is to the tip: 0 at the root, 1 at the tip.
pub struct TonguePlaces(Vec<(usize, f32)>);

impl TonguePlaces {
    /// Finds the tongue on the head.
    pub fn new(head: &HeadAsset) -> Self {
        let part = head.part_names.iter().position(|n| n == "tongue");
        let tri = head.tri.iter().zip(&head.tri_part).filter(|(_, p)| Some(usize::from(**p)) == part);
        let mut own: Vec<usize> = tri.flat_map(|(t, _)| t.iter().map(|v| *v as usize)).collect();
        own.sort_unstable();
        own.dedup();
        let depth = |v: &usize| head.neutral[*v].z;
        let (root, tip) = own.iter().map(depth).fold((f32::MAX, f32::MIN), |(a, b), z| (a.min(z), b.max(z)));
        let along = |v: usize| ((head.neutral[v].z - root) / (tip - root).max(1e-6)).clamp(0.0, 1.0);
        Self(own.iter().map(|v| (*v, along(*v))).collect())
    }

    /// Moves the tongue of a head that is posed with `expression`; one that is put out stays as it is.
    pub fn lay(&self, posed: &mut [f32], expression: &Blendshapes, tongue: &Tongue) {
        if expression[Blendshape::TongueOut] > 0.0 {
            return;
        }
        let room = ROOM_MM / MM_PER_UNIT * expression[Blendshape::JawOpen];
        for &(v, along) in &self.0 {
            let arch = (std::f32::consts::PI * along.powf(1.5)).sin();
            let lift = along * along;
            posed[3 * v] *= 1.0 + WIDER * tongue.wide * along;
            posed[3 * v + 1] += room * (tongue.arched * arch + tongue.lifted * lift).min(1.0);
            posed[3 * v + 2] += FORWARD_MM / MM_PER_UNIT * tongue.forward * along;
        }
    }
}
