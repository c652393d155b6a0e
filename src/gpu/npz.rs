//! Reads `NumPy`'s `.npz` archives, as far as the asset pack uses them: little-endian numbers and strings, C order.

use half::f16;
use half::slice::HalfFloatSliceExt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// Why an array could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {what}; the asset pack is damaged or of another version, fetch it again", file = file.display())]
pub struct NpzError {
    /// The archive.
    pub file: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

/// An open archive.
pub struct Npz {
    path: PathBuf,
    zip: zip::ZipArchive<BufReader<File>>,
}

/// One array: its shape, and its numbers as the file has them.
pub struct Array {
    name: String,
    path: PathBuf,
    kind: String,
    /// Length of each dimension, slowest first.
    pub shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Npz {
    /// Opens an archive and reads its directory.
    ///
    /// # Errors
    /// Where the file is missing or no archive.
    pub fn open(path: &Path) -> Result<Self, NpzError> {
        let fail = |what: String| NpzError { file: path.to_path_buf(), what };
        let file = File::open(path).map_err(|e| fail(e.to_string()))?;
        let zip = zip::ZipArchive::new(BufReader::new(file)).map_err(|e| fail(e.to_string()))?;
        Ok(Self { path: path.to_path_buf(), zip })
    }

    /// Names of the arrays, in the archive's order.
    pub fn names(&self) -> Vec<String> {
        self.zip.file_names().filter_map(Result::ok).map(|n| n.trim_end_matches(".npy").to_owned()).collect()
    }

    /// Reads one array.
    ///
    /// # Errors
    /// Where it is missing, truncated, fails its checksum or has a header nobody can read.
    pub fn array(&mut self, name: &str) -> Result<Array, NpzError> {
        let path = self.path.clone();
        let fail = |what: String| NpzError { file: path.clone(), what: format!("array {name}: {what}") };
        let mut entry = self.zip.by_name(&format!("{name}.npy")).map_err(|e| fail(e.to_string()))?;
        let mut raw = Vec::new();
        entry.read_to_end(&mut raw).map_err(|e| fail(e.to_string()))?;
        let (kind, shape, start) = header(&raw).ok_or_else(|| fail("its header is not NumPy's".into()))?;
        let width =
            item_size(&kind).ok_or_else(|| fail(format!("numbers of type {kind} are not supported")))?;
        let bytes = raw.split_off(start);
        if shape.iter().product::<usize>() * width != bytes.len() {
            return Err(fail(format!("{} bytes do not fill its shape {shape:?}", bytes.len())));
        }
        Ok(Array { name: name.to_owned(), path: self.path.clone(), kind, shape, bytes })
    }
}

fn item_size(kind: &str) -> Option<usize> {
    let count: usize = kind.get(2..)?.parse().ok()?;
    Some(if kind.as_bytes().get(1) == Some(&b'U') { 4 * count } else { count })
}

/// Type, shape and where the data starts.
fn header(raw: &[u8]) -> Option<(String, Vec<usize>, usize)> {
    if raw.get(..6)? != b"\x93NUMPY" {
        return None;
    }
    let (len, at) = match raw.get(6)? {
        1 => (usize::from(u16::from_le_bytes(raw.get(8..10)?.try_into().ok()?)), 10),
        2 | 3 => (u32::from_le_bytes(raw.get(8..12)?.try_into().ok()?) as usize, 12),
        _ => return None,
    };
    let text = std::str::from_utf8(raw.get(at..at + len)?).ok()?;
    let after = |key: &str| text.split_once(key).map(|(_, rest)| rest.trim_start_matches([' ', ':']));
    let kind = after("'descr'")?.trim_start_matches('\'').split('\'').next()?.to_owned();
    if after("'fortran_order'")?.starts_with("True") {
        return None;
    }
    let dims = after("'shape'")?.trim_start_matches('(').split(')').next()?;
    let shape = dims.split(',').map(str::trim).filter(|d| !d.is_empty()).map(|d| d.parse().ok());
    Some((kind, shape.collect::<Option<_>>()?, at + len))
}

impl Array {
    fn fail(&self, what: impl std::fmt::Display) -> NpzError {
        NpzError { file: self.path.clone(), what: format!("array {}: {what}", self.name) }
    }

