//! Outputs whose receivers come, go and talk back: a thread of their own does the talking.
//!
//! The sink's thread lays the newest sample down, over one that was not taken yet, and rings. It neither waits nor
//! allocates for it, whatever the receivers do.

use super::SinkError;
use super::adjust::{Adjust, Adjuster, FaceView};
use super::listen::would_block;
use super::udp::Traffic;
use crate::clock::MonoTime;
use crate::face::FaceSample;
use crossbeam_queue::ArrayQueue;
use mio::{Events, Poll, Token, Waker};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Faces of a sample that are handed over; as many as can be tracked at once.
const FACES_MAX: usize = 8;

/// What the bell's event is known by. Other tokens are the thread's own.
pub(super) const BELL: Token = Token(0);

/// A sample as one output speaks it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Batch {
    pub frame: u64,
    pub stream_time: MonoTime,
    /// The face to speak of where a protocol knows only one.
    pub primary: Option<FaceView>,
    faces: [Option<FaceView>; FACES_MAX],
}

impl Batch {
    pub fn new(sample: &FaceSample, adjuster: &mut Adjuster) -> Self {
        let primary = adjuster.primary(sample);
        let mut batch =
            Self { frame: sample.index, stream_time: sample.stream_time, primary, ..Self::default() };
        for (place, face) in batch.faces.iter_mut().zip(&sample.faces) {
            *place = Some(adjuster.view(&face.face, face.presence));
        }
        batch
    }

    pub fn faces(&self) -> impl Iterator<Item = &FaceView> {
        self.faces.iter().flatten()
    }
}

/// What both threads reach.
struct Desk {
    newest: ArrayQueue<Batch>,
    bell: Waker,
    is_closing: AtomicBool,
    sent: AtomicU64,
    bytes: AtomicU64,
    failed: AtomicU64,
}

/// The talking thread's end.
pub(super) struct Ears {
    /// Rings with [`BELL`] for a new sample and for the end.
    pub poll: Poll,
    events: Events,
    desk: Arc<Desk>,
}

impl Ears {
    /// The newest sample, if there is one that was not taken.
    pub fn newest(&self) -> Option<Batch> {
        self.desk.newest.pop()
    }

    /// Whether the output is being closed.
    pub fn is_closing(&self) -> bool {
        self.desk.is_closing.load(Ordering::Acquire)
    }

    /// Waits for a sample, for the end, or so long; for threads that poll nothing else.
    pub fn wait(&mut self, patience: Option<Duration>) {
        if let Err(error) = self.poll.poll(&mut self.events, patience)
            && !would_block(&error)
        {
            tracing::debug!("an output's thread could not wait: {error}");
        }
    }

    pub fn count_sent(&self, bytes: usize) {
        self.desk.sent.fetch_add(1, Ordering::Relaxed);
        self.desk.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn count_failed(&self) {
        self.desk.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// One output with a thread of its own.
pub struct Service {
    adjuster: Adjuster,
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
    listens_on: Option<SocketAddr>,
}

impl Service {
    /// Starts the thread. `run` returns soon after [`Ears::is_closing`].
    pub(super) fn open(
        output: &'static str,
        adjust: &Adjust,
        listens_on: Option<SocketAddr>,
        run: impl FnOnce(Ears) + Send + 'static,
    ) -> Result<Self, SinkError> {
        let failed = |source: io::Error| SinkError::Thread { output, source };
        let poll = Poll::new().map_err(failed)?;
        let desk = Arc::new(Desk {
            newest: ArrayQueue::new(1),
            bell: Waker::new(poll.registry(), BELL).map_err(failed)?,
            is_closing: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        let ears = Ears { poll, events: Events::with_capacity(4), desk: Arc::clone(&desk) };
        let thread = Builder::new().name(format!("ft-{output}")).spawn(move || run(ears)).map_err(failed)?;
        Ok(Self { adjuster: Adjuster::new(adjust), desk, thread: Some(thread), listens_on })
    }

    /// Hands over one sample, if the rate limit allows.
    pub fn send(&mut self, sample: &FaceSample, now: MonoTime) {
        if self.adjuster.is_due(now) {
            // The thread wants the newest alone; what it had no time for is of no use.
            self.desk.newest.force_push(Batch::new(sample, &mut self.adjuster));
            self.ring();
        }
    }

    fn ring(&self) {
        // A bell that the system refuses to ring costs one sample: the next rings again.
        if self.desk.bell.wake().is_err() {
            self.desk.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ends the thread and waits until it has said goodbye.
    pub fn close(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.desk.is_closing.store(true, Ordering::Release);
        self.ring();
        if thread.join().is_err() {
            tracing::error!("an output's own thread had panicked; please report this with the lines above");
        }
    }

    /// The address it listens on, where it does.
    pub fn listens_on(&self) -> Option<SocketAddr> {
        self.listens_on
    }

    /// What was sent.
    pub fn traffic(&self) -> Traffic {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Traffic {
            sent: load(&self.desk.sent),
            bytes: load(&self.desk.bytes),
            failed: load(&self.desk.failed),
            ignored: 0,
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.close();
    }
}
