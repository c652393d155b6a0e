//! The kernel's side of a V4L2 camera: everything that is `unsafe` about it, and nothing else.
//!
//! Structures and system calls are the `v4l` crate's. Its own stream type is not used: it cannot time out without
//! losing a buffer, and panics on values that newer drivers know.
#![expect(unsafe_code, reason = "ioctl and mmap have no safe form")]

use super::choice::{FourCc, Mode};
use super::pixels::Layout;
use std::ffi::c_void;
use std::fmt;
use std::io;
use std::mem::{size_of, zeroed};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use v4l::device::Handle;
use v4l::v4l_sys as sys;
use v4l::v4l2::{self, vidioc};

const CAPTURE: u32 = sys::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE;
const MMAP: u32 = sys::v4l2_memory_V4L2_MEMORY_MMAP;

/// Sizes to try where a driver offers a range.
const COMMON_SIZES: [(u32, u32); 8] =
    [(640, 360), (640, 480), (800, 600), (960, 540), (1280, 720), (1280, 960), (1920, 1080), (3840, 2160)];

/// An open device node.
pub(super) struct Device {
    handle: Arc<Handle>,
}

/// Who the device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caps {
    pub(super) card: String,
    pub(super) bus_info: String,
    /// It delivers pictures (and is no metadata or output node).
    pub(super) is_camera: bool,
}

/// A control as the driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) id: u32,
    pub(super) name: String,
    pub(super) min: i32,
    pub(super) max: i32,
}

/// A buffer that the driver filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Filled {
    pub(super) index: u32,
    pub(super) bytes: usize,
    pub(super) is_error: bool,
    /// The timestamp counts `CLOCK_MONOTONIC`.
    pub(super) is_monotonic: bool,
    pub(super) timestamp_ns: u64,
    pub(super) sequence: u32,
}

/// Bits of a control's flags that make it nothing to set: disabled, read-only, write-only (buttons).
const UNSETTABLE: u32 =
    sys::V4L2_CTRL_FLAG_DISABLED | sys::V4L2_CTRL_FLAG_READ_ONLY | sys::V4L2_CTRL_FLAG_WRITE_ONLY;

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.handle.fd())
    }
}

