//! Numbers in and out of the processor's registers, eight at a time.

use std::arch::x86_64::{__m256, _mm256_loadu_ps, _mm256_storeu_ps};

pub(super) const LANES: usize = 8;

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn load(values: &[f32]) -> __m256 {
    assert_eq!(values.len(), LANES);
    #[expect(unsafe_code, reason = "an unaligned load takes a raw pointer")]
    // SAFETY: there are eight values, asserted above.
    unsafe {
        _mm256_loadu_ps(values.as_ptr())
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn store(values: __m256, out: &mut [f32]) {
    assert_eq!(out.len(), LANES);
    #[expect(unsafe_code, reason = "an unaligned store takes a raw pointer")]
    // SAFETY: `out` holds eight values, asserted above.
    unsafe {
        _mm256_storeu_ps(out.as_mut_ptr(), values);
    }
}
