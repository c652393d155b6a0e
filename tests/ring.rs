//! Readers of the shared-memory ring in other processes, in C and in Unity's C#, beside a writer that is killed at random.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

#[path = "common/mono.rs"]
mod mono;

use facetrackd::clock::MonoTime;
use facetrackd::face::{Blendshape, Face, FaceSample, Presence, TrackedFace};
use facetrackd::geom::Rect;
use facetrackd::sink::ShmConfig;
use facetrackd::sink::shm::{Reader, RingError, ShmSink, Taken};
use glam::{Mat3, Vec2, Vec3};
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

const RING: &str = "FACETRACKD_TEST_RING";
const SAMPLES: &str = "FACETRACKD_TEST_SAMPLES";
const ROUNDS: u32 = 20;

/// Fills a face so that word k of its place in the ring says (7 n + k) mod 65521. See `ring/check.c`.
fn patterned(sample: &mut FaceSample, n: u64) {
    sample.index = n;
    sample.faces.resize_with(1 + (n % 3) as usize, || TrackedFace {
        presence: Presence::Tracked,
        face: Face::default(),
    });
    for (i, tracked) in sample.faces.iter_mut().enumerate() {
        let mut k = 1;
        let mut next = || {
            k += 1;
            ((7 * n + k) % 65521) as f32
        };
        let face = &mut tracked.face;
        face.id = n as u32 + i as u32;
        face.presence = next();
        face.bounds = Rect { min: Vec2::new(next(), next()), max: Vec2::new(next(), next()) };
        let mut triple = || Vec3::new(next(), next(), next());
        face.head.rotation = Mat3::from_cols(triple(), triple(), triple()).transpose();
        face.head.translation_mm = triple();
        triple();
        (face.gaze.left, face.gaze.right) = (triple(), triple());
        for (_, v) in face.blendshapes.values_mut() {
            *v = next();
        }
        for p in face.landmarks.iter_mut() {
            *p = Vec3::new(next(), next(), next());
        }
    }
}

/// Not a test of its own: the process that the others start, and kill.
#[test]
#[ignore = "is started by the other tests as a process of its own"]
fn child_writer() {
    let Ok(name) = std::env::var(RING) else { return };
    let limit: Option<u64> = std::env::var(SAMPLES).ok().map(|s| s.parse().unwrap());
    let mut sink = ShmSink::open(&ShmConfig { slots: 4, ..ShmConfig::new(name) }, MonoTime::now()).unwrap();
    let mut sample = FaceSample::default();
    for n in (0..).take_while(|n| limit.is_none_or(|l| *n < l)) {
        patterned(&mut sample, n);
        sink.send(&sample, MonoTime::now());
    }
    sink.close(MonoTime::now());
}

fn spawn_writer(name: &str, limit: Option<u64>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child_writer", "--ignored"]).env(RING, name).stdout(Stdio::null());
    if let Some(limit) = limit {
        command.env(SAMPLES, limit.to_string());
    }
    command.spawn().unwrap()
}

fn compile(source: &Path, output: &Path) -> bool {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/c");
    let flags = "-std=c99 -pedantic -Wall -Wextra -Werror -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all";
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut command = Command::new(compiler);
    command.args(flags.split(' ')).arg("-I").arg(clients).arg(source).arg("-o").arg(output);
    match command.output() {
        Ok(out) if out.status.success() => true,
        Ok(out) => panic!("{}", String::from_utf8_lossy(&out.stderr)),
        Err(error) => {
            eprintln!("SKIPPED: no C compiler ({error}); the C client was not tried");
            false
        }
    }
}

/// A ring's name of our own; its file goes when the test ends.
struct Name(String);

impl Name {
    fn new(purpose: &str) -> Self {
        Self(format!("test-{purpose}-{}", std::process::id()))
    }

    fn path(&self) -> PathBuf {
        Path::new("/dev/shm").join(format!("facetrackd.{}", self.0))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        std::fs::remove_file(self.path()).unwrap_or_else(|e| eprintln!("{}: {e}", self.path().display()));
    }
}

/// The Rust reader, checking each sample it takes.
struct Checker {
    reader: Reader,
    sample: FaceSample,
    expected: FaceSample,
    accepted: u64,
}

