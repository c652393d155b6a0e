//! The token by which VTube Studio knows us again, a file in the state directory.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Tokens are 64 letters and digits; what is much longer is none.
const TOKEN_BYTES_MAX: usize = 1024;

/// `$FACETRACKD_STATE`, or `facetrackd` in the XDG state directory.
pub(super) fn state_dir() -> Option<PathBuf> {
    if let Some(dir) = std::env::var_os("FACETRACKD_STATE") {
        return Some(dir.into());
    }
    let dirs = directories::BaseDirs::new()?;
    Some(dirs.state_dir().unwrap_or_else(|| dirs.data_local_dir()).join("facetrackd"))
}

/// Where the token for one VTube Studio is kept.
pub(super) struct TokenFile {
    path: Option<PathBuf>,
}

impl TokenFile {
    pub fn new(state: Option<PathBuf>, target: SocketAddr) -> Self {
        // Colons and brackets are not for every file system.
        let name: String = target
            .to_string()
            .chars()
            .map(|c| if c.is_alphanumeric() || c == '.' { c } else { '-' })
            .collect();
        Self { path: state.map(|dir| dir.join(format!("vts-{name}.token"))) }
    }

    pub fn read(&self) -> Option<String> {
        let path = self.path.as_ref()?;
        match fs::read_to_string(path) {
            Ok(text) => Some(text.trim().to_owned()).filter(|t| (1..=TOKEN_BYTES_MAX).contains(&t.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!("cannot read {}: {error}", path.display());
                None
            }
        }
    }

    pub fn write(&self, token: &str) {
        let Some(path) = &self.path else { return };
        if let Err(error) = replace(path, token) {
            tracing::warn!(
                "cannot keep VTube Studio's token in {}: {error}; it will ask again",
                path.display()
            );
        }
    }
}

/// Writes a file that nobody else may read, whole or not at all.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    // It is made for its owner alone.
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}
