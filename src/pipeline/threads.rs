//! The three real-time threads. Once warm they neither allocate nor lock nor log.

use super::mailbox::{Inbox, Outbox, Taken};
use super::stats::Stats;
use super::{Control, Options, Pace, PipelineError};
use crate::capture::{CaptureConfig, CaptureError, Next, Source, SourceSpec};
use crate::clock::MonoTime;
use crate::face::FaceSample;
use crate::frame::Frame;
use crate::sink::{OutputConfig, Sink, SinkError};
use crossbeam_channel::Receiver;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a thread waits before it looks whether it should stop or be reconfigured.
const PATIENCE: Duration = Duration::from_millis(50);

/// `ft-capture`.
pub(super) struct CaptureThread {
    /// Only ever `None` while a camera is being reopened.
    pub source: Option<Source>,
    pub options: Options,
    pub config: CaptureConfig,
    pub outbox: Outbox<Frame>,
    pub control: Receiver<Control>,
    pub stats: Arc<Stats>,
    pub stop: Arc<AtomicBool>,
}

impl CaptureThread {
    pub fn run(mut self) -> Result<(), PipelineError> {
        let mut frame = self.outbox.spare();
        let mut pacer = Pacer::default();
        while !self.stopped() {
            self.obey()?;
            let Some(source) = &mut self.source else { break };
            let next = source.next(&mut frame)?;
            self.stats.skipped.store(source.skipped(), Ordering::Relaxed);
            match next {
                Next::Frame => {
                    if self.options.pace == Pace::Realtime && !pacer.wait(&mut frame, || self.stopped()) {
                        break;
                    }
                    self.stats.frames.fetch_add(1, Ordering::Relaxed);
                    if self.outbox.post(frame, || self.stopped()).is_err() {
                        break;
                    }
                    frame = self.outbox.spare();
                }
                Next::Waiting => {}
                Next::End if self.options.repeat => {
                    self.source = Some(self.open()?);
                    pacer = Pacer::default();
                }
                Next::End => break,
            }
            self.stats.capture_rounds.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn open(&self) -> Result<Source, CaptureError> {
        // Which camera is the configuration's to say, and it may say another than at the start.
        let spec = match &self.options.source {
            SourceSpec::Camera(_) => self.config.source(),
            other => other.clone(),
        };
        Source::open(&spec, &self.config, self.options.sequence)
    }

    /// Takes over a new camera configuration. A camera that refuses it is opened again as it was.
    fn obey(&mut self) -> Result<(), CaptureError> {
        while let Ok(control) = self.control.try_recv() {
            let Control::Reconfigure(config) = control else { continue };
            let live = self.source.as_ref().is_some_and(Source::is_live);
            if !live || config.camera == self.config {
                continue;
            }
            // Most cameras have one owner at a time: the old handle must go before the new one comes.
            self.source = None;
            let old = std::mem::replace(&mut self.config, config.camera.clone());
            let reopened = self.open().or_else(|error| {
                tracing::warn!("{error}; the camera keeps its old configuration");
                self.config = old;
                self.open()
            });
            self.source = Some(reopened?);
        }
        Ok(())
    }
}

/// Lets a file's frames go at their own rate.
#[derive(Default)]
struct Pacer {
    /// The moment at which stream time was zero.
    start: Option<MonoTime>,
}

impl Pacer {
    /// Waits until the frame is due and stamps it; false where it was told to stop meanwhile.
    fn wait(&mut self, frame: &mut Frame, stopped: impl Fn() -> bool) -> bool {
        let offset = Duration::from_nanos(frame.stream_time.as_nanos());
        let start = *self.start.get_or_insert_with(MonoTime::now);
        let due = start + offset;
        loop {
            let now = MonoTime::now();
            frame.captured_at = now;
            if now >= due {
                return true;
            }
            if stopped() {
                return false;
            }
            std::thread::sleep(due.since(now).min(PATIENCE));
        }
    }
}

/// `ft-sink`.
pub(super) struct SinkThread {
    sinks: Vec<(OutputConfig, Sink)>,
    inbox: Inbox<FaceSample>,
    control: Receiver<Control>,
    stats: Arc<Stats>,
    watch: Option<super::Watch>,
    /// Outputs that failed while others went on.
    lost: usize,
    /// What the last output failed of.
    failure: Option<SinkError>,
}

impl SinkThread {
    pub fn new(
        sinks: Vec<(OutputConfig, Sink)>,
        inbox: Inbox<FaceSample>,
        control: Receiver<Control>,
        stats: Arc<Stats>,
        watch: Option<super::Watch>,
    ) -> Self {
        Self { sinks, inbox, control, stats, watch, lost: 0, failure: None }
    }

    pub fn run(mut self) -> Result<(), PipelineError> {
        loop {
            self.obey();
            match self.inbox.take(PATIENCE) {
                Taken::Item(sample) => {
                    self.send(&sample);
                    self.inbox.give_back(sample);
                }
                Taken::Nothing => {}
                Taken::Closed => break,
            }
            // An inbox that goes away stops the stages before it.
            if self.sinks.is_empty() && self.failure.is_some() {
                break;
            }
        }
        let now = MonoTime::now();
        for (_, mut sink) in std::mem::take(&mut self.sinks) {
            if let Err(error) = sink.close(now) {
                self.failure.get_or_insert(error);
            }
        }
        match (self.failure, self.lost) {
            (Some(error), _) => Err(error.into()),
            (None, 0) => Ok(()),
            (None, lost) => Err(PipelineError::OutputsLost(lost)),
        }
    }

    /// An output that fails is closed. While others go on, the log tells of it; the last one's fault ends the run.
    fn send(&mut self, sample: &FaceSample) {
        let mut i = 0;
        while i < self.sinks.len() {
            match self.sinks[i].1.send(sample, MonoTime::now()) {
                Ok(()) => i += 1,
                // The infer thread lets no such sample pass; an output that looks again does no harm.
                Err(error) if error.is_transient() => i += 1,
                Err(error) => {
                    self.sinks.remove(i);
                    if self.sinks.is_empty() {
                        self.failure = Some(error);
                    } else if !matches!(error, SinkError::PipeClosed { .. }) {
                        // A reader that has seen enough is no fault.
                        tracing::error!("an output is closed, the others go on: {error}");
                        self.lost += 1;
                    }
                }
            }
        }
        if sample.from_frame {
            self.stats.age.record(MonoTime::now().since(sample.captured_at));
            self.stats.sent.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(watch) = &mut self.watch {
            watch(sample);
        }
    }

    /// Closes outputs that are no longer configured, keeps those that stay, opens the new ones.
    fn obey(&mut self) {
        while let Ok(control) = self.control.try_recv() {
            let Control::Reconfigure(config) = control else { continue };
            let now = MonoTime::now();
            let outputs = config.outputs();
            self.sinks.retain_mut(|(output, sink)| {
                let stays = outputs.contains(output);
                if !stays && let Err(error) = sink.close(now) {
                    tracing::warn!("while closing an output: {error}");
                }
                stays
            });
            for output in &outputs {
                if self.sinks.iter().any(|(open, _)| open == output) {
                    continue;
                }
                match Sink::open(output) {
                    Ok(sink) => self.sinks.push((output.clone(), sink)),
                    Err(error) => tracing::error!("an output of the new configuration is left out: {error}"),
                }
            }
        }
    }
}
