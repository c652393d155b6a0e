use super::*;
use crate::capture::{CaptureConfig, Next, Source, SourceSpec};
use crate::frame::PixelFormat;
use crate::infer::tests::{pack, runtime};
use glam::Vec3;
use std::path::Path;

const FRAME_TIME: Duration = Duration::from_millis(33);

fn tracker(faces: usize) -> Tracker {
    tracker_of(Models::Packaged, faces)
}

fn tracker_of(whose: Models, faces: usize) -> Tracker {
    let pack = pack();
    let config = TrackerConfig { faces, models: whose, detector: whose, ..TrackerConfig::default() };
    Tracker::from_files(&runtime(), |name| pack.model(name), &config).unwrap()
}

/// The first frame of the demo clip, in grey: a face that may be moved about.
fn face() -> Frame {
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/demo.avi");
    let mut source = Source::open(&SourceSpec::Path(clip), &CaptureConfig::default(), false).unwrap();
    let mut frame = Frame::default();
    while !matches!(source.next(&mut frame).unwrap(), Next::Frame) {}
    frame.data.truncate((frame.width * frame.height) as usize);
    Frame { format: PixelFormat::Gray8, ..frame }
}

/// A film of 1280x720 whose frames hold `picture`'s middle at the given places.
struct Film {
    picture: Frame,
    index: u64,
}

impl Film {
    fn frame(&mut self, places: &[(i32, i32)]) -> Frame {
        let (width, height) = (1280i32, 720i32);
        let mut data = vec![90u8; (width * height) as usize];
        let (w, h) = (self.picture.width as i32, self.picture.height as i32);
        for &(cx, cy) in places {
            for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
                let (to_x, to_y) = (cx - w / 2 + x, cy - h / 2 + y);
                if (0..width).contains(&to_x) && (0..height).contains(&to_y) {
                    data[(to_y * width + to_x) as usize] = self.picture.data[(y * w + x) as usize];
                }
            }
        }
        let stream_time = MonoTime::default() + FRAME_TIME * self.index as u32;
        let starts_sequence = self.index == 0;
        self.index += 1;
        let (width, height) = (width as u32, height as u32);
        let format = PixelFormat::Gray8;
        Frame { stream_time, starts_sequence, width, height, format, data, ..Frame::default() }
    }
}

fn film() -> Film {
    Film { picture: face(), index: 0 }
}

/// Where the nose is.
fn nose(o: &Observation) -> Vec2 {
    o.reading.landmarks[1].truncate()
}

#[test]
fn landmarks_follow_a_moving_face_under_one_id() {
    follows_a_moving_face(tracker(1));
}

#[test]
fn our_own_networks_find_and_follow_it_too() {
    follows_a_moving_face(tracker_of(Models::Own, 1));
}

fn follows_a_moving_face(mut tracker: Tracker) {
    let mut film = film();
    let start = tracker.track(&film.frame(&[(500, 360)])).unwrap()[0].clone();
    for step in 1..=20 {
        let faces = tracker.track(&film.frame(&[(500 + 8 * step, 360)])).unwrap();
        assert_eq!(faces.len(), 1);
        assert_eq!(faces[0].id, start.id);
        let moved = nose(&faces[0]) - nose(&start);
        assert!(moved.distance(Vec2::new(8.0 * step as f32, 0.0)) < 5.0, "step {step}: {moved}");
    }
}

#[test]
fn a_still_in_a_mirror_is_read_as_the_mirror_image() {
    let mut tracker = tracker_of(Models::Own, 1);
    let here = Frame { still: true, ..face() };
    let width = here.width as usize;
    let mut there = here.clone();
    there.data.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    let mut read = |frame: &Frame| tracker.track(frame).unwrap()[0].clone();
    let (here, there) = (read(&here), read(&there));
    let mirror = crate::solve::landmark_mirror();
    let apart = |i: usize| {
        let back = there.reading.landmarks[mirror[i]].truncate();
        here.reading.landmarks[i].truncate().distance(Vec2::new(width as f32 - back.x, back.y))
    };
    // Detectors are no mirror images of themselves, so that the looks start from places apart.
    let mean = (0..mirror.len()).map(apart).sum::<f32>() / mirror.len() as f32;
    assert!(mean < 0.01 * here.reading.landmarks[33].distance(here.reading.landmarks[263]), "{mean} pixels");
}

/// The picture turned about its middle, clockwise; where nothing is known, its middle's grey.
fn turned(frame: &Frame, angle: f32) -> Frame {
    let (width, height) = (frame.width as usize, frame.height as usize);
    let middle = Vec2::new(width as f32, height as f32) * 0.5;
    let pixel = |i: usize| {
        let to = Vec2::new((i % width) as f32 + 0.5, (i / width) as f32 + 0.5);
        let from =
            (middle + Vec2::from_angle(-angle).rotate(to - middle)).clamp(Vec2::ZERO, 2.0 * middle - 1.0);
        frame.data[from.y as usize * width + from.x as usize]
    };
    Frame { data: (0..width * height).map(pixel).collect(), ..frame.clone() }
}

