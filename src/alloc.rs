//! A counting allocator, the proof that the real-time threads do not allocate.
//!
//! The debug binary and the benches install it; the pipeline asks [`thread_allocations`] before and after each frame.
//! Counts are per thread, so that a busy neighbour is not blamed on the frame.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static EXEMPT: Cell<bool> = const { Cell::new(false) };
}

static INSTALLED: AtomicBool = AtomicBool::new(false);

/// The system's allocator, with a count of calls for each thread.
pub struct CountingAllocator;

fn count() {
    // A thread that is being torn down has no counter any more, and nobody left to ask for it.
    if let Ok(false) = EXEMPT.try_with(Cell::get) {
        ALLOCATIONS.try_with(|n| n.set(n.get() + 1)).unwrap_or(());
    }
    INSTALLED.store(true, Ordering::Relaxed);
}

#[expect(unsafe_code, reason = "a global allocator is an unsafe trait")]
// SAFETY: every call goes to `System` unchanged; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps GlobalAlloc's contract, which is System's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

/// Allocations of the calling thread so far; `None` where the program did not install [`CountingAllocator`].
pub fn thread_allocations() -> Option<u64> {
    INSTALLED.load(Ordering::Relaxed).then(|| ALLOCATIONS.with(Cell::get))
}

/// Runs `f` without counting: for the inference engine's own call, the one exemption.
pub fn exempt<T>(f: impl FnOnce() -> T) -> T {
    let before = EXEMPT.replace(true);
    let result = f();
    EXEMPT.set(before);
    result
}
