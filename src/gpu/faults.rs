//! What a camera does to light: lens, sensor, curve, compression. On the processor, on linear values.

use super::rng::Rng;
use super::spec::Faults;
use super::textures::linear_to_srgb;
use glam::{Vec2, Vec3};

/// Why a picture could not be compressed.
#[derive(Debug, thiserror::Error)]
#[error("the picture could not be compressed: {0}; free some memory and try again")]
pub struct JpegError(#[from] turbojpeg::Error);

/// A finished picture.
pub struct Photo {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// sRGB, three bytes a pixel.
    pub rgb: Vec<u8>,
    /// The camera's own JPEG, where nothing was done to the picture after it.
    pub jpeg: Option<Vec<u8>>,
}

/// Working memory and tables of one thread.
pub struct Developer {
    decode: [f32; 256],
    srgb: Vec<f32>,
    gauss: Vec<f32>,
    planes: Vec<f32>,
    scratch: Vec<f32>,
    compressor: turbojpeg::Compressor,
    decompressor: turbojpeg::Decompressor,
}

impl Developer {
    /// Builds the tables.
    ///
    /// # Errors
    /// Where the JPEG library cannot start.
    pub fn new() -> Result<Self, JpegError> {
        let mut rng = Rng::new(0x6A55, 0);
        Ok(Self {
            // Twin of `to_sensor` in shaders/common.wgsl: 255 is twice the white level.
            decode: std::array::from_fn(|v| 2.0 * (v as f32 / 255.0).powi(2)),
            srgb: (0..4096).map(|i| linear_to_srgb(i as f32 / 4095.0)).collect(),
            gauss: (0..65_536).map(|_| rng.normal()).collect(),
            planes: Vec::new(),
            scratch: Vec::new(),
            compressor: turbojpeg::Compressor::new()?,
            decompressor: turbojpeg::Decompressor::new()?,
        })
    }

    /// Develops a drawn picture (RGBA, rows of `row_bytes`) with the camera's faults.
    ///
    /// # Errors
    /// Where the JPEG library fails.
    pub fn develop(
        &mut self,
        pixels: &[u8],
        row_bytes: usize,
        (width, height): (usize, usize),
        faults: &Faults,
    ) -> Result<Photo, JpegError> {
        self.decode_pixels(pixels, row_bytes, width, height);
        self.lens(width, height, faults);
        let (mut w, mut h) = (width, height);
        if faults.enlarged > 1.15 {
            (w, h) = shrunken(width, height, faults.enlarged);
            self.resize((width, height), (w, h));
        }
        let rgb = self.sensor(w, h, faults);
        let (rgb, jpeg) = self.camera_jpeg(rgb, w, h, faults)?;
        if (w, h) == (width, height) {
            return Ok(Photo { width, height, rgb, jpeg });
        }
        Ok(Photo { width, height, rgb: enlarge(&rgb, (w, h), (width, height)), jpeg: None })
    }

    fn decode_pixels(&mut self, pixels: &[u8], row_bytes: usize, width: usize, height: usize) {
        self.planes.clear();
        for c in 0..3 {
            for row in pixels.chunks_exact(row_bytes).take(height) {
                let line = row.chunks_exact(4).take(width);
                self.planes.extend(line.map(|p| self.decode[usize::from(p[c])]));
            }
        }
    }

    /// Blur, before the light is measured.
    fn lens(&mut self, width: usize, height: usize, faults: &Faults) {
        if faults.defocus_px > 0.25 {
            for plane in self.planes.chunks_exact_mut(width * height) {
                gaussian(plane, &mut self.scratch, width, height, faults.defocus_px);
            }
        }
        if faults.motion_px.length() > 1.0 {
            for plane in self.planes.chunks_exact_mut(width * height) {
                streak(plane, &mut self.scratch, width, height, faults.motion_px);
            }
        }
    }

    fn resize(&mut self, from: (usize, usize), to: (usize, usize)) {
        let mut out = Vec::with_capacity(3 * to.0 * to.1);
        for plane in self.planes.chunks_exact(from.0 * from.1) {
            area_average(plane, from, to, &mut out);
        }
        self.planes = out;
    }

    /// Noise, exposure, corners, curve.
    fn sensor(&mut self, width: usize, height: usize, faults: &Faults) -> Vec<u8> {
        let count = width * height;
        let mut rng = Rng::new(faults.seed, 1);
        let curve = tone_curve(&self.srgb, faults.contrast);
        let (r2_max, middle) =
            ((width * width + height * height) as f32 * 0.25, Vec2::new(width as f32, height as f32) * 0.5);
        let mut rgb = vec![0u8; 3 * count];
        let (mut bits, mut left) = (0u64, 0);
        for i in 0..count {
            let mut v =
                Vec3::new(self.planes[i], self.planes[count + i], self.planes[2 * count + i]) * faults.gain;
            if faults.vignette > 0.0 {
                let at = Vec2::new((i % width) as f32, (i / width) as f32) - middle;
                v *= 1.0 - faults.vignette * at.length_squared() / r2_max;
            }
            if faults.read_noise > 0.0 {
                for c in 0..3 {
                    if left == 0 {
                        (bits, left) = (rng.next_u64(), 4);
                    }
                    let deviation =
                        (faults.read_noise * faults.read_noise + faults.shot_noise * v[c].max(0.0)).sqrt();
                    v[c] += deviation * self.gauss[(bits & 0xFFFF) as usize];
                    bits >>= 16;
                    left -= 1;
                }
            }
            let luma = v.dot(Vec3::new(0.213, 0.715, 0.072));
            v = Vec3::splat(luma) + (v - luma) * faults.saturation;
            for c in 0..3 {
                rgb[3 * i + c] = curve[(v[c].clamp(0.0, 1.0) * 4095.0) as usize];
            }
        }
        if faults.sharpen > 0.0 { sharpened(&rgb, width, height, faults.sharpen) } else { rgb }
    }

    fn camera_jpeg(
        &mut self,
        rgb: Vec<u8>,
        w: usize,
        h: usize,
        faults: &Faults,
    ) -> Result<(Vec<u8>, Option<Vec<u8>>), JpegError> {
        let Some(quality) = faults.jpeg_quality else { return Ok((rgb, None)) };
        let jpeg = self.compress(&rgb, (w, h), quality, turbojpeg::Subsamp::Sub2x2)?;
        let mut back = rgb;
        let image = turbojpeg::Image {
            pixels: back.as_mut_slice(),
            width: w,
            pitch: 3 * w,
            height: h,
            format: turbojpeg::PixelFormat::RGB,
        };
        self.decompressor.decompress(&jpeg, image)?;
        Ok((back, Some(jpeg)))
    }

    /// Compresses sRGB bytes.
    ///
    /// # Errors
    /// Where the JPEG library fails.
    pub fn compress(
        &mut self,
        rgb: &[u8],
        (width, height): (usize, usize),
        quality: i32,
        subsampling: turbojpeg::Subsamp,
    ) -> Result<Vec<u8>, JpegError> {
        self.compressor.set_quality(quality)?;
        self.compressor.set_subsamp(subsampling)?;
        let format = turbojpeg::PixelFormat::RGB;
        let image = turbojpeg::Image { pixels: rgb, width, pitch: 3 * width, height, format };
        Ok(self.compressor.compress_to_vec(image)?)
    }
}

/// Size of the sensor's picture where it was enlarged by `factor`.
fn shrunken(width: usize, height: usize, factor: f32) -> (usize, usize) {
    let scaled = |v: usize| ((v as f32 / factor).round() as usize).clamp(24, v);
    (scaled(width), scaled(height))
}

/// The camera's curve: linear to sRGB bytes, with an S over it.
fn tone_curve(srgb: &[f32], contrast: f32) -> Vec<u8> {
    let s = |v: f32| v * v * (3.0 - 2.0 * v);
    srgb.iter().map(|v| ((v + (s(*v) - v) * contrast) * 255.0 + 0.5) as u8).collect()
}

/// Adds `weight` times a line that is moved by `by` pixels, its ends repeated. In whole runs, which vectorise.
fn add_moved(out: &mut [f32], line: &[f32], by: isize, weight: f32) {
    let width = line.len();
    let (skip, from) = (by.max(0).unsigned_abs().min(width), (-by).max(0).unsigned_abs().min(width));
    let (before, rest) = out.split_at_mut(skip);
    let (inside, after) = rest.split_at_mut(width - skip - from);
    for o in before {
        *o += weight * line[0];
    }
    for (o, v) in inside.iter_mut().zip(&line[from..]) {
        *o += weight * v;
    }
    for o in after {
        *o += weight * line[width - 1];
    }
}

/// Separable Gaussian of standard deviation `sigma`, edges clamped.
fn gaussian(plane: &mut [f32], scratch: &mut Vec<f32>, width: usize, height: usize, sigma: f32) {
    let reach = (2.5 * sigma).ceil() as usize;
    let raw: Vec<f32> = (0..=reach).map(|i| (-((i * i) as f32) / (2.0 * sigma * sigma)).exp()).collect();
    let total = raw[0] + 2.0 * raw[1..].iter().sum::<f32>();
    let kernel: Vec<f32> = raw.iter().map(|k| k / total).collect();
    scratch.clear();
    scratch.resize(plane.len(), 0.0);
    for (out, line) in scratch.chunks_exact_mut(width).zip(plane.chunks_exact(width)) {
        add_moved(out, line, 0, kernel[0]);
        for (d, k) in kernel.iter().enumerate().skip(1) {
            add_moved(out, line, d as isize, *k);
            add_moved(out, line, -(d as isize), *k);
        }
    }
    for (y, out) in plane.chunks_exact_mut(width).enumerate() {
        out.fill(0.0);
        for (d, k) in kernel.iter().enumerate() {
            let (a, b) = (y.saturating_sub(d), (y + d).min(height - 1));
            let weight = if d == 0 { 0.5 * k } else { *k };
            let (up, down) = (&scratch[a * width..(a + 1) * width], &scratch[b * width..(b + 1) * width]);
            for ((o, u), w) in out.iter_mut().zip(up).zip(down) {
                *o += weight * (u + w);
            }
        }
    }
}

/// Average along a straight path through each pixel.
fn streak(plane: &mut [f32], scratch: &mut Vec<f32>, width: usize, height: usize, path: Vec2) {
    scratch.clear();
    scratch.extend_from_slice(plane);
    plane.fill(0.0);
    let steps = (path.length().ceil() as usize).clamp(2, 16);
    for k in 0..steps {
        let d = path * (k as f32 / (steps - 1) as f32 - 0.5);
        let (dx, dy) = (d.x.round() as isize, d.y.round() as isize);
        for (y, out) in plane.chunks_exact_mut(width).enumerate() {
            let from = y.saturating_add_signed(dy).min(height - 1) * width;
            add_moved(out, &scratch[from..from + width], -dx, 1.0 / steps as f32);
        }
    }
}

/// Shrinks by averaging the area under each new pixel.
fn area_average(plane: &[f32], from: (usize, usize), to: (usize, usize), out: &mut Vec<f32>) {
    let spans = |old: usize, new: usize| -> Vec<(usize, usize)> {
        (0..new).map(|i| (i * old / new, ((i + 1) * old).div_ceil(new).max(i * old / new + 1))).collect()
    };
    let (xs, ys) = (spans(from.0, to.0), spans(from.1, to.1));
    for (y0, y1) in &ys {
        for (x0, x1) in &xs {
            let rows = (*y0..*y1).map(|y| plane[y * from.0 + x0..y * from.0 + x1].iter().sum::<f32>());
            out.push(rows.sum::<f32>() / ((y1 - y0) * (x1 - x0)) as f32);
        }
    }
}

/// Enlarges by bilinear interpolation, pixel centres matched.
fn enlarge(rgb: &[u8], from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
    let taps = |old: usize, new: usize| -> Vec<(usize, usize, f32)> {
        let place = |i: usize| {
            let at = ((i as f32 + 0.5) * old as f32 / new as f32 - 0.5).clamp(0.0, old as f32 - 1.0);
            (at as usize, (at as usize + 1).min(old - 1), at.fract())
        };
        (0..new).map(place).collect()
    };
    let xs = taps(from.0, to.0);
    let mut out = Vec::with_capacity(3 * to.0 * to.1);
    for (y0, y1, ty) in taps(from.1, to.1) {
        for (x0, x1, tx) in &xs {
            for c in 0..3 {
                let v = |x: usize, y: usize| f32::from(rgb[(y * from.0 + x) * 3 + c]);
                let top = v(*x0, y0) + (v(*x1, y0) - v(*x0, y0)) * tx;
                let bottom = v(*x0, y1) + (v(*x1, y1) - v(*x0, y1)) * tx;
                // `round` is a call for each byte on processors that the build does not presume.
                out.push((top + (bottom - top) * ty + 0.5) as u8);
            }
        }
    }
    out
}

/// Unsharp masking against the four neighbours.
fn sharpened(rgb: &[u8], width: usize, height: usize, amount: f32) -> Vec<u8> {
    let mut out = rgb.to_vec();
    for y in 1..height.saturating_sub(1) {
        for i in (y * width + 1) * 3..(y * width + width - 1) * 3 {
            let around =
                [i - 3, i + 3, i - 3 * width, i + 3 * width].iter().map(|k| f32::from(rgb[*k])).sum::<f32>();
            let v = f32::from(rgb[i]);
            out[i] = (v + amount * (v - 0.25 * around) + 0.5) as u8;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(value: u8) -> Vec<u8> {
        [value, value, value, 255].repeat(64 * 64)
    }

    #[test]
    fn a_perfect_camera_shows_half_the_sensor_range_as_white() {
        let mut d = Developer::new().unwrap();
        let at_white = (0.5f32.sqrt() * 255.0).round() as u8;
        let photo = d.develop(&grey(at_white), 256, (64, 64), &Faults::default()).unwrap();
        assert!(photo.rgb.iter().all(|v| *v >= 254), "{}", photo.rgb[0]);
        assert!(photo.jpeg.is_none());
    }

    #[test]
    fn blur_and_enlargement_keep_an_even_picture_even() {
        let mut d = Developer::new().unwrap();
        let faults =
            Faults { defocus_px: 2.0, motion_px: Vec2::new(6.0, 3.0), enlarged: 3.0, ..Faults::default() };
        let photo = d.develop(&grey(120), 256, (64, 64), &faults).unwrap();
        let plain = d.develop(&grey(120), 256, (64, 64), &Faults::default()).unwrap();
        assert_eq!(photo.rgb.len(), plain.rgb.len());
        assert!(photo.rgb.iter().zip(&plain.rgb).all(|(a, b)| a.abs_diff(*b) <= 1));
    }

    #[test]
    fn a_moved_line_repeats_its_ends() {
        for (by, expected) in
            [(0, [1.0, 2.0, 3.0]), (1, [1.0, 1.0, 2.0]), (-1, [2.0, 3.0, 3.0]), (5, [1.0; 3]), (-5, [3.0; 3])]
        {
            let mut out = [10.0; 3];
            add_moved(&mut out, &[1.0, 2.0, 3.0], by, 2.0);
            let right = out.iter().zip(expected).all(|(o, v)| (o - (10.0 + 2.0 * v)).abs() < 1e-6);
            assert!(right, "{by}: {out:?}");
        }
    }

    #[test]
    fn a_point_is_smeared_along_the_path_and_blurred_evenly() {
        let mut plane = vec![0.0; 64 * 64];
        plane[32 * 64 + 32] = 1.0;
        let mut smeared = plane.clone();
        streak(&mut smeared, &mut Vec::new(), 64, 64, Vec2::new(6.0, 0.0));
        let lit: Vec<usize> = (0..smeared.len()).filter(|i| smeared[*i] > 0.0).collect();
        assert_eq!((lit.first(), lit.last()), (Some(&(32 * 64 + 29)), Some(&(32 * 64 + 35))));
        gaussian(&mut plane, &mut Vec::new(), 64, 64, 2.0);
        assert!((plane.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        for (dx, dy) in [(-1isize, 0isize), (0, 1), (0, -1)] {
            let at = |x: isize, y: isize| plane[((32 + y) * 64 + 32 + x) as usize];
            assert!((at(dx, dy) - at(1, 0)).abs() < 1e-7, "{dx} {dy}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_noise_and_noise_has_the_set_strength() {
        let mut d = Developer::new().unwrap();
        let faults = Faults { read_noise: 0.02, seed: 5, ..Faults::default() };
        let a = d.develop(&grey(120), 256, (64, 64), &faults).unwrap();
        let b = d.develop(&grey(120), 256, (64, 64), &faults).unwrap();
        assert_eq!(a.rgb, b.rgb);
        let mean = a.rgb.iter().map(|v| f32::from(*v)).sum::<f32>() / a.rgb.len() as f32;
        let deviation =
            (a.rgb.iter().map(|v| (f32::from(*v) - mean).powi(2)).sum::<f32>() / a.rgb.len() as f32).sqrt();
        assert!(deviation > 1.5, "{deviation}");
    }
}
