//! TFLite networks as ONNX, channels first throughout.
//!
//! A value of rank 4 is NHWC in the file and NCHW here, so that ONNX Runtime's blocked convolutions take it as it is;
//! other ranks keep their order. A transpose is left only where a feature map is cut into anchors. Zero padding goes
//! into the convolution behind it; `PReLU` and added channels become convolutions, for speed.

use super::onnx::{Attribute, Builder};
use super::tflite::{ConvertError, Kind, Network, Operator, Padding, Result, Window};
use std::collections::HashMap;

/// A computed tensor of the file, as a value of the graph.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// The tensor, NCHW where its rank is 4.
    Tensor(String),
    /// A 4x4 matrix that is an affine map of the plane, as 3x2: images of x and y, then the shift. A row vector
    /// (x, y, 1) times this is the mapped point.
    Affine(String),
    /// A tensor whose zero border is still to be added by the convolution that reads it: (top, left, bottom, right).
    Padded(String, [usize; 4]),
}

/// What the outputs of a converted network are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outputs {
    /// The file's own, in its order, under the manifest's names and shapes.
    AsTheyAre,
    /// The mesh with lips, eyes and irises refined, `[1, 478, 3]`, and the logit of presence.
    RefinedMesh,
}

/// Name and shape of an input or an output.
pub type Port = (String, Vec<usize>);

/// Converts a network: `input` becomes its one input (NCHW), `outputs` its results in order.
///
/// # Errors
/// Where the file is damaged, is no network that the converter knows, or does not have these inputs and outputs.
pub fn convert(tflite: &[u8], name: &str, input: &Port, kind: Outputs, outputs: &[Port]) -> Result<Vec<u8>> {
    let network = super::tflite::read(tflite)?;
    let mut converter = Converter::new(&network, name);
    converter.bind_input(input)?;
    for operator in &network.operators {
        converter.operator(operator)?;
        // Many operators may share one large constant in the file; here each has its own.
        if converter.graph.constant_bytes() > RESULT_BYTES_MAX {
            return Err(ConvertError::Damaged("it would become larger than any known network"));
        }
    }
    match kind {
        Outputs::AsTheyAre => converter.bind_outputs(outputs)?,
        Outputs::RefinedMesh => super::attention::merge(&mut converter, outputs)?,
    }
    Ok(converter.graph.finish())
}

/// The largest converted network has 5 MB.
const RESULT_BYTES_MAX: usize = 64 << 20;
/// No identity matrix of the known networks has more than 16,384 elements.
const IDENTITY_MAX: usize = 1 << 20;

/// The state of a conversion.
pub(super) struct Converter<'a> {
    pub(super) network: &'a Network,
    pub(super) graph: Builder,
    values: HashMap<usize, Value>,
    readers: HashMap<usize, usize>,
}

/// Sizes of a tensor of rank 4, as the file has them.
pub(super) struct Nhwc {
    pub h: usize,
    pub w: usize,
    pub c: usize,
}

impl<'a> Converter<'a> {
    fn new(network: &'a Network, name: &str) -> Self {
        let mut readers = HashMap::new();
        for input in network.operators.iter().flat_map(|o| o.inputs.iter().flatten()) {
            *readers.entry(*input).or_insert(0) += 1;
        }
        Self { network, graph: Builder::new(name), values: HashMap::new(), readers }
    }

    fn bind_input(&mut self, (name, shape): &Port) -> Result<()> {
        let &[tensor] = &self.network.inputs[..] else {
            return Err(ConvertError::Unsupported("networks of several inputs".into()));
        };
        let Nhwc { h, w, c } = self.nhwc(tensor)?;
        if shape[..] != [1, c, h, w] {
            return Err(ConvertError::Unsupported(format!(
                "an input of {h}x{w}x{c} where {shape:?} is stated"
            )));
        }
        self.graph.input(name, shape);
        self.values.insert(tensor, Value::Tensor(name.clone()));
        Ok(())
    }

    fn bind_outputs(&mut self, outputs: &[Port]) -> Result<()> {
        let network = self.network;
        if outputs.len() != network.outputs.len() {
            return Err(ConvertError::Unsupported(format!("{} outputs", network.outputs.len())));
        }
        for (&tensor, (name, shape)) in network.outputs.iter().zip(outputs) {
            let value = self.reshaped(tensor, shape)?;
            self.graph.output(&value, name, shape);
        }
        Ok(())
    }

