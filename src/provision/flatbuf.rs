//! Reading `FlatBuffers` and `FlexBuffers` without trusting a byte of them.
//!
//! Every offset is checked against the buffer where it is followed, so a damaged or hostile file is an error and never a
//! panic, and nothing is allocated here. Format: the projects' pages
//! "Internals" and "`FlexBuffers`".

/// The file points outside itself. What was being read is named by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged;

type Result<T> = std::result::Result<T, Damaged>;

/// `N` bytes at `at`, if they are all there.
fn take<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let end = at.checked_add(N).ok_or(Damaged)?;
    bytes.get(at..end).and_then(|s| s.try_into().ok()).ok_or(Damaged)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<usize> {
    Ok(usize::from(u16::from_le_bytes(take(bytes, at)?)))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from_le_bytes(take(bytes, at)?))
}

/// Follows the unsigned offset stored at `at`.
fn follow(bytes: &[u8], at: usize) -> Result<usize> {
    let target = at.checked_add(u32_at(bytes, at)? as usize).ok_or(Damaged)?;
    if target < bytes.len() { Ok(target) } else { Err(Damaged) }
}

/// A `FlatBuffers` table. Fields are asked for by their number in the schema, from 0.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    bytes: &'a [u8],
    at: usize,
    vtable: usize,
    vtable_len: usize,
}

impl<'a> Table<'a> {
    /// The root table of a file whose identifier is `identifier`.
    pub fn root(bytes: &'a [u8], identifier: [u8; 4]) -> Result<Self> {
        if take::<4>(bytes, 4)? != identifier {
            return Err(Damaged);
        }
        Self::at(bytes, follow(bytes, 0)?)
    }

    fn at(bytes: &'a [u8], at: usize) -> Result<Self> {
        let back = i64::from(i32::from_le_bytes(take(bytes, at)?));
        let vtable = usize::try_from(at as i64 - back).map_err(|_| Damaged)?;
        let vtable_len = u16_at(bytes, vtable)?;
        Ok(Self { bytes, at, vtable, vtable_len })
    }

    /// Position of a field, `None` where the writer left it at its default.
    fn field(&self, number: usize) -> Result<Option<usize>> {
        let slot = 4 + 2 * number;
        if slot + 2 > self.vtable_len {
            return Ok(None);
        }
        match u16_at(self.bytes, self.vtable + slot)? {
            0 => Ok(None),
            offset => Ok(Some(self.at + offset)),
        }
    }

    /// A byte field: an enum, a bool.
    pub fn byte(&self, number: usize, default: u8) -> Result<u8> {
        self.field(number)?.map_or(Ok(default), |at| take::<1>(self.bytes, at).map(|b| b[0]))
    }

    /// A 32-bit field.
    pub fn int(&self, number: usize, default: i32) -> Result<i32> {
        self.field(number)?.map_or(Ok(default), |at| take(self.bytes, at).map(i32::from_le_bytes))
    }

    /// A table field.
    pub fn table(&self, number: usize) -> Result<Option<Self>> {
        self.field(number)?.map(|at| Self::at(self.bytes, follow(self.bytes, at)?)).transpose()
    }

    /// A vector's start and its element count, checked to lie within the file.
    fn vector(&self, number: usize, size: usize) -> Result<Option<(usize, usize)>> {
        let Some(at) = self.field(number)? else { return Ok(None) };
        let at = follow(self.bytes, at)?;
        let count = u32_at(self.bytes, at)? as usize;
        let start = at + 4;
        let end = count.checked_mul(size).and_then(|n| n.checked_add(start)).ok_or(Damaged)?;
        if end > self.bytes.len() { Err(Damaged) } else { Ok(Some((start, count))) }
    }

    /// A vector of bytes or a string; empty where it is absent.
    pub fn bytes(&self, number: usize) -> Result<&'a [u8]> {
        Ok(self.vector(number, 1)?.map_or(&[], |(start, count)| &self.bytes[start..start + count]))
    }

    /// A vector of 32-bit numbers; empty where it is absent.
    pub fn ints(&self, number: usize) -> Result<Vec<i32>> {
        let Some((start, count)) = self.vector(number, 4)? else { return Ok(Vec::new()) };
        let words = self.bytes[start..start + count * 4].as_chunks::<4>().0;
        Ok(words.iter().map(|w| i32::from_le_bytes(*w)).collect())
    }

    /// A vector of 16-bit numbers; empty where it is absent.
    pub fn shorts(&self, number: usize) -> Result<Vec<u16>> {
        let Some((start, count)) = self.vector(number, 2)? else { return Ok(Vec::new()) };
        let words = self.bytes[start..start + count * 2].as_chunks::<2>().0;
        Ok(words.iter().map(|w| u16::from_le_bytes(*w)).collect())
    }

    /// A vector of tables; empty where it is absent.
    pub fn tables(&self, number: usize) -> Result<Vec<Self>> {
        let Some((start, count)) = self.vector(number, 4)? else { return Ok(Vec::new()) };
        (0..count).map(|i| Self::at(self.bytes, follow(self.bytes, start + 4 * i)?)).collect()
    }
}

