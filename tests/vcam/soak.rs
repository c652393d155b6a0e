//! Long runs: what the process holds after many faults is what it held after the first.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use crate::frames::{ask_until, next_frame, open, resources};
use crate::vcam::Vcam;
use crate::{impatient, inside, yuyv_camera};
use facetrackd::capture::{Next, Source};
use facetrackd::frame::Frame;
use std::time::{Duration, Instant};

const ID: &str = "usb-fake-video-index0";

fn until_back(source: &mut Source) {
    let mut frame = Frame::default();
    ask_until(|| source.next(&mut frame).unwrap() == Next::Frame && frame.starts_sequence);
}

/// Descriptors and threads are as they were; memory is within 4 MiB, which is less than a buffer a hundred rounds.
fn assert_flat(what: &str, before: (usize, usize, usize)) {
    let after = resources();
    println!("MEASURED {what}: descriptors, threads, KiB {before:?} -> {after:?}");
    assert_eq!((before.0, before.1), (after.0, after.1), "descriptors and threads");
    assert!(after.2 < before.2 + 4096, "memory grew from {} to {} KiB", before.2, after.2);
}

/// Plugs out and in `rounds` times, each time under another number.
fn replug(vcam: &Vcam, rounds: usize) {
    let lines = yuyv_camera(vcam, 240, "");
    vcam.plug(0, &lines);
    vcam.name_by_id(ID, 0);
    let mut source = open("0", &impatient()).unwrap();
    let mut settled = resources();
    for round in 0..rounds {
        let number = round as u32 % 3;
        next_frame(&mut source);
        if round == rounds / 10 {
            settled = resources();
        }
        vcam.unplug(number);
        vcam.plug((number + 1) % 3, &lines);
        vcam.name_by_id(ID, (number + 1) % 3);
        until_back(&mut source);
    }
    assert_flat(&format!("{rounds} rounds"), settled);
}

#[test]
fn replugging_leaks_nothing() {
    inside("soak::replugging_leaks_nothing", |vcam| replug(vcam, 12));
}

#[test]
#[ignore = "takes minutes: cargo test --test camera -- --ignored --nocapture a_thousand"]
fn a_thousand_replugs_leak_nothing() {
    inside("soak::a_thousand_replugs_leak_nothing", |vcam| replug(vcam, 1000));
}

/// Ten minutes, or `FACETRACKD_SOAK_S` seconds, of every fault there is, in an order that the seed decides.
#[test]
#[ignore = "takes ten minutes: cargo test --test camera -- --ignored --nocapture every_fault"]
fn every_fault_again_and_again_leaks_nothing() {
    inside("soak::every_fault_again_and_again_leaks_nothing", |vcam| {
        let seconds = std::env::var("FACETRACKD_SOAK_S").map_or(600, |s| s.parse().unwrap());
        let kinds = ["", "short_every 5", "error_every 3", "startup_ms 400", "stall_after 20"];
        let lines = kinds.map(|kind| yuyv_camera(vcam, 120, kind));
        let (busy, end) = (yuyv_camera(vcam, 120, "busy 1"), Duration::from_secs(seconds));
        let (mut state, mut number, mut settled, mut counts) = (20_261_122u32, 0, None, [0; 3]);
        vcam.plug(0, &lines[0]);
        vcam.name_by_id(ID, 0);
        let mut source = open("0", &impatient()).unwrap();
        let start = Instant::now();
        while start.elapsed() < end {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (fault, kind) = (state >> 16 & 3, (state >> 20) as usize % kinds.len());
            next_frame(&mut source);
            if fault == 0 {
                vcam.freeze(number, true);
                // It is given up: its descriptor is closed. (The log would tell too, but reading it takes memory.)
                let open = resources().0;
                ask_until(|| {
                    source.next(&mut Frame::default()).unwrap();
                    resources().0 < open
                });
                vcam.freeze(number, false);
                counts[0] += 1;
            } else {
                vcam.unplug(number);
                number = (number + fault) % 5;
                if fault == 3 {
                    vcam.plug(number, &busy);
                    vcam.name_by_id(ID, number);
                    ask_until(|| source.next(&mut Frame::default()).unwrap() == Next::Waiting);
                }
                vcam.plug(number, &lines[kind]);
                vcam.name_by_id(ID, number);
                counts[1 + usize::from(fault == 3)] += 1;
            }
            until_back(&mut source);
            if settled.is_none() && start.elapsed() > end / 10 {
                settled = Some(resources());
            }
        }
        let [frozen, moved, busy] = counts;
        let what = format!("{seconds} s, frozen {frozen}, moved {moved}, busy {busy}");
        assert_flat(&what, settled.unwrap_or_else(resources));
    });
}