impl Device {
    /// Opens the node for reading and writing, without blocking.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { handle: v4l::Device::with_path(path)?.handle() })
    }

    /// # Safety
    /// `request` must be one whose argument is a `T`.
    unsafe fn ioctl<T>(&self, request: vidioc::_IOC_TYPE, argument: &mut T) -> io::Result<()> {
        debug_assert_eq!(
            (request >> 16) as usize & 0x3fff,
            size_of::<T>(),
            "the request carries its argument's size"
        );
        // SAFETY: the kernel reads and writes the size of `T` at a place that we own.
        unsafe { v4l2::ioctl(self.handle.fd(), request, std::ptr::from_mut(argument).cast::<c_void>()) }
    }

    pub(super) fn caps(&self) -> io::Result<Caps> {
        // SAFETY: zero is a value of every structure of V4L2; the request fits the structure.
        let raw = unsafe {
            let mut raw: sys::v4l2_capability = zeroed();
            self.ioctl(vidioc::VIDIOC_QUERYCAP, &mut raw)?;
            raw
        };
        // The node's own capabilities: `capabilities` adds up those of all nodes of the device.
        let has_own = raw.capabilities & sys::V4L2_CAP_DEVICE_CAPS != 0;
        let own = if has_own { raw.device_caps } else { raw.capabilities };
        let needed = sys::V4L2_CAP_VIDEO_CAPTURE | sys::V4L2_CAP_STREAMING;
        Ok(Caps { card: text(&raw.card), bus_info: text(&raw.bus_info), is_camera: own & needed == needed })
    }

    /// All formats, sizes and rates. `wanted` is tried too where the driver offers a range of sizes.
    pub(super) fn modes(&self, wanted: Option<(u32, u32)>, fps: Option<f64>) -> Vec<Mode> {
        let mut modes = Vec::new();
        for index in 0..64 {
            // SAFETY: as in `caps`.
            let format = unsafe {
                let mut raw: sys::v4l2_fmtdesc = zeroed();
                (raw.index, raw.type_) = (index, CAPTURE);
                if self.ioctl(vidioc::VIDIOC_ENUM_FMT, &mut raw).is_err() {
                    break;
                }
                raw.pixelformat
            };
            for (width, height) in self.sizes(format, wanted) {
                let intervals = self.intervals(format, width, height, fps).into_iter();
                let format = FourCc(format.to_le_bytes());
                modes.extend(intervals.map(|interval| Mode { format, width, height, interval }));
            }
        }
        modes
    }

    fn sizes(&self, format: u32, wanted: Option<(u32, u32)>) -> Vec<(u32, u32)> {
        let mut sizes = Vec::new();
        for index in 0..256 {
            // SAFETY: as in `caps`; the type says which member of the union was written.
            unsafe {
                let mut raw: sys::v4l2_frmsizeenum = zeroed();
                (raw.index, raw.pixel_format) = (index, format);
                if self.ioctl(vidioc::VIDIOC_ENUM_FRAMESIZES, &mut raw).is_err() {
                    break;
                }
                if raw.type_ == sys::v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE {
                    let size = raw.__bindgen_anon_1.discrete;
                    sizes.push((size.width, size.height));
                    continue;
                }
                let r = raw.__bindgen_anon_1.stepwise;
                let fits = |at: u32, min: u32, max: u32, step: u32| {
                    (min..=max).contains(&at) && (at - min).is_multiple_of(step.max(1))
                };
                sizes.extend(COMMON_SIZES.into_iter().chain(wanted).filter(|&(w, h)| {
                    fits(w, r.min_width, r.max_width, r.step_width)
                        && fits(h, r.min_height, r.max_height, r.step_height)
                }));
                break;
            }
        }
        if sizes.is_empty() {
            // A driver that does not tell: what it is set to.
            sizes.extend(self.layout().ok().filter(|l| l.width > 0).map(|l| (l.width, l.height)));
        }
        sizes.dedup();
        sizes
    }

    fn intervals(&self, format: u32, width: u32, height: u32, fps: Option<f64>) -> Vec<(u32, u32)> {
        let mut intervals = Vec::new();
        for index in 0..256 {
            // SAFETY: as in `sizes`.
            unsafe {
                let mut raw: sys::v4l2_frmivalenum = zeroed();
                (raw.index, raw.pixel_format, raw.width, raw.height) = (index, format, width, height);
                if self.ioctl(vidioc::VIDIOC_ENUM_FRAMEINTERVALS, &mut raw).is_err() {
                    break;
                }
                if raw.type_ == sys::v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE {
                    let interval = raw.__bindgen_anon_1.discrete;
                    intervals.push((interval.numerator, interval.denominator));
                    continue;
                }
                // A range: its fastest, and what was asked for where that lies inside.
                let range = raw.__bindgen_anon_1.stepwise;
                let seconds = |f: sys::v4l2_fract| f64::from(f.numerator) / f64::from(f.denominator.max(1));
                intervals.push((range.min.numerator, range.min.denominator));
                let asked = fps.filter(|f| (seconds(range.min)..=seconds(range.max)).contains(&f.recip()));
                intervals.extend(asked.map(|f| (1000, (f * 1000.0).round() as u32)));
                break;
            }
        }
        intervals.retain(|&(n, d)| n > 0 && d > 0);
        if intervals.is_empty() {
            // A driver that does not tell: assume what nearly every camera does.
            intervals.push((1, 30));
        }
        intervals
    }

    fn layout(&self) -> io::Result<Layout> {
        // SAFETY: as in `caps`; for this type of buffer the union holds `pix`.
        unsafe {
            let mut raw: sys::v4l2_format = zeroed();
            raw.type_ = CAPTURE;
            self.ioctl(vidioc::VIDIOC_G_FMT, &mut raw)?;
            Ok(layout_of(&raw.fmt.pix))
        }
    }

    /// Sets format, size and rate; returns what the driver made of it.
    pub(super) fn set_mode(&self, mode: &Mode) -> io::Result<Layout> {
        // SAFETY: as in `layout`; for this type of buffer the parameters' union holds `capture`.
        unsafe {
            let mut raw: sys::v4l2_format = zeroed();
            raw.type_ = CAPTURE;
            raw.fmt.pix.width = mode.width;
            raw.fmt.pix.height = mode.height;
            raw.fmt.pix.pixelformat = u32::from_le_bytes(mode.format.0);
            raw.fmt.pix.field = sys::v4l2_field_V4L2_FIELD_NONE;
            self.ioctl(vidioc::VIDIOC_S_FMT, &mut raw)?;
            let layout = layout_of(&raw.fmt.pix);
            let mut parameters: sys::v4l2_streamparm = zeroed();
            parameters.type_ = CAPTURE;
            parameters.parm.capture.timeperframe =
                sys::v4l2_fract { numerator: mode.interval.0, denominator: mode.interval.1 };
            match self.ioctl(vidioc::VIDIOC_S_PARM, &mut parameters) {
                // A driver without a rate to set runs at the one it has.
                Err(e) if e.raw_os_error() != Some(rustix::io::Errno::NOTTY.raw_os_error()) => Err(e),
                _ => Ok(layout),
            }
        }
    }

    /// The settable controls: integers, switches, menus.
    pub(super) fn controls(&self) -> Vec<Control> {
        let mut controls = Vec::new();
        let mut last = 0;
        // The bound is against a driver that never ends its list.
        for _ in 0..1024 {
            // SAFETY: as in `caps`.
            let raw = unsafe {
                let mut raw: sys::v4l2_queryctrl = zeroed();
                raw.id = last | sys::V4L2_CTRL_FLAG_NEXT_CTRL;
                if self.ioctl(vidioc::VIDIOC_QUERYCTRL, &mut raw).is_err() {
                    break;
                }
                raw
            };
            last = raw.id;
            let has_value = [
                sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER,
                sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_BOOLEAN,
                sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_MENU,
                sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER_MENU,
            ]
            .contains(&raw.type_);
            if has_value && raw.flags & UNSETTABLE == 0 {
                let name = text(&raw.name);
                controls.push(Control { id: raw.id, name, min: raw.minimum, max: raw.maximum });
            }
        }
        controls
    }

    pub(super) fn control(&self, id: u32) -> io::Result<i32> {
        let mut raw = sys::v4l2_control { id, value: 0 };
        // SAFETY: the request fits the structure.
        unsafe { self.ioctl(vidioc::VIDIOC_G_CTRL, &mut raw)? };
        Ok(raw.value)
    }

    pub(super) fn set_control(&self, id: u32, value: i32) -> io::Result<()> {
        let mut raw = sys::v4l2_control { id, value };
        // SAFETY: the request fits the structure.
        unsafe { self.ioctl(vidioc::VIDIOC_S_CTRL, &mut raw) }
    }
}