/// `FlexBuffers` types that the operators' options use. The rest is refused.
mod flex_type {
    pub const INT: u8 = 1;
    pub const FLOAT: u8 = 3;
    pub const MAP: u8 = 9;
    pub const VECTOR_INT: u8 = 11;
}

/// A `FlexBuffers` map at a buffer's root: the options of a custom operator.
#[derive(Debug, Clone, Copy)]
pub struct FlexMap<'a> {
    bytes: &'a [u8],
    values: usize,
    width: usize,
    count: usize,
}

/// A value within a `FlexBuffers` map.
#[derive(Debug, Clone, Copy)]
struct FlexValue {
    at: usize,
    parent_width: usize,
    kind: u8,
    width: usize,
}

impl<'a> FlexMap<'a> {
    /// Opens the buffer; its root must be a map.
    pub fn root(bytes: &'a [u8]) -> Result<Self> {
        let [packed, root_width] = take::<2>(bytes, bytes.len().checked_sub(2).ok_or(Damaged)?)?;
        let (kind, width) = (packed >> 2, 1usize << (packed & 3));
        let root = bytes.len().checked_sub(2 + usize::from(root_width)).ok_or(Damaged)?;
        if kind != flex_type::MAP {
            return Err(Damaged);
        }
        let values = back(bytes, root, usize::from(root_width))?;
        let count = uint(bytes, values.checked_sub(width).ok_or(Damaged)?, width)?;
        let end = count.checked_mul(width + 1).and_then(|n| n.checked_add(values)).ok_or(Damaged)?;
        if end > bytes.len() { Err(Damaged) } else { Ok(Self { bytes, values, width, count }) }
    }

    fn get(&self, key: &str) -> Result<FlexValue> {
        let header = |words: usize| self.values.checked_sub(words * self.width).ok_or(Damaged);
        let keys = back(self.bytes, header(3)?, self.width)?;
        let key_width = uint(self.bytes, header(2)?, self.width)?;
        for i in 0..self.count {
            let name = back(self.bytes, keys.checked_add(i * key_width).ok_or(Damaged)?, key_width)?;
            let name = &self.bytes[name..];
            if name.strip_prefix(key.as_bytes()).is_some_and(|rest| rest.first() == Some(&0)) {
                let packed = self.bytes[self.values + self.count * self.width + i];
                let at = self.values + i * self.width;
                let (kind, width) = (packed >> 2, 1 << (packed & 3));
                return Ok(FlexValue { at, parent_width: self.width, kind, width });
            }
        }
        Err(Damaged)
    }

    /// The non-negative integer of this name.
    pub fn uint(&self, key: &str) -> Result<usize> {
        let value = self.get(key)?;
        if value.kind == flex_type::INT {
            uint(self.bytes, value.at, value.parent_width)
        } else {
            Err(Damaged)
        }
    }

    /// The 32-bit float of this name.
    pub fn float(&self, key: &str) -> Result<f32> {
        let value = self.get(key)?;
        match (value.kind, value.parent_width) {
            (flex_type::FLOAT, 4) => take(self.bytes, value.at).map(f32::from_le_bytes),
            _ => Err(Damaged),
        }
    }

    /// The vector of non-negative integers of this name.
    pub fn uints(&self, key: &str) -> Result<Vec<usize>> {
        let value = self.get(key)?;
        if value.kind != flex_type::VECTOR_INT {
            return Err(Damaged);
        }
        let start = back(self.bytes, value.at, value.parent_width)?;
        let count = uint(self.bytes, start.checked_sub(value.width).ok_or(Damaged)?, value.width)?;
        if count > self.bytes.len() / value.width {
            return Err(Damaged);
        }
        (0..count).map(|i| uint(self.bytes, start + i * value.width, value.width)).collect()
    }
}

/// A little-endian unsigned number of 1, 2, 4 or 8 bytes.
fn uint(bytes: &[u8], at: usize, width: usize) -> Result<usize> {
    let value = match width {
        1 => u64::from(take::<1>(bytes, at)?[0]),
        2 => u64::from(u16::from_le_bytes(take(bytes, at)?)),
        4 => u64::from(u32_at(bytes, at)?),
        8 => u64::from_le_bytes(take(bytes, at)?),
        _ => return Err(Damaged),
    };
    usize::try_from(value).map_err(|_| Damaged)
}

/// Follows an offset that `FlexBuffers` store as a distance backwards.
fn back(bytes: &[u8], at: usize, width: usize) -> Result<usize> {
    at.checked_sub(uint(bytes, at, width)?).ok_or(Damaged)
}
