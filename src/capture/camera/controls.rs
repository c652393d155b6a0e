//! Camera controls: set for us, put back for the next program.

use super::sys::{Control, Device};
use crate::capture::{CaptureConfig, CaptureError};
use v4l::v4l_sys::V4L2_CID_EXPOSURE_AUTO_PRIORITY;

/// Controls as they were before us.
#[derive(Debug, Default)]
pub(super) struct Saved(Vec<(u32, i32)>);

/// The name as `v4l2-ctl -l` prints it: small letters, everything else one underscore.
fn plain_name(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_")
}

/// Sets what the config asks for. Automatic modes stand before manual values in the list, because a driver refuses
/// a manual value while the automatic rules.
pub(super) fn apply(device: &Device, path: &str, config: &CaptureConfig) -> Result<Saved, CaptureError> {
    let offered = if config.controls.is_empty() && !config.lock_fps { Vec::new() } else { device.controls() };
    let mut wanted = Vec::new();
    for (name, &value) in &config.controls {
        let Some(control) = offered.iter().find(|c| plain_name(&c.name) == plain_name(name)) else {
            let offered = offered.iter().map(|c| plain_name(&c.name)).collect::<Vec<_>>().join(", ");
            return Err(CaptureError::UnknownControl { device: path.into(), name: name.clone(), offered });
        };
        let range = i64::from(control.min)..=i64::from(control.max);
        if !range.contains(&value) {
            let (name, min, max) = (name.clone(), control.min, control.max);
            return Err(CaptureError::ControlRange { device: path.into(), name, value, min, max });
        }
        wanted.push((control, value as i32));
    }
    if config.lock_fps {
        match offered.iter().find(|c| c.id == V4L2_CID_EXPOSURE_AUTO_PRIORITY) {
            Some(control) => wanted.push((control, 0)),
            None => {
                tracing::info!("{path} has no control that lets exposure lower its rate: nothing to lock");
            }
        }
    }
    wanted.sort_by_key(|(control, _)| !plain_name(&control.name).contains("auto"));
    let mut saved = Saved::default();
    for (control, value) in wanted {
        saved.set(device, path, control, value)?;
    }
    Ok(saved)
}

impl Saved {
    fn set(
        &mut self,
        device: &Device,
        path: &str,
        control: &Control,
        value: i32,
    ) -> Result<(), CaptureError> {
        let result = device.control(control.id).and_then(|before| {
            device.set_control(control.id, value)?;
            if before != value {
                self.0.push((control.id, before));
            }
            Ok(())
        });
        result.map_err(|source| {
            self.restore(device);
            CaptureError::Device {
                device: path.into(),
                doing: format!("set {}", plain_name(&control.name)),
                source,
            }
        })
    }

    /// Puts everything back, in reverse order. A camera that is gone has nothing to put back.
    pub(super) fn restore(&mut self, device: &Device) {
        for (id, value) in self.0.drain(..).rev() {
            if let Err(error) = device.set_control(id, value) {
                tracing::debug!("restoring control {id:#x}: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelt_as_v4l2_ctl_prints_them() {
        assert_eq!(plain_name("White Balance, Automatic"), "white_balance_automatic");
        assert_eq!(plain_name("Exposure Time, Absolute"), "exposure_time_absolute");
    }
}
