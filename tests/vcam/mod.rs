//! The `LD_PRELOAD` camera: builds it, plugs cameras in and out, and runs a test inside it.
//!
//! A test under `LD_PRELOAD` is the same test in a process of its own. Needs `cc`; no root, no device nodes.
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]
#![allow(dead_code, reason = "tests and benches use different parts")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder that stands in for `/dev`.
pub struct Vcam {
    root: PathBuf,
}

/// Runs `body` with the camera in place of the system's: here, where this process has it preloaded; else in a process
/// of its own, this program once more with `arguments`. Returns what that process said.
pub fn inside(arguments: &[&str], body: impl FnOnce(&Vcam)) -> Option<String> {
    if let Some(root) = std::env::var_os("VCAM_ROOT") {
        body(&Vcam { root: root.into() });
        return None;
    }
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("dev/v4l/by-id")).unwrap();
    fs::create_dir_all(root.path().join("sys/class/video4linux")).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(arguments)
        .env("LD_PRELOAD", library())
        .env("VCAM_ROOT", root.path())
        .output()
        .unwrap();
    let said = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).join("\n");
    assert!(output.status.success(), "{said}\n--- the camera's log ends:\n{}", log_tail(root.path()));
    Some(said)
}

fn log_tail(root: &Path) -> String {
    let log = fs::read_to_string(root.join("log")).unwrap_or_default();
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Compiles the camera once for all tests of this binary.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vcam");
        let name = format!("vcam-{}.so", std::process::id());
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-o"];
        let status = Command::new("cc")
            .args(flags)
            .arg(&library)
            .args(["camera.c", "hooks.c"].map(|file| sources.join(file)))
            .args(["-ldl", "-lpthread"])
            .status()
            .expect("the camera tests need a C compiler: apt install gcc");
        assert!(status.success(), "the camera does not compile");
        library
    })
}

impl Vcam {
    /// A file for frames or the like.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.root.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn node(&self, number: u32) -> PathBuf {
        self.root.join(format!("dev/video{number}"))
    }

    /// Plugs in a camera of these lines (see `vcam.h`). The file appears whole.
    pub fn plug(&self, number: u32, lines: &str) {
        let draft = self.file("draft", lines.as_bytes());
        fs::rename(draft, self.node(number)).unwrap();
    }

    pub fn unplug(&self, number: u32) {
        fs::remove_file(self.node(number)).unwrap();
    }

    /// Links `/dev/v4l/by-id/NAME` to a camera, in place of where it led.
    pub fn name_by_id(&self, name: &str, number: u32) {
        let link = self.root.join("dev/v4l/by-id").join(name);
        if link.symlink_metadata().is_ok() {
            fs::remove_file(&link).unwrap();
        }
        std::os::unix::fs::symlink(format!("../../video{number}"), link).unwrap();
    }

    pub fn freeze(&self, number: u32, frozen: bool) {
        let path = self.root.join(format!("dev/video{number}.freeze"));
        if frozen {
            fs::write(path, "").unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }

    /// A file under the camera's sysfs folder, such as `video0/device/speed`.
    pub fn sysfs(&self, path: &str, text: &str) {
        let path = self.root.join("sys/class/video4linux").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Lines of the log that start like this, without that start.
    pub fn log(&self, start: &str) -> Vec<String> {
        let log = fs::read_to_string(self.root.join("log")).unwrap_or_default();
        log.lines().filter_map(|l| l.strip_prefix(start)).map(|l| l.trim().to_owned()).collect()
    }

    /// Number and time of every frame that the camera delivered.
    pub fn delivered(&self) -> Vec<(u64, u64)> {
        let number = |line: &str, at| line.split(' ').nth(at).unwrap().parse().unwrap();
        self.log("frame ").iter().map(|l| (number(l, 0), number(l, 2))).collect()
    }
}
