//! What a person meets on a machine that lacks something, and what the message tells them to do.

use super::*;
use crate::provision::package::runtime_for;
use std::os::unix::fs::PermissionsExt;

/// A folder that holds a `python3` of this text and nothing else.
fn path_with_python(script: Option<&str>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    if let Some(script) = script {
        let python = folder.path().join("python3");
        fs::write(&python, script).unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

/// What an installation says with these settings for pip.
fn complaint(bench: &mut Bench, variable: &str, value: &Path) -> ProvisionError {
    bench.store.pip.variables.push((variable.into(), value.into()));
    let error = bench.store.ensure(&bench.pack, &quiet).unwrap_err();
    assert_eq!(bench.states(), [State::Missing; 2]);
    assert_eq!(bench.remains(), [""; 0]);
    error
}

#[test]
fn without_python_the_message_says_how_to_install_it() {
    let path = path_with_python(None);
    let error = complaint(&mut Bench::new(), "PATH", path.path());
    assert!(matches!(error, ProvisionError::NoPython), "{error}");
    assert!(error.to_string().contains("apt install python3"), "{error}");
}

#[test]
fn without_pip_the_message_says_how_to_install_it() {
    let python = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
    let python = String::from_utf8(python.stdout).unwrap();
    // -S leaves out site-packages, and pip with them.
    let path = path_with_python(Some(&format!("#!/bin/sh\nexec {} -I -S \"$@\"\n", python.trim())));
    let error = complaint(&mut Bench::new(), "PATH", path.path());
    assert!(matches!(error, ProvisionError::NoPip), "{error}");
    assert!(error.to_string().contains("ensurepip"), "{error}");
}

#[test]
fn without_a_network_the_message_names_the_package_and_asks_for_it() {
    let mut bench = Bench::new();
    let nobody_listens = "http://127.0.0.1:9/simple";
    bench.store.pip.variables =
        vec![("PIP_INDEX_URL".into(), nobody_listens.into()), ("PIP_CONFIG_FILE".into(), "/dev/null".into())];
    let error = complaint(&mut bench, "PIP_RETRIES", Path::new("0"));
    assert!(matches!(&error, ProvisionError::Fetch { package, .. } if package == "specimen==1.0"), "{error}");
    assert!(error.to_string().contains("Is the network up?"), "{error}");
}

#[test]
fn a_package_that_the_index_lacks_is_told_in_pip_s_words() {
    let nothing = tempfile::tempdir().unwrap();
    let error = complaint(&mut Bench::new(), "PIP_FIND_LINKS", nothing.path());
    assert!(error.to_string().contains("No matching distribution"), "{error}");
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named_with_the_way_around() {
    let mut bench = Bench::new();
    let file = bench.folder.path().join("file");
    fs::write(&file, b"").unwrap();
    bench.store.data = file.join("data");
    let error = bench.store.ensure(&bench.pack, &quiet).unwrap_err();
    assert!(
        matches!(&error, ProvisionError::NotWritable { path, .. } if *path == bench.store.data),
        "{error}"
    );
    assert!(error.to_string().contains("FACETRACKD_DATA"), "{error}");
}

#[test]
fn a_data_directory_without_write_permission_is_named_with_the_way_around() {
    if rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: root writes where nobody may");
        return;
    }
    let bench = Bench::new();
    fs::create_dir(&bench.store.data).unwrap();
    fs::set_permissions(&bench.store.data, fs::Permissions::from_mode(0o555)).unwrap();
    let error = bench.store.ensure(&bench.pack, &quiet).unwrap_err();
    assert!(matches!(error, ProvisionError::NotWritable { .. }), "{error}");
}

#[test]
#[ignore = "run by the test below, under a limit"]
fn an_installer_whose_disk_is_full() {
    let Ok(folder) = std::env::var(KILL.1) else { return };
    let folder = tempfile::tempdir_in(folder).unwrap();
    let large = vec![0; 8 << 20];
    let bench = Bench::in_folder(folder, &[("specimen/first", b"first"), ("specimen/large", &large)]);
    let error = bench.store.ensure(&bench.pack, &quiet).unwrap_err();
    assert!(matches!(error, ProvisionError::DiskFull { .. }), "{error}");
    assert!(error.to_string().contains("FACETRACKD_DATA"), "{error}");
    assert_eq!(bench.states(), [State::Missing; 2]);
    assert_eq!(bench.remains(), [""; 0]);
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing_half_written() {
    // A limit on the size of files stands for the disk: the wheel of 8 MB of zeros passes, what is in it does not.
    let folder = tempfile::tempdir().unwrap();
    let variables = [(KILL.1, folder.path().to_str().unwrap())];
    let limited = "trap '' XFSZ; ulimit -f 4096; exec \"$@\"";
    let test = "provision::tests::failures::an_installer_whose_disk_is_full";
    let output = child(test, limited, &variables);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn a_platform_without_a_pinned_runtime_is_told_to_name_its_own() {
    assert!(runtime_for("linux", "x86_64").is_some() && runtime_for("linux", "aarch64").is_some());
    assert!(runtime_for("linux", "riscv64").is_none() && runtime_for("macos", "aarch64").is_none());
    let error = ProvisionError::NoRuntimeFor { platform: "macos on aarch64".into() };
    assert!(error.to_string().contains("ORT_DYLIB_PATH"), "{error}");
}
