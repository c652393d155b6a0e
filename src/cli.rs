//! The command line: what may be typed, and how it joins the configuration file.

mod outputs;

pub use outputs::OutputArgs;

use crate::capture::{Flip, Resolution, Rotation, SourceSpec};
use crate::config::Config;
use crate::infer::{Models, TrackerConfig};
use crate::pipeline::{Options, Pace};
use clap::{Args, Parser, Subcommand};
use serde::Deserialize;
use serde::de::value::{Error as ValueError, StrDeserializer};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  facetrackd                                    track the configured camera, VMC to 127.0.0.1:39539
  facetrackd --camera 0 --vmc 127.0.0.1:39540   track the first camera for another receiver
  facetrackd --camera brio --shm face           by a part of the camera's name, into a shared-memory ring
  facetrackd --vmc --vrchat --livelink 192.168.0.20 --csv take.csv
                                                several receivers at once, and a recording
  facetrackd --ifacialmocap-listen 0.0.0.0      as the phone app: whoever asks on the network is answered
  facetrackd --source clip.mp4 --jsonl out.jsonl
  facetrackd --source photos/ --jsonl -         a folder: every image by itself, one line each
  facetrackd demo                               see it work without a camera";

/// Turns a webcam into a face-capture device: head pose, gaze and the 52 ARKit expressions, streamed live.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; without a command, track.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of tracking.
    #[command(flatten)]
    pub track: TrackArgs,
    /// Say more: once for debug, twice for trace. `RUST_LOG`, where it is set, decides instead.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// Everything that is not tracking.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Play the demo clip through the whole pipeline and show the parameters, no camera needed
    #[command(after_help = "Examples:\n  facetrackd demo\n  facetrackd demo --vmc 192.168.0.20:39539 --loop")]
    Demo(Box<DemoArgs>),
    /// List cameras, their formats, and which one would be opened
    #[command(after_help = "Examples:\n  facetrackd cameras\n  facetrackd cameras --json")]
    Cameras {
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
    /// List, install or verify the inference runtime and the networks
    #[command(
        after_help = "Examples:\n  facetrackd models list\n  facetrackd models install\n  facetrackd models verify --json"
    )]
    Models {
        /// What to do with them.
        #[command(subcommand)]
        action: ModelsAction,
    },
    /// Read a configuration file and say what is wrong with it
    #[command(after_help = "Examples:\n  facetrackd check-config\n  facetrackd check-config my.toml --print")]
    CheckConfig {
        /// The file; without it the one that tracking would read.
        path: Option<PathBuf>,
        /// Print the configuration as understood, defaults filled in.
        #[arg(long)]
        print: bool,
    },
    /// Render faces with exact labels, to train networks with
    #[cfg(feature = "render")]
    RenderFaces(crate::gpu::RenderFacesArgs),
    /// Print a shell completion script
    #[command(
        after_help = "Example:\n  facetrackd completions bash > ~/.local/share/bash-completion/completions/facetrackd"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Actions of `facetrackd models`.
