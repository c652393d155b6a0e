//! What stands between two stages: one slot where the newest wins, or a short queue where everything counts.
//!
//! Items circulate. A sender asks for an empty one, fills it and posts it; the receiver hands it back when done, so
//! that after warm-up nothing is allocated. For a live camera a stale frame is worthless: posting over an untaken item
//! replaces it, and the replaced one is counted and reused. For files the sender waits instead.

use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, bounded};
use crossbeam_queue::ArrayQueue;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Whether overload drops items or slows the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The newest item replaces one that was not taken yet.
    Latest,
    /// Every item is delivered; the sender waits.
    Lossless,
}

/// Items waiting in a [`Policy::Lossless`] mailbox: one in work, one ready.
const QUEUE_LEN: usize = 2;
/// Items that are under way at once at most: one being filled, one being read, and those that wait.
pub const SPARE_LEN: usize = QUEUE_LEN + 2;
/// How often a waiting sender looks whether it should stop.
const SEND_PATIENCE: Duration = Duration::from_millis(50);

/// The sending end.
pub struct Outbox<T> {
    policy: Policy,
    slot: Arc<ArrayQueue<T>>,
    wake: Sender<()>,
    queue: Sender<T>,
    spares: Arc<ArrayQueue<T>>,
    replaced: Arc<AtomicU64>,
}

/// The receiving end.
pub struct Inbox<T> {
    policy: Policy,
    slot: Arc<ArrayQueue<T>>,
    wake: Receiver<()>,
    queue: Receiver<T>,
    spares: Arc<ArrayQueue<T>>,
}

/// What [`Inbox::take`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<T> {
    /// An item.
    Item(T),
    /// Nothing came in time.
    Nothing,
    /// The sender is gone and everything it posted was taken.
    Closed,
}

/// The sender has stopped posting, or the receiver is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disconnected;

/// Makes a mailbox.
pub fn mailbox<T>(policy: Policy) -> (Outbox<T>, Inbox<T>) {
    let slot = Arc::new(ArrayQueue::new(1));
    let spares = Arc::new(ArrayQueue::new(SPARE_LEN));
    let (wake_tx, wake) = bounded(1);
    let (queue_tx, queue) = bounded(QUEUE_LEN);
    let outbox = Outbox {
        policy,
        slot: Arc::clone(&slot),
        wake: wake_tx,
        queue: queue_tx,
        spares: Arc::clone(&spares),
        replaced: Arc::default(),
    };
    (outbox, Inbox { policy, slot, wake, queue, spares })
}

impl<T: Default> Outbox<T> {
    /// Makes all the items there will ever be. How many are under way at once is a matter of timing: without this, one
    /// might have to be made long after the start.
    pub fn stock(&self, make: impl FnMut() -> T) {
        std::iter::repeat_with(make).take(SPARE_LEN).for_each(|item| self.recycle(item));
    }

    /// An item to fill: one that came back, or a new one.
    pub fn spare(&self) -> T {
        self.spares.pop().unwrap_or_default()
    }

    /// Posts an item. With [`Policy::Lossless`] waits for room, and gives up when `stop` says so.
    ///
    /// # Errors
    /// [`Disconnected`] where nobody will take the item.
    pub fn post(&self, item: T, stop: impl Fn() -> bool) -> Result<(), Disconnected> {
        match self.policy {
            Policy::Latest => self.post_latest(item),
            Policy::Lossless => self.post_waiting(item, stop),
        }
    }

    fn post_latest(&self, item: T) -> Result<(), Disconnected> {
        if let Some(stale) = self.slot.force_push(item) {
            self.replaced.fetch_add(1, Ordering::Relaxed);
            self.recycle(stale);
        }
        match self.wake.try_send(()) {
            // Full: the receiver has a wake-up pending and will find the newer item.
            Ok(()) | Err(crossbeam_channel::TrySendError::Full(())) => Ok(()),
            Err(crossbeam_channel::TrySendError::Disconnected(())) => Err(Disconnected),
        }
    }

    fn post_waiting(&self, mut item: T, stop: impl Fn() -> bool) -> Result<(), Disconnected> {
        loop {
            match self.queue.send_timeout(item, SEND_PATIENCE) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Timeout(back)) if !stop() => item = back,
                Err(_) => return Err(Disconnected),
            }
        }
    }

    /// Keeps an item that was not posted, to be filled anew.
    pub fn recycle(&self, item: T) {
        // More spares than places cannot help anybody: the surplus is dropped.
        drop(self.spares.push(item));
    }

    /// A counter of items that were replaced before anybody took them.
    pub fn replaced(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.replaced)
    }
}

