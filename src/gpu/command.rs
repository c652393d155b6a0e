//! `facetrackd render-faces`.

use super::device::{DeviceError, Gpu};
use super::faults::JpegError;
use super::pack::{Pack, PackError};
use super::places::{LandmarkPlaces, PlacesError};
use super::run::{Worker, in_parallel};
use super::sampler::{Expressions, Sampler, SamplerOptions};
use super::scene::Studio;
use super::shard::{DataSet, Record, ShardError};
use super::sheet;
use super::target::DrawError;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Arguments of `facetrackd render-faces`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  facetrackd render-faces --assets pack --count 20000 --out faces --seed 1
  facetrackd render-faces --assets pack --count 2000 --out frames --frame --size 640
  facetrackd render-faces --assets pack --count 2000 --out recorded --expressions recorded
  facetrackd render-faces --assets pack --count 2000 --out resting --expressions recorded --at-rest
  facetrackd render-faces --assets pack --sheet sheet.png --count 100
  facetrackd render-faces --assets pack --clip motion --count 600 --out clip --size 640")]
#[expect(clippy::struct_excessive_bools, reason = "switches that have nothing to do with each other")]
pub struct RenderFacesArgs {
    /// Folder of the head asset pack
    #[arg(long, value_name = "DIR")]
    pub assets: PathBuf,
    /// Faces to render; frames of a clip
    #[arg(long, default_value_t = 1000)]
    pub count: u64,
    /// Folder for the data set or clip; a run that was interrupted is continued
    #[arg(long, value_name = "DIR", required_unless_present = "sheet")]
    pub out: Option<PathBuf>,
    /// The same seed gives the same pictures
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Side of the pictures in pixels
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(64..=2048))]
    pub size: u32,
    /// Write whole camera frames instead of crops around the face
    #[arg(long)]
    pub frame: bool,
    /// Render moving heads frame by frame
    #[arg(long, value_enum, value_name = "KIND", conflicts_with_all = ["sheet", "frame"])]
    pub clip: Option<ClipKind>,
    /// Write a PNG of 100 faces with their labels drawn, and no data set
    #[arg(long, value_name = "PNG")]
    pub sheet: Option<PathBuf>,
    /// A perfect camera: no blur, noise or compression
    #[arg(long)]
    pub no_faults: bool,
    /// No hands, caps, microphones or tinted glasses
    #[arg(long)]
    pub no_occluders: bool,
    /// Largest turn of the head to a side, in degrees
    #[arg(long, default_value_t = 75.0, value_name = "DEGREES")]
    pub yaw_max: f32,
    /// Smallest turn of the head to a side, in degrees: a set of profiles, evenly spread up to the largest
    #[arg(long, default_value_t = 0.0, value_name = "DEGREES")]
    pub yaw_min: f32,
    /// What the faces do; a clip has its own motion
    #[arg(long, value_enum, default_value = "mixed", conflicts_with = "clip")]
    pub expressions: Expressions,
    /// The people, places and light of the same seed, with their faces at rest and nearly facing the camera
    #[arg(long, conflicts_with = "clip")]
    pub at_rest: bool,
    /// Faces in a file of the data set
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub shard: u64,
    /// Threads that prepare faces; all processors by default
    #[arg(long)]
    pub workers: Option<usize>,
    /// Use the Vulkan device whose name contains this
    #[arg(long, value_name = "NAME")]
    pub gpu: Option<String>,
}

/// What moves a clip's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ClipKind {
    /// The pack's recorded motion.
    Motion,
}

