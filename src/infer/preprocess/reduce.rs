//! Any pixel format to packed pixels, averaged over blocks: `c0 | c1 << 8 | c2 << 16`, YUV or RGB as the frame is.

use super::Border;
use crate::frame::{Frame, PixelFormat};
use glam::Vec2;

/// A block of more than this many samples a side is averaged over an even grid of this many.
const TAPS_MAX: usize = 8;

/// The packed pixels of a part of the reduced image.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Row-major.
    pub pixels: &'a [u32],
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// One channel of a frame, found by stride.
#[derive(Clone, Copy)]
struct Channel<'a> {
    /// From the channel's first sample on.
    data: &'a [u8],
    /// Bytes from sample to sample.
    step: usize,
    /// Bytes from row to row.
    stride: usize,
    width: usize,
    height: usize,
    x_shift: u32,
    y_shift: u32,
}

/// The buffers of the reduction.
pub struct Reducer {
    pixels: Vec<u32>,
    /// Sums of a row's blocks, by channel. 64 samples of 255 fit.
    sums: [Vec<u16>; 3],
    side: usize,
}

impl Reducer {
    /// Room for views of up to `side` x `side` pixels.
    pub fn new(side: usize) -> Self {
        Self { pixels: vec![0; side * side], sums: [(); 3].map(|()| vec![0; side]), side }
    }

    /// Averages blocks of `1 << level` pixels a side, for all that bilinear sampling between `low` and `high` (reduced
    /// pixel indices) touches. Returns the view and the reduced index of its first pixel.
    pub fn reduce(
        &mut self,
        frame: &Frame,
        level: u32,
        low: Vec2,
        high: Vec2,
        border: Border,
    ) -> (View<'_>, Vec2) {
        let origin = low.floor() - 1.0;
        let extent = (high.floor() + 3.0 - origin).max(Vec2::ONE);
        let width = (extent.x as usize).min(self.side);
        let height = (extent.y as usize).min(self.side);
        let (x0, y0) = (origin.x as i64, origin.y as i64);
        let (channels, count) = channels(frame);
        let reduced_width = frame.width.div_ceil(1 << level) as i64;
        let reduced_height = frame.height.div_ceil(1 << level) as i64;
        let black = black(frame);
        // Columns of the view that lie in the image, and the nearest to it where none does.
        let first = x0.clamp(0, reduced_width - 1);
        let last = (x0 + width as i64 - 1).clamp(0, reduced_width - 1);
        let inside = (last - first + 1) as usize;
        let lead = (first - x0).clamp(0, width as i64 - 1) as usize;
        let mut done: Option<(i64, usize)> = None;
        for j in 0..height {
            let y = y0 + j as i64;
            let clamped = y.clamp(0, reduced_height - 1);
            let (before, rest) = self.pixels.split_at_mut(j * width);
            let row = &mut rest[..width];
            if border == Border::Black && y != clamped {
                row.fill(black);
                continue;
            }
            if let Some((_, j)) = done.filter(|&(y, _)| y == clamped) {
                row.copy_from_slice(&before[j * width..][..width]);
                continue;
            }
            let shift =
                sum_row(&mut self.sums, &channels, count, level, first as usize, inside, clamped as usize);
            pack(&self.sums, count, &shift, &mut row[lead..][..inside]);
            let (left, right) = match border {
                Border::Replicate => (row[lead], row[lead + inside - 1]),
                Border::Black => (black, black),
            };
            row[..lead].fill(left);
            row[lead + inside..].fill(right);
            if border == Border::Black {
                black_out(row, x0, reduced_width, black);
            }
            done = Some((clamped, j));
        }
        (View { pixels: &self.pixels[..width * height], width, height }, origin)
    }
}

/// Where the view lies beside the image altogether, the nearest column stands in it and must go.
fn black_out(row: &mut [u32], x0: i64, reduced_width: i64, black: u32) {
    if x0 >= reduced_width || x0 + (row.len() as i64) <= 0 {
        row.fill(black);
    }
}

fn black(frame: &Frame) -> u32 {
    match frame.format {
        PixelFormat::Rgb8 => 0,
        _ if frame.color.full_range => 0x80_80_00,
        _ => 0x80_80_10,
    }
}

