//! `facetrackd::Sample`: a picture read, between its pixels, where points of the head are seen in it.
//!
//! Our face network cuts eyes and mouth out of its crop in the middle of its run.

use super::{Function, Taken};

/// Takes a picture, points in the head, and how these come into the picture, whose sides are 1.
pub struct Sample;

impl Function<4, 1> for Sample {
    const NAME: &'static str = "Sample";
    const TAKES: &'static str =
        "a square picture (1, c, h, h), points (3, k), what turns them (1, 3, 3) and moves them (1, 3, 1)";

    /// Pixels are counted by 32 bits.
    fn shapes(takes: [&[i64]; 4]) -> Option<[[i64; 3]; 1]> {
        match takes {
            [&[1, c, h @ 2..=8192, w], &[3, k], &[1, 3, 3], &[1, 3, 1]] if w == h => Some([[1, c, k]]),
            _ => None,
        }
    }

    fn compute([image, points, turn, shift]: [Taken; 4], [out]: [&mut [f32]; 1]) {
        let side = image.len(2);
        run(image.values, side, points.values, &Placement::new(turn.values, shift.values, side), out);
    }
}

/// Where points are seen: rows of what a point and 1 are multiplied by for its x and y in pixels, the first pixel's middle being 0.
struct Placement([[f32; 4]; 2]);

impl Placement {
    fn new(turn: &[f32], shift: &[f32], side: usize) -> Self {
        let side = side as f32;
        let row = |i: usize| {
            let [x, y, z] = [0, 1, 2].map(|j| side * turn[3 * i + j]);
            [x, y, z, side * shift[i] - 0.5]
        };
        Self([row(0), row(1)])
    }

    fn of(&self, [x, y, z]: [f32; 3]) -> [f32; 2] {
        self.0.map(|[a, b, c, d]| a * x + b * y + c * z + d)
    }
}

/// Bilinearly, the first pixel's middle being 0, the edge repeated.
fn run(image: &[f32], side: usize, points: &[f32], placement: &Placement, out: &mut [f32]) {
    let count = points.len() / 3;
    let point = |i: usize| [points[i], points[count + i], points[2 * count + i]];
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
        #[expect(unsafe_code, reason = "code for AVX2 is called after asking the processor for it")]
        // SAFETY: both features were detected on the line above.
        unsafe {
            done = avx2::run(image, side, points, placement, out);
        }
    }
    for i in done..count {
        let [x, y] = placement.of(point(i));
        let ((left, right), (upper, down)) = (between(x, side), between(y, side));
        let first = upper * side + left;
        for (image, out) in image.chunks_exact(side * side).zip(out.chunks_exact_mut(count)) {
            let along = |row: &[f32]| row[0] + right * (row[1] - row[0]);
            let (above, below) = (along(&image[first..]), along(&image[first + side..]));
            out[i] = above + down * (below - above);
        }
    }
}

