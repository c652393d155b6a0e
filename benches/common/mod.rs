//! What the benches share: quantiles instead of means, CPU time beside wall time, allocations counted.
//!
//! These machines are noisy; compare within one run, and trust medians and minima before maxima.

use facetrackd::alloc::{CountingAllocator, thread_allocations};
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// CPU time that the calling thread has used.
fn thread_cpu() -> Duration {
    let t = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

/// Repeated measurements of one stage.
pub struct Stage {
    name: String,
    wall: Vec<Duration>,
    cpu: Duration,
    allocations: u64,
}

impl Stage {
    /// A stage that was not measured yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), wall: Vec::new(), cpu: Duration::ZERO, allocations: 0 }
    }

    /// Runs `work` once and counts it.
    pub fn measure<T>(&mut self, work: impl FnOnce() -> T) -> T {
        // Room for the measurement itself must not be counted as the work's.
        self.wall.reserve(1);
        let (allocations, cpu, start) = (thread_allocations().unwrap_or(0), thread_cpu(), Instant::now());
        let result = work();
        self.wall.push(start.elapsed());
        self.cpu += thread_cpu().saturating_sub(cpu);
        self.allocations += thread_allocations().unwrap_or(0) - allocations;
        result
    }

    /// Runs `work` once and counts it with the wall time that it tells itself; `false` where it tells none, which is
    /// counted as CPU time of the next.
    #[allow(dead_code, reason = "not every bench has a clock of its own")]
    pub fn measure_from(&mut self, work: impl FnOnce() -> Option<Duration>) -> bool {
        self.wall.reserve(1);
        let (allocations, cpu) = (thread_allocations().unwrap_or(0), thread_cpu());
        let wall = work();
        self.cpu += thread_cpu().saturating_sub(cpu);
        self.allocations += thread_allocations().unwrap_or(0) - allocations;
        self.wall.extend(wall);
        wall.is_some()
    }

    /// Forgets everything measured so far.
    #[allow(dead_code, reason = "not every bench warms up")]
    pub fn clear(&mut self) {
        (self.wall, self.cpu, self.allocations) = (Vec::new(), Duration::ZERO, 0);
    }

    /// Prints one line: quantiles in microseconds, CPU time and allocations for each run.
    pub fn print(&mut self) {
        self.wall.sort();
        let n = self.wall.len().max(1);
        let at = |share: f64| {
            let i = ((share * n as f64) as usize).min(n - 1);
            self.wall.get(i).map_or(f64::NAN, |d| d.as_secs_f64() * 1e6)
        };
        println!(
            "{:34} p50 {:9.1}  p99 {:9.1}  max {:9.1}  cpu {:9.1} µs   {:5.1} allocations   ({} runs)",
            self.name,
            at(0.5),
            at(0.99),
            at(1.0),
            self.cpu.as_secs_f64() * 1e6 / n as f64,
            self.allocations as f64 / n as f64,
            self.wall.len(),
        );
    }
}

/// Prints what every figure depends on.
pub fn print_machine() {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": ").map(|(_, m)| m));
    println!("{} x {}", std::thread::available_parallelism().map_or(0, usize::from), model.unwrap_or("?"));
}

/// The process's peak resident memory in MB, where the system tells.
#[allow(dead_code, reason = "not every bench looks at memory")]
pub fn peak_resident_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kb = status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"))?;
    kb.trim().parse::<f64>().ok().map(|kb| kb / 1024.0)
}
