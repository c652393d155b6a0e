//! Turning and mirroring of frames.

use super::{Flip, Rotation};
use crate::frame::{Frame, PixelFormat};

/// A turn, then a mirroring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Orientation {
    pub(super) rotation: Rotation,
    pub(super) flip: Flip,
}

/// Samples of one component inside a frame: where the first is, and how far it is to the next in a row and to the next row.
#[derive(Debug, Clone, Copy)]
struct Plane {
    offset: usize,
    step: usize,
    stride: usize,
    width: usize,
    height: usize,
}

impl Orientation {
    /// Turns and mirrors the frame's pixels in one pass through `scratch`, which is kept for the next frame. Packed
    /// and interleaved YUV come out planar.
    pub(super) fn apply(self, frame: &mut Frame, scratch: &mut Vec<u8>) {
        if self == Self::default() {
            return;
        }
        let swaps = matches!(self.rotation, Rotation::Cw90 | Rotation::Cw270);
        let (width, height) = (frame.width as usize, frame.height as usize);
        let mut planes = [Plane { offset: 0, step: 1, stride: 0, width: 0, height: 0 }; 3];
        let count = split(frame.format, width, height, &mut planes);
        let format = match frame.format {
            PixelFormat::Yuyv => oriented(PixelFormat::Planar { x_shift: 1, y_shift: 0 }, swaps),
            PixelFormat::Nv12 => PixelFormat::I420,
            other => oriented(other, swaps),
        };
        if swaps {
            (frame.width, frame.height) = (frame.height, frame.width);
        }
        scratch.resize(format.frame_len(frame.width, frame.height), 0);
        let interleave = if format == PixelFormat::Rgb8 { 3 } else { 1 };
        let mut at = 0;
        for (i, plane) in planes[..count].iter().enumerate() {
            let out = if interleave == 3 { &mut scratch[i..] } else { &mut scratch[at..] };
            self.copy(&frame.data, *plane, out, interleave);
            at += plane.width * plane.height;
        }
        std::mem::swap(&mut frame.data, scratch);
        frame.format = format;
    }

    /// Copies one component; `out_step` bytes from one output sample to the next.
    fn copy(self, data: &[u8], plane: Plane, out: &mut [u8], out_step: usize) {
        let Plane { offset, step, stride, width: w, height: h } = plane;
        let swaps = matches!(self.rotation, Rotation::Cw90 | Rotation::Cw270);
        let (out_w, out_h) = if swaps { (h, w) } else { (w, h) };
        for y in 0..out_h {
            let y_before = if self.flip == Flip::Vertical { out_h - 1 - y } else { y };
            for x in 0..out_w {
                let x_before = if self.flip == Flip::Horizontal { out_w - 1 - x } else { x };
                let (sx, sy) = match self.rotation {
                    Rotation::None => (x_before, y_before),
                    Rotation::Cw90 => (y_before, h - 1 - x_before),
                    Rotation::Half => (w - 1 - x_before, h - 1 - y_before),
                    Rotation::Cw270 => (w - 1 - y_before, x_before),
                };
                out[(y * out_w + x) * out_step] = data[offset + sy * stride + sx * step];
            }
        }
    }
}

fn oriented(format: PixelFormat, swaps: bool) -> PixelFormat {
    match format {
        PixelFormat::Planar { x_shift, y_shift } if swaps => {
            PixelFormat::Planar { x_shift: y_shift, y_shift: x_shift }
        }
        other => other,
    }
}