#[derive(Debug, Subcommand)]
pub enum ModelsAction {
    /// Show what is used, its licence, source and state
    List {
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
    /// Fetch, verify and convert what is missing or damaged, the packaged networks among it
    Install,
    /// Check every installed file against its hash
    Verify {
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
}

/// Where pictures come from, what is measured and where it goes.
#[derive(Debug, Args)]
pub struct TrackArgs {
    /// Camera: an index, /dev/videoN, a by-id path, or a part of its name
    #[arg(long, value_name = "CAMERA", conflicts_with = "source")]
    pub camera: Option<String>,
    /// A video file, an image, a folder of images, a stream's URL, or `-` for standard input
    #[arg(long, value_name = "PATH")]
    pub source: Option<String>,
    /// Take a folder of images as the frames of a film, not as independent stills
    #[arg(long)]
    pub sequence: bool,
    /// How a file is played
    #[arg(long, value_enum, default_value_t = Pace::Fast)]
    pub pace: Pace,
    /// Give the values before smoothing
    #[arg(long)]
    pub raw: bool,
    /// Track up to this many faces, 1 to 8
    #[arg(long, value_name = "N", value_parser = number_of_faces)]
    pub faces: Option<usize>,
    /// Whose networks find and measure faces
    #[arg(long, value_enum, value_name = "WHOSE")]
    pub models: Option<Models>,
    /// Field of view across the picture's longer side, in degrees
    #[arg(long, value_name = "DEGREES", value_parser = degrees)]
    pub fov: Option<f32>,
    /// Camera resolution, such as 1280x720
    #[arg(long, value_name = "WxH", value_parser = as_in_config::<Resolution>)]
    pub resolution: Option<Resolution>,
    /// Camera frame rate
    #[arg(long, value_name = "FPS")]
    pub fps: Option<f64>,
    /// Camera pixel format: mjpeg, yuyv, nv12 or grey
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Turn the picture clockwise by this many degrees: 0, 90, 180 or 270
    #[arg(long, value_name = "DEGREES")]
    pub rotate: Option<Rotation>,
    /// Mirror the picture: none, horizontal or vertical
    #[arg(long, value_name = "WAY")]
    pub flip: Option<Flip>,
    /// Forbid auto-exposure to lower the frame rate, where the camera offers that control
    #[arg(long)]
    pub lock_fps: bool,
    /// Configuration file; without it facetrackd/config.toml in the XDG place, if there is one
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where samples go.
    #[command(flatten)]
    pub outputs: OutputArgs,
}

/// Options of the demo.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Play it again and again until Ctrl-C
    #[arg(long = "loop")]
    pub repeat: bool,
    /// Print a line a second instead of drawing
    #[arg(long)]
    pub plain: bool,
    /// Where samples go, instead of VMC to 127.0.0.1:39539.
    #[command(flatten)]
    pub outputs: OutputArgs,
}

impl TrackArgs {
    /// Lays what was typed over what the file says. Typed outputs come beside the file's.
    pub fn apply(&self, config: &mut Config) {
        let camera = &mut config.camera;
        camera.resolution = self.resolution.or(camera.resolution);
        camera.fps = self.fps.or(camera.fps);
        camera.format = self.format.clone().or(camera.format.take());
        camera.rotate = self.rotate.unwrap_or(camera.rotate);
        camera.flip = self.flip.unwrap_or(camera.flip);
        camera.lock_fps |= self.lock_fps;
        camera.device = self.camera.clone().or(camera.device.take());
        config.tracking.models = self.models.unwrap_or(config.tracking.models);
        config.tracking.detector = self.models.unwrap_or(config.tracking.detector);
        config.tracking.faces = self.faces.unwrap_or(config.tracking.faces);
        config.pose.fov_deg = self.fov.unwrap_or(config.pose.fov_deg);
        config.output.extend(self.outputs.configs());
    }

    /// What to run, beside the configuration.
    pub fn options(&self, config: &Config) -> Options {
        Options {
            source: self
                .source
                .as_deref()
                .map_or_else(|| config.camera.source(), SourceSpec::from_source_arg),
            sequence: self.sequence,
            pace: self.pace,
            repeat: false,
            raw: self.raw,
        }
    }
}

/// Reads a value as the configuration file would.
fn as_in_config<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, String> {
    T::deserialize(StrDeserializer::<ValueError>::new(text)).map_err(|error| error.to_string())
}

/// A number of faces that can be tracked.
fn number_of_faces(text: &str) -> Result<usize, String> {
    let range = TrackerConfig::FACES;
    text.parse()
        .ok()
        .filter(|faces| range.contains(faces))
        .ok_or_else(|| format!("{} to {} faces can be tracked", range.start(), range.end()))
}

/// An angle that a lens can have.
fn degrees(text: &str) -> Result<f32, String> {
    let degrees: f32 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    let range = crate::solve::PoseConfig::FOV_DEG;
    if range.contains(&degrees) {
        Ok(degrees)
    } else {
        Err(format!("a field of view is {} to {} degrees", range.start(), range.end()))
    }
}
