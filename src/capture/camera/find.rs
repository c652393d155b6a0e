//! Which cameras there are, and which one is meant.

use super::choice::{Bus, choose, describe};
use super::sys::{Caps, Device};
use super::{CameraInfo, FormatInfo};
use crate::capture::{CaptureConfig, CaptureError};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const BY_ID: &str = "/dev/v4l/by-id";
const SYSFS: &str = "/sys/class/video4linux";

/// A device node that may be a camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) number: u32,
    pub(super) path: PathBuf,
    /// See [`CameraInfo::id`]; `None` where only opening it could tell.
    pub(super) id: Option<String>,
}

/// A node that is a camera, or one that we may not look into.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) node: Node,
    pub(super) name: String,
    pub(super) id: String,
    pub(super) device: Result<Device, io::Error>,
}

/// All cameras of this machine, by number.
///
/// # Errors
/// [`CaptureError::Io`] where `/dev` cannot be read. No camera is an empty list.
pub fn list_cameras() -> Result<Vec<CameraInfo>, CaptureError> {
    Ok(find_all()?.into_iter().map(describe_camera).collect())
}

fn describe_camera(found: Found) -> CameraInfo {
    let bus = bus_of(&found.node);
    let mut info = CameraInfo {
        index: found.node.number,
        path: found.node.path.display().to_string(),
        name: found.name,
        id: found.id,
        bus: bus.to_string(),
        formats: Vec::new(),
        chosen: None,
        problem: None,
    };
    match found.device {
        Err(error) => info.problem = Some(explain_open(&found.node.path, error).to_string()),
        Ok(device) => {
            let modes = device.modes(None, None);
            info.formats = FormatInfo::group(&modes);
            match choose(&modes, bus, &CaptureConfig::default()) {
                Ok(choice) => info.chosen = Some(choice.into()),
                Err(reason) => info.problem = Some(reason.explain(&info.path, describe(&modes)).to_string()),
            }
        }
    }
    info
}

/// Every `/dev/videoN` with what is known of it without opening it.
pub(super) fn nodes() -> Result<Vec<Node>, CaptureError> {
    let io = |e| CaptureError::io(Path::new("/dev"), e);
    let by_id = by_id_links();
    let mut nodes = Vec::new();
    for entry in fs::read_dir("/dev").map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        let name = name.to_string_lossy();
        let Some(number) = name.strip_prefix("video").and_then(|n| n.parse().ok()) else { continue };
        let id = by_id.get(&*name).cloned().or_else(|| usb_id(&name));
        nodes.push(Node { number, path: Path::new("/dev").join(&*name), id });
    }
    nodes.sort_by_key(|n| n.number);
    Ok(nodes)
}

/// Node name to by-id name. There are none without udev, and none for cameras that are not on USB.
fn by_id_links() -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(BY_ID) else { return BTreeMap::new() };
    let link = |entry: io::Result<fs::DirEntry>| {
        let name = entry.ok()?.file_name();
        let target = fs::read_link(Path::new(BY_ID).join(&name)).ok()?;
        Some((target.file_name()?.to_string_lossy().into_owned(), name.to_string_lossy().into_owned()))
    };
    entries.filter_map(link).collect()
}

/// Vendor, product and serial number of the USB device behind a node, as the kernel shows them.
fn usb_id(node: &str) -> Option<String> {
    let read = |what: &str| {
        fs::read_to_string(format!("{SYSFS}/{node}/{what}")).ok().map(|text| text.trim().to_owned())
    };
    let (vendor, product) = (read("device/../idVendor")?, read("device/../idProduct")?);
    let serial = read("device/../serial").unwrap_or_default();
    let index = read("index").unwrap_or_else(|| "0".into());
    Some(format!("usb-{vendor}:{product}-{serial}-video-index{index}"))
}

pub(super) fn bus_of(node: &Node) -> Bus {
    let Some(name) = node.path.file_name() else { return Bus::Other };
    let speed = fs::read_to_string(Path::new(SYSFS).join(name).join("device/../speed"));
    match speed.ok().and_then(|s| s.trim().parse::<f64>().ok()) {
        Some(megabits) => Bus::Usb(megabits as u32),
        // Without sysfs, as in some containers, the id may still tell: then assume the slowest that cameras use.
        None if node.id.as_deref().is_some_and(|id| id.starts_with("usb-")) => Bus::Usb(480),
        None => Bus::Other,
    }
}

/// All nodes that deliver pictures, and those that we cannot open to know.
fn find_all() -> Result<Vec<Found>, CaptureError> {
    let mut cameras = Vec::new();
    for node in nodes()? {
        let opened = Device::open(&node.path).and_then(|device| device.caps().map(|caps| (device, caps)));
        match opened {
            Ok((_, Caps { is_camera: false, .. })) => {}
            Ok((device, caps)) => {
                let id = node.id.clone().unwrap_or_else(|| fallback_id(&caps));
                cameras.push(Found { node, name: caps.card, id, device: Ok(device) });
            }
            // A node that vanished under our eyes is no camera.
            Err(e) if e.kind() == io::ErrorKind::NotFound || is_gone(&e) => {}
            Err(error) => {
                let name =
                    node.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                let name =
                    fs::read_to_string(format!("{SYSFS}/{name}/name")).unwrap_or_default().trim().to_owned();
                let id = node.id.clone().unwrap_or_default();
                cameras.push(Found { node, name, id, device: Err(error) });
            }
        }
    }
    Ok(cameras)
}

