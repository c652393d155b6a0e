//! `facetrackd::SoftArgmax`: points read off maps, each the mean of the cells' places weighed by the softmax of its map.

use super::{Function, Taken};
#[cfg(target_arch = "x86_64")]
use crate::infer::lanes::LANES;

/// Takes maps, what is added to each, and where the cells are; gives the points, coordinates first.
///
/// A runtime adds, takes the softmax and multiplies in turn, and for each writes and reads all cells of all maps. Here a map stays in
/// the nearest cache. All cells are computed alike: to leave out those far below the highest, most of them, took some
/// hundredths of a run longer, as where they are cannot be foretold.
pub struct SoftArgmax;

impl Function<3, 1> for SoftArgmax {
    const NAME: &'static str = "SoftArgmax";
    const TAKES: &'static str = "maps (n, k, rows, columns), what is added to them (k, rows columns) and places (2 or 3, rows columns)";

    fn shapes([maps, prior, places]: [&[i64]; 3]) -> Option<[[i64; 3]; 1]> {
        match (maps, prior, places) {
            (&[n, k, rows, columns], &[points, each], &[d @ 2..=3, cells])
                if points == k && each == cells && rows * columns == cells && cells > 0 =>
            {
                Some([[n, d, k]])
            }
            _ => None,
        }
    }

    fn compute([maps, prior, places]: [Taken; 3], [out]: [&mut [f32]; 1]) {
        if places.len(0) == 2 {
            read_off::<2>(maps, prior, places, out);
        } else {
            read_off::<3>(maps, prior, places, out);
        }
    }
}

fn read_off<const D: usize>(maps: Taken, prior: Taken, places: Taken, out: &mut [f32]) {
    let (points, cells) = (prior.len(0), prior.len(1));
    let mut planes = places.values.chunks_exact(cells);
    let places: [&[f32]; D] = std::array::from_fn(|_| planes.next().unwrap_or(&[]));
    for (maps, out) in maps.values.chunks_exact(points * cells).zip(out.chunks_exact_mut(D * points)) {
        for (i, (map, prior)) in maps.chunks_exact(cells).zip(prior.values.chunks_exact(cells)).enumerate() {
            for (d, place) in mean(map, prior, &places).into_iter().enumerate() {
                out[d * points + i] = place;
            }
        }
    }
}

/// The mean of `places`, weighed by the softmax of `map` and `prior` together.
fn mean<const D: usize>(map: &[f32], prior: &[f32], places: &[&[f32]; D]) -> [f32; D] {
    #[cfg(target_arch = "x86_64")]
    if map.len().is_multiple_of(LANES)
        && std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma")
    {
        #[expect(unsafe_code, reason = "code for AVX2 is called after asking the processor for it")]
        // SAFETY: both features were detected on the lines above.
        return unsafe { avx2::mean(map, prior, places) };
    }
    plain(map, prior, places)
}

