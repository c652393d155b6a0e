//! `ft-infer`: networks, solving and filtering of one frame after the other.

use super::mailbox::{Inbox, Outbox, SPARE_LEN, Taken};
use super::stats::Stats;
use super::{Control, PipelineError};
use crate::alloc::thread_allocations;
use crate::clock::MonoTime;
use crate::config::Config;
use crate::face::{FaceSample, Presence, TrackedFace};
use crate::filter::Filter;
use crate::frame::Frame;
use crate::geom::{Intrinsics, Rect};
use crate::infer::{CropView, ExpressionNet, InferError, Observation, Tracker};
use crate::solve::{Calibration, HeadPoseSolver, PoseConfig, RestingExpression, align, eye_look};
use crossbeam_channel::Receiver;
use glam::{Vec2, Vec3Swizzles};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A live source is silent when no frame came for this long; then outputs hear of it at this rate, and values fade.
const SILENCE: Duration = Duration::from_millis(50);
/// A network that gives nothing but NaN for this many frames will not recover.
const NOT_FINITE_LIMIT: u32 = 30;
/// How long a person's shape and neutral face are kept after they were last seen.
const MEMORY: Duration = Duration::from_secs(10);
/// Frames without a new face after which nothing may allocate any more.
const WARM_UP_FRAMES: u32 = 60;

/// What is remembered of one tracked person.
struct Person {
    id: u32,
    pose: HeadPoseSolver,
    calibration: Calibration,
    resting: RestingExpression,
    seen_at: MonoTime,
}

/// See the module.
pub(super) struct InferThread {
    tracker: Tracker,
    expression: ExpressionNet,
    filter: Filter,
    config: Arc<Config>,
    raw: bool,
    live: bool,
    inbox: Inbox<Frame>,
    outbox: Outbox<FaceSample>,
    control: Receiver<Control>,
    stats: Arc<Stats>,
    stop: Arc<AtomicBool>,
    people: Vec<Person>,
    spare_faces: Vec<TrackedFace>,
    not_finite_run: u32,
    calm_frames: u32,
    last: LastFrame,
}

/// When the last frame came, on both clocks: a silent camera's time goes on from there.
#[derive(Default, Clone, Copy)]
struct LastFrame {
    index: u64,
    stream_time: MonoTime,
    taken_at: MonoTime,
    image_size: Vec2,
}

/// The networks, ready to run.
pub(super) struct Networks {
    pub tracker: Tracker,
    pub expression: ExpressionNet,
}

/// The mailboxes on both sides and the ears.
pub(super) struct Wiring {
    pub inbox: Inbox<Frame>,
    pub outbox: Outbox<FaceSample>,
    pub control: Receiver<Control>,
    pub stats: Arc<Stats>,
    pub stop: Arc<AtomicBool>,
}

impl InferThread {
    pub fn new(networks: Networks, config: &Arc<Config>, wiring: Wiring, raw: bool, live: bool) -> Self {
        let Networks { tracker, expression } = networks;
        let Wiring { inbox, outbox, control, stats, stop } = wiring;
        let faces = config.tracking.faces;
        // A sample holds those measured and those that fade.
        let in_sample = 2 * faces;
        outbox.stock(|| FaceSample { faces: Vec::with_capacity(in_sample), ..FaceSample::default() });
        let mut spare_faces = Vec::with_capacity((SPARE_LEN + 1) * in_sample);
        spare_faces.resize_with(SPARE_LEN * in_sample, TrackedFace::default);
        Self {
            tracker,
            expression,
            filter: Filter::new(&config.filter),
            config: Arc::clone(config),
            raw,
            live,
            inbox,
            outbox,
            control,
            stats,
            stop,
            people: Vec::with_capacity(faces),
            spare_faces,
            not_finite_run: 0,
            calm_frames: 0,
            last: LastFrame::default(),
        }
    }

