//! What the shaders are told of one face. One list makes both the Rust struct and the WGSL struct, so they cannot drift.

use bytemuck::{Pod, Zeroable};

macro_rules! face_uniform {
    ($($(#[doc = $doc:literal])+ $name:ident: $count:literal),+ $(,)?) => {
        /// One face's constants, in `vec4`s.
        #[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
        #[repr(C)]
        pub struct FaceUniform { $($(#[doc = $doc])+ pub $name: [[f32; 4]; $count]),+ }

        /// The same struct for the shaders; a field of one `vec4` is an array there, too.
        pub fn wgsl_struct() -> String {
            let mut s = String::from("struct Face {\n");
            $(s += &format!("    {}: array<vec4<f32>, {}>,\n", stringify!($name), $count);)+
            s + "}\n"
        }
    };
}

face_uniform! {
    /// Rows of `camera_from_head`, translation in w, millimetres.
    camera: 3,
    /// Focal length, principal point, near plane.
    pinhole: 1,
    /// Rows of `picture_from_frame`.
    crop: 2,
    /// Distortion of second and fourth order, rolling shutter in pixels.
    warp: 1,
    /// Frame width and height, picture width and height.
    size: 1,
    /// Irradiance in head space.
    sh: 9,
    /// Direction to the key light in head space, strength of its shadow.
    key_dir: 1,
    /// Its colour; w is the exposure.
    key_color: 1,
    /// A second lamp without shadow.
    fill_dir: 1,
    /// Its colour.
    fill_color: 1,
    /// Rows that map head space to the shadow map's unit cube.
    shadow: 3,
    /// The camera's white balance.
    white_balance: 1,
    /// Position of the camera in head space.
    eye_point: 1,
    /// Layers of skin, brow, iris and hair; negative for none.
    layers: 1,
    /// Skin: multiplier of the albedo, gloss.
    skin: 1,
    /// Skin: normal detail, blemishes, freckles, age.
    skin_detail: 1,
    /// Brow colour and opacity.
    brow: 1,
    /// Brows: how far outwards and up, rise of the outer end, thickness; left, right.
    brow_place: 2,
    /// Hair colour and gloss.
    hair: 1,
    /// Beard colour and density.
    beard: 1,
    /// Weights of beard and moustache, stubble (0) to full (1), scale of the grain.
    beard_shape: 1,
    /// Lipstick, opacity.
    lips: 1,
    /// Eye shadow, opacity.
    eye_shadow: 1,
    /// Blush, opacity.
    blush: 1,
    /// Eye liner opacity, lash opacity, lash length, redness of the eyes.
    eye_make_up: 1,
    /// Line of the lashes' roots: opacity, share of all this that lower lashes have, width over the lashes' length; width of a
    /// lash at its root, of the way to the next.
    lash_line: 1,
    /// Jaw opening for the occlusion, brightness of the eyes' white, contact shadow of the lids, iris brightness.
    mouth_eye: 1,
    /// Left eye: centre in head space, how far it is sunk behind its lids; right eye the same. Millimetres.
    eyeball: 2,
    /// Upper lid over the unit direction from the eyeball's centre: y = a + b x + c x²; left, right.
    lid_upper: 2,
    /// Lower lid; w is how far the eye is shut.
    lid_lower: 2,
    /// Tint of the teeth, how far lips part before them.
    teeth: 1,
    /// How far the tongue lies in the light; from which depth to which, millimetres; how far light
    /// reaches the rest of the mouth.
    tongue: 1,
    /// Background: layer or negative, left, top, width of the window.
    background: 1,
    /// Background: colour and weight of a plain wall.
    wall: 1,
    /// Background: height of the window, contrast of clutter, its seed, brightness.
    clutter: 1,
    /// Lens: tint, opacity.
    lens: 1,
    /// A point to paint for tests: head space, radius; off where the radius is zero.
    marker: 1,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_struct_has_no_padding_and_fits_a_uniform_slot() {
        let fields = wgsl_struct();
        let vec4s: usize = fields
            .lines()
            .filter_map(|l| l.rsplit_once(", ")?.1.strip_suffix(">,")?.parse::<usize>().ok())
            .sum();
        assert_eq!(size_of::<FaceUniform>(), 16 * vec4s);
        assert!(size_of::<FaceUniform>() <= super::super::device::UNIFORM_STRIDE as usize);
    }
}
