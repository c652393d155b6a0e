//! One opening of a camera: from format to frames, until it is lost.

use super::choice::{Choice, choose, describe};
use super::controls::{self, Saved};
use super::find::{Node, bus_of, is_gone};
use super::pixels::{Layout, unpack, whole_len};
use super::sys::{Buffers, Device, Filled};
use crate::capture::mjpeg::JpegDecoder;
use crate::capture::{CaptureConfig, CaptureError};
use crate::clock::MonoTime;
use crate::frame::Frame;
use std::io;
use std::time::Duration;

/// Buffers to ask for: enough that the driver always has one to fill while we copy another.
const BUFFERS: u32 = 4;

/// A driver's timestamp further than this from now is nonsense, which some cameras' clocks produce.
const TIMESTAMP_AGE_MAX: Duration = Duration::from_secs(2);

/// Why a session ended.
#[derive(Debug)]
pub(super) enum Loss {
    Unplugged,
    Failed(io::Error),
}

pub(super) struct Session {
    buffers: Buffers,
    saved: Saved,
    layout: Layout,
    whole_len: usize,
    interval: Duration,
    decoder: JpegDecoder,
    width_max: Option<u32>,
    last_sequence: Option<u32>,
    last_time: MonoTime,
}

/// What a look at the camera brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Look {
    /// A frame is filled in.
    pub(super) is_frame: bool,
    /// The camera's buffers were full, too old to be shown: it is we who are slow, it is not frozen.
    pub(super) was_stale: bool,
    /// Frames that the camera took meanwhile, the filled one included.
    pub(super) taken: u64,
    /// Which of these the filled one is, from 1.
    pub(super) position: u64,
}

impl Session {
    pub(super) fn open(node: &Node, device: Device, config: &CaptureConfig) -> Result<Self, CaptureError> {
        let name = node.path.display().to_string();
        let failed = |doing: &str, source: io::Error| explain(node, doing, source);
        let wanted = config.resolution.map(|r| (r.width, r.height));
        let modes = device.modes(wanted, config.fps);
        let choice = choose(&modes, bus_of(node), config);
        let Choice { mode, why } = choice.map_err(|reason| reason.explain(&name, describe(&modes)))?;
        let layout = device.set_mode(&mode).map_err(|e| failed("set its format", e))?;
        let differs = (layout.width, layout.height, layout.format) != (mode.width, mode.height, mode.format);
        if differs
            && (config.resolution.is_some() || config.format.is_some() || !layout.format.is_decodable())
        {
            return Err(CaptureError::CannotMeet {
                device: name,
                request: mode.to_string(),
                offered: format!("{} {}x{} in its place", layout.format, layout.width, layout.height),
            });
        }
        tracing::info!("{name}: {mode}: {why}");
        let saved = controls::apply(&device, &name, config)?;
        let buffers = Buffers::start(device, BUFFERS).map_err(|e| failed("start its stream", e))?;
        let decoder = JpegDecoder::new().map_err(|e| failed("decode for it", io::Error::other(e)))?;
        Ok(Self {
            buffers,
            saved,
            layout,
            whole_len: whole_len(&layout),
            interval: Duration::from_secs_f64(mode.fps().recip()),
            decoder,
            width_max: (config.decode_width_max > 0).then_some(config.decode_width_max),
            last_sequence: None,
            last_time: MonoTime::default(),
        })
    }

    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// Waits up to `patience` for a frame and takes the newest good one; the older ones are given back unread.
    pub(super) fn look(&mut self, patience: Duration, frame: &mut Frame) -> Result<Look, Loss> {
        let mut look = Look::default();
        let start = MonoTime::now();
        loop {
            let left = patience.saturating_sub(MonoTime::now().since(start));
            if !self.buffers.wait(left).map_err(Loss::Failed)? {
                return Ok(look);
            }
            let Some(newest) = self.drain(&mut look)? else {
                if left.is_zero() {
                    return Ok(look);
                }
                continue;
            };
            let bytes = self.buffers.bytes(&newest);
            let unpacked = unpack(bytes, &self.layout, self.width_max, &mut self.decoder, frame);
            self.buffers.queue(newest.index).map_err(lost)?;
            match unpacked {
                Ok(()) => {
                    frame.captured_at = self.capture_time(&newest);
                    look.is_frame = true;
                    return Ok(look);
                }
                Err(error) => tracing::trace!("a frame was skipped: {error}"),
            }
        }
    }