    pub fn run(mut self) -> Result<(), PipelineError> {
        while !self.stop.load(Ordering::Relaxed) {
            self.obey();
            match self.inbox.take(SILENCE) {
                Taken::Item(frame) => {
                    let outcome = self.process(&frame);
                    self.inbox.give_back(frame);
                    if !outcome? {
                        break;
                    }
                }
                Taken::Nothing if self.live => {
                    if !self.tell_silence() {
                        break;
                    }
                }
                Taken::Nothing => {}
                Taken::Closed => break,
            }
            self.stats.infer_rounds.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn obey(&mut self) {
        while let Ok(control) = self.control.try_recv() {
            self.calm_frames = 0;
            match control {
                Control::RetakeNeutral => self.people.iter_mut().for_each(Person::retake_neutral),
                Control::Reconfigure(config) => {
                    if config.filter != self.config.filter {
                        self.filter = Filter::new(&config.filter);
                    }
                    if config.tracking != self.config.tracking {
                        self.tracker.reconfigure(&config.tracking);
                    }
                    if config.pose != self.config.pose {
                        self.people.clear();
                    }
                    self.config = config;
                }
            }
        }
    }

    /// Measures one frame and posts its sample. False where nobody takes samples any more.
    fn process(&mut self, frame: &Frame) -> Result<bool, PipelineError> {
        let allocations = thread_allocations();
        self.last = LastFrame {
            index: frame.index,
            stream_time: frame.stream_time,
            taken_at: MonoTime::now(),
            image_size: Vec2::new(frame.width as f32, frame.height as f32),
        };
        if frame.starts_sequence {
            self.people.clear();
            self.filter.reset();
            self.calm_frames = 0;
        }
        let mut sample = self.blank_sample();
        sample.captured_at = frame.captured_at;
        sample.from_frame = true;
        match self.measure(frame, &mut sample) {
            Ok(()) if sample.faces.iter().all(|f| f.face.is_finite()) => self.not_finite_run = 0,
            Err(error) if !matches!(error, InferError::NotFinite { .. }) => return Err(error.into()),
            Err(error) if self.not_finite_run >= NOT_FINITE_LIMIT => return Err(error.into()),
            Ok(()) | Err(_) => {
                self.not_finite_run += 1;
                self.stats.not_finite.fetch_add(1, Ordering::Relaxed);
                self.outbox.recycle(sample);
                return Ok(true);
            }
        }
        self.stats.faces.store(sample.faces.len() as u32, Ordering::Relaxed);
        self.stats.inferred.fetch_add(1, Ordering::Relaxed);
        if !self.raw {
            self.filter.apply(&mut sample, &mut self.spare_faces);
        }
        self.assert_calm(allocations);
        Ok(self.post(sample))
    }

    /// Runs the networks and the solvers.
    fn measure(&mut self, frame: &Frame, sample: &mut FaceSample) -> Result<(), InferError> {
        let camera = Intrinsics::from_fov(self.config.pose.fov_deg.to_radians(), frame.width, frame.height);
        let people = &self.people;
        let neutral = |id| people.iter().find(|p| p.id == id).and_then(|p| p.calibration.neutral());
        let observations = self.tracker.track_knowing(frame, &neutral)?;
        let now = frame.stream_time;
        self.people.retain(|p| now.since(p.seen_at) < MEMORY);
        for observation in observations {
            let known = self.people.iter().position(|p| p.id == observation.id);
            let index = known.unwrap_or_else(|| {
                self.calm_frames = 0;
                // One picture does not tell a person's shape from their pose.
                let adapt = self.config.pose.adapt && !frame.still;
                self.people.push(Person::new(observation, PoseConfig { adapt, ..self.config.pose }));
                self.people.len() - 1
            });
            let person = &mut self.people[index];
            person.seen_at = now;
            let mut tracked = self.spare_faces.pop().unwrap_or_default();
            let face = &mut tracked.face;
            let landmarks = &observation.reading.landmarks;
            face.id = observation.id;
            face.presence = observation.presence;
            face.landmarks.copy_from_slice(&landmarks[..]);
            face.bounds = Rect::bounding(landmarks.iter().map(|p| p.xy())).unwrap_or_default();
            let aligned = align(landmarks);
            let intrinsics = if frame.still { camera.of_still(&face.bounds) } else { camera };
            face.head = person.pose.solve(landmarks, &intrinsics, frame.stream_time);
            if frame.still {
                face.head.translation_mm = camera.place(face.head.translation_mm, &intrinsics);
            }
            if let Some(seen) = &observation.reading.parameters {
                face.gaze = CropView::new(&seen.roi, &intrinsics).gaze(seen);
                face.blendshapes = seen.blendshapes;
            } else {
                face.gaze = person.pose.gaze();
                let neutral = person.calibration.neutral();
                self.expression.predict(&aligned, neutral, &mut face.blendshapes)?;
            }
            if self.config.expression.adapt && !frame.still {
                person.resting.settle(&mut face.blendshapes, aligned.turn_rad, frame.stream_time);
            }
            person.calibration.observe(&aligned, &face.blendshapes, frame.stream_time);
            eye_look(&face.gaze, &face.head, &mut face.blendshapes);
            tracked.presence = Presence::Tracked;
            sample.faces.push(tracked);
        }
        Ok(())
    }

    /// A sample of the last frame's time with no face in it; its old faces go to the spare ones.
    fn blank_sample(&mut self) -> FaceSample {
        let mut sample = self.outbox.spare();
        self.spare_faces.append(&mut sample.faces);
        sample.index = self.last.index;
        sample.stream_time = self.last.stream_time;
        sample.image_size = self.last.image_size;
        sample.from_frame = false;
        sample
    }

    /// The camera gives nothing: values are held, then fade, and outputs hear that nobody is tracked.
    fn tell_silence(&mut self) -> bool {
        let mut sample = self.blank_sample();
        let now = MonoTime::now();
        sample.captured_at = now;
        sample.stream_time = self.last.stream_time + now.since(self.last.taken_at);
        if !self.raw {
            self.filter.apply(&mut sample, &mut self.spare_faces);
        }
        self.stats.faces.store(0, Ordering::Relaxed);
        self.post(sample)
    }

    fn post(&self, sample: FaceSample) -> bool {
        self.outbox.post(sample, || self.stop.load(Ordering::Relaxed)).is_ok()
    }

    /// In a debug build that counts allocations: a warm frame makes none.
    fn assert_calm(&mut self, before: Option<u64>) {
        self.calm_frames = self.calm_frames.saturating_add(1);
        if cfg!(debug_assertions)
            && self.calm_frames > WARM_UP_FRAMES
            && let (Some(before), Some(after)) = (before, thread_allocations())
        {
            assert_eq!(after - before, 0, "a warm frame allocated");
        }
    }
}

impl Person {
    fn new(seen: &Observation, config: PoseConfig) -> Self {
        Self {
            id: seen.id,
            pose: HeadPoseSolver::new(&config, seen.reading.depth_along()),
            calibration: Calibration::new(),
            resting: RestingExpression::new(),
            seen_at: MonoTime::default(),
        }
    }

    fn retake_neutral(&mut self) {
        self.calibration.retake();
        self.resting.retake();
    }
}
