//! The face renderer: pictures of heads with exact labels, headless, on any Vulkan device.
//!
//! `pack` and `npz` read the asset pack; `shape` blends a head; `sampler` draws what to render; `scene` turns that into
//! vertices and labels; `device` and `target` draw batches of faces; `faults` is the camera; `shard` the data set.

pub mod brows;
pub mod camera;
pub mod device;
pub mod faults;
pub mod labels;
pub mod light;
pub mod mesh;
pub mod npz;
pub mod pack;
pub mod places;
pub mod rng;
pub mod run;
pub mod sampler;
pub mod scene;
pub mod seal;
pub mod shape;
pub mod shard;
pub mod simplify;
pub mod spec;
pub mod target;
pub mod textures;
pub mod things;
pub mod tongue;
pub mod uniform;
pub mod wrinkles;

mod clip;
mod command;
mod sheet;
#[cfg(test)]
mod tests;

pub use command::{RenderError, RenderFacesArgs, Renderer, render_faces};
