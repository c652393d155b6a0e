//! Installation with real pip and real wheels, made here and found without a network.

mod failures;
mod hostile;

use super::install::{Item, Pack, State, Store};
use super::package::{self, Package, Pip};
use super::{Event, ProvisionError};
use std::cell::Cell;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use zip::write::SimpleFileOptions;

/// A data directory, and a wheel of two files that pip finds in a folder.
struct Bench {
    folder: tempfile::TempDir,
    store: Store,
    pack: Pack,
}

const FILES: [(&str, &[u8]); 2] = [("specimen/first", b"first"), ("specimen/second", b"second")];

impl Bench {
    fn new() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), &FILES)
    }

    fn in_folder(folder: tempfile::TempDir, files: &[(&str, &[u8])]) -> Self {
        let wheels = folder.path().join("wheels");
        fs::create_dir_all(&wheels).unwrap();
        let wheel = make_wheel(&wheels, files);
        let sha256: &'static str = package::hash_of_file(&wheel).unwrap().leak();
        let bytes = fs::metadata(&wheel).unwrap().len();
        let package = Package {
            name: "specimen",
            version: "1.0",
            licence: "MIT",
            platform: "manylinux_2_28_x86_64",
            sha256,
            bytes,
        };
        let item = |(entry, contents): &(&str, &[u8])| Item {
            entry: (*entry).into(),
            sha256: package::hash(contents),
            name: entry.rsplit('/').next().unwrap().into(),
            network: None,
        };
        let items = files.iter().map(item).collect();
        let pack = Pack { folder: "specimen-1.0".into(), package, items };
        let pip = Pip { variables: offline(&wheels) };
        Self { store: Store { data: folder.path().join("data"), pip }, folder, pack }
    }

    fn states(&self) -> Vec<State> {
        self.store.examine(&self.pack, true).into_iter().map(|f| f.state).collect()
    }

    fn installed_file(&self, name: &str) -> PathBuf {
        self.store.path(&self.pack).join(name)
    }

    /// Names in the data directory that are neither the pack nor the lock.
    fn remains(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.store.data) else { return Vec::new() };
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|n| n != ".lock" && *n != self.pack.folder).collect()
    }
}

/// Settings that keep pip to one folder.
fn offline(wheels: &Path) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    vec![
        ("PIP_NO_INDEX".into(), "1".into()),
        ("PIP_FIND_LINKS".into(), wheels.into()),
        ("PIP_CONFIG_FILE".into(), "/dev/null".into()),
    ]
}

fn make_wheel(folder: &Path, files: &[(&str, &[u8])]) -> PathBuf {
    let path = folder.join("specimen-1.0-py3-none-any.whl");
    let mut archive = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    let metadata: [(&str, &[u8]); 3] = [
        ("specimen-1.0.dist-info/METADATA", b"Metadata-Version: 2.1\nName: specimen\nVersion: 1.0\n"),
        ("specimen-1.0.dist-info/WHEEL", b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
        ("specimen-1.0.dist-info/RECORD", b""),
    ];
    for (name, contents) in files.iter().chain(&metadata) {
        archive.start_file(*name, SimpleFileOptions::default()).unwrap();
        archive.write_all(contents).unwrap();
    }
    archive.finish().unwrap();
    path
}

/// Nobody watches.
fn quiet(_: Event<'_>) {}

#[test]
fn an_installation_brings_every_file_and_leaves_nothing_else() {
    let bench = Bench::new();
    assert_eq!(bench.states(), [State::Missing, State::Missing]);
    let folder = bench.store.ensure(&bench.pack, &quiet).unwrap();
    assert_eq!(fs::read(folder.join("first")).unwrap(), b"first");
    assert_eq!(bench.states(), [State::Whole, State::Whole]);
    assert_eq!(bench.remains(), [""; 0]);
}

#[test]
fn what_is_fetched_is_told_with_its_licence_before_it_comes() {
    let bench = Bench::new();
    let told = Cell::new(false);
    let watch = |event: Event<'_>| match event {
        Event::Fetch { package, licence, bytes } => {
            told.set(package == "specimen==1.0" && licence == "MIT" && bytes > 0);
        }
        _ => assert!(told.get(), "{event:?} came first"),
    };
    bench.store.ensure(&bench.pack, &watch).unwrap();
    assert!(told.get());
}

#[test]
fn a_second_ensure_fetches_nothing() {
    let bench = Bench::new();
    bench.store.ensure(&bench.pack, &quiet).unwrap();
    bench.store.ensure(&bench.pack, &|event: Event<'_>| panic!("{event:?}")).unwrap();
}

#[test]
fn a_damaged_file_is_named_by_verify_and_mended_by_install() {
    let bench = Bench::new();
    bench.store.ensure(&bench.pack, &quiet).unwrap();
    fs::write(bench.installed_file("second"), b"sEcond").unwrap();
    assert_eq!(bench.states(), [State::Whole, State::Damaged]);
    bench.store.install(&bench.pack, &quiet).unwrap();
    assert_eq!(bench.states(), [State::Whole, State::Whole]);
    assert_eq!(bench.remains(), [""; 0]);
}

#[test]
fn files_without_their_record_are_not_trusted() {
    let bench = Bench::new();
    bench.store.ensure(&bench.pack, &quiet).unwrap();
    fs::remove_file(bench.installed_file("pack.json")).unwrap();
    assert_eq!(bench.states(), [State::Damaged, State::Damaged]);
    bench.store.ensure(&bench.pack, &quiet).unwrap();
    assert_eq!(bench.states(), [State::Whole, State::Whole]);
}

#[test]
fn of_two_installers_at_once_one_fetches_and_both_end_with_the_pack() {
    let bench = Bench::new();
    let fetched = AtomicUsize::new(0);
    let watch = |event: Event<'_>| {
        if matches!(event, Event::Fetch { .. }) {
            fetched.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(|| bench.store.ensure(&bench.pack, &watch)));
        for thread in threads {
            thread.join().unwrap().unwrap();
        }
    });
    assert_eq!(fetched.into_inner(), 1);
    assert_eq!(bench.states(), [State::Whole, State::Whole]);
}

