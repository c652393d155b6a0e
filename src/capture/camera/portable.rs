//! Cameras on macOS and Windows, through `nokhwa`.
//!
//! `nokhwa` blocks until a frame comes and takes no timeout, so a thread of its own waits for it and leaves the newest
//! frame in a slot. What it cannot tell is missing here against Linux: the bus, buffers that are broken, frames that the
//! driver dropped, controls. A camera that freezes is reported, but comes back only when `nokhwa` returns.
//!
//! No such machine was at hand: this is compiled (`--features nokhwa`), not tried.

use super::choice::{Bus, FourCc, Mode, choose, describe};
use super::pixels::{Layout, unpack};
use super::{CameraInfo, ChosenInfo, FormatInfo};
use crate::capture::mjpeg::JpegDecoder;
use crate::capture::pipe::PATIENCE;
use crate::capture::{CaptureConfig, CaptureError, Next};
use crate::clock::MonoTime;
use crate::frame::Frame;
use nokhwa::utils::{
    ApiBackend, CameraFormat, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType,
};
use nokhwa::{Buffer, Camera as Device, NokhwaError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Wait between attempts to reopen.
const RETRY: Duration = Duration::from_secs(1);

const ALL_FORMATS: [FrameFormat; 4] =
    [FrameFormat::MJPEG, FrameFormat::YUYV, FrameFormat::NV12, FrameFormat::GRAY];

/// What the thread leaves for us.
#[derive(Debug, Default)]
struct Slot {
    newest: Option<(Buffer, MonoTime)>,
    taken: u64,
    lost: Option<String>,
}

#[derive(Debug, Default)]
struct Shared {
    slot: Mutex<Slot>,
    filled: Condvar,
    stop: AtomicBool,
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut Slot)) {
        change(&mut self.slot.lock().unwrap_or_else(PoisonError::into_inner));
        self.filled.notify_one();
    }
}

#[derive(Debug)]
pub(in crate::capture) struct Camera {
    name: String,
    shared: Arc<Shared>,
    decoder: JpegDecoder,
    width_max: Option<u32>,
    freeze: Duration,
    interval: Option<Duration>,
    alive_at: MonoTime,
    reported: bool,
    starts_sequence: bool,
    first_time: Option<MonoTime>,
    taken: u64,
    given: u64,
}

impl Camera {
    pub(in crate::capture) fn open(which: &str, config: &CaptureConfig) -> Result<Self, CaptureError> {
        let (index, name) = find(which)?;
        let mode = {
            let mut device = open_any(&index).map_err(|e| failed(&name, "open it", &e))?;
            let formats =
                device.compatible_camera_formats().map_err(|e| failed(&name, "list its formats", &e))?;
            pick(&name, &formats, config)?
        };
        let decoder = JpegDecoder::new().map_err(|e| CaptureError::Device {
            device: name.clone(),
            doing: "decode for it".into(),
            source: std::io::Error::other(e),
        })?;
        let shared = Arc::new(Shared::default());
        let for_thread = Arc::clone(&shared);
        let spawned = std::thread::Builder::new()
            .name("ft-nokhwa".into())
            .spawn(move || watch(&index, mode, &for_thread));
        spawned.map_err(|source| CaptureError::Device {
            device: name.clone(),
            doing: "start a thread for it".into(),
            source,
        })?;
        Ok(Self {
            name,
            shared,
            decoder,
            width_max: (config.decode_width_max > 0).then_some(config.decode_width_max),
            freeze: Duration::from_secs_f64(config.freeze_timeout_s.clamp(0.2, 60.0)),
            interval: Some(Duration::from_secs_f64(1.0 / f64::from(mode.frame_rate().max(1)))),
            alive_at: MonoTime::now(),
            reported: false,
            starts_sequence: true,
            first_time: None,
            taken: 0,
            given: 0,
        })
    }

    pub(in crate::capture) fn frame_interval(&self) -> Option<Duration> {
        self.interval
    }

