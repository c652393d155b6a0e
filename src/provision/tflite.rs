//! TFLite files: operators with their options, tensors, and constants as plain floats.
//!
//! Only what MediaPipe's face networks hold is understood; anything else is refused by name. Numbers of fields and enums
//! are those of the public `schema.fbs`.

use super::flatbuf::{Damaged, Table};
use std::collections::HashMap;

/// Why a file cannot be converted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// Offsets, counts or shapes contradict each other.
    #[error("the file is damaged: {0}")]
    Damaged(&'static str),
    /// Sound, but outside what the converter knows.
    #[error("the converter does not know {0}")]
    Unsupported(String),
}

impl From<Damaged> for ConvertError {
    fn from(_: Damaged) -> Self {
        Self::Damaged("an offset points outside the file")
    }
}

pub(super) type Result<T> = std::result::Result<T, ConvertError>;

/// No tensor of the known networks has more than 500,000 elements; a shape that promises more than this is an attack.
const ELEMENTS_MAX: usize = 4 << 20;
/// All constants of a file together. The largest known network has 1.3 million.
const CONSTANT_ELEMENTS_MAX: usize = 32 << 20;
/// Operators of a file. The largest known network has 712.
const OPERATORS_MAX: usize = 10_000;

/// Values that are known before any image is seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Constant {
    /// Shape as in the file (channels last).
    pub shape: Vec<usize>,
    /// Row-major values.
    pub values: Vec<f32>,
}

/// Padding of a convolution or a pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// As much as makes the output `ceil(input / stride)`, the odd pixel at the end.
    Same,
    /// None.
    Valid,
}

/// Stride, dilation and window of a convolution or a pooling, as (height, width).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// How the border is treated.
    pub padding: Padding,
    /// Step.
    pub stride: [usize; 2],
    /// Distance of neighbouring taps.
    pub dilation: [usize; 2],
    /// Size of a pooling's window; a convolution has it in its weights.
    pub size: [usize; 2],
}

/// What an operator does, with its options.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Add,
    Mul,
    Relu,
    Prelu,
    Pad,
    Reshape,
    StridedSlice,
    Concatenation { axis: i32 },
    Conv(Window),
    DepthwiseConv(Window),
    MaxPool(Window),
    ResizeBilinear { align_corners: bool, half_pixel_centers: bool },
    DepthToSpace { block: usize },
    Custom { name: String, version: i32, options: Vec<u8> },
}

impl Kind {
    /// Whether this is the custom operator of this name and version.
    pub fn is_custom(&self, wanted: &str, of: i32) -> bool {
        matches!(self, Self::Custom { name, version, .. } if name == wanted && *version == of)
    }
}

/// One operator.
#[derive(Debug, Clone)]
pub struct Operator {
    /// What it does.
    pub kind: Kind,
    /// Tensors it reads; an absent optional one is `None`.
    pub inputs: Vec<Option<usize>>,
    /// Tensors it writes.
    pub outputs: Vec<usize>,
    /// Whether a `Relu` follows within the operator.
    pub fused_relu: bool,
}

/// A network.
#[derive(Debug)]
pub struct Network {
    /// Shapes of all tensors.
    pub shapes: Vec<Vec<usize>>,
    /// Constants by tensor, half floats and sparse ones expanded. Integers below 2^24 only, so a float holds them.
    pub constants: HashMap<usize, Constant>,
    /// Operators in the order of execution, without those that only unpack constants.
    pub operators: Vec<Operator>,
    /// Tensors that the network takes.
    pub inputs: Vec<usize>,
    /// Tensors that the network gives.
    pub outputs: Vec<usize>,
}