fn fallback_id(caps: &Caps) -> String {
    format!("{}@{}", caps.card, caps.bus_info)
}

/// Finds the one camera that `which` names.
pub(super) fn find(which: &str) -> Result<(Node, String, Device), CaptureError> {
    let mut cameras = find_all()?;
    if cameras.is_empty() {
        return Err(CaptureError::NoCamera);
    }
    let matches = matching(&cameras, which);
    let [at] = matches[..] else {
        let names = |at: &mut dyn Iterator<Item = &Found>| {
            at.map(|c| format!("{} {}", c.node.path.display(), c.name)).collect::<Vec<_>>().join(", ")
        };
        let wanted = which.to_owned();
        return Err(if matches.is_empty() {
            CaptureError::NoSuchCamera { wanted, offered: names(&mut cameras.iter()) }
        } else {
            CaptureError::Ambiguous { wanted, matches: names(&mut matches.iter().map(|&i| &cameras[i])) }
        });
    };
    let Found { node, id, device, .. } = cameras.swap_remove(at);
    match device {
        Ok(device) => Ok((node, id, device)),
        Err(error) => Err(explain_open(&node.path, error)),
    }
}

/// By number, by path (a by-id link included), by id, then by any part of the name.
fn matching(cameras: &[Found], which: &str) -> Vec<usize> {
    let at = |is: &dyn Fn(&Found) -> bool| -> Vec<usize> {
        cameras.iter().enumerate().filter(|(_, c)| is(c)).map(|(i, _)| i).collect()
    };
    if let Ok(number) = which.parse::<u32>() {
        return at(&|c| c.node.number == number);
    }
    let path = Path::new(which);
    if path.is_absolute() {
        let linked = fs::read_link(path).ok().and_then(|to| Some(Path::new("/dev").join(to.file_name()?)));
        let target = linked.unwrap_or_else(|| path.to_owned());
        return at(&|c| c.node.path == target);
    }
    let ids = at(&|c| c.id == which);
    let part = which.to_lowercase();
    let names = at(&|c| c.name.to_lowercase() == part);
    match (ids.len(), names.len()) {
        (1.., _) => ids,
        (0, 1) => names,
        _ => at(&|c| c.name.to_lowercase().contains(&part)),
    }
}

/// Finds a camera again that was lost: by its id wherever it is now, without waking up the others; by its path where
/// an id says nothing.
pub(super) fn find_again(id: &str, path: &Path) -> Result<(Node, Device), CaptureError> {
    let nodes = nodes()?;
    // Two cameras without serial numbers share an id: the one at the old place is likelier the old one.
    let known = nodes.iter().filter(|n| n.id.as_deref() == Some(id));
    let best = known.max_by_key(|n| n.path == path);
    let candidates = best.into_iter().chain(nodes.iter().filter(|n| n.id.is_none()));
    let mut last = CaptureError::NoCamera;
    for node in candidates {
        match Device::open(&node.path).and_then(|device| device.caps().map(|caps| (device, caps))) {
            Ok((device, caps)) if caps.is_camera && (node.id.is_some() || fallback_id(&caps) == id) => {
                return Ok((node.clone(), device));
            }
            Ok(_) => {}
            Err(error) => last = explain_open(&node.path, error),
        }
    }
    Err(last)
}

/// Errors by which a driver says that its camera is no longer there.
pub(super) fn is_gone(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::NODEV, Errno::NXIO, Errno::NOENT].iter().any(|gone| code == Some(gone.raw_os_error()))
}

pub(super) fn explain_open(path: &Path, source: io::Error) -> CaptureError {
    let device = path.display().to_string();
    match source.kind() {
        io::ErrorKind::PermissionDenied => CaptureError::Permission { device, group: group_of(path) },
        io::ErrorKind::ResourceBusy => CaptureError::Busy { holder: holder_of(path), device },
        _ if is_gone(&source) => CaptureError::Gone { device },
        _ => CaptureError::Device { device, doing: "open it".into(), source },
    }
}

/// The group that may use the node; `video` where the system does not tell.
fn group_of(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let name = || {
        let gid = fs::metadata(path).ok()?.gid().to_string();
        let groups = fs::read_to_string("/etc/group").ok()?;
        let line = groups.lines().find(|l| l.split(':').nth(2) == Some(&gid))?;
        line.split(':').next().filter(|&name| name != "root").map(str::to_owned)
    };
    name().unwrap_or_else(|| "video".into())
}

/// The program that has the node open, as far as we may see: our own user's processes.
fn holder_of(path: &Path) -> String {
    let own = std::process::id().to_string();
    let holds = |process: &Path| {
        let links = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        links.into_iter().any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target == path))
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes.map(|p| p.path()) {
        let Some(id) = process.file_name().and_then(|n| n.to_str()).filter(|n| n.parse::<u32>().is_ok())
        else {
            continue;
        };
        if id != own && holds(&process) {
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            return format!("{} (process {id})", name.trim());
        }
    }
    "another program".into()
}