impl Checker {
    /// Waits for the ring.
    fn new(name: &str) -> Self {
        loop {
            match Reader::open(name) {
                Ok(reader) => {
                    let (sample, expected) = (FaceSample::default(), FaceSample::default());
                    return Self { reader, sample, expected, accepted: 0 };
                }
                Err(RingError::Open { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                    std::thread::yield_now();
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn take(&mut self) {
        if let Taken::New { number, .. } = self.reader.latest(&mut self.sample).unwrap() {
            self.expected.image_size = self.sample.image_size;
            patterned(&mut self.expected, number);
            assert_eq!(self.sample, self.expected, "sample {number} is torn");
            self.accepted += 1;
        } else {
            std::thread::yield_now();
        }
    }
}

/// A reader in another language, as a process of its own.
struct Other {
    what: &'static str,
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn new(what: &'static str, mut command: Command, ring: &str) -> Self {
        let mut process = command.arg(ring).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { what, process, lines }
    }

    fn wait_for(&mut self, wanted: &str) {
        let found = self.lines.by_ref().map(Result::unwrap).any(|line| line == wanted);
        assert!(found, "the {} reader ended without saying `{wanted}`", self.what);
    }
}

#[test]
fn no_torn_sample_is_taken_from_a_writer_that_is_killed_again_and_again() {
    let (name, dir) = (Name::new("kill"), tempfile::tempdir().unwrap());
    let program = dir.path().join("check");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ring/check.c");
    let c = compile(&source, &program).then(|| Command::new(&program));
    let unity = mono::compile("Check", dir.path()).map(|exe| {
        let mut mono = Command::new("mono");
        mono.arg(exe);
        mono
    });
    let mut others: Vec<Other> = c
        .map(|c| Other::new("C", c, &name.0))
        .into_iter()
        .chain(unity.map(|u| Other::new("Unity", u, &name.0)))
        .collect();

    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut writer = spawn_writer(&name.0, None);
    let mut checker = Checker::new(&name.0);
    for round in 1..=ROUNDS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let until = checker.accepted + 1 + random % 150;
        while checker.accepted < until {
            checker.take();
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        if round % 10 == 0 {
            while !checker.reader.writer(MonoTime::now()).is_gone(Duration::from_millis(300)) {
                checker.take();
            }
            for other in &mut others {
                other.wait_for(&format!("silent {}", checker.reader.generation()));
            }
        }
        writer = spawn_writer(&name.0, (round == ROUNDS).then_some(3000));
        while !checker.reader.follow().unwrap() {
            std::thread::yield_now();
        }
    }
    while !checker.reader.writer(MonoTime::now()).is_gone(Duration::from_mins(1)) {
        checker.take();
    }
    assert!(writer.wait().unwrap().success());
    for Other { what, mut process, lines } in others {
        let said: Vec<String> = lines.map(Result::unwrap).collect();
        assert!(process.wait().unwrap().success(), "{what}: {said:?}");
        println!("the {what} reader {}; the Rust reader took {}", said.last().unwrap(), checker.accepted);
    }
}

#[test]
fn a_second_writer_is_refused_while_the_first_lives_in_another_process() {
    let name = Name::new("twice");
    let mut writer = spawn_writer(&name.0, None);
    let checker = Checker::new(&name.0);
    let second = ShmSink::open(&ShmConfig::new(name.0.clone()), MonoTime::now());
    let Err(RingError::InUse { pid, .. }) = second else { panic!("two writers on one ring") };
    assert_eq!(pid, writer.id());
    writer.kill().unwrap();
    writer.wait().unwrap();
    let generation = checker.reader.generation();
    ShmSink::open(&ShmConfig::new(name.0.clone()), MonoTime::now()).unwrap();
    assert_ne!(Reader::open(&name.0).unwrap().generation(), generation);
}

#[test]
fn the_c_example_prints_blendshapes() {
    let (name, dir) = (Name::new("example"), tempfile::tempdir().unwrap());
    let program = dir.path().join("print_blendshapes");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/c/print_blendshapes.c");
    if !compile(&source, &program) {
        return;
    }
    let mut face = Face::default();
    face.blendshapes[Blendshape::JawOpen] = 0.75;
    let faces = vec![TrackedFace { presence: Presence::Tracked, face }];
    let sample = FaceSample { index: 12, faces, ..FaceSample::default() };
    let mut sink = ShmSink::open(&ShmConfig::new(name.0.clone()), MonoTime::now()).unwrap();
    let mut example = Command::new(&program).args([&name.0, "1"]).stdout(Stdio::piped()).spawn().unwrap();
    while example.try_wait().unwrap().is_none() {
        sink.send(&sample, MonoTime::now());
        std::thread::yield_now();
    }
    let out = example.wait_with_output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success());
    assert!(text.starts_with("frame 12  face 0") && text.ends_with("jawOpen 0.75\n"), "{text}");
}