    pub(super) fn shape(&self, tensor: usize) -> &'a [usize] {
        &self.network.shapes[tensor]
    }

    pub(super) fn nhwc(&self, tensor: usize) -> Result<Nhwc> {
        match *self.shape(tensor) {
            [1, h, w, c] => Ok(Nhwc { h, w, c }),
            _ => Err(ConvertError::Unsupported(format!("a feature map of shape {:?}", self.shape(tensor)))),
        }
    }

    /// The computed value of a tensor.
    pub(super) fn value(&self, tensor: usize) -> Result<&Value> {
        self.values.get(&tensor).ok_or(ConvertError::Damaged("an operator reads what nothing has computed"))
    }

    /// Says what a tensor's value is.
    pub(super) fn insert(&mut self, tensor: usize, value: Value) {
        self.values.insert(tensor, value);
    }

    /// The computed value of a tensor, which must be no affine map and have no border to come.
    pub(super) fn tensor(&self, tensor: usize) -> Result<String> {
        match self.value(tensor)? {
            Value::Tensor(name) => Ok(name.clone()),
            _ => Err(ConvertError::Unsupported("this use of a transform matrix or of padding".into())),
        }
    }

    /// A constant input's values.
    pub(super) fn constant(&self, tensor: usize) -> Result<&'a [f32]> {
        let constant = self.network.constants.get(&tensor);
        let constant = constant.ok_or(ConvertError::Damaged("an operator lacks its constant"))?;
        if constant.shape == self.shape(tensor) {
            Ok(&constant.values)
        } else {
            Err(ConvertError::Damaged("a constant changed its shape while it was unpacked"))
        }
    }

    /// A tensor in its file's element order under another shape.
    pub(super) fn reshaped(&mut self, tensor: usize, shape: &[usize]) -> Result<String> {
        let from = self.shape(tensor);
        if from.iter().product::<usize>() != shape.iter().product::<usize>() {
            return Err(ConvertError::Damaged("a reshape changes the number of elements"));
        }
        let mut value = self.tensor(tensor)?;
        if from.len() == 4 && !is_flat(from) {
            value = self.graph.op("Transpose", &[&value], [Attribute::ints("perm", [0, 2, 3, 1])]);
        }
        let dims: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
        let dims = self.graph.ints(&dims);
        Ok(self.graph.op("Reshape", &[&value, &dims], []))
    }

    fn operator(&mut self, operator: &Operator) -> Result<()> {
        let input = |i: usize| -> Result<usize> {
            let tensor = operator.inputs.get(i).copied().flatten();
            tensor.ok_or(ConvertError::Damaged("an operator lacks an input"))
        };
        let &[output] = &operator.outputs[..] else {
            return Err(ConvertError::Unsupported("operators of several outputs".into()));
        };
        let value = match &operator.kind {
            Kind::Add => self.binary("Add", input(0)?, input(1)?)?,
            Kind::Mul => self.multiply(input(0)?, input(1)?)?,
            Kind::Relu => {
                let x = self.tensor(input(0)?)?;
                self.graph.op("Relu", &[&x], []).into()
            }
            Kind::Prelu => self.prelu(input(0)?, input(1)?)?,
            Kind::Pad => self.pad(input(0)?, input(1)?, output)?,
            Kind::Reshape => self.reshape(input(0)?, output)?,
            Kind::StridedSlice if self.shape(input(0)?) == self.shape(output) => {
                self.tensor(input(0)?)?.into()
            }
            Kind::StridedSlice => return Err(ConvertError::Unsupported("slices of a part".into())),
            Kind::Concatenation { axis } => self.concatenation(operator, *axis, output)?,
            Kind::Conv(w) => self.convolution(*w, false, [input(0)?, input(1)?, input(2)?, output])?,
            Kind::DepthwiseConv(w) => {
                self.convolution(*w, true, [input(0)?, input(1)?, input(2)?, output])?
            }
            Kind::MaxPool(w) => self.max_pool(*w, input(0)?, output)?,
            Kind::ResizeBilinear { align_corners, half_pixel_centers } => {
                self.resize(*align_corners, *half_pixel_centers, input(0)?, output)?
            }
            Kind::DepthToSpace { block } => {
                let x = self.tensor(input(0)?)?;
                let attributes =
                    [Attribute::int("blocksize", *block as i64), Attribute::string("mode", "DCR")];
                self.graph.op("DepthToSpace", &[&x], attributes).into()
            }
            Kind::Custom { name, version, options } => {
                let ports = super::attention::Ports { first: input(0)?, second: input(1).ok(), output };
                super::attention::custom(self, name, *version, options, &ports)?
            }
        };
        let value = match (operator.fused_relu, value) {
            (true, Value::Tensor(x)) => self.graph.op("Relu", &[&x], []).into(),
            (true, _) => return Err(ConvertError::Unsupported("a ReLU behind a matrix or padding".into())),
            (false, value) => value,
        };
        self.values.insert(output, value);
        Ok(())
    }

    fn binary(&mut self, op: &str, a: usize, b: usize) -> Result<Value> {
        if self.shape(a) != self.shape(b) {
            return Err(ConvertError::Unsupported(format!("{op} of different shapes")));
        }
        let (a, b) = (self.tensor(a)?, self.tensor(b)?);
        Ok(self.graph.op(op, &[&a, &b], []).into())
    }

    /// By another tensor, by a number, or a transform matrix by a constant, element by element.
    fn multiply(&mut self, a: usize, b: usize) -> Result<Value> {
        if !self.network.constants.contains_key(&b) {
            return self.binary("Mul", a, b);
        }
        let factors = self.constant(b)?;
        match (self.value(a)?.clone(), factors) {
            (Value::Tensor(x), [factor]) => {
                let factor = self.graph.floats(&[1], &[*factor]);
                Ok(self.graph.op("Mul", &[&x, &factor], []).into())
            }
            (Value::Affine(x), f) if f.len() == 16 => {
                let factors = self.graph.floats(&[3, 2], &[f[0], f[4], f[1], f[5], f[3], f[7]]);
                Ok(Value::Affine(self.graph.op("Mul", &[&x, &factors], [])))
            }
            _ => Err(ConvertError::Unsupported("multiplication by this constant".into())),
        }
    }

    /// `PReLU` as `x + (1 - a) * Relu(-x)`, which is the same for every x; the products are convolutions of one tap.
    ///
    /// Measured on ONNX Runtime 1.31.1, one thread: this form keeps the blocked layout of the convolutions around it and
    /// takes its `Relu` into one of its own, so that the attention mesh runs 2.6 times and the iris network 3.1 times
    /// faster than with the `PRelu` operator. `(1 - a) * Relu(x) + a * x` is a tenth slower.
    fn prelu(&mut self, x: usize, slope: usize) -> Result<Value> {
        let channels = self.nhwc(x)?.c;
        let slope = self.constant(slope)?;
        if slope.len() != channels {
            return Err(ConvertError::Unsupported(
                "a PReLU whose slopes are not one for each channel".into(),
            ));
        }
        let x = self.tensor(x)?;
        let rest: Vec<f32> = slope.iter().map(|a| 1.0 - a).collect();
        let negated = self.scaled(&x, &vec![-1.0; channels]);
        let negative = self.graph.op("Relu", &[&negated], []);
        let correction = self.scaled(&negative, &rest);
        Ok(self.graph.op("Add", &[&correction, &x], []).into())
    }

    /// Each channel times its factor.
    fn scaled(&mut self, x: &str, factors: &[f32]) -> String {
        let weights = self.graph.floats(&[factors.len(), 1, 1, 1], factors);
        let attributes =
            [Attribute::ints("kernel_shape", [1, 1]), Attribute::int("group", factors.len() as i64)];
        self.graph.op("Conv", &[x, &weights], attributes)
    }

    fn pad(&mut self, x: usize, pads: usize, output: usize) -> Result<Value> {
        let amounts = self.constant(pads)?;
        let (from, to) = (self.shape(x), self.shape(output));
        let amounts: Vec<usize> = amounts.iter().map(|&a| a as usize).collect();
        let grows = |i: usize| from[i] + amounts[2 * i] + amounts[2 * i + 1] == to[i];
        if amounts.len() != 8 || from.len() != 4 || to.len() != 4 || !(0..4).all(grows) {
            return Err(ConvertError::Damaged("a padding does not lead from its input to its output"));
        }
        let name = self.tensor(x)?;
        let [n0, n1, top, bottom, left, right, c0, c1] = amounts[..] else {
            return Err(ConvertError::Damaged("a padding is not of rank 4"));
        };
        if [n0, n1, c0, c1] == [0; 4] && self.feeds_a_bare_convolution(output) {
            return Ok(Value::Padded(name, [top, left, bottom, right]));
        }
        if [n0, n1, top, bottom, left, right] == [0; 6] && from[3] * to[3] <= IDENTITY_MAX {
            return Ok(self.widened(&name, from[3], c0, to[3]).into());
        }
        let pads = [n0, c0, top, left, n1, c1, bottom, right].map(|p| p as i64);
        let pads = self.graph.ints(&pads);
        Ok(self.graph.op("Pad", &[&name, &pads], []).into())
    }

    /// Channels of zeros around the ones that are there. A convolution with the identity: `Pad` would cost the blocked
    /// layout here and in the whole chain of additions behind it, a sixth of the network's time.
    fn widened(&mut self, x: &str, from: usize, before: usize, to: usize) -> String {
        let mut identity = vec![0.0; to * from];
        for i in 0..from {
            identity[(before + i) * from + i] = 1.0;
        }
        let weights = self.graph.floats(&[to, from, 1, 1], &identity);
        self.graph.op("Conv", &[x, &weights], [Attribute::ints("kernel_shape", [1, 1])])
    }

    /// Whether the tensor's only reader is a convolution that pads nothing itself.
    fn feeds_a_bare_convolution(&self, tensor: usize) -> bool {
        let reader = self.network.operators.iter().find(|o| o.inputs.first() == Some(&Some(tensor)));
        self.readers.get(&tensor) == Some(&1)
            && !self.network.outputs.contains(&tensor)
            && reader.is_some_and(|o| match o.kind {
                Kind::Conv(w) | Kind::DepthwiseConv(w) => w.padding == Padding::Valid,
                _ => false,
            })
    }

    fn reshape(&mut self, x: usize, output: usize) -> Result<Value> {
        let shape = self.shape(output);
        let value = self.reshaped(x, shape)?;
        if shape.len() != 4 {
            return Ok(value.into());
        }
        if is_flat(shape) {
            let dims = self.graph.ints(&[1, shape[3] as i64, shape[1] as i64, shape[2] as i64]);
            return Ok(self.graph.op("Reshape", &[&value, &dims], []).into());
        }
        Ok(self.graph.op("Transpose", &[&value], [Attribute::ints("perm", [0, 3, 1, 2])]).into())
    }

    fn concatenation(&mut self, operator: &Operator, axis: i32, output: usize) -> Result<Value> {
        let rank = self.shape(output).len();
        let axis = usize::try_from(axis).or_else(|_| usize::try_from(axis + rank as i32));
        let axis = axis.map_err(|_| ConvertError::Damaged("a concatenation's axis is out of bounds"))?;
        let axis = if rank == 4 { *[0, 2, 3, 1].get(axis).unwrap_or(&4) } else { axis };
        let parts = operator.inputs.iter().flatten().map(|&i| self.tensor(i)).collect::<Result<Vec<_>>>()?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        Ok(self.graph.op("Concat", &parts, [Attribute::int("axis", axis as i64)]).into())
    }

    fn convolution(&mut self, window: Window, depthwise: bool, tensors: [usize; 4]) -> Result<Value> {
        let [x, weights, bias, output] = tensors;
        let (from, to) = (self.nhwc(x)?, self.nhwc(output)?);
        let &[o, kh, kw, i] = self.shape(weights) else {
            return Err(ConvertError::Damaged("a convolution's weights are not of rank 4"));
        };
        let weights = self.constant(weights)?;
        let matches =
            if depthwise { o == 1 && i == to.c && i % from.c == 0 } else { o == to.c && i == from.c };
        let bias = self.constant(bias)?;
        if !matches || bias.len() != to.c {
            return Err(ConvertError::Unsupported("a convolution in groups".into()));
        }
        let inner = if depthwise { 1 } else { i };
        let oihw = oihw(weights, [to.c, inner, kh, kw], depthwise);
        let pads = pads(window, [kh, kw], &from, &to)?;
        let (x, pads) = match self.value(x)?.clone() {
            Value::Padded(x, pads) => (x, pads),
            Value::Tensor(x) => (x, pads),
            Value::Affine(_) => return Err(ConvertError::Unsupported("convolution of a matrix".into())),
        };
        let weights = self.graph.floats(&[to.c, inner, kh, kw], &oihw);
        let bias = self.graph.floats(&[to.c], bias);
        let attributes = vec![
            Attribute::ints("kernel_shape", [kh as i64, kw as i64]),
            Attribute::ints("strides", window.stride.map(|s| s as i64)),
            Attribute::ints("dilations", window.dilation.map(|d| d as i64)),
            Attribute::ints("pads", pads.map(|p| p as i64)),
            Attribute::int("group", if depthwise { from.c as i64 } else { 1 }),
        ];
        Ok(self.graph.op("Conv", &[&x, &weights, &bias], attributes).into())
    }

    fn max_pool(&mut self, window: Window, x: usize, output: usize) -> Result<Value> {
        let pads = pads(window, window.size, &self.nhwc(x)?, &self.nhwc(output)?)?;
        let x = self.tensor(x)?;
        let attributes = vec![
            Attribute::ints("kernel_shape", window.size.map(|s| s as i64)),
            Attribute::ints("strides", window.stride.map(|s| s as i64)),
            Attribute::ints("pads", pads.map(|p| p as i64)),
        ];
        Ok(self.graph.op("MaxPool", &[&x], attributes).into())
    }

    fn resize(&mut self, align_corners: bool, half_pixel: bool, x: usize, output: usize) -> Result<Value> {
        let (from, to) = (self.nhwc(x)?, self.nhwc(output)?);
        let mode = match (align_corners, half_pixel) {
            (true, false) => "align_corners",
            (false, true) => "half_pixel",
            (false, false) => "asymmetric",
            (true, true) => return Err(ConvertError::Damaged("a resize names two conventions")),
        };
        let x = self.tensor(x)?;
        // Scales rather than sizes: ONNX Runtime's blocked upsampling takes whole factors only by scale.
        let scales = [1.0, 1.0, to.h as f32 / from.h as f32, to.w as f32 / from.w as f32];
        let scales = self.graph.floats(&[4], &scales);
        let attributes =
            [Attribute::string("mode", "linear"), Attribute::string("coordinate_transformation_mode", mode)];
        Ok(self.graph.op("Resize", &[&x, "", &scales], attributes).into())
    }
}

