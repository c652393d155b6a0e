//! Tracking as a service: signals, the service manager, the line a second in the log.

mod demo;

pub use demo::{Look, run as demo};

use crate::config::Config;
use crate::pipeline::{Options, Pipeline, PipelineError};
use crate::provision::InstalledPack;
use crate::sink::SinkError;
use crossbeam_channel::{Receiver, Sender, bounded, select, tick};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What the world asks of a running daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Ctrl-C, SIGTERM.
    Stop,
    /// SIGHUP.
    Reload,
    /// SIGUSR1.
    RetakeNeutral,
}

/// Requests that may wait while one is served.
const PENDING: usize = 16;
/// The pace of the log line and of the service manager's watchdog.
const BEAT: Duration = Duration::from_secs(1);

/// Listens for signals from now on.
///
/// # Errors
/// What the system says where a handler cannot be set.
pub fn listen() -> anyhow::Result<Receiver<Request>> {
    let (requests, inbox) = bounded(PENDING);
    let on_interrupt = requests.clone();
    ctrlc::set_handler(move || forward(&on_interrupt, Request::Stop))?;
    #[cfg(unix)]
    listen_unix(requests)?;
    Ok(inbox)
}

#[cfg(unix)]
fn listen_unix(requests: Sender<Request>) -> anyhow::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGTERM, SIGUSR1};
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGHUP, SIGUSR1])?;
    std::thread::Builder::new().name("ft-signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            let request = match signal {
                SIGHUP => Request::Reload,
                SIGUSR1 => Request::RetakeNeutral,
                _ => Request::Stop,
            };
            forward(&requests, request);
        }
    })?;
    Ok(())
}

fn forward(requests: &Sender<Request>, request: Request) {
    if requests.try_send(request).is_err() {
        tracing::warn!("{request:?} came while {PENDING} requests were waiting; it is dropped");
    }
}

/// Runs until the source ends, a stop is asked for, or a fault.
///
/// `reread` reads the configuration anew, for SIGHUP.
///
/// # Errors
/// The pipeline's first fault.
pub fn track(
    config: &Config,
    options: &Options,
    pack: &InstalledPack,
    requests: &Receiver<Request>,
    reread: &dyn Fn() -> anyhow::Result<Config>,
) -> anyhow::Result<()> {
    let pipeline = Pipeline::start(config, options, pack, None)?;
    let mut manager = ServiceManager::default();
    manager.ready();
    let beat = tick(BEAT);
    let mut log = Log::default();
    loop {
        select! {
            recv(pipeline.done()) -> _ => break,
            recv(requests) -> request => match request {
                Ok(Request::Reload) => reload(&pipeline, &mut manager, reread),
                Ok(Request::RetakeNeutral) => {
                    tracing::info!("learning the neutral face anew: look at the camera with a relaxed face");
                    pipeline.retake_neutral();
                }
                Ok(Request::Stop) | Err(_) => {
                    pipeline.stop();
                    break;
                }
            },
            recv(beat) -> _ => {
                log.line(&pipeline);
                manager.feed(&pipeline);
            }
        }
    }
    manager.stopping();
    finish(pipeline)
}

/// Waits for what is still on its way. A reader of standard output that has seen enough is no fault.
fn finish(pipeline: Pipeline) -> anyhow::Result<()> {
    match pipeline.join() {
        Err(PipelineError::Sink(SinkError::PipeClosed { .. })) => Ok(()),
        outcome => Ok(outcome?),
    }
}

fn reload(pipeline: &Pipeline, manager: &mut ServiceManager, reread: &dyn Fn() -> anyhow::Result<Config>) {
    manager.reloading();
    match reread() {
        Ok(config) => {
            pipeline.reconfigure(config);
            tracing::info!("the configuration is reloaded");
        }
        Err(error) => tracing::warn!("the old configuration stays: {error:#}"),
    }
    manager.ready();
}

/// The line a second.
#[derive(Default)]
struct Log {
    inferred: u64,
}

impl Log {
    fn line(&mut self, pipeline: &Pipeline) {
        let stats = pipeline.stats();
        let inferred = stats.inferred.load(Ordering::Relaxed);
        let fps = inferred - std::mem::replace(&mut self.inferred, inferred);
        let age_ms = stats.age.drain([0.5, 0.99]).map(|ages| ages.map(|a| a.as_secs_f32() * 1e3));
        let [p50, p99] = age_ms.unwrap_or([f32::NAN; 2]);
        tracing::info!(
            fps,
            faces = stats.faces.load(Ordering::Relaxed),
            dropped = pipeline.replaced(),
            skipped = stats.skipped.load(Ordering::Relaxed),
            not_finite = stats.not_finite.load(Ordering::Relaxed),
            "age p50 {p50:.1} ms, p99 {p99:.1} ms"
        );
    }
}

/// systemd's notification protocol; silent elsewhere.
#[derive(Default)]
struct ServiceManager {
    /// Rounds of the capture and infer threads at the last feeding.
    rounds: [u64; 2],
}

#[cfg(target_os = "linux")]
impl ServiceManager {
    fn tell(states: &[sd_notify::NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states) {
            tracing::warn!("the service manager does not listen: {error}");
        }
    }

    fn ready(&mut self) {
        Self::tell(&[sd_notify::NotifyState::Ready]);
    }

    fn reloading(&mut self) {
        match sd_notify::NotifyState::monotonic_usec_now() {
            Ok(now) => Self::tell(&[sd_notify::NotifyState::Reloading, now]),
            Err(error) => tracing::warn!("no clock for the service manager: {error}"),
        }
    }

    fn stopping(&mut self) {
        Self::tell(&[sd_notify::NotifyState::Stopping]);
    }

    /// Feeds the watchdog, but only where both threads went round since the last time: a pipeline that hangs is let
    /// starve, so that it is restarted.
    fn feed(&mut self, pipeline: &Pipeline) {
        let stats = pipeline.stats();
        let rounds =
            [&stats.capture_rounds, &stats.infer_rounds].map(|counter| counter.load(Ordering::Relaxed));
        if rounds.iter().zip(&self.rounds).all(|(now, before)| now != before) {
            Self::tell(&[sd_notify::NotifyState::Watchdog]);
        }
        self.rounds = rounds;
    }
}

#[cfg(not(target_os = "linux"))]
impl ServiceManager {
    fn ready(&mut self) {}
    fn reloading(&mut self) {}
    fn stopping(&mut self) {}
    fn feed(&mut self, _pipeline: &Pipeline) {}
}

/// The configuration that tracking reads where none is named, if the user has one.
pub fn user_config() -> Option<PathBuf> {
    Config::default_path().filter(|path| path.exists())
}
