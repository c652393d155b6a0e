//! Pinned packages: what is fetched, by which pip command, and how single files are taken out of a wheel.

use super::error::{ProvisionError, reading, writing};
use super::{Event, Progress};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// One wheel, pinned by its hash.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    /// Name in the package index.
    pub name: &'static str,
    /// Version.
    pub version: &'static str,
    /// SPDX name of its licence.
    pub licence: &'static str,
    /// Platform tag of the wheel.
    pub platform: &'static str,
    /// SHA-256 of the wheel.
    pub sha256: &'static str,
    /// Size of the wheel in bytes, for the progress bar.
    pub bytes: u64,
}

/// The networks. They are data: this wheel serves every platform, whatever its tag says.
pub const MEDIAPIPE: Package = Package {
    name: "mediapipe",
    version: "0.10.21",
    licence: "Apache-2.0",
    platform: "manylinux_2_28_x86_64",
    sha256: "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
    bytes: 35_622_638,
};

/// The runtime for 64-bit Intel and AMD.
const ONNXRUNTIME_X86_64: Package = Package {
    name: "onnxruntime",
    version: "1.31.1",
    licence: "MIT",
    platform: "manylinux_2_28_x86_64",
    sha256: "5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f",
    bytes: 23_753_652,
};

/// The runtime for 64-bit Arm.
const ONNXRUNTIME_AARCH64: Package = Package {
    platform: "manylinux_2_28_aarch64",
    sha256: "da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3",
    bytes: 21_413_526,
    ..ONNXRUNTIME_X86_64
};

/// Of `onnxruntime/LICENSE`, the same in both wheels.
pub const ONNXRUNTIME_LICENSE_SHA256: &str =
    "2f07c72751aed99790b8a4869cf2311df85a860b22ded05fa22803587a48922c";
/// Of the licence in MediaPipe's wheel.
pub const MEDIAPIPE_LICENSE_SHA256: &str = "8707eef0533987efc5b155d64761eeb6e20793f50b9bd1a68dad1cf4719d0ed8";

/// The library within the runtime's wheel.
#[derive(Debug, Clone, Copy)]
pub struct RuntimeLibrary {
    /// The wheel.
    pub package: Package,
    /// SHA-256 of the library in it.
    pub sha256: &'static str,
}

/// The runtime that is pinned for an operating system and an architecture (as in [`std::env::consts`]).
pub fn runtime_for(os: &str, arch: &str) -> Option<RuntimeLibrary> {
    match (os, arch) {
        ("linux", "x86_64") => Some(RuntimeLibrary {
            package: ONNXRUNTIME_X86_64,
            sha256: "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3",
        }),
        ("linux", "aarch64") => Some(RuntimeLibrary {
            package: ONNXRUNTIME_AARCH64,
            sha256: "8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467",
        }),
        _ => None,
    }
}

impl Package {
    /// `name==version`, as pip and the manifests write it.
    pub fn requirement(&self) -> String {
        format!("{}=={}", self.name, self.version)
    }
}

/// How pip is called. Tests put other folders on `PATH` and feed wheels from a folder.
#[derive(Debug, Clone, Default)]
pub struct Pip {
    /// Variables set for it beyond our own environment.
    pub variables: Vec<(OsString, OsString)>,
}

impl Pip {
    /// Downloads `package` into `folder`, which must be empty, and checks its hash.
    pub fn fetch(
        &self,
        package: &Package,
        folder: &Path,
        progress: &dyn Progress,
    ) -> Result<PathBuf, ProvisionError> {
        let requirement = package.requirement();
        progress.note(Event::Fetch { package: &requirement, licence: package.licence, bytes: package.bytes });
        let requirements = folder.join("requirements.txt");
        fs::write(&requirements, format!("{requirement} --hash=sha256:{}\n", package.sha256))
            .map_err(writing(&requirements))?;
        let (scratch, wheels) = (folder.join("pip"), folder.join("wheels"));
        for folder in [&scratch, &wheels] {
            fs::create_dir(folder).map_err(writing(folder))?;
        }
        self.run(package, &requirements, &scratch, &wheels, progress)?;
        let wheel = fs::read_dir(&wheels).map_err(reading(&wheels))?.next();
        let wheel = wheel.ok_or_else(|| failed(&requirement, "it reported success and left no file"))?;
        let wheel = wheel.map_err(reading(&wheels))?.path();
        // pip has checked the hash too; a pip that did not must not decide what we load.
        if hash_of_file(&wheel)? == package.sha256 {
            Ok(wheel)
        } else {
            Err(ProvisionError::WrongHash { what: requirement })
        }
    }