impl From<String> for Value {
    fn from(name: String) -> Self {
        Self::Tensor(name)
    }
}

/// A convolution's weights in ONNX's order (output, input within the group, row, column). In the file ordinary ones lie as
/// (output, row, column, input), depthwise ones as (row, column, output).
fn oihw(weights: &[f32], [outputs, inputs, rows, columns]: [usize; 4], depthwise: bool) -> Vec<f32> {
    let mut sorted = Vec::with_capacity(weights.len());
    for o in 0..outputs {
        for i in 0..inputs {
            for tap in 0..rows * columns {
                let at = if depthwise { tap * outputs + o } else { (o * rows * columns + tap) * inputs + i };
                sorted.push(weights[at]);
            }
        }
    }
    sorted
}

/// Whether NHWC and NCHW order are the same for this shape.
fn is_flat(shape: &[usize]) -> bool {
    shape[3] == 1 || shape[1] * shape[2] == 1
}

/// Explicit padding (top, left, bottom, right) of a window that leads from one size to another.
fn pads(window: Window, size: [usize; 2], from: &Nhwc, to: &Nhwc) -> Result<[usize; 4]> {
    let axis = |i: usize, from: usize, to: usize| -> Result<(usize, usize)> {
        let extent = (size[i] - 1) * window.dilation[i] + 1;
        let out = match window.padding {
            Padding::Same => from.div_ceil(window.stride[i]),
            Padding::Valid => (from + window.stride[i]).saturating_sub(extent) / window.stride[i],
        };
        if out != to {
            return Err(ConvertError::Damaged("a window does not lead from its input to its output"));
        }
        let total = ((to - 1) * window.stride[i] + extent).saturating_sub(from);
        Ok((total / 2, total - total / 2))
    };
    let ((top, bottom), (left, right)) = (axis(0, from.h, to.h)?, axis(1, from.w, to.w)?);
    Ok([top, left, bottom, right])
}
