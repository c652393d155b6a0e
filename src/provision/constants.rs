//! Constants of a TFLite file as plain floats: half floats widened, sparse tensors filled.

use super::flatbuf::Table;
use super::tflite::{Constant, ConvertError, Result};

/// Reads one tensor's constant. `shape` has been bounded by the caller.
pub(super) fn read(tensor: Table, shape: Vec<usize>, data: &[u8]) -> Result<Constant> {
    let stored = match tensor.byte(1, 0)? {
        0 => data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        1 => data.as_chunks::<2>().0.iter().map(|b| f32_from_f16(u16::from_le_bytes(*b))).collect(),
        2 => data.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b) as f32).collect(),
        other => return Err(ConvertError::Unsupported(format!("constants of TFLite type {other}"))),
    };
    let values: Vec<f32> = match tensor.table(6)? {
        None => stored,
        Some(sparsity) => densify(sparsity, &shape, &stored)?,
    };
    if values.len() != shape.iter().product::<usize>() {
        return Err(ConvertError::Damaged("a constant's data and shape disagree"));
    }
    Ok(Constant { shape, values })
}

/// Widens an IEEE 754 half float; exact for every value.
fn f32_from_f16(half: u16) -> f32 {
    let sign = if half & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, mantissa) = (i32::from(half >> 10 & 0x1f), f32::from(half & 0x3ff));
    sign * match exponent {
        0 => mantissa * 2f32.powi(-24),
        31 if mantissa == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        e => (1024.0 + mantissa) * 2f32.powi(e - 25),
    }
}

/// One level of a sparse tensor's tree.
enum Level {
    Dense(usize),
    /// Row starts, and the column of each element.
    Csr {
        segments: Vec<usize>,
        columns: Vec<usize>,
    },
}

/// Fills a sparse tensor. Only the layout that MediaPipe writes is known: dimensions in their own order, no blocks.
fn densify(sparsity: Table, shape: &[usize], stored: &[f32]) -> Result<Vec<f32>> {
    let order = sparsity.ints(0)?;
    if order.iter().enumerate().any(|(i, &o)| i as i32 != o) || !sparsity.ints(1)?.is_empty() {
        return Err(ConvertError::Unsupported("sparse tensors in blocks or in another order".into()));
    }
    let levels = sparsity.tables(2)?.into_iter().map(level).collect::<Result<Vec<_>>>()?;
    if levels.len() != shape.len() {
        return Err(ConvertError::Damaged("a sparse tensor has the wrong number of dimensions"));
    }
    let damaged = ConvertError::Damaged("a sparse tensor's indices leave its shape");
    // (position in the level's storage, position in the dense tensor) of every subtree that is reached so far.
    let mut reached = vec![(0usize, 0usize)];
    for (level, &size) in levels.iter().zip(shape) {
        let mut next = Vec::new();
        for (position, base) in reached {
            match level {
                Level::Dense(n) if *n == size => {
                    next.extend((0..size).map(|i| (position * size + i, base * size + i)));
                }
                Level::Dense(_) => return Err(damaged),
                Level::Csr { segments, columns } => {
                    let row = segments.get(position).zip(segments.get(position + 1));
                    let row = row.and_then(|(&a, &b)| columns.get(a..b).map(|c| (a, c)));
                    let (start, row) = row.ok_or_else(|| damaged.clone())?;
                    if row.len() > size || row.iter().any(|&c| c >= size) {
                        return Err(damaged);
                    }
                    next.extend(row.iter().enumerate().map(|(i, &c)| (start + i, base * size + c)));
                }
            }
        }
        reached = next;
    }
    let mut values = vec![0.0; shape.iter().product()];
    for (position, at) in reached {
        values[at] = *stored.get(position).ok_or_else(|| damaged.clone())?;
    }
    Ok(values)
}

fn level(dimension: Table) -> Result<Level> {
    if dimension.byte(0, 0)? == 0 {
        let size = usize::try_from(dimension.int(1, 0)?);
        return size
            .map(Level::Dense)
            .map_err(|_| ConvertError::Damaged("a sparse tensor's size is negative"));
    }
    Ok(Level::Csr { segments: positions(dimension, 2)?, columns: positions(dimension, 4)? })
}

/// A union of 32, 16 and 8 bit vectors; `field` holds its type, the next field its table.
fn positions(dimension: Table, field: usize) -> Result<Vec<usize>> {
    let missing = ConvertError::Damaged("a sparse tensor lacks its indices");
    let vector = dimension.table(field + 1)?.ok_or_else(|| missing.clone())?;
    match dimension.byte(field, 0)? {
        1 => vector.ints(0)?.into_iter().map(|v| usize::try_from(v).map_err(|_| missing.clone())).collect(),
        2 => Ok(vector.shorts(0)?.into_iter().map(usize::from).collect()),
        3 => Ok(vector.bytes(0)?.iter().map(|&v| usize::from(v)).collect()),
        _ => Err(missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_floats_widen_exactly() {
        let cases = [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x7bff, 65504.0),
            (0xfc00, f32::NEG_INFINITY),
        ];
        for (half, full) in cases {
            assert_eq!(f32_from_f16(half).to_bits(), f32::to_bits(full), "{half:#06x}");
        }
        assert!(f32_from_f16(0x7e00).is_nan());
    }
}