/// Names the step at which [`an_installer_that_is_killed`] dies, and the folder it works in.
const KILL: (&str, &str) = ("FACETRACKD_TEST_KILL_AT", "FACETRACKD_TEST_FOLDER");

/// Runs one test of this program in a child, through a shell line that ends in `"$@"`.
fn child(test: &str, shell: &str, variables: &[(&str, &str)]) -> std::process::Output {
    Command::new("sh")
        .args(["-c", shell, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--include-ignored", "--nocapture"])
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

#[test]
#[ignore = "killed by the test below"]
fn an_installer_that_is_killed() {
    let (Ok(step), Ok(folder)) = (std::env::var(KILL.0), std::env::var(KILL.1)) else { return };
    let step: usize = step.parse().unwrap();
    let bench =
        Bench::in_folder(tempfile::Builder::new().disable_cleanup(true).tempdir_in(folder).unwrap(), &FILES);
    println!("data: {}", bench.store.data.display());
    let passed = Cell::new(0);
    let watch = |event: Event<'_>| {
        if !matches!(event, Event::Received { .. }) {
            passed.set(passed.get() + 1);
            if passed.get() > step {
                println!("dies at {event:?}");
                std::process::abort();
            }
        }
    };
    bench.store.ensure(&bench.pack, &watch).unwrap();
}

#[test]
fn an_installation_killed_at_any_step_does_not_load_and_the_next_one_completes() {
    // Fetch, two files, Commit: dead at each of them. At Installed, the fifth, the pack is in place.
    for (step, last) in ["Fetch", "Unpack", "Unpack", "Commit", "Installed"].into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let variables = [(KILL.0, &*step.to_string()), (KILL.1, folder.path().to_str().unwrap())];
        let test = "provision::tests::an_installer_that_is_killed";
        let output = child(test, "ulimit -c 0; exec \"$@\"", &variables);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && said.contains(&format!("dies at {last}")), "{step}: {said}");
        let data = said.lines().find_map(|l| l.split_once("data: ")).expect("the child says where").1;
        let mut bench = Bench::new();
        bench.store.data = data.into();
        let expected = if last == "Installed" { State::Whole } else { State::Missing };
        assert_eq!(bench.states(), [expected; 2], "dead at {last}");
        bench.store.ensure(&bench.pack, &quiet).unwrap();
        assert_eq!(bench.states(), [State::Whole; 2], "after dying at {last}");
        if last != "Installed" {
            assert_eq!(bench.remains(), [""; 0], "after dying at {last}");
        }
    }
}

#[test]
fn a_wheel_that_is_not_the_pinned_one_is_refused() {
    let mut bench = Bench::new();
    bench.pack.package.sha256 = package::hash(b"another wheel").leak();
    let error = bench.store.ensure(&bench.pack, &quiet).unwrap_err();
    assert!(matches!(&error, ProvisionError::WrongHash { what } if what == "specimen==1.0"), "{error}");
    assert_eq!(bench.states(), [State::Missing; 2]);
    assert_eq!(bench.remains(), [""; 0]);
}

#[test]
fn a_file_that_is_not_the_pinned_one_is_refused_with_its_whole_pack() {
    let mut bench = Bench::new();
    bench.pack.items[1].sha256 = package::hash(b"another file");
    let error = bench.store.ensure(&bench.pack, &quiet).unwrap_err();
    assert!(matches!(&error, ProvisionError::WrongHash { what } if what == "specimen/second"), "{error}");
    assert_eq!(bench.states(), [State::Missing; 2]);
    assert_eq!(bench.remains(), [""; 0]);
}

#[test]
fn manifests_name_the_package_that_is_fetched() {
    for manifest in crate::provision::Manifest::all() {
        assert_eq!(manifest.source.package, package::MEDIAPIPE.requirement(), "{}", manifest.name);
        assert_eq!(manifest.licence, package::MEDIAPIPE.licence, "{}", manifest.name);
    }
}

#[test]
fn a_report_of_an_empty_data_directory_lists_every_file_as_missing_and_is_not_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store { data: folder.path().into(), pip: Pip::default() };
    let report = crate::provision::Report::of(&store, true);
    assert!(!report.is_whole());
    let printed = report.to_string();
    for file in report.packs.iter().flat_map(|p| &p.files) {
        assert_eq!((file.state, file.bytes), (State::Missing, None));
        assert!(printed.contains(&file.name), "{printed}");
    }
    assert!(printed.contains("Apache-2.0") && printed.contains("missing"), "{printed}");
}

#[test]
fn the_packaged_networks_may_be_missing_but_not_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store { data: folder.path().into(), pip: Pip::default() };
    let mut report = crate::provision::Report::of(&store, true);
    report.runtime = Some("libonnxruntime.so".into());
    for pack in report.packs.iter_mut().filter(|p| p.package.starts_with("onnxruntime")) {
        pack.files.iter_mut().for_each(|f| f.state = State::Whole);
    }
    assert!(report.is_whole(), "{report}");
    let networks = report.packs.iter_mut().find(|p| p.package.starts_with("mediapipe")).unwrap();
    networks.files[0].state = State::Damaged;
    assert!(!report.is_whole(), "{report}");
}
