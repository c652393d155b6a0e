//! Bilinear sampling of packed pixels along a turned grid, then the colour matrix, into three planes.

use super::reduce::View;
use glam::{Affine2, Vec2};

/// One sampling job.
pub struct Warp {
    /// Crop pixel indices to view pixel indices.
    pub from_crop: Affine2,
    /// Side of the crop in pixels.
    pub size: usize,
    /// Packed channels to the target's R, G, B.
    pub color: [[f32; 4]; 3],
    /// Results are clamped to this.
    pub range: (f32, f32),
}

impl Warp {
    /// Fills the planes with the fastest code that the processor has.
    pub fn run(&self, view: View<'_>, out: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            #[expect(unsafe_code, reason = "code for AVX2 is called after asking the processor for it")]
            // SAFETY: both features were detected on the line above.
            unsafe {
                return avx2::run(self, view, out);
            }
        }
        self.run_scalar(view, out);
    }

    /// The plain twin of the vector code; a test holds the two together.
    pub fn run_scalar(&self, view: View<'_>, out: &mut [f32]) {
        let (red, rest) = out.split_at_mut(self.size * self.size);
        let (green, blue) = rest.split_at_mut(self.size * self.size);
        let rows = red.chunks_exact_mut(self.size).zip(green.chunks_exact_mut(self.size));
        for (y, ((red, green), blue)) in rows.zip(blue.chunks_exact_mut(self.size)).enumerate() {
            for x in 0..self.size {
                let rgb = self.pixel(view, self.from_crop.transform_point2(Vec2::new(x as f32, y as f32)));
                [red[x], green[x], blue[x]] = rgb;
            }
        }
    }

    fn pixel(&self, view: View<'_>, at: Vec2) -> [f32; 3] {
        let x = at.x.clamp(0.0, view.width as f32 - 1.001);
        let y = at.y.clamp(0.0, view.height as f32 - 1.001);
        let (ix, iy) = (x as usize, y as usize);
        let (fx, fy) = (x - ix as f32, y - iy as f32);
        let top = &view.pixels[iy * view.width + ix..][..2];
        let bottom = &view.pixels[(iy + 1) * view.width + ix..][..2];
        let channel = |shift: u32| {
            let value = |pixel: u32| ((pixel >> shift) & 0xff) as f32;
            let (a, b) = (value(top[0]), value(top[1]));
            let (c, d) = (value(bottom[0]), value(bottom[1]));
            let upper = a + (b - a) * fx;
            let lower = c + (d - c) * fx;
            upper + (lower - upper) * fy
        };
        let [c0, c1, c2] = [channel(0), channel(8), channel(16)];
        self.color.map(|m| (m[0] * c0 + m[1] * c1 + m[2] * c2 + m[3]).clamp(self.range.0, self.range.1))
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{View, Warp};
    use crate::infer::lanes::{LANES, store};
    #[allow(
        clippy::wildcard_imports,
        reason = "twenty intrinsics by their full names; the lint sleeps in test builds"
    )]
    use std::arch::x86_64::*;

    /// [`Warp::run_scalar`], eight pixels at a time. What is left of a row is computed with the row's last eight.
    #[target_feature(enable = "avx2,fma")]
    pub fn run(warp: &Warp, view: View<'_>, out: &mut [f32]) {
        let size = warp.size;
        if size < LANES || view.width < 2 || view.height < 2 {
            return warp.run_scalar(view, out);
        }
        let (red, rest) = out.split_at_mut(size * size);
        let (green, blue) = rest.split_at_mut(size * size);
        let rows = red.chunks_exact_mut(size).zip(green.chunks_exact_mut(size));
        for (y, ((red, green), blue)) in rows.zip(blue.chunks_exact_mut(size)).enumerate() {
            let mut x = 0;
            while x < size {
                let at = x.min(size - LANES);
                let [r, g, b] = pixels(warp, view, at as f32, y as f32);
                store(r, &mut red[at..at + LANES]);
                store(g, &mut green[at..at + LANES]);
                store(b, &mut blue[at..at + LANES]);
                x += LANES;
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    fn pixels(warp: &Warp, view: View<'_>, x: f32, y: f32) -> [__m256; 3] {
        let m = &warp.from_crop;
        let ramp = _mm256_add_ps(_mm256_set1_ps(x), _mm256_setr_ps(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0));
        let along = |dx: f32, dy: f32, offset: f32, size: usize| {
            let v = _mm256_fmadd_ps(ramp, _mm256_set1_ps(dx), _mm256_set1_ps(dy.mul_add(y, offset)));
            let top = _mm256_set1_ps(size as f32 - 1.001);
            _mm256_min_ps(_mm256_max_ps(v, _mm256_setzero_ps()), top)
        };
        let u = along(m.matrix2.x_axis.x, m.matrix2.y_axis.x, m.translation.x, view.width);
        let v = along(m.matrix2.x_axis.y, m.matrix2.y_axis.y, m.translation.y, view.height);
        let (iu, iv) = (_mm256_cvttps_epi32(u), _mm256_cvttps_epi32(v));
        let fu = _mm256_sub_ps(u, _mm256_cvtepi32_ps(iu));
        let fv = _mm256_sub_ps(v, _mm256_cvtepi32_ps(iv));
        let width = _mm256_set1_epi32(view.width as i32);
        let index = _mm256_add_epi32(_mm256_mullo_epi32(iv, width), iu);
        let below = _mm256_add_epi32(index, width);
        let one = _mm256_set1_epi32(1);
        let corners = [index, _mm256_add_epi32(index, one), below, _mm256_add_epi32(below, one)];
        let [a, b, c, d] = corners.map(|i| gather(view, i));
        let mask = _mm256_set1_epi32(0xff);
        let blend = |a, b, c, d| {
            let [a, b, c, d] = [a, b, c, d].map(|p| _mm256_cvtepi32_ps(_mm256_and_si256(p, mask)));
            let upper = _mm256_fmadd_ps(_mm256_sub_ps(b, a), fu, a);
            let lower = _mm256_fmadd_ps(_mm256_sub_ps(d, c), fu, c);
            _mm256_fmadd_ps(_mm256_sub_ps(lower, upper), fv, upper)
        };
        let c0 = blend(a, b, c, d);
        let [a1, b1, c1, d1] = [a, b, c, d].map(|p| _mm256_srli_epi32::<8>(p));
        let c1 = blend(a1, b1, c1, d1);
        let [a2, b2, c2, d2] = [a, b, c, d].map(|p| _mm256_srli_epi32::<16>(p));
        let c2 = blend(a2, b2, c2, d2);
        let (low, high) = (_mm256_set1_ps(warp.range.0), _mm256_set1_ps(warp.range.1));
        warp.color.map(|m| {
            let sum = _mm256_fmadd_ps(_mm256_set1_ps(m[0]), c0, _mm256_set1_ps(m[3]));
            let sum = _mm256_fmadd_ps(_mm256_set1_ps(m[1]), c1, sum);
            let sum = _mm256_fmadd_ps(_mm256_set1_ps(m[2]), c2, sum);
            _mm256_min_ps(_mm256_max_ps(sum, low), high)
        })
    }

    /// Eight pixels of the view. Indices outside it read its last pixel.
    #[target_feature(enable = "avx2,fma")]
    fn gather(view: View<'_>, index: __m256i) -> __m256i {
        let last = _mm256_set1_epi32(view.pixels.len() as i32 - 1);
        let index = _mm256_min_epu32(index, last);
        #[expect(unsafe_code, reason = "a gather takes a raw pointer")]
        // SAFETY: the view is not empty (`run` checks), and every index was brought within it on the line above.
        unsafe {
            _mm256_i32gather_epi32::<4>(view.pixels.as_ptr().cast(), index)
        }
    }
}
