//! `facetrackd::Sample`, an operator of our own for ONNX Runtime: a picture read at places between its pixels.
//!
//! Our face network cuts eyes and mouth out of its crop in the middle of its run, for which a runtime has no quick operator. In the
//! file this is a function of standard operators besides (`training/face/sample.py`), which any runtime falls back on.

use crate::alloc::exempt;
use ort::operator::{
    ComputeContext, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput,
    ShapeInferenceContext,
};
use ort::value::{Shape, SymbolicDimensions, TensorElementType, ValueType};

/// The operator, for a session's builder.
pub(super) fn domain() -> ort::Result<OperatorDomain> {
    OperatorDomain::new("facetrackd")?.add(Sample)
}

struct Sample;

impl Operator for Sample {
    type Kernel<'attr> = fn(&ComputeContext) -> ort::Result<()>;

    fn name(&self) -> &'static str {
        "Sample"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [const { OperatorInput::required(TensorElementType::Float32) }; 2]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, _: &KernelContext<'attr>) -> ort::Result<Self::Kernel<'attr>> {
        // Handles of the engine's are made on the way.
        Ok(|context| exempt(|| compute(context)))
    }

    fn infer_shape(&self, context: &mut ShapeInferenceContext) -> ort::Result<()> {
        let inputs = context.inputs();
        let known = |i: usize| inputs.get(i).and_then(ValueType::tensor_shape).ok_or_else(misfit);
        let shape = Shape::from(shape([known(0)?, known(1)?]).ok_or_else(misfit)?);
        let dimension_symbols = SymbolicDimensions::empty(shape.len());
        context.set_output(0, &ValueType::Tensor { ty: TensorElementType::Float32, shape, dimension_symbols })
    }
}

fn misfit() -> ort::Error {
    ort::Error::new("facetrackd::Sample wants a square picture (1, c, h, h) and places (1, 2, k)")
}

fn compute(context: &ComputeContext) -> ort::Result<()> {
    let (image, at) = (context.input(0)?.ok_or_else(misfit)?, context.input(1)?.ok_or_else(misfit)?);
    let (image_shape, image) = image.try_extract_tensor::<f32>()?;
    let (at_shape, at) = at.try_extract_tensor::<f32>()?;
    let shape = shape([image_shape, at_shape]).ok_or_else(misfit)?;
    let mut out = context.output(0, shape)?.ok_or_else(misfit)?;
    run(image, image_shape[2] as usize, at, out.try_extract_tensor_mut::<f32>()?.1);
    Ok(())
}

/// Of a picture (1, c, h, h) and places (1, 2, k): (1, c, k). Pixels are counted by 32 bits.
fn shape([image, at]: [&[i64]; 2]) -> Option<[i64; 3]> {
    match (image, at) {
        (&[1, c, h @ 2..=8192, w], &[1, 2, k]) if w == h => Some([1, c, k]),
        _ => None,
    }
}