/// The frame's channels and how many of the three there are.
fn channels(frame: &Frame) -> ([Channel<'_>; 3], usize) {
    let (w, h) = (frame.width as usize, frame.height as usize);
    let data = &frame.data[..];
    let full = |offset: usize, step: usize| Channel {
        data: &data[offset..],
        step,
        stride: w * step,
        width: w,
        height: h,
        x_shift: 0,
        y_shift: 0,
    };
    let chroma = |offset: usize, step: usize, stride: usize, x_shift: u32, y_shift: u32| Channel {
        data: &data[offset..],
        step,
        stride,
        width: w.div_ceil(1 << x_shift),
        height: h.div_ceil(1 << y_shift),
        x_shift,
        y_shift,
    };
    match frame.format {
        PixelFormat::Rgb8 => ([full(0, 3), full(1, 3), full(2, 3)], 3),
        PixelFormat::Gray8 => ([full(0, 1); 3], 1),
        PixelFormat::Yuyv => {
            let stride = w.div_ceil(2) * 4;
            let luma = Channel { stride, ..full(0, 2) };
            ([luma, chroma(1, 4, stride, 1, 0), chroma(3, 4, stride, 1, 0)], 3)
        }
        PixelFormat::Nv12 => {
            let stride = w.div_ceil(2) * 2;
            ([full(0, 1), chroma(w * h, 2, stride, 1, 1), chroma(w * h + 1, 2, stride, 1, 1)], 3)
        }
        PixelFormat::Planar { x_shift, y_shift } => {
            let (xs, ys) = (u32::from(x_shift), u32::from(y_shift));
            let (cw, ch) = (w.div_ceil(1 << xs), h.div_ceil(1 << ys));
            ([full(0, 1), chroma(w * h, 1, cw, xs, ys), chroma(w * h + cw * ch, 1, cw, xs, ys)], 3)
        }
    }
}

/// Sums the samples of `inside` blocks from block `first` on in block row `y`; returns by channel the logarithm of the
/// samples in a sum.
fn sum_row(
    sums: &mut [Vec<u16>; 3],
    channels: &[Channel<'_>; 3],
    count: usize,
    level: u32,
    first: usize,
    inside: usize,
    y: usize,
) -> [u32; 3] {
    let mut shift = [0; 3];
    for ((sums, channel), shift) in sums.iter_mut().zip(channels).zip(&mut shift).take(count) {
        let sums = &mut sums[..inside];
        sums.fill(0);
        let rows = 1usize << level.saturating_sub(channel.y_shift);
        let top = (y << level) >> channel.y_shift;
        let taps = rows.min(TAPS_MAX);
        for tap in 0..taps {
            let row_index = (top + tap * (rows / taps)).min(channel.height - 1);
            let row = &channel.data[row_index * channel.stride..];
            let blocks = Blocks { level: level.saturating_sub(channel.x_shift), first, width: channel.width };
            let repeat = channel.x_shift.saturating_sub(level);
            match channel.step {
                1 => blocks.add::<1>(row, repeat, sums),
                2 => blocks.add::<2>(row, repeat, sums),
                3 => blocks.add::<3>(row, repeat, sums),
                _ => blocks.add::<4>(row, repeat, sums),
            }
        }
        let columns = (1usize << level.saturating_sub(channel.x_shift)).min(TAPS_MAX);
        *shift = (taps * columns).trailing_zeros();
    }
    shift
}

/// A run of blocks in one row of a channel: `1 << level` samples each, from block `first` on.
struct Blocks {
    level: u32,
    first: usize,
    width: usize,
}

impl Blocks {
    /// Adds each block's samples to its sum. With `repeat`, a sample stands for `1 << repeat` pixels.
    fn add<const STEP: usize>(&self, row: &[u8], repeat: u32, sums: &mut [u16]) {
        if repeat > 0 {
            return self.add_repeated::<STEP>(row, repeat, sums);
        }
        let whole = ((self.width >> self.level).saturating_sub(self.first)).min(sums.len());
        let (inner, edge) = sums.split_at_mut(whole);
        if whole > 0 {
            let start = (self.first << self.level) * STEP;
            // The last sample of a row ends it; the bytes behind it belong to others or are not there.
            let end = start + ((whole << self.level) - 1) * STEP + 1;
            let row = &row[start..end];
            match self.level {
                0 => add_blocks::<STEP, 1>(row, inner),
                1 => add_blocks::<STEP, 2>(row, inner),
                2 => add_blocks::<STEP, 4>(row, inner),
                3 => add_blocks::<STEP, 8>(row, inner),
                _ => self.add_sparse::<STEP>(row, inner),
            }
        }
        for (i, sum) in edge.iter_mut().enumerate() {
            let start = (self.first + whole + i) << self.level;
            let (samples, taps) = (1usize << self.level, (1usize << self.level).min(TAPS_MAX));
            for tap in 0..taps {
                let x = (start + tap * (samples / taps)).min(self.width - 1);
                *sum += u16::from(row[x * STEP]);
            }
        }
    }

    /// Chroma at the image's own size: five times faster in whole runs than pixel by pixel.
    fn add_repeated<const STEP: usize>(&self, row: &[u8], repeat: u32, sums: &mut [u16]) {
        let run = 1usize << repeat;
        let sample = |pixel: usize| u16::from(row[(pixel >> repeat).min(self.width - 1) * STEP]);
        let lead = (self.first.next_multiple_of(run) - self.first).min(sums.len());
        let (head, rest) = sums.split_at_mut(lead);
        for (i, sum) in head.iter_mut().enumerate() {
            *sum += sample(self.first + i);
        }
        let start = (self.first + lead) >> repeat;
        let whole = (rest.len() / run).min(self.width.saturating_sub(start));
        let (body, tail) = rest.split_at_mut(whole * run);
        if whole > 0 {
            let samples = row[start * STEP..].iter().step_by(STEP);
            if run == 2 {
                for (pair, &value) in body.as_chunks_mut::<2>().0.iter_mut().zip(samples) {
                    pair[0] += u16::from(value);
                    pair[1] += u16::from(value);
                }
            } else {
                for (run, &value) in body.chunks_exact_mut(run).zip(samples) {
                    for sum in run.iter_mut() {
                        *sum += u16::from(value);
                    }
                }
            }
        }
        for (i, sum) in tail.iter_mut().enumerate() {
            *sum += sample(self.first + lead + whole * run + i);
        }
    }

    fn add_sparse<const STEP: usize>(&self, row: &[u8], sums: &mut [u16]) {
        let stride = (1usize << self.level) / TAPS_MAX * STEP;
        for (i, sum) in sums.iter_mut().enumerate() {
            let block = &row[(i << self.level) * STEP..];
            *sum += (0..TAPS_MAX).map(|tap| u16::from(block[tap * stride])).sum::<u16>();
        }
    }
}

/// `BLOCK` samples a block. Constant sizes let the compiler vectorise the sums.
fn add_blocks<const STEP: usize, const BLOCK: usize>(row: &[u8], sums: &mut [u16]) {
    let Some((last, others)) = sums.split_last_mut() else { return };
    let size = STEP * BLOCK;
    let (whole, tail) = row.split_at(others.len() * size);
    if (STEP, BLOCK) == (1, 2) {
        // As halves of a wider number neighbours are added in one go; as bytes they are picked one by one.
        for (sum, &both) in others.iter_mut().zip(whole.as_chunks::<2>().0) {
            let both = u16::from_le_bytes(both);
            *sum += (both & 0xff) + (both >> 8);
        }
    } else {
        for (sum, block) in others.iter_mut().zip(whole.chunks_exact(size)) {
            *sum += (0..BLOCK).map(|i| u16::from(block[i * STEP])).sum::<u16>();
        }
    }
    *last += (0..BLOCK).map(|i| u16::from(tail[i * STEP])).sum::<u16>();
}

fn pack(sums: &[Vec<u16>; 3], count: usize, shift: &[u32; 3], out: &mut [u32]) {
    let mean = |sum: u16, shift: u32| u32::from((sum + ((1u16 << shift) >> 1)) >> shift);
    if count == 1 {
        for (pixel, &a) in out.iter_mut().zip(&sums[0]) {
            *pixel = mean(a, shift[0]) | 0x80_80_00;
        }
        return;
    }
    let [a, b, c] = sums;
    for (((pixel, &a), &b), &c) in out.iter_mut().zip(a).zip(b).zip(c) {
        *pixel = mean(a, shift[0]) | mean(b, shift[1]) << 8 | mean(c, shift[2]) << 16;
    }
}