#[test]
fn a_head_tilted_beyond_its_shoulder_is_found_in_a_still() {
    let upright = Frame { still: true, ..face() };
    let middle = Vec2::new(upright.width as f32, upright.height as f32) * 0.5;
    let mut tracker = tracker_of(Models::Own, 1);
    let here = tracker.track(&upright).unwrap()[0].clone();
    let eyes = here.reading.landmarks[33].distance(here.reading.landmarks[263]);
    for degrees in [120.0f32, -120.0] {
        let angle = degrees.to_radians();
        let seen = tracker.track(&turned(&upright, angle)).unwrap();
        assert_eq!(seen.len(), 1, "{degrees} degrees");
        let there = |p: &Vec3| middle + Vec2::from_angle(angle).rotate(p.truncate() - middle);
        let points = here.reading.landmarks.iter().zip(seen[0].reading.landmarks.iter());
        let mean = points.map(|(a, b)| there(a).distance(b.truncate())).sum::<f32>() / 478.0;
        assert!(mean < 0.03 * eyes, "{degrees} degrees: {mean} pixels, {eyes} between the eyes");
    }
}

#[test]
fn our_network_doubts_what_it_sees_askew() {
    let mut tracker = tracker_of(Models::Own, 1);
    let frame = face();
    let roi = tracker.track(&frame).map(|seen| tracker_roi(&seen[0])).unwrap();
    let mut presence = |roi: &Roi| tracker.reader.read(&frame, roi, None, &mut tracker.trial).unwrap();
    assert!(presence(&roi) > 0.9);
    let askew = Roi { rotation_rad: roi.rotation_rad + 1.8, ..roi };
    assert!(presence(&askew) < 0.5, "{}", presence(&askew));
}

fn tracker_roi(seen: &Observation) -> Roi {
    crate::infer::face::roi_around(&seen.reading.landmarks)
}

#[test]
fn a_face_that_returns_is_back_within_three_frames_and_keeps_its_id_for_two_seconds() {
    let (mut tracker, mut film) = (tracker(1), film());
    let id = tracker.track(&film.frame(&[(640, 360)])).unwrap()[0].id;
    for (away, same) in [(20, true), (90, false)] {
        for _ in 0..away {
            let frame = film.frame(&[]);
            assert!(tracker.track(&frame).unwrap().is_empty());
        }
        let back =
            (0..3).find_map(|_| tracker.track(&film.frame(&[(660, 360)])).unwrap().first().map(|o| o.id));
        assert_eq!(back.expect("found within three frames") == id, same);
    }
}

#[test]
fn ids_are_never_used_twice_not_even_across_sequences() {
    let (mut tracker, picture) = (tracker(1), face());
    let ids: Vec<u32> = (0..3).map(|_| tracker.track(&picture).unwrap()[0].id).collect();
    assert_eq!(ids, [0, 1, 2]);
}

#[test]
fn two_people_keep_their_ids_and_one_who_leaves_takes_only_his_own() {
    let (mut tracker, mut film) = (tracker(2), film());
    let mut seen = Vec::new();
    for step in 0..40 {
        seen = tracker.track(&film.frame(&[(330 + step, 360), (970 - step, 360)])).unwrap().to_vec();
    }
    assert_eq!(seen.len(), 2, "the second was found by a later look");
    assert!(seen[0].id < seen[1].id);
    let left = seen.iter().min_by(|a, b| nose(a).x.total_cmp(&nose(b).x)).unwrap().clone();
    for _ in 0..5 {
        seen = tracker.track(&film.frame(&[(370, 360)])).unwrap().to_vec();
    }
    assert_eq!(seen.iter().map(|o| o.id).collect::<Vec<_>>(), [left.id]);
}

#[test]
fn noise_of_any_size_holds_no_face() {
    let mut tracker = tracker(1);
    for (width, height) in [(1, 1), (3, 900), (640, 480), (7680, 4320)] {
        let hash = |i: usize| ((i as u32).wrapping_mul(0x9E37_79B1) >> 24) as u8;
        let format = PixelFormat::I420;
        let data = (0..format.frame_len(width, height)).map(hash).collect();
        let frame = Frame { width, height, format, data, ..Frame::default() };
        assert!(tracker.track(&frame).unwrap().is_empty(), "{width}x{height}");
    }
}

#[test]
fn a_frame_that_lacks_bytes_is_refused() {
    let frame = Frame { width: 8, height: 8, data: vec![0; 100], ..Frame::default() };
    assert!(matches!(tracker(1).track(&frame), Err(InferError::BrokenFrame { .. })));
}