    pub(in crate::capture) fn skipped(&self) -> u64 {
        self.taken - self.given
    }

    pub(in crate::capture) fn next(&mut self, frame: &mut Frame) -> Next {
        let slot = self.shared.slot.lock().unwrap_or_else(PoisonError::into_inner);
        let waited =
            self.shared.filled.wait_timeout_while(slot, PATIENCE, |s| s.newest.is_none() && s.lost.is_none());
        let (mut slot, _) = waited.unwrap_or_else(PoisonError::into_inner);
        self.taken = slot.taken;
        let (newest, lost) = (slot.newest.take(), slot.lost.take());
        drop(slot);
        if let Some(why) = lost {
            self.lose(&why);
        }
        let Some((buffer, time)) = newest else {
            if MonoTime::now().since(self.alive_at) > self.freeze {
                self.lose("no frame came for too long");
            }
            return Next::Waiting;
        };
        let Some(format) = four_cc(buffer.source_frame_format()) else { return Next::Waiting };
        let (width, height) = (buffer.resolution().width(), buffer.resolution().height());
        let layout = Layout { format, width, height, stride: 0, full_range: false, bt709: false };
        if let Err(error) = unpack(buffer.buffer(), &layout, self.width_max, &mut self.decoder, frame) {
            tracing::trace!("a frame was skipped: {error}");
            return Next::Waiting;
        }
        self.stamp(frame, time);
        Next::Frame
    }

    fn stamp(&mut self, frame: &mut Frame, time: MonoTime) {
        frame.index = self.taken - 1;
        frame.captured_at = time;
        frame.stream_time = MonoTime::default() + time.since(*self.first_time.get_or_insert(time));
        frame.starts_sequence = std::mem::take(&mut self.starts_sequence);
        self.given += 1;
        self.alive_at = MonoTime::now();
        if std::mem::take(&mut self.reported) {
            tracing::info!("camera {} is back", self.name);
        }
    }

    fn lose(&mut self, why: &str) {
        self.starts_sequence = true;
        if !std::mem::replace(&mut self.reported, true) {
            tracing::warn!("camera {} is lost: {why}; waiting for it", self.name);
        }
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        // The thread ends after its next frame; it cannot be woken out of nokhwa's wait.
        self.shared.stop.store(true, Ordering::Release);
    }
}

/// Runs the camera until it is told to stop, opening it again after each failure.
fn watch(index: &CameraIndex, format: CameraFormat, shared: &Shared) {
    while !shared.stop.load(Ordering::Acquire) {
        if let Err(error) = stream(index, format, shared) {
            shared.change(|slot| slot.lost = Some(error.to_string()));
            std::thread::sleep(RETRY);
        }
    }
}

fn stream(index: &CameraIndex, format: CameraFormat, shared: &Shared) -> Result<(), NokhwaError> {
    let formats = [format.format()];
    let request = RequestedFormat::with_formats(RequestedFormatType::Exact(format), &formats);
    let mut device = Device::with_backend(index.clone(), request, ApiBackend::Auto)?;
    device.open_stream()?;
    while !shared.stop.load(Ordering::Acquire) {
        let buffer = device.frame()?;
        let now = MonoTime::now();
        // nokhwa's timestamps are on the wall clock.
        let told = buffer.capture_timestamp().map_or(now, |t| MonoTime::from_unix_nanos(t.as_nanos() as u64));
        shared.change(|slot| {
            slot.newest = Some((buffer, told.min(now)));
            slot.taken += 1;
        });
    }
    device.stop_stream()
}

fn open_any(index: &CameraIndex) -> Result<Device, NokhwaError> {
    let request = RequestedFormat::with_formats(RequestedFormatType::None, &ALL_FORMATS);
    Device::with_backend(index.clone(), request, ApiBackend::Auto)
}

