//! Pixels on their way from a source to the networks.

use crate::clock::MonoTime;

/// How the bytes of [`Frame::data`] lie. Rows are tight (no padding), planes follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// `R G B` for each pixel, 3 bytes, full range.
    Rgb8,
    /// One byte of luma for each pixel.
    Gray8,
    /// 4:2:2 packed, `Y0 U Y1 V` for two pixels. Width is even.
    Yuyv,
    /// A luma plane, then one plane of interleaved `U V` at half size, rounded up.
    Nv12,
    /// A luma plane, then U, then V. A chroma plane is as wide as `width >> x_shift`, as high as `height >> y_shift`,
    /// both rounded up: shifts (1, 1) are 4:2:0, (1, 0) are 4:2:2, (0, 0) are 4:4:4.
    Planar {
        /// Base-two logarithm of the horizontal subsampling, 0 to 2.
        x_shift: u8,
        /// Base-two logarithm of the vertical subsampling, 0 to 2.
        y_shift: u8,
    },
}

impl PixelFormat {
    /// Planar 4:2:0, what most video decodes to.
    pub const I420: Self = Self::Planar { x_shift: 1, y_shift: 1 };

    /// Bytes of one frame of `width` x `height` pixels.
    pub const fn frame_len(self, width: u32, height: u32) -> usize {
        let (w, h) = (width as usize, height as usize);
        match self {
            Self::Rgb8 => w * h * 3,
            Self::Gray8 => w * h,
            Self::Yuyv => w.div_ceil(2) * 4 * h,
            Self::Nv12 => w * h + w.div_ceil(2) * 2 * h.div_ceil(2),
            Self::Planar { x_shift, y_shift } => {
                w * h + 2 * w.div_ceil(1 << x_shift) * h.div_ceil(1 << y_shift)
            }
        }
    }
}

/// How YUV becomes RGB. Ignored for [`PixelFormat::Rgb8`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColorSpace {
    /// BT.709 coefficients instead of BT.601's.
    pub bt709: bool,
    /// Luma 0..=255 (JPEG) instead of 16..=235 (video).
    pub full_range: bool,
}

impl ColorSpace {
    /// BT.601, full range.
    pub const JPEG: Self = Self { bt709: false, full_range: true };
    /// BT.601, limited range: UVC cameras' raw formats, standard-definition video.
    pub const VIDEO: Self = Self { bt709: false, full_range: false };
}

/// One picture with the moment it was taken. Buffers are recycled: a source fills `data` anew, keeping its capacity.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Number of the frame in its source, from 0. Gaps are frames that were dropped.
    pub index: u64,
    /// The driver's buffer timestamp where there is one, else the dequeue; for files, when the frame was handed over.
    pub captured_at: MonoTime,
    /// Time in the stream's own clock, from 0: media time for files, capture time since the first frame for cameras.
    /// Filters take this, so that a file gives the same numbers at any pace.
    pub stream_time: MonoTime,
    /// Nothing may be carried over from earlier frames: an independent still, or the first frame after a reopening.
    pub starts_sequence: bool,
    /// A picture by itself, with no next, from a camera that nobody knows. It starts a sequence, too.
    pub still: bool,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Layout of `data`.
    pub format: PixelFormat,
    /// Meaning of `data` where it is YUV.
    pub color: ColorSpace,
    /// The pixels, [`PixelFormat::frame_len`] bytes.
    pub data: Vec<u8>,
}

impl Default for Frame {
    /// An empty frame: a buffer to be filled.
    fn default() -> Self {
        Self {
            index: 0,
            captured_at: MonoTime::default(),
            stream_time: MonoTime::default(),
            starts_sequence: true,
            still: false,
            width: 0,
            height: 0,
            format: PixelFormat::Rgb8,
            color: ColorSpace::JPEG,
            data: Vec::new(),
        }
    }
}

impl Frame {
    /// Whether `data` holds what size and format promise. A source must not hand over a frame where this is false.
    pub fn is_whole(&self) -> bool {
        self.width > 0 && self.height > 0 && self.data.len() == self.format.frame_len(self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_sizes_round_chroma_up() {
        assert_eq!(PixelFormat::I420.frame_len(3, 3), 9 + 2 * 4);
        assert_eq!(PixelFormat::Nv12.frame_len(3, 3), 9 + 8);
        assert_eq!(PixelFormat::Planar { x_shift: 0, y_shift: 0 }.frame_len(3, 3), 27);
        assert_eq!(PixelFormat::Yuyv.frame_len(4, 2), 16);
    }

    #[test]
    fn an_empty_frame_is_not_whole() {
        assert!(!Frame::default().is_whole());
    }
}
