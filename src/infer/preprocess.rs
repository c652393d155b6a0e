//! A turned square of the image as the input of a network.
//!
//! Two steps, so that each stays simple and fast:
//! 1. `reduce`: the part of the frame that the square covers, whatever its [`PixelFormat`], becomes packed 32-bit
//!    pixels, averaged over blocks of 2, 4, 8, … where the square is that much larger than the input: plain bilinear
//!    sampling would skip pixels, and a distant face would flicker.
//! 2. `warp`: bilinear sampling of those pixels, then YUV to RGB, straight into the network's planes.
//!
//! The blocks lie on a grid that is fixed in the image, so that a region that follows a face does not make it shimmer.

mod reduce;
mod warp;

use crate::frame::{ColorSpace, Frame, PixelFormat};
use crate::geom::Roi;
use glam::{Affine2, Vec2};
use reduce::Reducer;
use warp::Warp;

/// What lies outside the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Border {
    /// The nearest pixel of the image.
    Replicate,
    /// Black.
    Black,
}

/// A network's input: three planes R, G, B of `size` x `size` (NCHW with N = 1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// Side in pixels.
    pub size: usize,
    /// Values of black and of white.
    pub range: (f32, f32),
    /// What the network saw outside of images in its training.
    pub border: Border,
}

/// Samples regions of frames. Holds the buffers for one [`Target`].
pub struct Sampler {
    target: Target,
    reducer: Reducer,
}

impl Sampler {
    /// Prepares for `target`; sampling allocates nothing afterwards.
    pub fn new(target: Target) -> Self {
        // A reduced pixel is at least half an input pixel wide, the square may stand on its corner, and bilinear
        // sampling reaches one pixel further at each side.
        let side = (target.size as f32 * 2.0 * std::f32::consts::SQRT_2).ceil() as usize + 4;
        Self { target, reducer: Reducer::new(side) }
    }

    /// Writes the pixels under `roi` to `out` (3 * size * size). Pixel centres lie at half-integer coordinates in the
    /// image as in the crop.
    ///
    /// # Panics
    /// Where the frame is not whole, the roi not sane, or `out` has another length.
    pub fn sample(&mut self, frame: &Frame, roi: &Roi, out: &mut [f32]) {
        assert!(
            frame.is_whole() && roi.is_sane(),
            "a source hands over whole frames, a tracker sane regions"
        );
        assert_eq!(out.len(), 3 * self.target.size * self.target.size, "three planes of the target's size");
        let size = self.target.size as f32;
        let level = level(roi.side / size);
        let image_from_crop = roi.image_from_unit() * Affine2::from_scale(Vec2::splat(1.0 / size));
        // From crop pixel indices to reduced pixel indices.
        let to_reduced = Affine2::from_translation(Vec2::splat(-0.5))
            * Affine2::from_scale(Vec2::splat(1.0 / (1u32 << level) as f32))
            * image_from_crop
            * Affine2::from_translation(Vec2::splat(0.5));
        let last = size - 1.0;
        let corners = [(0.0, 0.0), (last, 0.0), (0.0, last), (last, last)]
            .map(|(x, y)| to_reduced.transform_point2(Vec2::new(x, y)));
        let (low, high) = corners.iter().fold((corners[0], corners[0]), |(l, h), &c| (l.min(c), h.max(c)));
        let (view, origin) = self.reducer.reduce(frame, level, low, high, self.target.border);
        let to_view = Affine2::from_translation(-origin) * to_reduced;
        let warp = Warp {
            from_crop: to_view,
            size: self.target.size,
            color: color_matrix(frame.format, frame.color, self.target.range),
            range: self.target.range,
        };
        warp.run(view, out);
    }
}

/// Logarithm of the side of the blocks to average where an input pixel covers `scale` image pixels: the reduced image
/// is 1 to 2 times finer than the input. Far outside all sense (8K into 128) it stays bounded.
fn level(scale: f32) -> u32 {
    (0..12).take_while(|&l| scale >= (2u32 << l) as f32).count() as u32
}

/// Rows of `rgb = m · (c0, c1, c2, 1)`, bytes to the target's range.
fn color_matrix(format: PixelFormat, color: ColorSpace, range: (f32, f32)) -> [[f32; 4]; 3] {
    let gain = (range.1 - range.0) / 255.0;
    if format == PixelFormat::Rgb8 {
        return [[gain, 0.0, 0.0, range.0], [0.0, gain, 0.0, range.0], [0.0, 0.0, gain, range.0]];
    }
    // ITU-R BT.601 and BT.709: luma weights of red and blue.
    let (kr, kb) = if color.bt709 { (0.2126, 0.0722) } else { (0.299, 0.114) };
    let kg = 1.0 - kr - kb;
    let (y_gain, y_black, c_gain) =
        if color.full_range { (1.0, 0.0, 1.0) } else { (255.0 / 219.0, 16.0, 255.0 / 224.0) };
    let (rv, bu) = (2.0 * (1.0 - kr) * c_gain, 2.0 * (1.0 - kb) * c_gain);
    let (gu, gv) = (-bu * kb / kg, -rv * kr / kg);
    [(0.0, rv), (gu, gv), (bu, 0.0)].map(|(u, v)| {
        let offset = -y_gain * y_black - 128.0 * (u + v);
        [y_gain * gain, u * gain, v * gain, range.0 + offset * gain]
    })
}

#[cfg(test)]
mod tests;
