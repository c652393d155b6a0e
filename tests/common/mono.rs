//! The Unity client under Mono, against a stub of what it uses of Unity.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles the client with one of `tests/receivers/unity`'s programs into `folder`; `None`, and the reason on standard
/// error, where there is no Mono.
pub fn compile(program: &str, folder: &Path) -> Option<PathBuf> {
    let (root, exe) = (Path::new(env!("CARGO_MANIFEST_DIR")), folder.join(program).with_extension("exe"));
    let here = root.join("tests/receivers/unity");
    let runtime = std::fs::read_dir(root.join("clients/unity/Runtime")).expect("the client is there");
    let runtime = runtime.map(|entry| entry.expect("readable").path());
    let mut command = Command::new("mcs");
    command.args(["-unsafe", "-warnaserror", "-langversion:7", "-r:System.Core"]);
    command
        .arg(format!("-out:{}", exe.display()))
        .args(runtime.filter(|p| p.extension().is_some_and(|e| e == "cs")));
    command.arg(root.join("clients/unity/Samples~/Basic/ReadFace.cs")).arg(here.join("UnityEngine.cs"));
    match command.arg(here.join(program).with_extension("cs")).output() {
        Ok(out) if out.status.success() => Some(exe),
        Ok(out) => panic!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)),
        Err(error) => {
            eprintln!("SKIPPED: no Mono ({error}); install mono-mcs and mono-runtime");
            None
        }
    }
}
