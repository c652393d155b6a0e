#![doc = include_str!("../ARCHITECTURE.md")]

pub mod alloc;
pub mod capture;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod face;
pub mod filter;
pub mod frame;
pub mod geom;
#[cfg(feature = "render")]
pub mod gpu;
pub mod infer;
pub mod pipeline;
pub mod provision;
pub mod sink;
pub mod solve;
mod within;
