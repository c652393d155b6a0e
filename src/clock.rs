//! Time as the pipeline sees it: `CLOCK_MONOTONIC`, read here and nowhere else.
//!
//! Every other function is handed the time it works with, so that a recording replays to the same numbers.

use std::ops::Add;
use std::time::Duration;

/// A moment on `CLOCK_MONOTONIC`, the clock that V4L2 stamps buffers with. Nanoseconds since an arbitrary start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MonoTime(u64);

impl MonoTime {
    /// The present moment.
    #[cfg(unix)]
    pub fn now() -> Self {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Self(t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64)
    }

    /// The present moment.
    #[cfg(not(unix))]
    pub fn now() -> Self {
        use std::sync::OnceLock;
        use std::time::Instant;
        static START: OnceLock<Instant> = OnceLock::new();
        Self(START.get_or_init(Instant::now).elapsed().as_nanos() as u64)
    }

    /// The moment `ns` nanoseconds after the clock's start.
    pub const fn from_nanos(ns: u64) -> Self {
        Self(ns)
    }

    /// The moment that the wall clock called `ns` nanoseconds after 1970. As good as the wall clock is.
    pub fn from_unix_nanos(ns: u64) -> Self {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let age = i128::from(wall.as_nanos() as u64) - i128::from(ns);
        Self((i128::from(Self::now().0) - age).clamp(0, i128::from(u64::MAX)) as u64)
    }

    /// Nanoseconds since the clock's start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment `seconds` after the clock's start; how media time becomes a timestamp for files.
    pub fn from_secs_f64(seconds: f64) -> Self {
        Self((seconds.max(0.0) * 1e9).round() as u64)
    }

    /// Seconds since the clock's start.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 * 1e-9
    }

    /// How long after `earlier` this is; zero where it is not after.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for MonoTime {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(rhs.as_nanos() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_run_backwards() {
        let a = MonoTime::now();
        let b = MonoTime::now();
        assert!(b >= a);
    }

    #[test]
    fn an_earlier_moment_is_zero_after_a_later_one() {
        let (early, late) = (MonoTime::from_nanos(5), MonoTime::from_nanos(9));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(late.since(early), Duration::from_nanos(4));
    }

    #[test]
    fn seconds_survive_the_round_trip() {
        let t = MonoTime::from_secs_f64(12.345_678_9);
        assert!((t.as_secs_f64() - 12.345_678_9).abs() < 1e-9);
    }
}
