//! Several threads load networks at once. A test in a process of its own: ONNX Runtime keeps the domains of operators for a whole
//! process, so only the first to load could get in each other's way.

use facetrackd::infer::Runtime;
use facetrackd::infer::detector::Detector;
use facetrackd::provision::{Bars, ensure_runtime};
use std::sync::Barrier;
use std::thread;

/// Without the turn-taking in `infer::session`, so many fail in about half of all runs.
const THREADS: usize = 40;

#[test]
fn the_first_networks_of_a_process_may_be_loaded_at_once() {
    let runtime = Runtime::load(&ensure_runtime(&Bars::default()).unwrap().runtime).unwrap();
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                start.wait();
                Detector::own(&runtime).unwrap_or_else(|e| panic!("{e}"));
            });
        }
    });
}
