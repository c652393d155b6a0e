//! What a picture is to show, before anything is drawn.

use super::brows::BrowPlace;
use super::light::{Lamp, Sh};
use super::pack::IDENTITY_MODES;
use super::tongue::Tongue;
use crate::face::{Blendshapes, HeadPose};
use crate::geom::Intrinsics;
use glam::{Vec2, Vec3};

/// One face, its camera and its faults.
#[derive(Debug, Clone)]
pub struct FaceSpec {
    /// Coefficients of unit variance.
    pub identity: [f32; IDENTITY_MODES],
    /// Expression; its `eyeLook` values turn the eyes.
    pub expression: Blendshapes,
    /// The tongue, where it is not put out.
    pub tongue: Tongue,
    /// `camera_from_head`.
    pub pose: HeadPose,
    /// The camera and the cut.
    pub view: View,
    /// Skin, hair, brows, make-up.
    pub look: Look,
    /// Light, in head space.
    pub light: Light,
    /// What is behind.
    pub backdrop: Backdrop,
    /// Things worn or held.
    pub things: Vec<Thing>,
    /// What the camera does to the picture.
    pub faults: Faults,
}

/// The camera's frame and how the picture is cut from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// Frame size in pixels.
    pub frame: Vec2,
    /// Pinhole of the frame.
    pub intrinsics: Intrinsics,
    /// Radial distortion.
    pub distortion: [f32; 2],
    /// Image movement while the shutter rolls down.
    pub rolling_px: Vec2,
    /// The cut.
    pub cut: Cut,
}

/// How the picture is cut from the frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cut {
    /// The whole frame, scaled to the picture.
    Frame,
    /// A square around the landmarks, as a tracker cuts it.
    Crop {
        /// Side over the longer side of the landmarks' box.
        scale: f32,
        /// Offset of the centre in sides.
        shift: Vec2,
        /// Turn against the line between the eyes.
        turn_rad: f32,
    },
}

/// Linear RGB with a weight.
pub type Paint = [f32; 4];

/// Skin, hair, brows, eyes, make-up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Index of the skin.
    pub skin: usize,
    /// Multiplier of its albedo.
    pub tint: Vec3,
    /// Strength of the skin's gloss.
    pub gloss: f32,
    /// Grain, blemishes, freckles, age, each 0 to 1.
    pub detail: [f32; 4],
    /// Brow map and its paint.
    pub brow: usize,
    /// Colour and opacity.
    pub brow_paint: Paint,
    /// Where they lie; left, right.
    pub brow_place: [BrowPlace; 2],
    /// Iris.
    pub iris: usize,
    /// Brightness of the iris and of the white, redness.
    pub eye: [f32; 3],
    /// Hair style.
    pub hair: Option<usize>,
    /// Colour and gloss.
    pub hair_paint: Paint,
    /// Colour and density.
    pub beard_paint: Paint,
    /// Weight of beard and of moustache, stubble (0) to full (1), grain.
    pub beard_shape: [f32; 4],
    /// Lipstick.
    pub lips: Paint,
    /// Eye shadow.
    pub eye_shadow: Paint,
    /// Blush.
    pub blush: Paint,
    /// Eye liner, lash opacity, lash length.
    pub lashes: [f32; 3],
    /// Line of the lashes' roots: opacity, share that the lower lid has, width over the lashes' length; width of a lash at its
    /// root, of the way to the next.
    pub lash_line: [f32; 4],
    /// Teeth.
    pub teeth: Vec3,
    /// Clothes.
    pub cloth: Vec3,
}

/// All light on the face, head space.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Light {
    /// Soft light.
    pub sh: Sh,
    /// The light that throws a shadow.
    pub key: Lamp,
    /// How dark its shadow is, 0 to 1.
    pub shadow: f32,
    /// A second light without shadow.
    pub fill: Lamp,
    /// Multiplier from radiance to the sensor's white.
    pub exposure: f32,
    /// The camera's white balance error.
    pub white_balance: Vec3,
}

/// What is behind the head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backdrop {
    /// Environment's picture.
    pub environment: usize,
    /// Left, top, width, height of the window, in pictures.
    pub window: [f32; 4],
    /// Colour of a wall and its weight over the picture.
    pub wall: Paint,
    /// Contrast of boxes on the wall, and their seed.
    pub clutter: [f32; 2],
    /// Multiplier of it all.
    pub brightness: f32,
}

/// A thing worn or held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Thing {
    /// Spectacles.
    Glasses {
        /// Half width and half height of a lens, millimetres.
        lens: Vec2,
        /// Exponent of the superellipse: 2 is round, 4 nearly square.
        squareness: f32,
        /// Radius of the rim.
        rim_mm: f32,
        /// Colour and roughness of the frame.
        frame: Paint,
        /// Tint of the glass and its opacity.
        glass: Paint,
        /// How far they have slid down the nose.
        slide_mm: f32,
    },
    /// Over the ears, with a band.
    Headphones {
        /// Colour and roughness.
        paint: Paint,
        /// Radius of a cup.
        cup_mm: f32,
        /// A microphone on an arm.
        microphone: bool,
    },
    /// With a brim.
    Cap {
        /// Colour and roughness.
        paint: Paint,
        /// Length of the brim.
        brim_mm: f32,
        /// Turned about the vertical: π is backwards.
        turn_rad: f32,
    },
    /// On a stand before the face.
    Microphone {
        /// Where its head is, head space.
        at: Vec3,
        /// Radius.
        radius_mm: f32,
        /// Colour and roughness.
        paint: Paint,
    },
    /// A hand over part of the face.
    Hand {
        /// Middle of the palm, head space.
        at: Vec3,
        /// Where the fingers point, and the palm's normal; unit vectors.
        fingers: Vec3,
        /// Which way the palm faces.
        normal: Vec3,
        /// How bent the fingers are, radians a joint.
        bend_rad: f32,
        /// Size of the hand against a mean one.
        scale: f32,
        /// Colour and roughness.
        paint: Paint,
    },
}

/// What the camera does to the picture after the light is in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Faults {
    /// Standard deviation of the defocus in pixels of the picture.
    pub defocus_px: f32,
    /// Length and direction of the motion blur in pixels of the picture.
    pub motion_px: Vec2,
    /// Photon noise: variance over value at the sensor's white.
    pub shot_noise: f32,
    /// Read noise: standard deviation over the sensor's white.
    pub read_noise: f32,
    /// Exposure error as a factor.
    pub gain: f32,
    /// Darkening of the picture's corners, 0 to 1.
    pub vignette: f32,
    /// Contrast of the camera's curve: 0 linear, 1 strong.
    pub contrast: f32,
    /// Saturation, 1 is true.
    pub saturation: f32,
    /// Unsharp masking by the camera, 0 to 1.
    pub sharpen: f32,
    /// Quality of the camera's own JPEG; none for raw video.
    pub jpeg_quality: Option<i32>,
    /// Pixels of the picture over pixels of the sensor, if the picture was enlarged.
    pub enlarged: f32,
    /// Seed of the noise.
    pub seed: u64,
}

impl Default for Faults {
    /// A perfect camera.
    fn default() -> Self {
        Self {
            defocus_px: 0.0,
            motion_px: Vec2::ZERO,
            shot_noise: 0.0,
            read_noise: 0.0,
            gain: 1.0,
            vignette: 0.0,
            contrast: 0.0,
            saturation: 1.0,
            sharpen: 0.0,
            jpeg_quality: None,
            enlarged: 1.0,
            seed: 0,
        }
    }
}