/// Buffers shared with the driver, streaming while this lives.
pub(super) struct Buffers {
    device: Device,
    maps: Vec<(*mut c_void, usize)>,
}

// SAFETY: the maps belong to this value alone and are not tied to a thread.
unsafe impl Send for Buffers {}

impl Buffers {
    /// Maps `count` buffers (the driver may give more or fewer), queues them all and starts the stream.
    pub(super) fn start(device: Device, count: u32) -> io::Result<Self> {
        let mut buffers = Self { device, maps: Vec::new() };
        // SAFETY: as in `Device::caps`; what is mapped is what QUERYBUF describes, and is unmapped on drop.
        unsafe {
            let mut request: sys::v4l2_requestbuffers = zeroed();
            (request.count, request.type_, request.memory) = (count, CAPTURE, MMAP);
            buffers.device.ioctl(vidioc::VIDIOC_REQBUFS, &mut request)?;
            for index in 0..request.count {
                let mut raw = blank(index);
                buffers.device.ioctl(vidioc::VIDIOC_QUERYBUF, &mut raw)?;
                let (len, offset) = (raw.length as usize, i64::from(raw.m.offset));
                // PROT_READ and MAP_SHARED: 1 and 1 on every Linux.
                let map = v4l2::mmap(std::ptr::null_mut(), len, 1, 1, buffers.device.handle.fd(), offset)?;
                buffers.maps.push((map, len));
                buffers.queue(index)?;
            }
            let mut kind = CAPTURE.cast_signed();
            buffers.device.ioctl(vidioc::VIDIOC_STREAMON, &mut kind)?;
        }
        Ok(buffers)
    }

