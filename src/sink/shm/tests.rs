use super::super::testing::{face, sample_of};
use super::*;
use crate::geom::Angles;
use std::sync::Barrier;
use std::time::Duration;

fn at(seconds: f64) -> MonoTime {
    MonoTime::from_secs_f64(seconds)
}

fn sample(index: u64) -> FaceSample {
    FaceSample { index, ..sample_of([face(Angles::default())]) }
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn writer(&self, name: &str, seconds: f64) -> Result<ShmSink, RingError> {
        let config = ShmConfig { slots: 4, faces: 2, ..ShmConfig::new(name) };
        ShmSink::open_in(self.0.path(), &config, at(seconds))
    }

    fn reader(&self, name: &str) -> Reader {
        Reader::open_path(&self.file(name)).unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(format!("facetrackd.{name}"))
    }
}

#[test]
fn the_newest_sample_is_taken_once() {
    let place = Place::new();
    let mut writer = place.writer("a", 1.0).unwrap();
    let (mut reader, mut out) = (place.reader("a"), FaceSample::default());
    assert_eq!(reader.latest(&mut out).unwrap(), Taken::Nothing);
    (10..13).for_each(|i| writer.send(&sample(i), at(2.0)));
    assert_eq!(reader.latest(&mut out).unwrap(), Taken::New { number: 2, missed: 2 });
    assert_eq!(out, sample(12));
    assert_eq!(reader.latest(&mut out).unwrap(), Taken::Nothing);
}

#[test]
fn samples_are_taken_in_order_and_the_overwritten_ones_are_counted() {
    let place = Place::new();
    let mut writer = place.writer("a", 1.0).unwrap();
    let (mut reader, mut out) = (place.reader("a"), FaceSample::default());
    (0..10).for_each(|i| writer.send(&sample(i), at(2.0)));
    // Four slots; that of the oldest may be under the writer's pen.
    let mut taken = Vec::new();
    while let Taken::New { number, missed } = reader.next(&mut out).unwrap() {
        taken.push((number, missed, out.index));
    }
    assert_eq!(taken, [(7, 7, 7), (8, 0, 8), (9, 0, 9)]);
}

#[test]
fn a_name_in_use_is_refused_and_says_by_whom() {
    let place = Place::new();
    let _writer = place.writer("a", 1.0).unwrap();
    let Err(RingError::InUse { pid, .. }) = place.writer("a", 2.0) else { panic!("two writers") };
    assert_eq!(pid, std::process::id());
    assert!(place.writer("b", 2.0).is_ok());
}

