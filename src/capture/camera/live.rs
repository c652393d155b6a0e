//! A camera over its whole life: opened, lost, reopened.

use super::find::{find, find_again};
use super::session::{Loss, Session};
use crate::capture::pipe::PATIENCE;
use crate::capture::{CaptureConfig, CaptureError, Next};
use crate::clock::MonoTime;
use crate::frame::Frame;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Waits between attempts to reopen: doubled from the first to the last.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// What a camera may take to its first frame beyond the freeze timeout: some need seconds to wake up.
const FIRST_FRAME_EXTRA: Duration = Duration::from_secs(3);

pub(in crate::capture) struct Camera {
    which: String,
    config: CaptureConfig,
    /// Stable id and last place, once it was open.
    identity: Option<(String, PathBuf)>,
    session: Option<Session>,
    interval: Option<Duration>,
    freeze: Duration,
    /// When the present session began, or the camera last had a frame for us.
    alive_at: MonoTime,
    gave_frame: bool,
    retry_at: MonoTime,
    retry: Duration,
    /// The loss was reported, and no frame has come since.
    reported: bool,
    /// Frames that the cameras took, and those handed over.
    taken: u64,
    given: u64,
    first_time: Option<MonoTime>,
}

impl fmt::Debug for Camera {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Camera")
            .field("which", &self.which)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl Camera {
    pub(in crate::capture) fn open(which: &str, config: &CaptureConfig) -> Result<Self, CaptureError> {
        let now = MonoTime::now();
        let mut camera = Self {
            which: which.into(),
            config: config.clone(),
            identity: None,
            session: None,
            interval: None,
            freeze: Duration::from_secs_f64(config.freeze_timeout_s.clamp(0.2, 60.0)),
            alive_at: now,
            gave_frame: false,
            retry_at: now,
            retry: RETRY_FIRST,
            reported: false,
            taken: 0,
            given: 0,
            first_time: None,
        };
        match camera.start() {
            Err(error) if config.wait && error.may_pass() => camera.lose(&error.to_string()),
            result => result?,
        }
        Ok(camera)
    }

    pub(in crate::capture) fn frame_interval(&self) -> Option<Duration> {
        self.interval
    }

    pub(in crate::capture) fn skipped(&self) -> u64 {
        self.taken - self.given
    }

    pub(in crate::capture) fn next(&mut self, frame: &mut Frame) -> Next {
        let Some(session) = &mut self.session else { return self.retry() };
        match session.look(PATIENCE, frame) {
            Err(Loss::Unplugged) => self.lose("it was unplugged"),
            Err(Loss::Failed(error)) => self.lose(&error.to_string()),
            Ok(look) => {
                frame.index = (self.taken + look.position).saturating_sub(1);
                self.taken += look.taken;
                if look.is_frame || look.was_stale {
                    self.alive_at = MonoTime::now();
                }
                if look.is_frame {
                    self.stamp(frame);
                    return Next::Frame;
                }
                let limit = self.freeze + if self.gave_frame { Duration::ZERO } else { FIRST_FRAME_EXTRA };
                if MonoTime::now().since(self.alive_at) > limit {
                    self.lose(&format!("no whole frame came for {:.1} s", limit.as_secs_f64()));
                }
            }
        }
        Next::Waiting
    }

    fn stamp(&mut self, frame: &mut Frame) {
        let first = *self.first_time.get_or_insert(frame.captured_at);
        frame.stream_time = MonoTime::default() + frame.captured_at.since(first);
        frame.starts_sequence = !self.gave_frame;
        self.given += 1;
        (self.gave_frame, self.retry) = (true, RETRY_FIRST);
        if std::mem::take(&mut self.reported) {
            tracing::info!("camera {} is back", self.name());
        }
    }

    fn name(&self) -> &str {
        self.identity.as_ref().map_or(&self.which, |(id, _)| id)
    }

    /// Opens the camera: the one that was named, or the same one again.
    fn start(&mut self) -> Result<(), CaptureError> {
        let (node, id, device) = match &self.identity {
            None => find(&self.which)?,
            Some((id, path)) => {
                let (node, device) = find_again(id, path)?;
                (node, id.clone(), device)
            }
        };
        let session = Session::open(&node, device, &self.config)?;
        self.interval = Some(session.interval());
        self.identity = Some((id, node.path));
        (self.session, self.alive_at, self.gave_frame) = (Some(session), MonoTime::now(), false);
        Ok(())
    }

    fn lose(&mut self, why: &str) {
        self.session = None;
        if std::mem::replace(&mut self.reported, true) {
            tracing::debug!("camera {}: {why}", self.name());
        } else {
            tracing::warn!("camera {} is lost: {why}; waiting for it", self.name());
        }
        self.retry_at = MonoTime::now() + self.retry;
        self.retry = (self.retry * 2).min(RETRY_MAX);
    }

    fn retry(&mut self) -> Next {
        let now = MonoTime::now();
        if now < self.retry_at {
            std::thread::sleep(self.retry_at.since(now).min(PATIENCE));
        } else if let Err(error) = self.start() {
            self.lose(&error.to_string());
        }
        Next::Waiting
    }
}
