//! The one place that knows more than one stage: three threads, the mailboxes between them, and how they end.
//!
//! `ft-capture` fills frames, `ft-infer` turns them into samples (networks, solving and filtering belong together: the
//! tracker feeds its region of interest back), `ft-sink` sends them. A live source drops stale frames, a file waits.

mod infer_thread;
pub mod mailbox;
pub mod stats;
mod threads;

use crate::capture::{CaptureError, Source, SourceSpec};
use crate::config::Config;
use crate::face::FaceSample;
use crate::infer::{ExpressionNet, InferError, Runtime, Tracker};
use crate::provision::InstalledPack;
use crate::sink::{OutputConfig, Sink, SinkError};
use crossbeam_channel::{Receiver, Sender, bounded};
use infer_thread::{InferThread, Networks, Wiring};
use mailbox::{Policy, mailbox};
use stats::Stats;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};
use threads::{CaptureThread, SinkThread};

/// Why the pipeline could not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The source failed.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// A network failed.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// An output failed, and it was the last.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// Outputs failed while others went on.
    #[error("{0} of the outputs failed on the way and stayed closed; the log says which and why")]
    OutputsLost(usize),
    /// The operating system gave no thread.
    #[error("cannot start a thread: {0}; is the process limit reached? (ulimit -u)")]
    Thread(#[source] std::io::Error),
    /// A thread panicked: a bug.
    #[error("the {0} thread panicked; please report this with the lines above")]
    Panicked(&'static str),
}

/// How files are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Pace {
    /// As fast as they can be processed; no frame is dropped.
    Fast,
    /// At their own rate, as if a camera delivered them.
    Realtime,
}

/// What to run, beyond the configuration.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where frames come from.
    pub source: SourceSpec,
    /// A folder of images is a film.
    pub sequence: bool,
    /// How a file is played.
    pub pace: Pace,
    /// Begin a file again at its end.
    pub repeat: bool,
    /// Leave smoothing out.
    pub raw: bool,
}

/// Gets a look at every sample sent; runs on the sink's thread.
pub type Watch = Box<dyn FnMut(&FaceSample) + Send>;

/// What can be asked of a running pipeline. Each thread has a channel of its own and looks into it between frames.
enum Control {
    Reconfigure(Arc<Config>),
    RetakeNeutral,
}

/// A running pipeline. Dropping it stops it.
pub struct Pipeline {
    stop: Arc<AtomicBool>,
    stats: Arc<Stats>,
    replaced: [Arc<AtomicU64>; 2],
    controls: [Sender<Control>; 3],
    threads: Vec<(&'static str, JoinHandle<Result<(), PipelineError>>)>,
    done: Receiver<()>,
}

/// Pending requests to one thread; more than these at once are a caller's mistake, and wait.
const CONTROL_LEN: usize = 8;

impl Pipeline {
    /// Opens the source and every output, loads the networks and starts the threads.
    ///
    /// # Errors
    /// Whatever a stage says while opening; nothing is left running then.
    pub fn start(
        config: &Config,
        options: &Options,
        pack: &InstalledPack,
        watch: Option<Watch>,
    ) -> Result<Self, PipelineError> {
        let source = Source::open(&options.source, &config.camera, options.sequence)?;
        let sinks = config.outputs().iter().map(open_sink).collect::<Result<Vec<_>, _>>()?;
        let runtime = Runtime::load(&pack.runtime)?;
        let tracker = Tracker::from_files(&runtime, |name| pack.model(name), &config.tracking)?;
        let networks = Networks { tracker, expression: ExpressionNet::new(&runtime)? };

        let live = source.is_live() || options.pace == Pace::Realtime;
        let policy = if live { Policy::Latest } else { Policy::Lossless };
        let (outbox, frames) = mailbox(policy);
        let (samples_outbox, samples) = mailbox(policy);
        let [(c0, r0), (c1, r1), (c2, r2)] = [(); 3].map(|()| bounded(CONTROL_LEN));
        let (done_tx, done) = bounded(3);
        let mut pipeline = Self {
            stop: Arc::default(),
            stats: Arc::default(),
            replaced: [outbox.replaced(), samples_outbox.replaced()],
            controls: [c0, c1, c2],
            threads: Vec::new(),
            done,
        };
        let stats = || Arc::clone(&pipeline.stats);
        let stop = || Arc::clone(&pipeline.stop);

        let sink = SinkThread::new(sinks, samples, r2, stats(), watch);
        let wiring =
            Wiring { inbox: frames, outbox: samples_outbox, control: r1, stats: stats(), stop: stop() };
        let infer = InferThread::new(networks, &Arc::new(config.clone()), wiring, options.raw, live);
        let capture = CaptureThread {
            source: Some(source),
            options: options.clone(),
            config: config.camera.clone(),
            outbox,
            control: r0,
            stats: stats(),
            stop: stop(),
        };
        pipeline.spawn("ft-sink", done_tx.clone(), move || sink.run())?;
        pipeline.spawn("ft-infer", done_tx.clone(), move || infer.run())?;
        pipeline.spawn("ft-capture", done_tx, move || capture.run())?;
        Ok(pipeline)
    }

