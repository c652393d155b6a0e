//! The renderer, face by face: what the processor does before and after the device, and what all of it costs.
//!
//! `cargo bench --features render --bench render`. The asset pack is looked for in `../shared/assets` or `$FACETRACKD_ASSETS`.
//! On a software device the drawing is the processor's work, too: the last line counts all of it. On a GPU the sum of the other
//! lines is what each face costs the host; its cores over that are the faces a second that it can feed.

mod common;

use common::{Stage, print_machine};
use facetrackd::gpu::Renderer;
use facetrackd::gpu::faults::Developer;
use facetrackd::gpu::sampler::{Sampler, SamplerOptions};
use facetrackd::gpu::scene::Stage as Memory;
use facetrackd::gpu::target::{DrawList, Target};
use rustix::time::{ClockId, clock_gettime};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const SIDE: u32 = 256;
const FACES: u64 = 160;

/// CPU time of the whole process, the software device's threads included.
fn process_cpu() -> Duration {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

fn main() {
    print_machine();
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/assets");
    let assets = std::env::var_os("FACETRACKD_ASSETS").map_or(beside, PathBuf::from);
    if !assets.join("ict_light.npz").is_file() {
        eprintln!("SKIPPED: the head asset pack is not at {} ($FACETRACKD_ASSETS)", assets.display());
        return;
    }
    let renderer = match Renderer::open(&assets, None) {
        Ok(renderer) => renderer,
        Err(e) => return eprintln!("SKIPPED: {e}"),
    };
    let (studio, gpu) = (&renderer.studio, &renderer.gpu);
    println!("{}, {} triangles of the head", gpu.name, studio.mesh.indices.len() / 3);
    let sampler = Sampler::new(&studio.pack, &studio.environments, SamplerOptions::default());
    let slots = renderer.slots();
    let target = Target::new(gpu, SIDE, SIDE, slots);
    let mut lists: Vec<DrawList> = (0..slots).map(|_| DrawList::default()).collect();
    let mut memory = Memory::default();
    let mut developer = match Developer::new() {
        Ok(developer) => developer,
        Err(e) => return eprintln!("SKIPPED: {e}"),
    };
    let names = ["sample", "shape, label", "develop", "compress", "upload, draw, read back (a batch)"];
    let [mut sampling, mut shaping, mut developing, mut compressing, mut drawing] = names.map(Stage::new);
    let size = (SIDE as usize, SIDE as usize);
    let (mut cpu, mut start, mut counted) = (process_cpu(), Instant::now(), 0u32);
    for first in (0..FACES).step_by(slots) {
        // The first batch compiles the shaders.
        if first == slots as u64 {
            for stage in [&mut sampling, &mut shaping, &mut developing, &mut compressing, &mut drawing] {
                stage.clear();
            }
            (cpu, start, counted) = (process_cpu(), Instant::now(), 0);
        }
        let specs: Vec<_> =
            (first..first + slots as u64).map(|i| sampling.measure(|| sampler.sample(1, i))).collect();
        for (spec, list) in specs.iter().zip(&mut lists) {
            shaping.measure(|| studio.prepare(&mut memory, spec, (SIDE, SIDE), list));
        }
        let mut drawn = vec![Vec::new(); slots];
        let outcome = drawing
            .measure(|| target.draw(gpu, &studio.mesh, &lists, |i, d| drawn[i].extend_from_slice(d.pixels)));
        if let Err(e) = outcome {
            return eprintln!("the device failed: {e}");
        }
        for (pixels, spec) in drawn.iter().zip(&specs) {
            let photo =
                developing.measure(|| developer.develop(pixels, target.row_bytes(), size, &spec.faults));
            let outcome = photo.and_then(|photo| {
                let whole = |p: &[u8], d: &mut Developer| d.compress(p, size, 92, turbojpeg::Subsamp::None);
                compressing.measure(|| whole(&photo.rgb, &mut developer))
            });
            if let Err(e) = outcome {
                return eprintln!("{e}");
            }
        }
        counted += slots as u32;
    }
    for stage in [&mut sampling, &mut shaping, &mut drawing, &mut developing, &mut compressing] {
        stage.print();
    }
    let (cpu, wall) = (process_cpu().saturating_sub(cpu) / counted, start.elapsed() / counted);
    println!(
        "all: {:.1} ms of CPU time a face, {:.1} faces/s from one worker",
        cpu.as_secs_f64() * 1e3,
        1.0 / wall.as_secs_f64()
    );
}