    /// Demands a shape; 0 stands for any length.
    ///
    /// # Errors
    /// Where the shape is another.
    pub fn expect_shape(self, want: &[usize]) -> Result<Self, NpzError> {
        let fits =
            self.shape.len() == want.len() && self.shape.iter().zip(want).all(|(s, w)| *w == 0 || s == w);
        if fits { Ok(self) } else { Err(self.fail(format!("shape {:?} instead of {want:?}", self.shape))) }
    }

    /// The numbers as `f32`, from single or half precision; all finite.
    ///
    /// # Errors
    /// Where they are of another type, or one is NaN or infinite.
    pub fn f32(&self) -> Result<Vec<f32>, NpzError> {
        let values: Vec<f32> = match self.kind.as_str() {
            "<f4" => {
                self.bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            }
            "<f2" => {
                let halves: Vec<f16> =
                    self.bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]])).collect();
                let mut out = vec![0.0; halves.len()];
                halves.convert_to_f32_slice(&mut out);
                out
            }
            other => return Err(self.fail(format!("type {other} instead of f4 or f2"))),
        };
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            return Err(self.fail(format!("value {at} is not a number")));
        }
        Ok(values)
    }

    /// The numbers as indices, every one below `limit`.
    ///
    /// # Errors
    /// Where they are of another type or one is out of range.
    pub fn indices(&self, limit: usize) -> Result<Vec<u32>, NpzError> {
        let values: Vec<i64> = match self.kind.as_str() {
            "|u1" => self.bytes.iter().map(|b| i64::from(*b)).collect(),
            "<u2" => {
                self.bytes.chunks_exact(2).map(|b| i64::from(u16::from_le_bytes([b[0], b[1]]))).collect()
            }
            "<i4" => self
                .bytes
                .chunks_exact(4)
                .map(|b| i64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]])))
                .collect(),
            other => return Err(self.fail(format!("type {other} instead of u1, u2 or i4"))),
        };
        if let Some(bad) = values.iter().find(|v| **v < 0 || **v >= limit as i64) {
            return Err(self.fail(format!("index {bad} is not below {limit}")));
        }
        Ok(values.into_iter().map(|v| v as u32).collect())
    }

    /// The bytes of an array of `u8`.
    ///
    /// # Errors
    /// Where it is of another type.
    pub fn u8(&self) -> Result<&[u8], NpzError> {
        if self.kind == "|u1" {
            Ok(&self.bytes)
        } else {
            Err(self.fail(format!("type {} instead of u1", self.kind)))
        }
    }

    /// The texts of an array of strings.
    ///
    /// # Errors
    /// Where it is of another type.
    pub fn strings(&self) -> Result<Vec<String>, NpzError> {
        let width = item_size(&self.kind).filter(|_| self.kind.starts_with("<U"));
        let width = width.ok_or_else(|| self.fail(format!("type {} instead of text", self.kind)))?;
        let text = |item: &[u8]| {
            let chars = item.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]));
            chars.take_while(|c| *c != 0).filter_map(char::from_u32).collect()
        };
        Ok(self.bytes.chunks_exact(width.max(4)).map(text).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(kind: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut out = b"\x93NUMPY\x01\x00".to_vec();
        out.extend((text.len() as u16).to_le_bytes());
        out.extend(text.bytes());
        out.extend(data);
        out
    }

    #[test]
    fn a_header_gives_type_shape_and_start() {
        let raw = npy("<f4", "(2, 3)", &[0; 24]);
        let (kind, shape, start) = header(&raw).unwrap();
        assert_eq!((kind.as_str(), shape, raw.len() - start), ("<f4", vec![2, 3], 24));
        assert_eq!(header(&npy("<U16", "(5,)", &[])).unwrap().1, vec![5]);
    }

    #[test]
    fn what_is_not_numpys_is_refused() {
        assert!(header(b"PK\x03\x04").is_none());
        assert!(header(&npy("<f4", "(2, x)", &[])).is_none());
    }
}
