//! The ring itself, over any memory made of atomic words: one writer that never waits, any number of readers.
//!
//! Sample number n (from 0) lies in slot n mod `slot_count`. A slot begins with its sequence: 2n + 1 while n is being
//! written, 2n + 2 when it is whole. A reader that finds 2n + 2 before and after copying has the whole of sample n and
//! nothing else: the sequence never repeats, so that a slot overwritten meanwhile cannot look unchanged. A writer killed
//! half-way leaves an odd sequence in a slot that `published` does not name yet.
//!
//! This is the seqlock of Boehm, "Can seqlocks get along with programming language memory models?" (MSPC 2012), with
//! payload words as relaxed atomics.

use super::layout::{FACE_SIZE, Geometry, HEADER_SIZE, SLOT_HEAD_SIZE, face_count, header};
use std::sync::atomic::{AtomicU64, Ordering, fence};

const WORD: usize = size_of::<u64>();

/// A view of a ring's memory; `words` holds all of it.
#[derive(Clone, Copy)]
pub struct Ring<'a> {
    words: &'a [AtomicU64],
    geometry: Geometry,
}

impl<'a> Ring<'a> {
    /// `words` must hold at least [`Geometry::file_size`] bytes.
    pub fn new(words: &'a [AtomicU64], geometry: Geometry) -> Option<Self> {
        (words.len() as u64 * WORD as u64 >= geometry.file_size()).then_some(Self { words, geometry })
    }

    fn load(&self, offset: usize, order: Ordering) -> u64 {
        u64::from_le(self.words[offset / WORD].load(order))
    }

    fn store(&self, offset: usize, value: u64, order: Ordering) {
        self.words[offset / WORD].store(value.to_le(), order);
    }

    pub fn published(&self) -> u64 {
        self.load(header::PUBLISHED, Ordering::Acquire)
    }

    pub fn heartbeat(&self) -> u64 {
        self.load(header::HEARTBEAT, Ordering::Relaxed)
    }

    pub fn set_heartbeat(&self, nanoseconds: u64) {
        self.store(header::HEARTBEAT, nanoseconds, Ordering::Relaxed);
    }

    pub fn is_closed(&self) -> bool {
        self.load(header::STATE, Ordering::Acquire) != 0
    }

    pub fn set_closed(&self) {
        self.store(header::STATE, 1, Ordering::Release);
    }

    pub fn generation(&self) -> u64 {
        self.load(header::GENERATION, Ordering::Relaxed)
    }

    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn slot(&self, number: u64) -> &'a [AtomicU64] {
        let index = (number % u64::from(self.geometry.slot_count)) as usize;
        let words = self.geometry.slot_size() / WORD;
        &self.words[HEADER_SIZE / WORD + index * words..][..words]
    }

    /// Publishes sample `number`, one after the last. `slot` is the slot's bytes; its first eight are not looked at.
    /// Only one thread of one process may write.
    pub fn publish(&self, number: u64, slot: &[u8]) {
        let words = self.slot(number);
        let [sequence, payload @ ..] = words else { return };
        sequence.store(writing(number).to_le(), Ordering::Relaxed);
        // Whoever sees any of the words below also sees the sequence above, and so knows that they are not whole.
        fence(Ordering::Release);
        for (word, bytes) in payload.iter().zip(slot.as_chunks::<WORD>().0.iter().skip(1)) {
            word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
        sequence.store(whole(number).to_le(), Ordering::Release);
        self.store(header::PUBLISHED, number.wrapping_add(1), Ordering::Release);
    }

    /// Copies sample `number` to `out`, a slot's bytes. `false`: it is not there, not any more, or was overwritten
    /// meanwhile, and what `out` holds means nothing.
    pub fn read(&self, number: u64, out: &mut [u8]) -> bool {
        let words = self.slot(number);
        if u64::from_le(words[0].load(Ordering::Acquire)) != whole(number) {
            return false;
        }
        let copy = |range: std::ops::Range<usize>, out: &mut [u8]| {
            let (chunks, _) = out.as_chunks_mut::<WORD>();
            for (word, bytes) in words[range.clone()].iter().zip(&mut chunks[range]) {
                *bytes = word.load(Ordering::Relaxed).to_ne_bytes();
            }
        };
        let head = SLOT_HEAD_SIZE / WORD;
        copy(1..head, out);
        // The count may be torn; it is kept within the slot, and the check below throws it away.
        let faces = face_count(out, self.geometry.face_capacity);
        copy(head..head + faces * FACE_SIZE / WORD, out);
        // The words above are read before the sequence below; paired with the writer's fence.
        fence(Ordering::Acquire);
        u64::from_le(words[0].load(Ordering::Relaxed)) == whole(number)
    }
}