fn plain<const D: usize>(map: &[f32], prior: &[f32], places: &[&[f32]; D]) -> [f32; D] {
    let scores = || map.iter().zip(prior).map(|(a, b)| a + b);
    let highest = scores().fold(f32::NEG_INFINITY, f32::max);
    let (mut weight, mut sums) = (0.0, [0.0; D]);
    for (i, score) in scores().enumerate() {
        let share = (score - highest).exp();
        weight += share;
        for (sum, places) in sums.iter_mut().zip(places) {
            *sum += share * places[i];
        }
    }
    sums.map(|sum| sum / weight)
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use crate::infer::lanes::{LANES, load, store};
    #[allow(
        clippy::wildcard_imports,
        reason = "fifteen intrinsics by their full names; the lint sleeps in test builds"
    )]
    use std::arch::x86_64::*;

    /// So far below the highest a cell's share is 1e-35 of it, which still is a number of full precision.
    const LOWEST: f32 = -80.0;

    /// As [`super::plain`], of maps whose length is a multiple of eight. Whatever is no number stays none.
    #[target_feature(enable = "avx2,fma")]
    pub fn mean<const D: usize>(map: &[f32], prior: &[f32], places: &[&[f32]; D]) -> [f32; D] {
        let scores = |at: usize| _mm256_add_ps(load(&map[at..at + LANES]), load(&prior[at..at + LANES]));
        let mut highest = _mm256_set1_ps(f32::NEG_INFINITY);
        for at in (0..map.len()).step_by(LANES) {
            // The second is taken where one is no number.
            highest = _mm256_max_ps(scores(at), highest);
        }
        let highest = _mm256_set1_ps(folded(highest, f32::max));
        let lowest = _mm256_set1_ps(LOWEST);
        let (mut weight, mut sums) = (_mm256_setzero_ps(), [_mm256_setzero_ps(); D]);
        for at in (0..map.len()).step_by(LANES) {
            let below = _mm256_sub_ps(scores(at), highest);
            let share = exp(_mm256_max_ps(lowest, below));
            weight = _mm256_add_ps(weight, share);
            for (sum, places) in sums.iter_mut().zip(places) {
                *sum = _mm256_fmadd_ps(share, load(&places[at..at + LANES]), *sum);
            }
        }
        let weight = folded(weight, |a, b| a + b);
        sums.map(|sum| folded(sum, |a, b| a + b) / weight)
    }

    #[target_feature(enable = "avx2,fma")]
    fn folded(values: __m256, fold: impl Fn(f32, f32) -> f32) -> f32 {
        let mut lanes = [0.0; LANES];
        store(values, &mut lanes);
        lanes[1..].iter().fold(lanes[0], |a, &b| fold(a, b))
    }

    /// e to the power of numbers from [`LOWEST`] to 0, within 3e-7 of it: two to a whole power, times the Taylor series of what is
    /// left.
    #[target_feature(enable = "avx2,fma")]
    fn exp(x: __m256) -> __m256 {
        let all = |value: f32| _mm256_set1_ps(value);
        let halvings = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(_mm256_mul_ps(
            x,
            all(std::f32::consts::LOG2_E),
        ));
        // The logarithm of two in two numbers, the first so short that its products are exact.
        let rest = _mm256_fnmadd_ps(halvings, all(0.693_359_4), x);
        let rest = _mm256_fnmadd_ps(halvings, all(-2.121_944_4e-4), rest);
        let mut series = all(1.0 / 720.0);
        for term in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
            series = _mm256_fmadd_ps(series, rest, all(term));
        }
        let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(halvings), _mm256_set1_epi32(127));
        _mm256_mul_ps(series, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::session::{Session, TensorSpec};
    use crate::infer::tests::runtime;
    use proptest::prelude::*;

    /// Made by `tests/fixtures/make_networks.py`: the operator alone, whose function of standard operators says 0.
    const ONNX: &[u8] = include_bytes!("../../../tests/fixtures/soft_argmax.onnx");
    const CELLS: usize = 24;

    fn of<const D: usize>(maps: &[f32], prior: &[f32], places: &[f32]) -> Vec<f32> {
        let points = prior.len() / CELLS;
        let n = maps.len() / prior.len();
        let mut out = vec![f32::NAN; n * D * points];
        SoftArgmax::compute(
            [
                Taken { shape: &[n as i64, points as i64, 4, 6], values: maps },
                Taken { shape: &[points as i64, CELLS as i64], values: prior },
                Taken { shape: &[D as i64, CELLS as i64], values: places },
            ],
            [&mut out],
        );
        out
    }

    /// By its definition, in double precision.
    fn expected(map: &[f32], prior: &[f32], places: &[f32]) -> f64 {
        let scores: Vec<f64> = map.iter().zip(prior).map(|(a, b)| f64::from(a + b)).collect();
        let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let shares: Vec<f64> = scores.iter().map(|s| (s - highest).exp()).collect();
        let sum: f64 = shares.iter().zip(places).map(|(s, &p)| s * f64::from(p)).sum();
        sum / shares.iter().sum::<f64>()
    }

    fn numbers(count: usize, most: f32) -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec(-most..most, count)
    }

    proptest! {
        #[test]
        fn each_point_is_the_mean_place_weighed_by_the_softmax_of_its_map(
            maps in prop_oneof![numbers(2 * 3 * CELLS, 2.0), numbers(2 * 3 * CELLS, 200.0)],
            prior in numbers(3 * CELLS, 5.0), places in numbers(3 * CELLS, 1.0),
        ) {
            let out = of::<3>(&maps, &prior, &places);
            for (i, &place) in out.iter().enumerate() {
                let (n, d, k) = (i / 9, i / 3 % 3, i % 3);
                let wanted = expected(
                    &maps[(3 * n + k) * CELLS..][..CELLS], &prior[k * CELLS..][..CELLS], &places[d * CELLS..][..CELLS],
                );
                prop_assert!((f64::from(place) - wanted).abs() < 1e-5, "{i}: {place} {wanted}");
            }
        }

        #[test]
        fn with_and_without_vectors_it_is_the_same(
            map in numbers(CELLS, 30.0), prior in numbers(CELLS, 30.0), places in numbers(2 * CELLS, 1.0),
        ) {
            let places = [&places[..CELLS], &places[CELLS..]];
            for (a, b) in mean(&map, &prior, &places).into_iter().zip(plain(&map, &prior, &places)) {
                prop_assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
        }
    }

    #[test]
    fn the_engine_takes_this_operator_and_not_the_files_own() {
        let inputs = [
            TensorSpec { name: "maps", shape: &[2, 5, 4, 6] },
            TensorSpec { name: "prior", shape: &[5, 24] },
            TensorSpec { name: "places", shape: &[3, 24] },
        ];
        let out = TensorSpec { name: "points", shape: &[2, 3, 5] };
        let mut session = Session::from_bytes(&runtime(), "soft_argmax", ONNX, 1, &inputs, &[out]).unwrap();
        let values = |count: usize| -> Vec<f32> { (0..count).map(|i| (i * 7 % 11) as f32 * 0.2).collect() };
        let (maps, prior, places) = (values(2 * 5 * CELLS), values(5 * CELLS), values(3 * CELLS));
        for (i, values) in [&maps, &prior, &places].into_iter().enumerate() {
            session.input_mut(i).copy_from_slice(values);
        }
        session.run().unwrap();
        assert_eq!(session.output(0), of::<3>(&maps, &prior, &places));
        assert!(session.output(0).iter().all(|&v| v > 0.1));
    }

    #[test]
    fn a_map_with_something_that_is_no_number_tells_no_place() {
        for odd in [f32::NAN, f32::INFINITY] {
            for at in 0..CELLS {
                let mut map = [0.0; CELLS];
                map[at] = odd;
                let out = of::<2>(&map, &[0.0; CELLS], &[0.5; 2 * CELLS]);
                assert!(out.iter().all(|v| v.is_nan()), "{odd} at {at}: {out:?}");
            }
        }
    }

    #[test]
    fn inputs_that_do_not_fit_are_refused() {
        assert_eq!(SoftArgmax::shapes([&[2, 5, 4, 6], &[5, 24], &[3, 24]]), Some([[2, 3, 5]]));
        for (maps, prior, places) in [
            ([2, 5, 4, 5], [5, 24], [3, 24]),
            ([2, 5, 4, 6], [6, 24], [3, 24]),
            ([2, 5, 4, 6], [5, 24], [3, 23]),
            ([2, 5, 4, 6], [5, 24], [4, 24]),
            ([2, 5, 0, 6], [5, 0], [3, 0]),
        ] {
            assert_eq!(SoftArgmax::shapes([&maps, &prior, &places]), None);
        }
    }
}