    fn spawn(
        &mut self,
        name: &'static str,
        done: Sender<()>,
        run: impl FnOnce() -> Result<(), PipelineError> + Send + 'static,
    ) -> Result<(), PipelineError> {
        let farewell = Farewell { stop: Some(Arc::clone(&self.stop)), done };
        let body = move || {
            let mut farewell = farewell;
            let outcome = run();
            if name == "ft-capture" && outcome.is_ok() {
                // A source's end is no reason to stop: what was captured goes its way to the outputs.
                farewell.stop = None;
            }
            outcome
        };
        let handle = Builder::new().name(name.to_owned()).spawn(body).map_err(PipelineError::Thread)?;
        self.threads.push((name, handle));
        Ok(())
    }

    /// Takes over what changed in the configuration while running.
    pub fn reconfigure(&self, config: Config) {
        let config = Arc::new(config);
        for control in &self.controls {
            // A thread that has ended needs no configuration.
            drop(control.send(Control::Reconfigure(Arc::clone(&config))));
        }
    }

    /// Learns every person's neutral face anew, from now on.
    pub fn retake_neutral(&self) {
        drop(self.controls[1].send(Control::RetakeNeutral));
    }

    /// Counters and ages.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Frames and samples that were replaced by newer ones before anybody took them.
    pub fn replaced(&self) -> u64 {
        self.replaced.iter().map(|r| r.load(Ordering::Relaxed)).sum()
    }

    /// Becomes ready when the first thread has ended, which is when the pipeline is about to.
    pub fn done(&self) -> &Receiver<()> {
        &self.done
    }

    /// Asks the threads to stop.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Waits until every thread has ended: at the source's end, after [`Self::stop`], or at a fault.
    ///
    /// # Errors
    /// The first fault, in the order of the data's way.
    pub fn join(mut self) -> Result<(), PipelineError> {
        self.join_all()
    }

    fn join_all(&mut self) -> Result<(), PipelineError> {
        // Threads were started from the data's end backwards; faults are told in its order.
        let mut result = Ok(());
        for (name, handle) in self.threads.drain(..) {
            let outcome = handle.join().unwrap_or(Err(PipelineError::Panicked(name)));
            if outcome.is_err() {
                result = outcome;
            }
        }
        result
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.stop();
        if let Err(error) = self.join_all() {
            tracing::warn!("while stopping: {error}");
        }
    }
}

/// Says goodbye for a thread however it ends, by panic too: the others stop, and whoever waits learns of it.
struct Farewell {
    stop: Option<Arc<AtomicBool>>,
    done: Sender<()>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        if let Some(stop) = &self.stop {
            stop.store(true, Ordering::Relaxed);
        }
        if self.done.try_send(()).is_err() {
            tracing::trace!("nobody waits for a thread's end");
        }
    }
}

fn open_sink(output: &OutputConfig) -> Result<(OutputConfig, Sink), SinkError> {
    Ok((output.clone(), Sink::open(output)?))
}