#[test]
fn of_many_writers_at_once_one_gets_the_name() {
    let place = Place::new();
    for round in 0..20 {
        let start = Barrier::new(4);
        let seconds = |i: u8| f64::from(round) + f64::from(i) * 0.01;
        let won: Vec<_> = std::thread::scope(|scope| {
            let attempt = |i| (start.wait(), place.writer("a", seconds(i))).1;
            let all: Vec<_> = (0..4).map(|i| scope.spawn(move || attempt(i))).collect();
            all.into_iter().filter_map(|t| t.join().unwrap().ok()).collect()
        });
        assert_eq!(won.len(), 1, "round {round}: a dead writer's ring is taken over by one");
    }
    assert_eq!(std::fs::read_dir(place.0.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn a_dead_writers_ring_is_taken_over_and_its_readers_follow() {
    let place = Place::new();
    let mut first = place.writer("a", 1.0).unwrap();
    first.send(&sample(1), at(1.0));
    let (mut reader, mut out) = (place.reader("a"), FaceSample::default());
    // As the kernel does when a process dies: the lock goes, nothing is said.
    drop(first);
    let patience = Duration::from_secs(2);
    assert!(!reader.writer(at(2.0)).is_gone(patience), "silence is not death at once");
    assert!(reader.writer(at(3.5)).is_gone(patience));
    assert!(!reader.follow().unwrap());

    let mut second = place.writer("a", 4.0).unwrap();
    assert_eq!(reader.writer(at(4.0)), Writer::Closed, "the old file says that it is over");
    second.send(&sample(77), at(4.0));
    assert!(reader.follow().unwrap());
    assert_eq!(reader.latest(&mut out).unwrap(), Taken::New { number: 0, missed: 0 });
    assert_eq!(out.index, 77);
    assert_eq!(reader.generation(), at(4.0).as_nanos());
}

#[test]
fn closing_is_noticed() {
    let place = Place::new();
    let mut writer = place.writer("a", 1.0).unwrap();
    let reader = place.reader("a");
    assert_eq!(reader.writer(at(1.5)), Writer::Beating { age: Duration::from_millis(500) });
    writer.close(at(2.0));
    assert_eq!(reader.writer(at(2.0)), Writer::Closed);
}

#[test]
fn a_file_that_is_no_ring_is_left_alone() {
    let place = Place::new();
    std::fs::write(place.file("a"), "somebody's notes").unwrap();
    std::fs::create_dir(place.file("b")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", place.file("c")).unwrap();
    for name in ["a", "b", "c"] {
        assert!(matches!(place.writer(name, 1.0), Err(RingError::Foreign { .. })), "{name}");
    }
    assert_eq!(std::fs::read(place.file("a")).unwrap(), b"somebody's notes");
    assert!(matches!(Reader::open_path(&place.file("a")), Err(RingError::NotARing)));
}

#[cfg(target_os = "linux")]
#[test]
fn full_shared_memory_is_an_error_and_leaves_nothing_behind() {
    let name = format!("test-full-{}", std::process::id());
    let path = file::path_of(Path::new(DIRECTORY), &name).unwrap();
    // 10 TB: no machine's /dev/shm holds it.
    let huge = Geometry { slot_count: 100_000_000, face_capacity: MAX_FACES };
    let error = file::create(&path, huge, 1).unwrap_err();
    assert!(matches!(error, RingError::NoSpace { .. }), "{error}");
    let is_ours = |e: &std::fs::DirEntry| e.file_name().to_string_lossy().contains(&name);
    assert_eq!(std::fs::read_dir(DIRECTORY).unwrap().filter(|e| is_ours(e.as_ref().unwrap())).count(), 0);
}

#[test]
fn names_and_sizes_that_cannot_be_are_refused() {
    for bad in ["", "a/b", "..%2f", "a b", "ü", &"x".repeat(65)] {
        assert!(matches!(ShmConfig::new(bad).validate(), Err(RingError::Name { .. })), "{bad}");
    }
    assert!(ShmConfig { slots: 1, ..ShmConfig::new("a") }.validate().is_err());
    assert!(ShmConfig { faces: 17, ..ShmConfig::new("a") }.validate().is_err());
    assert!(ShmConfig::new("desk-2.left_cam").validate().is_ok());
}

#[test]
fn a_ring_cut_short_or_of_another_version_is_refused() {
    let place = Place::new();
    drop(place.writer("a", 1.0).unwrap());
    let mut bytes = std::fs::read(place.file("a")).unwrap();
    std::fs::write(place.file("short"), &bytes[..bytes.len() - 1]).unwrap();
    bytes[layout::header::VERSION] = 9;
    std::fs::write(place.file("newer"), &bytes).unwrap();
    assert!(matches!(Reader::open_path(&place.file("short")), Err(RingError::NotARing)));
    assert!(matches!(Reader::open_path(&place.file("newer")), Err(RingError::Version { found: 9 })));
}

#[test]
fn counters_that_no_writer_counts_to_lead_nowhere() {
    let place = Place::new();
    let mut writer = place.writer("a", 1.0).unwrap();
    (0..6).for_each(|i| writer.send(&sample(i), at(2.0)));
    let sound = std::fs::read(place.file("a")).unwrap();
    for count in [u64::MAX, u64::MAX - 1, 1 << 63, 7, 1000] {
        for heartbeat in [0, u64::MAX] {
            let mut bytes = sound.clone();
            bytes[layout::header::PUBLISHED..][..8].copy_from_slice(&count.to_le_bytes());
            bytes[layout::header::HEARTBEAT..][..8].copy_from_slice(&u64::to_le_bytes(heartbeat));
            std::fs::write(place.file("b"), &bytes).unwrap();
            let (mut reader, mut out) = (place.reader("b"), FaceSample::default());
            assert_eq!(reader.latest(&mut out).unwrap(), Taken::Nothing, "{count}");
            while let Taken::New { number, .. } = reader.next(&mut out).unwrap() {
                assert!((2..6).contains(&number), "{number} of {count}");
            }
            reader.writer(at(3.0));
        }
    }
}
