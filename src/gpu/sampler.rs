//! Draws what faces to render: everything varies, and the same seed and index give the same face.

mod expression;
mod light;
mod look;
mod things;
mod view;

use super::brows::BrowPlace;
use super::light::EnvironmentLight;
use super::pack::{IDENTITY_MODES, Pack};
use super::rng::Rng;
use super::spec::{Cut, FaceSpec, Faults};
use crate::face::{Blendshapes, HeadPose};

pub use expression::{Expressions, from_motion, tidy};

/// What is asked of the sampler.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "switches that have nothing to do with each other")]
pub struct SamplerOptions {
    /// Draw whole frames rather than crops.
    pub whole_frame: bool,
    /// Side of the picture in pixels; frames are this wide.
    pub size: u32,
    /// Faults of the camera on.
    pub faults: bool,
    /// Largest yaw in radians.
    pub yaw_max_rad: f32,
    /// Smallest yaw in radians; above 0 none is preferred.
    pub yaw_min_rad: f32,
    /// Heavy occluders (hands, caps, tinted glasses, microphones) on.
    pub occluders: bool,
    /// What faces do.
    pub expressions: Expressions,
    /// The same people in the same light, at rest and nearly facing the camera.
    pub at_rest: bool,
}

impl Default for SamplerOptions {
    fn default() -> Self {
        // 75 degrees: beyond it half of the points are hidden, and detectors give up.
        Self {
            whole_frame: false,
            size: 256,
            faults: true,
            yaw_max_rad: 1.309,
            yaw_min_rad: 0.0,
            occluders: true,
            expressions: Expressions::Mixed,
            at_rest: false,
        }
    }
}

/// Draws faces.
pub struct Sampler<'a> {
    pack: &'a Pack,
    environments: &'a [EnvironmentLight],
    options: SamplerOptions,
}

impl<'a> Sampler<'a> {
    /// A sampler over the pack's skins, hair, light and motion.
    pub fn new(pack: &'a Pack, environments: &'a [EnvironmentLight], options: SamplerOptions) -> Self {
        Self { pack, environments, options }
    }

    /// Face `index` of the data set `seed`.
    pub fn sample(&self, seed: u64, index: u64) -> FaceSpec {
        let mut rng = Rng::new(seed, index);
        let identity = identity(&mut rng);
        // Drawn all the same: what follows is to be as it would be without rest.
        let drawn = expression::sample(&mut rng, &self.pack.motion, self.options.expressions);
        let expression = if self.options.at_rest { Blendshapes::default() } else { drawn };
        self.around(rng, identity, expression, None)
    }

    /// Everything but identity and expression; the pose, too, where it is given.
    pub fn around(
        &self,
        mut rng: Rng,
        identity: [f32; IDENTITY_MODES],
        expression: Blendshapes,
        pose: Option<HeadPose>,
    ) -> FaceSpec {
        let (view, drawn_pose) = view::sample(&mut rng, &self.options);
        let pose = pose.unwrap_or(drawn_pose);
        let look = look::sample(&mut rng, self.pack);
        let (light, backdrop, dimness) =
            light::sample(&mut rng, self.environments, &pose, look::reflectance(&look, self.pack));
        let things = things::sample(&mut rng, self.pack, &look, self.options.occluders);
        let mut look = look::with_things(look, &things, self.pack);
        let mut faults = view::faults(&mut rng, dimness);
        if !self.options.faults {
            faults = Faults::default();
        }
        let tongue = expression::tongue(&mut rng);
        // Drawn last, so that a seed's other looks are those that it had before there were any.
        look.lash_line = look::lash_line(&mut rng, &look);
        look.brow_place = BrowPlace::sample(&mut rng);
        FaceSpec { identity, expression, tongue, pose, view, look, light, backdrop, things, faults }
    }
}

/// Beyond the model's one sigma: a third of the people are drawn at up to 1.5, clipped at 3.
pub fn identity(rng: &mut Rng) -> [f32; IDENTITY_MODES] {
    let spread = if rng.chance(0.33) { rng.range(1.0, 1.5) } else { rng.range(0.6, 1.0) };
    std::array::from_fn(|_| (rng.normal() * spread).clamp(-3.0, 3.0))
}

impl FaceSpec {
    /// Whether the picture is a crop.
    pub fn is_crop(&self) -> bool {
        matches!(self.view.cut, Cut::Crop { .. })
    }
}