/// Fills in the frame's components and says how many there are.
fn split(format: PixelFormat, width: usize, height: usize, planes: &mut [Plane; 3]) -> usize {
    let plane = |offset, step, stride, width, height| Plane { offset, step, stride, width, height };
    match format {
        PixelFormat::Gray8 => {
            planes[0] = plane(0, 1, width, width, height);
            1
        }
        PixelFormat::Rgb8 => {
            *planes = [0, 1, 2].map(|i| plane(i, 3, width * 3, width, height));
            3
        }
        PixelFormat::Yuyv => {
            let (half, stride) = (width.div_ceil(2), width.div_ceil(2) * 4);
            *planes = [
                plane(0, 2, stride, width, height),
                plane(1, 4, stride, half, height),
                plane(3, 4, stride, half, height),
            ];
            3
        }
        PixelFormat::Nv12 => {
            let (half_w, half_h, luma) = (width.div_ceil(2), height.div_ceil(2), width * height);
            *planes = [
                plane(0, 1, width, width, height),
                plane(luma, 2, half_w * 2, half_w, half_h),
                plane(luma + 1, 2, half_w * 2, half_w, half_h),
            ];
            3
        }
        PixelFormat::Planar { x_shift, y_shift } => {
            let (cw, ch) = (width.div_ceil(1 << x_shift), height.div_ceil(1 << y_shift));
            let luma = width * height;
            *planes = [
                plane(0, 1, width, width, height),
                plane(luma, 1, cw, cw, ch),
                plane(luma + cw * ch, 1, cw, cw, ch),
            ];
            3
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Grey, 3 wide, 2 high: `012` over `345`.
    fn oriented_grey(rotation: Rotation, flip: Flip) -> (u32, u32, Vec<u8>) {
        let mut frame = Frame {
            width: 3,
            height: 2,
            format: PixelFormat::Gray8,
            data: vec![0, 1, 2, 3, 4, 5],
            ..Frame::default()
        };
        Orientation { rotation, flip }.apply(&mut frame, &mut Vec::new());
        assert!(frame.is_whole());
        (frame.width, frame.height, frame.data)
    }

    #[test]
    fn turns_and_flips_put_each_pixel_in_its_place() {
        assert_eq!(oriented_grey(Rotation::Cw90, Flip::None), (2, 3, vec![3, 0, 4, 1, 5, 2]));
        assert_eq!(oriented_grey(Rotation::Cw270, Flip::None), (2, 3, vec![2, 5, 1, 4, 0, 3]));
        assert_eq!(oriented_grey(Rotation::Half, Flip::None), (3, 2, vec![5, 4, 3, 2, 1, 0]));
        assert_eq!(oriented_grey(Rotation::None, Flip::Horizontal), (3, 2, vec![2, 1, 0, 5, 4, 3]));
        assert_eq!(oriented_grey(Rotation::None, Flip::Vertical), (3, 2, vec![3, 4, 5, 0, 1, 2]));
        // Exif 5 is the transpose, Exif 7 the transverse.
        assert_eq!(oriented_grey(Rotation::Cw90, Flip::Horizontal), (2, 3, vec![0, 3, 1, 4, 2, 5]));
        assert_eq!(oriented_grey(Rotation::Cw270, Flip::Horizontal), (2, 3, vec![5, 2, 4, 1, 3, 0]));
    }

    #[test]
    fn every_layout_keeps_its_colours_through_four_quarter_turns() {
        let planar = |x_shift, y_shift| PixelFormat::Planar { x_shift, y_shift };
        for format in [
            PixelFormat::Rgb8,
            PixelFormat::Yuyv,
            PixelFormat::Nv12,
            planar(1, 1),
            planar(1, 0),
            planar(2, 0),
        ] {
            let (width, height) = (8, 6);
            let data: Vec<u8> = (0..format.frame_len(width, height)).map(|i| (i * 7 % 251) as u8).collect();
            let mut frame = Frame { width, height, format, data, ..Frame::default() };
            let mut scratch = Vec::new();
            // One horizontal flip brings packed layouts into planes without moving anything twice.
            let flip = Orientation { rotation: Rotation::None, flip: Flip::Horizontal };
            flip.apply(&mut frame, &mut scratch);
            let (format, data) = (frame.format, frame.data.clone());
            for _ in 0..4 {
                Orientation { rotation: Rotation::Cw90, flip: Flip::None }.apply(&mut frame, &mut scratch);
                assert!(frame.is_whole());
            }
            assert_eq!((frame.width, frame.height, frame.format), (width, height, format));
            assert_eq!(frame.data, data);
        }
    }

    #[test]
    fn yuyv_comes_apart_into_its_components() {
        let mut frame = Frame {
            width: 2,
            height: 1,
            format: PixelFormat::Yuyv,
            data: vec![10, 20, 11, 30],
            ..Frame::default()
        };
        Orientation { rotation: Rotation::Half, flip: Flip::None }.apply(&mut frame, &mut Vec::new());
        assert_eq!(frame.data, [11, 10, 20, 30]);
    }
}