/// Bilinearly, the first pixel's middle being 0, the edge repeated.
fn run(image: &[f32], side: usize, at: &[f32], out: &mut [f32]) {
    let (x, y) = at.split_at(at.len() / 2);
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
        #[expect(unsafe_code, reason = "code for AVX2 is called after asking the processor for it")]
        // SAFETY: both features were detected on the line above.
        unsafe {
            done = avx2::run(image, side, x, y, out);
        }
    }
    for i in done..x.len() {
        let (left, right) = between(x[i], side);
        let (upper, down) = between(y[i], side);
        let first = upper * side + left;
        for (image, out) in image.chunks_exact(side * side).zip(out.chunks_exact_mut(x.len())) {
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
    use crate::infer::lanes::{LANES, load, store};
    #[allow(
        clippy::wildcard_imports,
        reason = "fifteen intrinsics by their full names; the lint sleeps in test builds"
    )]
    use std::arch::x86_64::*;

    /// The picture was written half a run ago and may have left the caches: asked for only as they are used, its pixels take
    /// more than twice as long from memory. So many places ahead they are called for.
    const AHEAD: usize = 12 * LANES;

    /// The first places, eight at a time; how many these were.
    #[target_feature(enable = "avx2,fma")]
    pub fn run(image: &[f32], side: usize, x: &[f32], y: &[f32], out: &mut [f32]) -> usize {
        let (places, area) = (x.len(), side * side);
        assert!(
            image.len().is_multiple_of(area) && y.len() == places && out.len() == image.len() / area * places
        );
        let last = _mm256_set1_epi32((area - side - 2) as i32);
        let row = _mm256_set1_epi32(side as i32);
        let whole = places - places % LANES;
        for at in (0..whole).step_by(LANES) {
            if let (Some(&x), Some(&y)) = (x.get(at + AHEAD), y.get(at + AHEAD)) {
                let first = super::between(y, side).0 * side + super::between(x, side).0;
                for plane in (0..image.len()).step_by(area) {
                    fetch(image, plane + first);
                    fetch(image, plane + first + side);
                }
            }
            let (left, right) = between(load(&x[at..at + LANES]), side);
            let (upper, down) = between(load(&y[at..at + LANES]), side);
            let first = _mm256_min_epu32(_mm256_add_epi32(_mm256_mullo_epi32(upper, row), left), last);
            for (image, out) in image.chunks_exact(area).zip(out.chunks_exact_mut(places)) {
                let (a, b) = (gather(image, 0, first), gather(image, 1, first));
                let (c, d) = (gather(image, side, first), gather(image, side + 1, first));
                let above = _mm256_fmadd_ps(right, _mm256_sub_ps(b, a), a);
                let below = _mm256_fmadd_ps(right, _mm256_sub_ps(d, c), c);
                store(_mm256_fmadd_ps(down, _mm256_sub_ps(below, above), above), &mut out[at..at + LANES]);
            }
        }
        whole
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
    const ONNX: &[u8] = include_bytes!("../../tests/fixtures/sample.onnx");
    const SIDE: usize = 5;
    const PLACES: usize = 12;

    /// By its definition, in double precision.
    fn expected(image: &[f32], side: usize, x: f32, y: f32) -> f64 {
        let pixel = |x: usize, y: usize| f64::from(image[y * side + x]);
        let (x, y) = [x, y].map(|v| f64::from(v).clamp(0.0, side as f64 - 1.0)).into();
        let (left, upper) = ((x as usize).min(side - 2), (y as usize).min(side - 2));
        let (right, down) = (x - left as f64, y - upper as f64);
        let row = |y: usize| (1.0 - right) * pixel(left, y) + right * pixel(left + 1, y);
        (1.0 - down) * row(upper) + down * row(upper + 1)
    }

    fn assert_sampled(image: &[f32], side: usize, at: &[f32], out: &[f32]) {
        let places = at.len() / 2;
        for (plane, out) in image.chunks_exact(side * side).zip(out.chunks_exact(places)) {
            for (i, &value) in out.iter().enumerate() {
                let wanted = expected(plane, side, at[i], at[places + i]);
                assert!(
                    (f64::from(value) - wanted).abs() < 1e-5,
                    "{value} {wanted} at {}, {}",
                    at[i],
                    at[places + i]
                );
            }
        }
    }

    #[test]
    fn the_engine_takes_this_operator_and_not_the_files_own() {
        let image = TensorSpec { name: "image", shape: &[1, 2, 5, 5] };
        let at = TensorSpec { name: "at", shape: &[1, 2, 12] };
        let out = TensorSpec { name: "sampled", shape: &[1, 2, 12] };
        let mut session = Session::from_bytes(&runtime(), "sample", ONNX, 1, &[image, at], &[out]).unwrap();
        let picture: Vec<f32> = (0..2 * SIDE * SIDE).map(|i| (i * i % 17) as f32).collect();
        let wanted: Vec<f32> = (0..2 * PLACES).map(|i| i as f32 * 0.31 - 1.0).collect();
        session.input_mut(0).copy_from_slice(&picture);
        session.input_mut(1).copy_from_slice(&wanted);
        session.run().unwrap();
        assert_sampled(&picture, SIDE, &wanted, session.output(0));
    }

    #[test]
    fn places_that_are_no_numbers_read_the_picture_and_nothing_else() {
        let image = [1.0f32; 2 * SIDE * SIDE];
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -f32::MAX] {
            // Enough for all that is done ahead, too.
            let mut out = [0.0; 2 * 300];
            run(&image, SIDE, &[odd; 2 * 300], &mut out);
            assert!(out.iter().all(|v| v.is_nan() || (v - 1.0).abs() < 1e-6), "{odd}: {out:?}");
        }
    }

    #[test]
    fn inputs_that_do_not_fit_are_refused() {
        assert_eq!(shape([&[1, 3, 192, 192], &[1, 2, 9]]), Some([1, 3, 9]));
        for (image, at) in [
            ([1, 3, 192, 191], [1, 2, 9]),
            ([2, 3, 192, 192], [1, 2, 9]),
            ([1, 3, 192, 192], [1, 3, 9]),
            ([1, 3, 192, 192], [2, 2, 9]),
            ([1, 3, 1, 1], [1, 2, 9]),
        ] {
            assert_eq!(shape([&image, &at]), None, "{image:?} {at:?}");
        }
        assert_eq!(shape([&[1, 3, 192], &[1, 2, 9]]), None);
    }

    proptest! {
        #[test]
        fn between_pixels_it_is_bilinear_and_beyond_them_the_edge(
            (side, image) in (2usize..40).prop_flat_map(|side| {
                (Just(side), prop::collection::vec(-2f32..2.0, 3 * side * side))
            }),
            at in prop::collection::vec((-0.2f32..1.2, -0.2f32..1.2), 1..300),
        ) {
            let of_side = |part: f32| part * side as f32;
            let at: Vec<f32> = at.iter().map(|p| of_side(p.0)).chain(at.iter().map(|p| of_side(p.1))).collect();
            let mut out = vec![f32::NAN; 3 * at.len() / 2];
            run(&image, side, &at, &mut out);
            assert_sampled(&image, side, &at, &out);
        }
    }
}