mod builtin {
    pub const ADD: i32 = 0;
    pub const CONCATENATION: i32 = 2;
    pub const CONV_2D: i32 = 3;
    pub const DEPTHWISE_CONV_2D: i32 = 4;
    pub const DEPTH_TO_SPACE: i32 = 5;
    pub const DEQUANTIZE: i32 = 6;
    pub const MAX_POOL_2D: i32 = 17;
    pub const MUL: i32 = 18;
    pub const RELU: i32 = 19;
    pub const RESHAPE: i32 = 22;
    pub const RESIZE_BILINEAR: i32 = 23;
    pub const CUSTOM: i32 = 32;
    pub const PAD: i32 = 34;
    pub const STRIDED_SLICE: i32 = 45;
    pub const PRELU: i32 = 54;
    pub const DENSIFY: i32 = 124;
}

/// Reads a TFLite file.
///
/// # Errors
/// Where the file is damaged, or holds what the converter does not know.
pub fn read(bytes: &[u8]) -> Result<Network> {
    let model = Table::root(bytes, *b"TFL3")?;
    let buffers = model.tables(4)?;
    let graphs = model.tables(2)?;
    let [graph] = graphs[..] else {
        return Err(ConvertError::Unsupported(format!("a model of {} subgraphs", graphs.len())));
    };
    let tensors = graph.tables(0)?;
    let shapes = tensors.iter().map(|t| shape(&t.ints(0)?)).collect::<Result<Vec<_>>>()?;
    let mut network = Network {
        inputs: indices(&graph.ints(1)?, shapes.len())?,
        outputs: indices(&graph.ints(2)?, shapes.len())?,
        constants: HashMap::new(),
        operators: Vec::new(),
        shapes,
    };
    let mut budget = CONSTANT_ELEMENTS_MAX;
    for (i, tensor) in tensors.iter().enumerate() {
        let buffer = usize::try_from(tensor.int(2, 0)?).ok().and_then(|b| buffers.get(b));
        let data =
            buffer.ok_or(ConvertError::Damaged("a tensor names a buffer that is not there"))?.bytes(0)?;
        if !data.is_empty() {
            let constant = super::constants::read(*tensor, network.shapes[i].clone(), data)?;
            budget = budget
                .checked_sub(constant.values.len())
                .ok_or(ConvertError::Damaged("its constants are larger than any known network's"))?;
            network.constants.insert(i, constant);
        }
    }
    read_operators(&model, &graph, &mut network)?;
    Ok(network)
}

fn read_operators(model: &Table, graph: &Table, network: &mut Network) -> Result<()> {
    let codes = model.tables(1)?;
    let operators = graph.tables(3)?;
    if operators.len() > OPERATORS_MAX {
        return Err(ConvertError::Damaged("it has more operators than any known network"));
    }
    for operator in operators {
        let code = usize::try_from(operator.int(0, 0)?).ok().and_then(|c| codes.get(c));
        let code = code.ok_or(ConvertError::Damaged("an operator names a code that is not there"))?;
        // Files older than builtin 127 store the code in the first field only.
        let builtin = code.int(3, 0)?.max(i32::from(code.byte(0, 0)?));
        let count = network.shapes.len();
        let outputs = indices(&operator.ints(2)?, count)?;
        let inputs =
            operator.ints(1)?.into_iter().map(|i| if i < 0 { Ok(None) } else { index(i, count).map(Some) });
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        if matches!(builtin, builtin::DEQUANTIZE | builtin::DENSIFY) {
            unpack(network, &inputs, &outputs)?;
            continue;
        }
        let (kind, fused_relu) = kind(builtin, code, &operator)?;
        network.operators.push(Operator { kind, inputs, outputs, fused_relu });
    }
    Ok(())
}

/// Half floats and sparse tensors were expanded when they were read: what is left of these operators is a name.
fn unpack(network: &mut Network, inputs: &[Option<usize>], outputs: &[usize]) -> Result<()> {
    let ([Some(from)], [to]) = (inputs, outputs) else {
        return Err(ConvertError::Damaged("an unpacking operator has the wrong number of tensors"));
    };
    let constant = network.constants.remove(from);
    let constant =
        constant.ok_or_else(|| ConvertError::Unsupported("unpacking of computed values".into()))?;
    network.constants.insert(*to, constant);
    Ok(())
}

