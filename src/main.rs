//! The `facetrackd` binary.

fn main() {}
