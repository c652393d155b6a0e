//! Tracking as a service: signals, the service manager, the line a second in the log.

mod demo;
mod notify;

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
    let mut watchdog = notify::Watchdog::default();
    notify::ready();
    let beat = tick(BEAT);
    let mut log = Log::default();
    loop {
        select! {
            recv(pipeline.done()) -> _ => break,
            recv(requests) -> request => match request {
                Ok(Request::Reload) => reload(&pipeline, reread),
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
                watchdog.feed(pipeline.stats());
            }
        }
    }
    notify::stopping();
    finish(pipeline)
}

/// Waits for what is still on its way. A reader of standard output that has seen enough is no fault.
fn finish(pipeline: Pipeline) -> anyhow::Result<()> {
    match pipeline.join() {
        Err(PipelineError::Sink(SinkError::PipeClosed { .. })) => Ok(()),
        outcome => Ok(outcome?),
    }
}

fn reload(pipeline: &Pipeline, reread: &dyn Fn() -> anyhow::Result<Config>) {
    notify::reloading();
    match reread() {
        Ok(config) => {
            pipeline.reconfigure(config);
            tracing::info!("the configuration is reloaded");
        }
        Err(error) => tracing::warn!("the old configuration stays: {error:#}"),
    }
    notify::ready();
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

/// The configuration that tracking reads where none is named, if the user has one.
pub fn user_config() -> Option<PathBuf> {
    Config::default_path().filter(|path| path.exists())
}