    pub(super) fn count(&self) -> usize {
        self.maps.len()
    }

    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    /// Waits until a buffer is filled or the device has something else to say; `false` where the time ran out.
    pub(super) fn wait(&self, patience: Duration) -> io::Result<bool> {
        const POLLIN: i16 = 1;
        match self.device.handle.poll(POLLIN, patience.as_millis() as i32) {
            Ok(ready) => Ok(ready > 0),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Takes the oldest filled buffer; `None` where none is.
    pub(super) fn dequeue(&self) -> io::Result<Option<Filled>> {
        let mut raw = blank(0);
        // SAFETY: as in `Device::caps`.
        match unsafe { self.device.ioctl(vidioc::VIDIOC_DQBUF, &mut raw) } {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(e) => return Err(e),
            Ok(()) => {}
        }
        if raw.index as usize >= self.maps.len() {
            return Err(io::Error::other("the driver handed over a buffer that it does not have"));
        }
        let kind = raw.flags & sys::V4L2_BUF_FLAG_TIMESTAMP_MASK;
        Ok(Some(Filled {
            index: raw.index,
            bytes: raw.bytesused as usize,
            is_error: raw.flags & sys::V4L2_BUF_FLAG_ERROR != 0,
            is_monotonic: kind == sys::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC,
            timestamp_ns: raw.timestamp.tv_sec.cast_unsigned() * 1_000_000_000
                + raw.timestamp.tv_usec.cast_unsigned() * 1000,
            sequence: raw.sequence,
        }))
    }

    /// The bytes of a dequeued buffer, at most as many as the buffer holds.
    pub(super) fn bytes(&self, filled: &Filled) -> &[u8] {
        let (map, len) = self.maps[filled.index as usize];
        // SAFETY: the map is `len` bytes of readable memory until drop; the driver does not write to a buffer that
        // is dequeued.
        unsafe { std::slice::from_raw_parts(map.cast::<u8>(), filled.bytes.min(len)) }
    }

    /// Gives a buffer back to the driver.
    pub(super) fn queue(&self, index: u32) -> io::Result<()> {
        // SAFETY: as in `Device::caps`.
        unsafe { self.device.ioctl(vidioc::VIDIOC_QBUF, &mut blank(index)) }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        let mut kind = CAPTURE.cast_signed();
        // SAFETY: as in `start`; nobody holds a slice of a map once the value goes.
        let results = unsafe {
            let stopped = self.device.ioctl(vidioc::VIDIOC_STREAMOFF, &mut kind);
            let unmapped = self.maps.iter().try_for_each(|&(map, len)| v4l2::munmap(map, len));
            let mut request: sys::v4l2_requestbuffers = zeroed();
            (request.type_, request.memory) = (CAPTURE, MMAP);
            [stopped, unmapped, self.device.ioctl(vidioc::VIDIOC_REQBUFS, &mut request)]
        };
        // A camera that was unplugged refuses all of it, and has freed its side already.
        for error in results.into_iter().filter_map(Result::err) {
            tracing::debug!("releasing the camera's buffers: {error}");
        }
    }
}

fn blank(index: u32) -> sys::v4l2_buffer {
    // SAFETY: zero is a value of every structure of V4L2.
    let mut raw: sys::v4l2_buffer = unsafe { zeroed() };
    (raw.index, raw.type_, raw.memory) = (index, CAPTURE, MMAP);
    raw
}

fn layout_of(pix: &sys::v4l2_pix_format) -> Layout {
    // V4L2_COLORSPACE_REC709, V4L2_COLORSPACE_JPEG; V4L2_YCBCR_ENC_709, _XV709; V4L2_QUANTIZATION_FULL_RANGE.
    const REC709: u32 = 3;
    const JPEG: u32 = 7;
    const FULL: u32 = 1;
    // SAFETY: all members of this union are the same number.
    let encoding = unsafe { pix.__bindgen_anon_1.ycbcr_enc };
    Layout {
        format: FourCc(pix.pixelformat.to_le_bytes()),
        width: pix.width,
        height: pix.height,
        stride: pix.bytesperline,
        full_range: pix.quantization == FULL || (pix.quantization == 0 && pix.colorspace == JPEG),
        bt709: matches!(encoding, 2 | 4) || (encoding == 0 && pix.colorspace == REC709),
    }
}

/// Bytes up to the first zero, whatever they are.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
}
