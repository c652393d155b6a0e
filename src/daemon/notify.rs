//! systemd's notification protocol. Without a service manager, and on other systems, it is silent.

use crate::pipeline::stats::Stats;
use std::sync::atomic::Ordering;

/// Everything is open; frames are awaited.
pub fn ready() {
    tell(&State::Ready);
}

/// The configuration is being read again.
pub fn reloading() {
    tell(&State::Reloading);
}

/// Outputs are being closed.
pub fn stopping() {
    tell(&State::Stopping);
}

/// Feeds the service manager's watchdog from the pipeline's progress.
#[derive(Default)]
pub struct Watchdog {
    /// Rounds of the capture and infer threads at the last feeding.
    rounds: [u64; 2],
}

impl Watchdog {
    /// Feeds, but only where both threads went round since the last time: a pipeline that hangs is let starve, so that
    /// it is restarted. A camera that is silent still goes round.
    pub fn feed(&mut self, stats: &Stats) {
        let rounds =
            [&stats.capture_rounds, &stats.infer_rounds].map(|counter| counter.load(Ordering::Relaxed));
        if rounds.iter().zip(&self.rounds).all(|(now, before)| now != before) {
            tell(&State::Alive);
        }
        self.rounds = rounds;
    }
}

enum State {
    Ready,
    Reloading,
    Stopping,
    Alive,
}

#[cfg(target_os = "linux")]
fn tell(state: &State) {
    use sd_notify::NotifyState;
    let told = match state {
        State::Ready => sd_notify::notify(&[NotifyState::Ready]),
        State::Reloading => NotifyState::monotonic_usec_now()
            .and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now])),
        State::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
        State::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
    };
    if let Err(error) = told {
        tracing::warn!("the service manager does not listen: {error}");
    }
}

#[cfg(not(target_os = "linux"))]
fn tell(_state: &State) {}