    fn run(
        &self,
        package: &Package,
        requirements: &Path,
        scratch: &Path,
        wheels: &Path,
        progress: &dyn Progress,
    ) -> Result<(), ProvisionError> {
        let requirement = package.requirement();
        let log = scratch.with_extension("log");
        let log_file = File::create(&log).map_err(writing(&log))?;
        let mut command = Command::new("python3");
        command
            .args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes"])
            .args(["--platform", package.platform, "--python-version", "3.11", "--implementation", "cp"])
            .args(["--abi", "cp311", "--no-input", "--disable-pip-version-check"])
            .args(["--progress-bar", "off", "--quiet", "-d"])
            .arg(wheels)
            .arg("-r")
            .arg(requirements)
            .env("TMPDIR", scratch)
            .envs(self.variables.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file);
        let mut child = command.spawn().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ProvisionError::NoPython,
            _ => failed(&requirement, &source.to_string()),
        })?;
        let status = watch(&mut child, &[scratch, wheels], progress)
            .map_err(|source| failed(&requirement, &source.to_string()))?;
        if status {
            return Ok(());
        }
        let said = fs::read(&log).map_err(reading(&log))?;
        Err(classify(&requirement, &String::from_utf8_lossy(&said), wheels))
    }
}

/// Waits for pip, and meanwhile reports how much of the wheel has arrived. True where it succeeded.
fn watch(child: &mut Child, folders: &[&Path], progress: &dyn Progress) -> io::Result<bool> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        let bytes = folders.iter().map(|folder| size_of(folder)).sum();
        progress.note(Event::Received { bytes });
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Bytes in a folder and the folders in it. Files come and go meanwhile: what cannot be read counts as nothing.
fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() => size_of(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

/// What pip's complaint means.
fn classify(requirement: &str, said: &str, wheels: &Path) -> ProvisionError {
    let says = |words: &[&str]| words.iter().any(|w| said.contains(w));
    if says(&["No module named pip", "No module named 'pip'"]) {
        ProvisionError::NoPip
    } else if says(&["DO NOT MATCH THE HASHES", "HashMismatch"]) {
        ProvisionError::WrongHash { what: requirement.into() }
    } else if says(&["No space left on device", "File too large", "Disk quota exceeded"]) {
        writing(wheels)(io::ErrorKind::StorageFull.into())
    } else {
        // The last complaint is the one that ended it; the lines before are retries.
        let error = said.lines().rev().find(|l| l.starts_with("ERROR")).or(said.lines().last());
        failed(requirement, error.unwrap_or("it ended without a word").trim_start_matches("ERROR: "))
    }
}

fn failed(requirement: &str, reason: &str) -> ProvisionError {
    ProvisionError::Fetch { package: requirement.into(), reason: reason.into() }
}

/// No file that we take out of a wheel is larger; a wheel that says otherwise is not read to its end.
const ENTRY_BYTES_MAX: u64 = 128 << 20;

/// Takes one file out of a wheel and checks its hash.
pub fn take(wheel: &Path, entry: &str, sha256: &str) -> Result<Vec<u8>, ProvisionError> {
    let name = wheel.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let unpack = |reason: String| ProvisionError::Unpack { package: name.clone(), reason };
    let file = File::open(wheel).map_err(reading(wheel))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|e| unpack(e.to_string()))?;
    let entry_file = archive.by_name(entry).map_err(|e| unpack(format!("{entry}: {e}")))?;
    let mut bytes = Vec::new();
    entry_file.take(ENTRY_BYTES_MAX).read_to_end(&mut bytes).map_err(|e| unpack(format!("{entry}: {e}")))?;
    if hash(&bytes) == sha256 { Ok(bytes) } else { Err(ProvisionError::WrongHash { what: entry.into() }) }
}

/// SHA-256 in lowercase hexadecimal.
pub fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file, read piece by piece.
pub fn hash_of_file(path: &Path) -> Result<String, ProvisionError> {
    let mut file = File::open(path).map_err(reading(path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(reading(path))? {
            0 => return Ok(hex(&hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}