/// Why faces could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// No yaw is between these.
    #[error("--yaw-min {0} leaves no turn up to --yaw-max {1}; give the smaller one as --yaw-min")]
    NoYaw(f32, f32),
    /// The asset pack.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The landmarks' table.
    #[error(transparent)]
    Places(#[from] PlacesError),
    /// The pack lacks shapes.
    #[error("the asset pack has no shapes for {0:?}; it is damaged or of another version, fetch it again")]
    MissingShapes(Vec<&'static str>),
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Drawing.
    #[error(transparent)]
    Draw(#[from] DrawError),
    /// Compression.
    #[error(transparent)]
    Jpeg(#[from] JpegError),
    /// The data set.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// A clip could not be put together.
    #[error("cannot write the clip: {0}; ask for a smaller --count")]
    Avi(#[from] crate::capture::avi::AviError),
    /// A sheet could not be encoded.
    #[error("cannot encode the sheet as PNG: {0}; ask for a smaller --count or --size")]
    Png(#[from] image::ImageError),
}

/// The pack and the device, ready for workers.
pub struct Renderer {
    /// What faces are made from.
    pub studio: Studio,
    /// What draws them.
    pub gpu: Gpu,
}

impl Renderer {
    /// Loads a pack and opens a device.
    ///
    /// # Errors
    /// Where the pack is damaged or no device is to be had.
    pub fn open(assets: &std::path::Path, gpu: Option<&str>) -> Result<Self, RenderError> {
        let studio = Studio::new(Pack::load(assets)?, LandmarkPlaces::load()?);
        let missing = studio.missing_shapes();
        if !missing.is_empty() {
            return Err(RenderError::MissingShapes(missing));
        }
        let gpu = Gpu::open(&studio.pack, &studio.mesh, gpu)?;
        Ok(Self { studio, gpu })
    }

    /// Faces drawn at once: enough to hide a submission's latency, few enough for a software device's caches.
    pub fn slots(&self) -> usize {
        if self.gpu.is_software { 8 } else { 32 }
    }
}

/// Runs `facetrackd render-faces`.
///
/// # Errors
/// Where the pack, the device or the disk fails; what was written before stays and is whole.
pub fn render_faces(args: &RenderFacesArgs) -> Result<(), RenderError> {
    if !(0.0..=args.yaw_max).contains(&args.yaw_min) {
        return Err(RenderError::NoYaw(args.yaw_min, args.yaw_max));
    }
    let renderer = Renderer::open(&args.assets, args.gpu.as_deref())?;
    tracing::info!(device = renderer.gpu.name, "rendering");
    let options = SamplerOptions {
        whole_frame: args.frame,
        size: args.size,
        faults: !args.no_faults,
        yaw_max_rad: args.yaw_max.to_radians(),
        yaw_min_rad: args.yaw_min.to_radians(),
        occluders: !args.no_occluders,
        expressions: args.expressions,
        at_rest: args.at_rest,
    };
    let workers =
        args.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from)).max(1);
    match (&args.sheet, &args.out) {
        (Some(path), _) => sheet::write(&renderer, args, options, path),
        (None, Some(out)) if args.clip.is_some() => super::clip::write(&renderer, args, out),
        (None, Some(out)) => data_set(&renderer, args, options, workers, out),
        (None, None) => Ok(()),
    }
}

/// Size of a picture: crops are square, frames 4:3.
pub fn picture_size(args: &RenderFacesArgs) -> (u32, u32) {
    (args.size, if args.frame || args.clip.is_some() { args.size * 3 / 4 } else { args.size })
}

fn data_set(
    renderer: &Renderer,
    args: &RenderFacesArgs,
    options: SamplerOptions,
    workers: usize,
    out: &std::path::Path,
) -> Result<(), RenderError> {
    let (width, height) = picture_size(args);
    let mut settings = json!({
        "format": 1, "seed": args.seed, "picture": [width, height], "kind": if args.frame { "frame" } else { "crop" },
        "faults": options.faults, "occluders": options.occluders, "yaw_max_degrees": args.yaw_max,
        "yaw_min_degrees": args.yaw_min, "shard": args.shard, "expressions": args.expressions,
    });
    if args.at_rest {
        // Absent elsewhere: data sets that were begun before are continued.
        settings["at_rest"] = true.into();
    }
    let set = DataSet::open(out, settings, args.shard)?;
    let shards = args.count.div_ceil(args.shard);
    let open: Vec<u64> = (0..shards)
        .filter(|n| {
            let faces = set.faces(*n, args.count);
            !set.is_done(*n, faces.end - faces.start)
        })
        .collect();
    let todo: u64 = open.iter().map(|n| set.faces(*n, args.count)).map(|f| f.end - f.start).sum();
    let bar = progress(args.count, args.count - todo);
    let slots = renderer.slots();
    let batches = open.iter().flat_map(|n| {
        let faces = set.faces(*n, args.count);
        let starts = (faces.start..faces.end).step_by(slots);
        starts.map(move |s| s..(s + slots as u64).min(faces.end)).collect::<Vec<_>>()
    });
    let sampler = Sampler::new(&renderer.studio.pack, &renderer.studio.environments, options);
    let mut waiting: BTreeMap<u64, Vec<Record>> = BTreeMap::new();
    in_parallel(
        workers,
        batches,
        || Worker::new(&renderer.studio, &renderer.gpu, (width, height), slots),
        |worker, batch| {
            let specs: Vec<_> = batch.map(|i| (i, sampler.sample(args.seed, i))).collect();
            let rendered = worker.render(&specs, |_, _, _| ())?;
            rendered.into_iter().map(|r| worker.record(r)).collect()
        },
        |records| {
            bar.inc(records.len() as u64);
            let Some(number) = records.first().map(|r| r.label.index / args.shard) else { return Ok(()) };
            let shard = waiting.entry(number).or_default();
            shard.extend(records);
            let faces = set.faces(number, args.count);
            if shard.len() as u64 == faces.end - faces.start {
                let mut whole = waiting.remove(&number).unwrap_or_default();
                whole.sort_by_key(|r| r.label.index);
                set.write(number, &whole)?;
            }
            Ok(())
        },
    )?;
    bar.finish();
    Ok(())
}

/// A bar on the terminal; silent where there is none.
pub(super) fn progress(count: u64, done: u64) -> ProgressBar {
    let bar = ProgressBar::new(count).with_position(done);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} faces, {per_sec}, {eta} left");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.reset_eta();
    bar
}
