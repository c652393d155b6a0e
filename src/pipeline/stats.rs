//! Counters and ages that the real-time threads write and anybody may read.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Buckets of an [`AgeHistogram`]: eight to an octave, from 1 µs up to 2^24 µs (16 s).
const BUCKETS: usize = 24 * 8;

/// Ages of samples, in buckets 9 % wide. Writing is one atomic addition.
pub struct AgeHistogram([AtomicU32; BUCKETS]);

impl Default for AgeHistogram {
    fn default() -> Self {
        Self([const { AtomicU32::new(0) }; BUCKETS])
    }
}

impl AgeHistogram {
    /// Counts one age.
    pub fn record(&self, age: Duration) {
        let octaves = (age.as_micros().max(1) as f32).log2();
        let bucket = ((octaves * 8.0) as usize).min(BUCKETS - 1);
        self.0[bucket].fetch_add(1, Ordering::Relaxed);
    }

    /// Ages below which these shares (0 to 1, ascending) of the samples lie, each the middle of its bucket, and
    /// empties the histogram. `None` where nothing was counted.
    pub fn drain<const N: usize>(&self, shares: [f32; N]) -> Option<[Duration; N]> {
        let counts: [u32; BUCKETS] = std::array::from_fn(|i| self.0[i].swap(0, Ordering::Relaxed));
        let total: u64 = counts.iter().map(|&c| u64::from(c)).sum();
        (total > 0).then(|| {
            shares.map(|share| {
                let rank = ((share * total as f32).ceil() as u64).clamp(1, total);
                let mut seen = 0;
                let bucket = counts
                    .iter()
                    .position(|&c| {
                        seen += u64::from(c);
                        seen >= rank
                    })
                    .unwrap_or(BUCKETS - 1);
                Duration::from_secs_f32(2f32.powf((bucket as f32 + 0.5) / 8.0) * 1e-6)
            })
        })
    }
}

/// What the threads count. Each counter has one writer.
#[derive(Default)]
pub struct Stats {
    /// Rounds of the capture thread: it lives, even where the camera is silent.
    pub capture_rounds: AtomicU64,
    /// Rounds of the infer thread.
    pub infer_rounds: AtomicU64,
    /// Frames that the capture stage delivered.
    pub frames: AtomicU64,
    /// Broken or stale frames that the capture stage skipped.
    pub skipped: AtomicU64,
    /// Frames that went through the networks.
    pub inferred: AtomicU64,
    /// Frames dropped because a network or solver gave NaN or infinity.
    pub not_finite: AtomicU64,
    /// Faces in the last frame.
    pub faces: AtomicU32,
    /// Samples handed to the outputs.
    pub sent: AtomicU64,
    /// From capture until every output had the sample.
    pub age: AgeHistogram,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_bucket_of_the_truth() {
        let ages = AgeHistogram::default();
        for ms in 1..=100 {
            ages.record(Duration::from_millis(ms));
        }
        let [p50, p99] = ages.drain([0.5, 0.99]).expect("a hundred ages");
        assert!((p50.as_secs_f32() / 0.050 - 1.0).abs() < 0.1, "{p50:?}");
        assert!((p99.as_secs_f32() / 0.099 - 1.0).abs() < 0.1, "{p99:?}");
        assert!(ages.drain([0.5]).is_none(), "draining empties it");
    }

    #[test]
    fn extreme_ages_are_counted_in_the_outer_buckets() {
        let ages = AgeHistogram::default();
        ages.record(Duration::ZERO);
        ages.record(Duration::from_hours(1));
        let [low, high] = ages.drain([0.1, 1.0]).expect("two ages");
        assert!(low < Duration::from_micros(3) && high > Duration::from_secs(10));
    }
}