/// The operator's kind with its options, and whether a `Relu` is fused into it.
fn kind(builtin: i32, code: &Table, operator: &Table) -> Result<(Kind, bool)> {
    let options = operator.table(4)?;
    let byte = |field| options.map_or(Ok(0), |o| o.byte(field, 0));
    let size = |field, default| -> Result<usize> {
        let value = options.map_or(Ok(default), |o| o.int(field, default))?;
        let value = usize::try_from(value).ok().filter(|v| (1..=4096).contains(v));
        value.ok_or(ConvertError::Damaged("a stride, dilation or window is out of bounds"))
    };
    let window = |dilation: Option<usize>, window: Option<usize>| -> Result<Window> {
        let pair = |field: Option<usize>| -> Result<[usize; 2]> {
            field.map_or(Ok([1, 1]), |f| Ok([size(f + 1, 1)?, size(f, 1)?]))
        };
        Ok(Window {
            padding: if byte(0)? == 0 { Padding::Same } else { Padding::Valid },
            stride: pair(Some(1))?,
            dilation: pair(dilation)?,
            size: pair(window)?,
        })
    };
    let (kind, activation) = match builtin {
        builtin::ADD => (Kind::Add, byte(0)?),
        builtin::MUL => (Kind::Mul, byte(0)?),
        builtin::RELU => (Kind::Relu, 0),
        builtin::PRELU => (Kind::Prelu, 0),
        builtin::PAD => (Kind::Pad, 0),
        builtin::RESHAPE => (Kind::Reshape, 0),
        builtin::STRIDED_SLICE => (Kind::StridedSlice, 0),
        builtin::CONCATENATION => {
            (Kind::Concatenation { axis: options.map_or(Ok(0), |o| o.int(0, 0))? }, byte(1)?)
        }
        builtin::CONV_2D => (Kind::Conv(window(Some(4), None)?), byte(3)?),
        builtin::DEPTHWISE_CONV_2D => (Kind::DepthwiseConv(window(Some(5), None)?), byte(4)?),
        builtin::MAX_POOL_2D => (Kind::MaxPool(window(None, Some(3))?), byte(5)?),
        builtin::RESIZE_BILINEAR => {
            let (align_corners, half_pixel_centers) = (byte(2)? != 0, byte(3)? != 0);
            (Kind::ResizeBilinear { align_corners, half_pixel_centers }, 0)
        }
        builtin::DEPTH_TO_SPACE => (Kind::DepthToSpace { block: size(0, 1)? }, 0),
        builtin::CUSTOM => {
            let name = String::from_utf8_lossy(code.bytes(1)?).into_owned();
            (Kind::Custom { name, version: code.int(2, 1)?, options: operator.bytes(5)?.to_vec() }, 0)
        }
        other => return Err(ConvertError::Unsupported(format!("TFLite operator {other}"))),
    };
    match activation {
        0 => Ok((kind, false)),
        1 => Ok((kind, true)),
        other => Err(ConvertError::Unsupported(format!("fused activation {other}"))),
    }
}

/// Checks a shape; its product is bounded.
fn shape(dims: &[i32]) -> Result<Vec<usize>> {
    let mut elements = 1usize;
    let mut shape = Vec::with_capacity(dims.len());
    for &dim in dims {
        let dim = usize::try_from(dim).ok().filter(|&d| d > 0);
        let dim = dim.ok_or(ConvertError::Damaged("a shape holds a size below 1"))?;
        elements = elements
            .checked_mul(dim)
            .filter(|&n| n <= ELEMENTS_MAX)
            .ok_or(ConvertError::Damaged("a shape is larger than any known network's"))?;
        shape.push(dim);
    }
    Ok(shape)
}

fn index(i: i32, count: usize) -> Result<usize> {
    let index = usize::try_from(i).ok().filter(|&i| i < count);
    index.ok_or(ConvertError::Damaged("an operator names a tensor that is not there"))
}

fn indices(list: &[i32], count: usize) -> Result<Vec<usize>> {
    list.iter().map(|&i| index(i, count)).collect()
}
