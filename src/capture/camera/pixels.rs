//! From a driver's buffer to a frame: one copy for raw formats, one decoding for Motion-JPEG.

use super::choice::FourCc;
use crate::capture::mjpeg::{JpegDecoder, JpegError};
use crate::frame::{ColorSpace, Frame, PixelFormat};

/// How the pixels of a buffer lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) format: FourCc,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Bytes from row to row; 0 for compressed formats.
    pub(super) stride: u32,
    /// The driver says that luma spans 0 to 255.
    pub(super) full_range: bool,
    /// The driver says BT.709.
    pub(super) bt709: bool,
}

/// Rows of one plane inside a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rows {
    stride: usize,
    bytes: usize,
    count: usize,
}

/// What the layout's buffers hold. `None` where we do not know the format.
fn planes(layout: &Layout) -> Option<(PixelFormat, [Rows; 3])> {
    let (w, h) = (layout.width as usize, layout.height as usize);
    let none = Rows { stride: 0, bytes: 0, count: 0 };
    let rows = |stride: usize, bytes: usize, count: usize| Rows { stride: stride.max(bytes), bytes, count };
    let stride = layout.stride as usize;
    let (half_w, half_h) = (w.div_ceil(2), h.div_ceil(2));
    Some(match &layout.format.0 {
        b"YUYV" | b"UYVY" => (PixelFormat::Yuyv, [rows(stride, half_w * 4, h), none, none]),
        b"GREY" => (PixelFormat::Gray8, [rows(stride, w, h), none, none]),
        b"NV12" => (PixelFormat::Nv12, [rows(stride, w, h), rows(stride, half_w * 2, half_h), none]),
        b"YU12" => {
            let chroma = rows(stride / 2, half_w, half_h);
            (PixelFormat::I420, [rows(stride, w, h), chroma, chroma])
        }
        _ => return None,
    })
}

/// Bytes that a whole raw frame has; 0 for compressed formats.
pub(super) fn whole_len(layout: &Layout) -> usize {
    let Some((_, planes)) = planes(layout) else { return 0 };
    // The last row of all may lack its padding.
    let last_padding = planes.iter().rev().find(|p| p.count > 0).map_or(0, |p| p.stride - p.bytes);
    planes.iter().map(|p| p.stride * p.count).sum::<usize>().saturating_sub(last_padding)
}

/// Fills the frame's pixels from a whole buffer.
pub(super) fn unpack(
    bytes: &[u8],
    layout: &Layout,
    width_max: Option<u32>,
    decoder: &mut JpegDecoder,
    frame: &mut Frame,
) -> Result<(), JpegError> {
    if layout.format.is_jpeg() {
        return decoder.decode(bytes, width_max, frame);
    }
    let Some((format, planes)) = planes(layout) else {
        return Err(JpegError::Unsupported(format!("{} is no format of ours", layout.format)));
    };
    if bytes.len() < whole_len(layout) {
        return Err(JpegError::Truncated);
    }
    (frame.width, frame.height, frame.format) = (layout.width, layout.height, format);
    frame.color = ColorSpace { bt709: layout.bt709, full_range: layout.full_range };
    frame.data.clear();
    let mut at = 0;
    for Rows { stride, bytes: row, count } in planes {
        if stride == row {
            frame.data.extend_from_slice(&bytes[at..at + row * count]);
        } else {
            for y in 0..count {
                frame.data.extend_from_slice(&bytes[at + y * stride..at + y * stride + row]);
            }
        }
        // The last plane may end without its padding, and formats of fewer planes list empty ones after it.
        at = (at + stride * count).min(bytes.len());
    }
    if &layout.format.0 == b"UYVY" {
        frame.data.as_chunks_mut::<2>().0.iter_mut().for_each(|pair| pair.swap(0, 1));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(format: [u8; 4], stride: u32) -> Layout {
        Layout { format: FourCc(format), width: 4, height: 2, stride, full_range: false, bt709: false }
    }

    fn unpacked(bytes: &[u8], layout: &Layout) -> Result<Frame, JpegError> {
        let mut frame = Frame::default();
        unpack(bytes, layout, None, &mut JpegDecoder::new().unwrap(), &mut frame)?;
        assert!(frame.is_whole());
        Ok(frame)
    }

    #[test]
    fn padding_between_rows_is_left_out() {
        let bytes: Vec<u8> = (0..22).collect();
        // 12 bytes a row, 8 of them pixels; the last row without its padding.
        let frame = unpacked(&bytes[..20], &layout(*b"YUYV", 12)).unwrap();
        assert_eq!(frame.data, [0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15, 16, 17, 18, 19]);
        let frame = unpacked(&bytes, &layout(*b"NV12", 6)).unwrap();
        assert_eq!(frame.data, [0, 1, 2, 3, 6, 7, 8, 9, 12, 13, 14, 15]);
    }

    #[test]
    fn uyvy_becomes_yuyv() {
        let frame = unpacked(&(0..16).collect::<Vec<u8>>(), &layout(*b"UYVY", 8)).unwrap();
        assert_eq!(frame.data[..4], [1, 0, 3, 2]);
    }

    #[test]
    fn a_short_raw_frame_is_truncated() {
        for format in [*b"YUYV", *b"NV12", *b"YU12", *b"GREY"] {
            let layout = layout(format, 0);
            let whole = vec![7; whole_len(&layout)];
            unpacked(&whole, &layout).unwrap();
            assert_eq!(unpacked(&whole[1..], &layout).unwrap_err(), JpegError::Truncated);
        }
    }
}
