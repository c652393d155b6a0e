//! Workers that render many faces, and the writer that collects them.

use super::RenderError;
use super::device::Gpu;
use super::faults::{Developer, Photo};
use super::labels::Label;
use super::scene::{Stage, Studio};
use super::shard::Record;
use super::spec::FaceSpec;
use super::target::{DrawList, Target};
use std::sync::atomic::{AtomicBool, Ordering};

/// A rendered face, developed.
pub struct Rendered {
    /// Labels with visibility.
    pub label: Label,
    /// The picture.
    pub photo: Photo,
}

/// One thread's means of rendering.
pub struct Worker<'a> {
    studio: &'a Studio,
    gpu: &'a Gpu,
    target: Target,
    stage: Stage,
    lists: Vec<DrawList>,
    developer: Developer,
    size: (u32, u32),
}

impl<'a> Worker<'a> {
    /// A worker for pictures of this size, `slots` at a time.
    ///
    /// # Errors
    /// Where the JPEG library cannot start.
    pub fn new(
        studio: &'a Studio,
        gpu: &'a Gpu,
        size: (u32, u32),
        slots: usize,
    ) -> Result<Self, RenderError> {
        let target = Target::new(gpu, size.0, size.1, slots);
        let lists = (0..slots).map(|_| DrawList::default()).collect();
        Ok(Self { studio, gpu, target, stage: Stage::default(), lists, developer: Developer::new()?, size })
    }

    /// Faces that are drawn at once.
    pub fn slots(&self) -> usize {
        self.target.slots()
    }

    /// Renders up to [`Self::slots`] faces. `adjust` may change a face's constants before it is drawn.
    ///
    /// # Errors
    /// Where the device or the JPEG library fails.
    pub fn render(
        &mut self,
        specs: &[(u64, FaceSpec)],
        adjust: impl Fn(usize, &Label, &mut DrawList),
    ) -> Result<Vec<Rendered>, RenderError> {
        let mut labels = Vec::with_capacity(specs.len());
        for (slot, (index, spec)) in specs.iter().enumerate() {
            let mut label = self.studio.prepare(&mut self.stage, spec, self.size, &mut self.lists[slot]);
            label.index = *index;
            adjust(slot, &label, &mut self.lists[slot]);
            labels.push(label);
        }
        let row = self.target.row_bytes();
        let size = (self.size.0 as usize, self.size.1 as usize);
        let mut photos = Vec::with_capacity(specs.len());
        let developer = &mut self.developer;
        self.target.draw(self.gpu, &self.studio.mesh, &self.lists[..specs.len()], |slot, drawn| {
            labels[slot].visible.copy_from_slice(drawn.visible);
            let mut faults = specs[slot].1.faults;
            let scale = labels[slot].faults_scale;
            if faults.read_noise > 0.0 {
                // A small face is enlarged with its noise; a large one is shrunken, and its noise with it.
                faults.enlarged = faults.enlarged.max(scale);
                faults.read_noise *= scale.min(1.0);
                faults.shot_noise *= scale.min(1.0).powi(2);
            }
            photos.push(developer.develop(drawn.pixels, row, size, &faults));
        })?;
        let photos = photos.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(labels.into_iter().zip(photos).map(|(label, photo)| Rendered { label, photo }).collect())
    }

    /// Turns a rendered face into a record: the camera's own JPEG where it is the last word, else a good new one.
    ///
    /// # Errors
    /// Where the JPEG library fails.
    pub fn record(&mut self, rendered: Rendered) -> Result<Record, RenderError> {
        let Rendered { label, photo } = rendered;
        let jpeg = match photo.jpeg {
            Some(jpeg) => jpeg,
            None => self.developer.compress(
                &photo.rgb,
                (photo.width, photo.height),
                92,
                turbojpeg::Subsamp::None,
            )?,
        };
        Ok(Record { label, jpeg })
    }
}

/// Renders `batches` with `workers` threads; `make` says what is in a batch, `take` gets the batches in any order.
///
/// # Errors
/// The first error of any thread; the others stop after their batch.
pub fn in_parallel<B: Send, T: Send>(
    workers: usize,
    batches: impl Iterator<Item = B> + Send,
    start: impl Fn() -> Result<T, RenderError> + Sync,
    work: impl Fn(&mut T, B) -> Result<Vec<Record>, RenderError> + Sync,
    mut take: impl FnMut(Vec<Record>) -> Result<(), RenderError>,
) -> Result<(), RenderError> {
    let (give, jobs) = crossbeam_channel::bounded::<B>(workers);
    let (send, results) = crossbeam_channel::bounded(2 * workers);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || {
            for batch in batches {
                if stop.load(Ordering::Relaxed) || give.send(batch).is_err() {
                    return;
                }
            }
        });
        for _ in 0..workers.max(1) {
            let (jobs, send, start, work) = (jobs.clone(), send.clone(), &start, &work);
            scope.spawn(move || {
                let mut tool = match start() {
                    Ok(tool) => tool,
                    Err(e) => return drop(send.send(Err(e))),
                };
                for batch in jobs {
                    if stop.load(Ordering::Relaxed) || send.send(work(&mut tool, batch)).is_err() {
                        return;
                    }
                }
            });
        }
        drop((jobs, send));
        let mut outcome = Ok(());
        for result in &results {
            if outcome.is_ok() {
                outcome = result.and_then(&mut take);
                stop.store(outcome.is_err(), Ordering::Relaxed);
            }
        }
        outcome
    })
}
