#![doc = include_str!("../ARCHITECTURE.md")]

pub mod alloc;
pub mod capture;
pub mod clock;
pub mod face;
pub mod filter;
pub mod frame;
pub mod geom;
pub mod infer;
pub mod provision;
pub mod sink;
pub mod solve;