    /// Empties the driver's queue, keeping the newest good buffer.
    ///
    /// Where every buffer was full the driver had none left and has been dropping new frames since: what it holds is
    /// old, however short its queue is. All of it goes back, and the next frame is a fresh one.
    fn drain(&mut self, look: &mut Look) -> Result<Option<Filled>, Loss> {
        let mut newest: Option<Filled> = None;
        let mut drained = 0;
        while drained < self.buffers.count() {
            let Some(filled) = self.buffers.dequeue().map_err(lost)? else { break };
            drained += 1;
            look.taken += self.count(filled.sequence);
            let is_good = !filled.is_error && filled.bytes > 0 && filled.bytes >= self.whole_len;
            let old = if is_good {
                look.position = look.taken;
                newest.replace(filled)
            } else {
                Some(filled)
            };
            if let Some(old) = old {
                self.buffers.queue(old.index).map_err(lost)?;
            }
            if !self.buffers.wait(Duration::ZERO).map_err(Loss::Failed)? {
                break;
            }
        }
        match newest {
            Some(stale) if drained == self.buffers.count() => {
                self.buffers.queue(stale.index).map_err(lost)?;
                look.was_stale = true;
                Ok(None)
            }
            newest => Ok(newest),
        }
    }

    /// Frames that the camera took since the last buffer: the driver's numbers tell of those that it dropped itself.
    fn count(&mut self, sequence: u32) -> u64 {
        let before = self.last_sequence.replace(sequence);
        let step = before.map_or(1, |before| sequence.wrapping_sub(before));
        // A driver that starts over, or does not count, is taken at one a buffer.
        if (1..1 << 16).contains(&step) { u64::from(step) } else { 1 }
    }

    fn capture_time(&mut self, filled: &Filled) -> MonoTime {
        let now = MonoTime::now();
        let told = if filled.is_monotonic {
            MonoTime::from_nanos(filled.timestamp_ns)
        } else {
            MonoTime::from_unix_nanos(filled.timestamp_ns)
        };
        self.last_time = plausible_time(told, now, self.last_time);
        self.last_time
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.saved.restore(self.buffers.device());
    }
}

/// The driver's time where it can be true: not in the future, not long ago, not before the last frame's.
fn plausible_time(told: MonoTime, now: MonoTime, last: MonoTime) -> MonoTime {
    let is_plausible = told <= now && now.since(told) <= TIMESTAMP_AGE_MAX && told > last;
    if is_plausible { told } else { now }
}

fn lost(error: io::Error) -> Loss {
    if is_gone(&error) { Loss::Unplugged } else { Loss::Failed(error) }
}

fn explain(node: &Node, doing: &str, source: io::Error) -> CaptureError {
    match super::find::explain_open(&node.path, source) {
        CaptureError::Device { device, source, .. } => {
            CaptureError::Device { device, doing: doing.into(), source }
        }
        known => known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_that_cannot_be_true_gives_way_to_the_present() {
        let at = |ms: u64| MonoTime::from_nanos(ms * 1_000_000);
        assert_eq!(plausible_time(at(9_990), at(10_000), at(9_950)), at(9_990));
        assert_eq!(plausible_time(at(10_500), at(10_000), at(9_950)), at(10_000), "the future");
        assert_eq!(plausible_time(at(0), at(10_000), at(9_950)), at(10_000), "long ago");
        assert_eq!(plausible_time(at(9_940), at(10_000), at(9_950)), at(10_000), "before the last");
    }
}