impl<T> Inbox<T> {
    /// Waits up to `patience` for an item.
    pub fn take(&self, patience: Duration) -> Taken<T> {
        match self.policy {
            Policy::Latest => self.take_latest(patience),
            Policy::Lossless => match self.queue.recv_timeout(patience) {
                Ok(item) => Taken::Item(item),
                Err(RecvTimeoutError::Timeout) => Taken::Nothing,
                Err(RecvTimeoutError::Disconnected) => Taken::Closed,
            },
        }
    }

    fn take_latest(&self, patience: Duration) -> Taken<T> {
        loop {
            if let Some(item) = self.slot.pop() {
                return Taken::Item(item);
            }
            match self.wake.recv_timeout(patience) {
                // The item this wake-up was for may be gone already: taken together with an earlier one.
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => return self.slot.pop().map_or(Taken::Nothing, Taken::Item),
                Err(RecvTimeoutError::Disconnected) => {
                    return self.slot.pop().map_or(Taken::Closed, Taken::Item);
                }
            }
        }
    }

    /// Hands an item back to be filled anew.
    pub fn give_back(&self, item: T) {
        drop(self.spares.push(item));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn the_newest_item_wins_and_the_replaced_one_is_counted() {
        let (outbox, inbox) = mailbox::<u32>(Policy::Latest);
        for n in 1..=5 {
            outbox.post(n, || false).expect("the inbox lives");
        }
        assert_eq!(inbox.take(SOON), Taken::Item(5));
        assert_eq!(outbox.replaced().load(Ordering::Relaxed), 4);
        assert_eq!(inbox.take(Duration::ZERO), Taken::Nothing);
    }

    #[test]
    fn lossless_delivers_everything_in_order_across_threads() {
        let (outbox, inbox) = mailbox::<u32>(Policy::Lossless);
        let sender = thread::spawn(move || (0..10_000).try_for_each(|n| outbox.post(n, || false)));
        for n in 0..10_000 {
            assert_eq!(inbox.take(SOON), Taken::Item(n));
        }
        assert_eq!(inbox.take(SOON), Taken::Closed);
        assert_eq!(sender.join().expect("sender ends"), Ok(()));
    }

    #[test]
    fn under_load_what_arrives_is_ordered_and_what_does_not_is_counted() {
        let (outbox, inbox) = mailbox::<u64>(Policy::Latest);
        let replaced = outbox.replaced();
        let sender = thread::spawn(move || (1..=200_000).try_for_each(|n| outbox.post(n, || false)));
        let (mut last, mut taken) = (0, 0);
        loop {
            match inbox.take(SOON) {
                Taken::Item(n) => {
                    assert!(n > last, "{n} came after {last}");
                    (last, taken) = (n, taken + 1);
                }
                Taken::Nothing => panic!("the sender still runs"),
                Taken::Closed => break,
            }
        }
        sender.join().expect("sender ends").expect("the inbox lives");
        assert_eq!(last, 200_000, "the newest item is never lost");
        assert_eq!(taken + replaced.load(Ordering::Relaxed), 200_000);
    }

    #[test]
    fn a_waiting_sender_stops_when_told() {
        let (outbox, _inbox) = mailbox::<u32>(Policy::Lossless);
        for n in 0..QUEUE_LEN as u32 {
            outbox.post(n, || false).expect("there is room");
        }
        assert_eq!(outbox.post(9, || true), Err(Disconnected));
    }

    #[test]
    fn a_stocked_outbox_makes_nothing_however_many_are_under_way() {
        let (outbox, inbox) = mailbox::<Vec<u8>>(Policy::Lossless);
        outbox.stock(|| Vec::with_capacity(9));
        for _ in 0..QUEUE_LEN {
            outbox.post(outbox.spare(), || false).expect("there is room");
        }
        let Taken::Item(being_read) = inbox.take(SOON) else { panic!("two wait") };
        outbox.post(outbox.spare(), || false).expect("there is room");
        assert_eq!((being_read.capacity(), outbox.spare().capacity()), (9, 9));
    }

    #[test]
    fn items_that_came_back_are_reused() {
        let (outbox, inbox) = mailbox::<Vec<u8>>(Policy::Latest);
        inbox.give_back(Vec::with_capacity(77));
        assert_eq!(outbox.spare().capacity(), 77);
        assert_eq!(outbox.spare().capacity(), 0);
    }
}
