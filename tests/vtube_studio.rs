//! The program as a plugin of VTube Studio's, held against the types of a client library that nobody here wrote: npm's
//! `vtubestudio`, by tsc. What answers is a server of our own that the library itself accepts.
#![cfg(unix)]

#[expect(dead_code, reason = "each test file uses a part of what the tests share")]
mod common;

use common::{demo_clip, facetrackd, repository};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PACKAGES: [&str; 3] = ["vtubestudio@3.11.0", "ws@8.23.0", "typescript@7.0.2"];

/// A folder with the packages; `None`, and the reason on standard error, where they cannot be had.
fn packages() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vtube-studio");
    let install = || -> Result<(), String> {
        std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        std::fs::write(folder.join("package.json"), "{ \"private\": true }\n").map_err(|e| e.to_string())?;
        let npm = Command::new("npm")
            .current_dir(&folder)
            .args(["install", "--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--silent"])
            .args(PACKAGES)
            .output()
            .map_err(|e| format!("npm: {e}"))?;
        npm.status.success().then_some(()).ok_or_else(|| String::from_utf8_lossy(&npm.stderr).into_owned())
    };
    match install() {
        Ok(()) => Some(folder),
        Err(why) if std::env::var_os("CI").is_some() => panic!("no VTube Studio client library: {why}"),
        Err(why) => {
            eprintln!("SKIPPED: no VTube Studio client library: {why}");
            None
        }
    }
}

#[test]
fn what_a_plugin_sends_is_what_the_client_library_would_send() {
    let Some(folder) = packages() else { return };
    let state = tempfile::tempdir().expect("a folder");
    let mut studio = Command::new("node")
        .arg(repository("tests/receivers/vtube_studio.mjs"))
        .arg(&folder)
        .arg("5")
        .stdout(Stdio::piped())
        .spawn()
        .expect("node starts");
    let mut said = BufReader::new(studio.stdout.take().expect("piped")).lines();
    let mut next = || -> Value {
        serde_json::from_str(&said.next().expect("the server goes on").expect("UTF-8")).expect("JSON")
    };
    let address = format!("127.0.0.1:{}", next()["port"]);
    let clip = demo_clip();
    let mut daemon = facetrackd(&["--pace", "realtime", "--vts", &address, "--source"])
        .arg(&clip)
        .env("FACETRACKD_STATE", state.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let outcome = next();
    daemon.kill().expect("it runs");
    daemon.wait().expect("it ended");
    studio.wait().expect("it ends by itself");

    assert_eq!(outcome["problems"], serde_json::json!([]));
    let kinds = [
        "AuthenticationToken",
        "Authentication",
        "InputParameterList",
        "ParameterCreation",
        "InjectParameterData",
    ];
    assert_eq!(outcome["kinds"], serde_json::json!(kinds.map(|kind| format!("{kind}Request"))));
    assert_eq!(outcome["created"], 50, "52 less the two that VTube Studio has");
    let injection = &outcome["last"]["data"];
    assert_eq!(injection["faceFound"], true);
    assert_eq!(injection["parameterValues"].as_array().map(Vec::len), Some(21 + 50));
}