/// The pixel before a place, the last but one at most, and how far beyond it the place is.
fn between(place: f32, side: usize) -> (usize, f32) {
    let place = place.clamp(0.0, side as f32 - 1.0);
    let before = (place as usize).min(side - 2);
    (before, place - before as f32)
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::Placement;
    use crate::infer::lanes::{LANES, load, store};
    #[allow(
        clippy::wildcard_imports,
        reason = "fifteen intrinsics by their full names; the lint sleeps in test builds"
    )]
    use std::arch::x86_64::*;

    /// The picture was written half a run ago and may have left the caches: asked for only as they are used, its pixels take
    /// more than twice as long from memory. So many places ahead they are called for.
    const AHEAD: usize = 12 * LANES;

    /// The first points, eight at a time; how many these were.
    #[target_feature(enable = "avx2,fma")]
    pub fn run(image: &[f32], side: usize, points: &[f32], placement: &Placement, out: &mut [f32]) -> usize {
        let (count, area) = (points.len() / 3, side * side);
        assert!(image.len().is_multiple_of(area) && out.len() == image.len() / area * count);
        let (x, rest) = points.split_at(count);
        let (y, z) = rest.split_at(count);
        let last = _mm256_set1_epi32((area - side - 2) as i32);
        let row = _mm256_set1_epi32(side as i32);
        let whole = count - count % LANES;
        for at in (0..whole).step_by(LANES) {
            let ahead = at + AHEAD;
            if ahead < count {
                let [x, y] = placement.of([x[ahead], y[ahead], z[ahead]]);
                let first = super::between(y, side).0 * side + super::between(x, side).0;
                for plane in (0..image.len()).step_by(area) {
                    fetch(image, plane + first);
                    fetch(image, plane + first + side);
                }
            }
            let [x, y, z] = [x, y, z].map(|plane| load(&plane[at..at + LANES]));
            let [x, y] = placement.0.map(|row| along(row, x, y, z));
            let ((left, right), (upper, down)) = (between(x, side), between(y, side));
            let first = _mm256_min_epu32(_mm256_add_epi32(_mm256_mullo_epi32(upper, row), left), last);
            for (image, out) in image.chunks_exact(area).zip(out.chunks_exact_mut(count)) {
                let (a, b) = (gather(image, 0, first), gather(image, 1, first));
                let (c, d) = (gather(image, side, first), gather(image, side + 1, first));
                let above = _mm256_fmadd_ps(right, _mm256_sub_ps(b, a), a);
                let below = _mm256_fmadd_ps(right, _mm256_sub_ps(d, c), c);
                store(_mm256_fmadd_ps(down, _mm256_sub_ps(below, above), above), &mut out[at..at + LANES]);
            }
        }
        whole
    }

    /// A coordinate of [`Placement::of`].
    #[target_feature(enable = "avx2,fma")]
    fn along(row: [f32; 4], x: __m256, y: __m256, z: __m256) -> __m256 {
        let [a, b, c, d] = row.map(|value| _mm256_set1_ps(value));
        _mm256_fmadd_ps(a, x, _mm256_fmadd_ps(b, y, _mm256_fmadd_ps(c, z, d)))
    }

    /// Calls for the cache line of a pixel.
    #[target_feature(enable = "avx2,fma")]
    fn fetch(image: &[f32], pixel: usize) {
        _mm_prefetch::<_MM_HINT_T0>((&raw const image[pixel]).cast());
    }

    /// [`super::between`]; a place that is no number is 0.
    #[target_feature(enable = "avx2,fma")]
    fn between(place: __m256, side: usize) -> (__m256i, __m256) {
        let most = |below: usize| _mm256_set1_ps((side - below) as f32);
        let place = _mm256_min_ps(_mm256_max_ps(place, _mm256_setzero_ps()), most(1));
        let before = _mm256_min_ps(_mm256_floor_ps(place), most(2));
        (_mm256_cvttps_epi32(before), _mm256_sub_ps(place, before))
    }

    /// The pixels so much further than `first`, side + 1 at most.
    #[target_feature(enable = "avx2,fma")]
    fn gather(image: &[f32], further: usize, first: __m256i) -> __m256 {
        let image = &image[further..];
        #[expect(unsafe_code, reason = "a gather takes a raw pointer")]
        // SAFETY: `run` keeps `first` to side * side - side - 2, and the picture has side * side pixels.
        unsafe {
            _mm256_i32gather_ps::<4>(image.as_ptr(), first)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::session::{Session, TensorSpec};
    use crate::infer::tests::runtime;
    use proptest::prelude::*;

    /// Made by `tests/fixtures/make_networks.py`: the operator alone, whose function of standard operators says 0.
    const ONNX: &[u8] = include_bytes!("../../../tests/fixtures/sample.onnx");
    const SIDE: usize = 5;
    const PLACES: usize = 12;
    /// A quarter turn of a head that is seen half as large as the picture.
    const TURN: [f32; 9] = [0.0, -0.5, 0.1, 0.5, 0.0, -0.1, 0.0, 0.0, 0.5];
    const SHIFT: [f32; 3] = [0.5, 0.4, 0.0];

    /// By its definition, in double precision.
    fn expected(image: &[f32], side: usize, point: [f32; 3]) -> f64 {
        let pixel = |x: usize, y: usize| f64::from(image[y * side + x]);
        let place = |i: usize| {
            let moved: f64 = (0..3).map(|j| f64::from(TURN[3 * i + j]) * f64::from(point[j])).sum();
            ((moved + f64::from(SHIFT[i])) * side as f64 - 0.5).clamp(0.0, side as f64 - 1.0)
        };
        let (x, y) = (place(0), place(1));
        let (left, upper) = ((x as usize).min(side - 2), (y as usize).min(side - 2));
        let (right, down) = (x - left as f64, y - upper as f64);
        let row = |y: usize| (1.0 - right) * pixel(left, y) + right * pixel(left + 1, y);
        (1.0 - down) * row(upper) + down * row(upper + 1)
    }

    fn assert_sampled(image: &[f32], side: usize, points: &[f32], out: &[f32]) {
        let count = points.len() / 3;
        for (plane, out) in image.chunks_exact(side * side).zip(out.chunks_exact(count)) {
            for (i, &value) in out.iter().enumerate() {
                let point = [points[i], points[count + i], points[2 * count + i]];
                let wanted = expected(plane, side, point);
                assert!((f64::from(value) - wanted).abs() < 2e-5, "{value} {wanted} at {point:?}");
            }
        }
    }

    fn sampled(image: &[f32], side: usize, points: &[f32], turn: &[f32; 9]) -> Vec<f32> {
        let mut out = vec![f32::NAN; image.len() / (side * side) * points.len() / 3];
        run(image, side, points, &Placement::new(turn, &SHIFT, side), &mut out);
        out
    }

    #[test]
    fn the_engine_takes_this_operator_and_not_the_files_own() {
        let inputs = [
            TensorSpec { name: "image", shape: &[1, 2, 5, 5] },
            TensorSpec { name: "points", shape: &[3, 12] },
            TensorSpec { name: "turn", shape: &[1, 3, 3] },
            TensorSpec { name: "shift", shape: &[1, 3, 1] },
        ];
        let out = TensorSpec { name: "sampled", shape: &[1, 2, 12] };
        let mut session = Session::from_bytes(&runtime(), "sample", ONNX, 1, &inputs, &[out]).unwrap();
        let picture: Vec<f32> = (0..2 * SIDE * SIDE).map(|i| (i * i % 17) as f32).collect();
        let points: Vec<f32> = (0..3 * PLACES).map(|i| (i * 7 % 11) as f32 * 0.2 - 1.0).collect();
        for (i, values) in [&picture[..], &points, &TURN, &SHIFT].into_iter().enumerate() {
            session.input_mut(i).copy_from_slice(values);
        }
        session.run().unwrap();
        assert_sampled(&picture, SIDE, &points, session.output(0));
    }

    #[test]
    fn places_that_are_no_numbers_read_the_picture_and_nothing_else() {
        let image = [1.0f32; 2 * SIDE * SIDE];
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -f32::MAX] {
            // Enough for all that is done ahead, too.
            for out in [
                sampled(&image, SIDE, &[odd; 3 * 300], &TURN),
                sampled(&image, SIDE, &[1.0; 3 * 300], &[odd; 9]),
            ] {
                assert!(out.iter().all(|v| v.is_nan() || (v - 1.0).abs() < 1e-6), "{odd}: {out:?}");
            }
        }
    }

    #[test]
    fn inputs_that_do_not_fit_are_refused() {
        assert_eq!(Sample::shapes([&[1, 3, 192, 192], &[3, 9], &[1, 3, 3], &[1, 3, 1]]), Some([[1, 3, 9]]));
        for (image, points, turn, shift) in [
            ([1, 3, 192, 191], [3, 9], [1, 3, 3], [1, 3, 1]),
            ([2, 3, 192, 192], [3, 9], [1, 3, 3], [1, 3, 1]),
            ([1, 3, 1, 1], [3, 9], [1, 3, 3], [1, 3, 1]),
            ([1, 3, 192, 192], [2, 9], [1, 3, 3], [1, 3, 1]),
            ([1, 3, 192, 192], [3, 9], [1, 2, 3], [1, 3, 1]),
            ([1, 3, 192, 192], [3, 9], [1, 3, 3], [1, 3, 2]),
        ] {
            assert_eq!(
                Sample::shapes([&image, &points, &turn, &shift]),
                None,
                "{image:?} {points:?} {turn:?} {shift:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn between_pixels_it_is_bilinear_and_beyond_them_the_edge(
            (side, image) in (2usize..40).prop_flat_map(|side| {
                (Just(side), prop::collection::vec(-2f32..2.0, 3 * side * side))
            }),
            points in (1usize..300).prop_flat_map(|n| prop::collection::vec(-1.5f32..1.5, 3 * n)),
        ) {
            assert_sampled(&image, side, &points, &sampled(&image, side, &points, &TURN));
        }
    }
}