const fn writing(number: u64) -> u64 {
    number.wrapping_mul(2).wrapping_add(1)
}

const fn whole(number: u64) -> u64 {
    number.wrapping_mul(2).wrapping_add(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    const GEOMETRY: Geometry = Geometry { slot_count: 2, face_capacity: 1 };

    fn memory() -> Vec<AtomicU64> {
        (0..GEOMETRY.file_size() / 8).map(|_| AtomicU64::new(0)).collect()
    }

    /// A slot with one face whose every word says `number`.
    fn slot(number: u64) -> Vec<u8> {
        let mut bytes = number.to_le_bytes().repeat(GEOMETRY.slot_size() / 8);
        bytes[48..52].copy_from_slice(&1u32.to_le_bytes());
        bytes
    }

    fn is_uniform(slot: &[u8], number: u64) -> bool {
        let (words, _) = slot.as_chunks::<8>();
        words.iter().enumerate().skip(1).all(|(i, w)| i == 6 || u64::from_le_bytes(*w) == number)
    }

    // Small enough for Miri: `cargo +nightly miri test --lib shm::ring`.
    const SAMPLES: u64 = if cfg!(miri) { 20 } else { 20_000 };

    #[test]
    fn readers_beside_a_writer_take_no_torn_sample() {
        let (memory, done) = (memory(), AtomicBool::new(false));
        let ring = Ring::new(&memory, GEOMETRY).unwrap();
        let read = || {
            let (mut out, mut taken) = (vec![0; GEOMETRY.slot_size()], 0);
            while !done.load(Ordering::Relaxed) || taken == 0 {
                let Some(number) = ring.published().checked_sub(1) else { continue };
                if ring.read(number, &mut out) {
                    assert!(is_uniform(&out, number), "sample {number} is torn");
                    taken += 1;
                }
            }
            taken
        };
        std::thread::scope(|scope| {
            let readers = [scope.spawn(read), scope.spawn(read)];
            (0..SAMPLES).for_each(|number| ring.publish(number, &slot(number)));
            done.store(true, Ordering::Relaxed);
            assert!(readers.into_iter().all(|r| r.join().unwrap() > 0));
        });
    }

    #[test]
    fn a_sample_being_written_is_not_read_and_the_one_before_still_is() {
        let memory = memory();
        let ring = Ring::new(&memory, GEOMETRY).unwrap();
        ring.publish(0, &slot(0));
        ring.publish(1, &slot(1));
        // The writer dies here: its sequence is odd, half of the words are new.
        ring.slot(2)[0].store(writing(2).to_le(), Ordering::Relaxed);
        ring.slot(2)[1].store(2, Ordering::Relaxed);
        let mut out = vec![0; GEOMETRY.slot_size()];
        assert_eq!(ring.published(), 2);
        assert!(!ring.read(2, &mut out) && !ring.read(0, &mut out));
        assert!(ring.read(1, &mut out) && is_uniform(&out, 1));
    }

    #[test]
    fn memory_that_is_too_small_is_refused() {
        assert!(Ring::new(&memory()[1..], GEOMETRY).is_none());
    }
}