fn pick(name: &str, formats: &[CameraFormat], config: &CaptureConfig) -> Result<CameraFormat, CaptureError> {
    let modes = modes(formats);
    let chosen =
        choose(&modes, Bus::Other, config).map_err(|reason| reason.explain(name, describe(&modes)))?;
    let is_chosen = |f: &&CameraFormat| mode_of(f) == Some(chosen.mode);
    formats.iter().find(is_chosen).copied().ok_or(CaptureError::NoCamera)
}

fn modes(formats: &[CameraFormat]) -> Vec<Mode> {
    formats.iter().filter_map(mode_of).collect()
}

fn mode_of(format: &CameraFormat) -> Option<Mode> {
    let interval = (1, format.frame_rate().max(1));
    Some(Mode { format: four_cc(format.format())?, width: format.width(), height: format.height(), interval })
}

fn four_cc(format: FrameFormat) -> Option<FourCc> {
    Some(FourCc(match format {
        FrameFormat::MJPEG => *b"MJPG",
        FrameFormat::YUYV => *b"YUYV",
        FrameFormat::NV12 => *b"NV12",
        FrameFormat::GRAY => *b"GREY",
        FrameFormat::RAWRGB | FrameFormat::RAWBGR => return None,
    }))
}

fn failed(name: &str, doing: &str, error: &NokhwaError) -> CaptureError {
    let source = std::io::Error::other(error.to_string());
    CaptureError::Device { device: name.into(), doing: doing.into(), source }
}

fn query() -> Result<Vec<nokhwa::utils::CameraInfo>, CaptureError> {
    nokhwa::query(ApiBackend::Auto).map_err(|e| failed("list", "ask the system for cameras", &e))
}

/// By number, by the platform's handle, or by a part of the name.
fn find(which: &str) -> Result<(CameraIndex, String), CaptureError> {
    let cameras = query()?;
    if cameras.is_empty() {
        return Err(CaptureError::NoCamera);
    }
    let part = which.to_lowercase();
    let is_meant = |c: &&nokhwa::utils::CameraInfo| {
        c.index().as_string() == which || c.misc() == which || c.human_name().to_lowercase().contains(&part)
    };
    let list = |cameras: &mut dyn Iterator<Item = &nokhwa::utils::CameraInfo>| {
        cameras.map(|c| format!("{} {}", c.index(), c.human_name())).collect::<Vec<_>>().join(", ")
    };
    let exact = cameras.iter().find(|c| c.index().as_string() == which || c.misc() == which);
    let matches: Vec<_> = exact.map_or_else(|| cameras.iter().filter(is_meant).collect(), |one| vec![one]);
    let wanted = which.to_owned();
    match matches[..] {
        [one] => Ok((one.index().clone(), one.human_name())),
        [] => Err(CaptureError::NoSuchCamera { wanted, offered: list(&mut cameras.iter()) }),
        _ => Err(CaptureError::Ambiguous { wanted, matches: list(&mut matches.iter().copied()) }),
    }
}

/// All cameras that the system tells of.
///
/// # Errors
/// [`CaptureError::Device`] where the system does not answer.
pub fn list_cameras() -> Result<Vec<CameraInfo>, CaptureError> {
    Ok(query()?.iter().zip(0..).map(|(camera, number)| describe_camera(camera, number)).collect())
}

fn describe_camera(camera: &nokhwa::utils::CameraInfo, number: u32) -> CameraInfo {
    let opened = open_any(camera.index()).and_then(|mut device| device.compatible_camera_formats());
    let (formats, problem) = match opened {
        Ok(formats) => (modes(&formats), None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let chosen = choose(&formats, Bus::Other, &CaptureConfig::default()).ok();
    CameraInfo {
        index: camera.index().as_index().unwrap_or(number),
        path: camera.misc(),
        name: camera.human_name(),
        id: camera.misc(),
        bus: "unknown bus".into(),
        formats: FormatInfo::group(&formats),
        chosen: chosen.map(ChosenInfo::from),
        problem,
    }
}
