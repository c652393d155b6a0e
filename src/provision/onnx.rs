//! The part of ONNX's protocol buffers that a converted network needs, and a builder of graphs.
//!
//! Field numbers are those of the public `onnx.proto` (IR version 8); everything else of it is left out.

use prost::Message;

/// Operator set. Every ONNX Runtime since 1.12 runs it.
const OPSET: i64 = 17;
/// IR version that belongs to opset 17.
const IR_VERSION: i64 = 8;

/// `ModelProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Model {
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    #[prost(string, tag = "2")]
    pub producer_name: String,
    #[prost(string, tag = "3")]
    pub producer_version: String,
    #[prost(message, optional, tag = "7")]
    pub graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSet>,
}

/// `OperatorSetIdProto`.
#[derive(Clone, PartialEq, Message)]
pub struct OperatorSet {
    #[prost(string, tag = "1")]
    pub domain: String,
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// `GraphProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Graph {
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<Node>,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfo>,
}

/// `NodeProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<Attribute>,
}

/// `AttributeProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(int64, tag = "3")]
    pub i: i64,
    #[prost(bytes = "vec", tag = "4")]
    pub s: Vec<u8>,
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    pub kind: i32,
}

impl Attribute {
    /// An integer (`AttributeType.INT`).
    pub fn int(name: &str, i: i64) -> Self {
        Self { name: name.into(), i, kind: 2, ..Self::default() }
    }

    /// A list of integers (`AttributeType.INTS`).
    pub fn ints(name: &str, ints: impl Into<Vec<i64>>) -> Self {
        Self { name: name.into(), ints: ints.into(), kind: 7, ..Self::default() }
    }

    /// A string (`AttributeType.STRING`).
    pub fn string(name: &str, s: &str) -> Self {
        Self { name: name.into(), s: s.into(), kind: 3, ..Self::default() }
    }
}

/// `TensorProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    #[prost(string, tag = "8")]
    pub name: String,
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
}

/// `TensorProto.DataType.FLOAT`.
pub const FLOAT: i32 = 1;
/// `TensorProto.DataType.INT64`.
pub const INT64: i32 = 7;

/// `ValueInfoProto`.
#[derive(Clone, PartialEq, Message)]
pub struct ValueInfo {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub kind: Option<Type>,
}

/// `TypeProto`, of tensors only.
#[derive(Clone, PartialEq, Message)]
pub struct Type {
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorType>,
}

/// `TypeProto.Tensor`.
#[derive(Clone, PartialEq, Message)]
pub struct TensorType {
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
}

/// `TensorShapeProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Shape {
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

/// `TensorShapeProto.Dimension`, of known size only.
#[derive(Clone, PartialEq, Message)]
pub struct Dimension {
    #[prost(int64, tag = "1")]
    pub dim_value: i64,
}

impl ValueInfo {
    /// A float tensor of this shape.
    fn float(name: &str, shape: &[usize]) -> Self {
        let dim = shape.iter().map(|&n| Dimension { dim_value: n as i64 }).collect();
        let tensor_type = Some(TensorType { elem_type: FLOAT, shape: Some(Shape { dim }) });
        Self { name: name.into(), kind: Some(Type { tensor_type }) }
    }

    /// Name and shape, as manifests state them.
    pub fn signature(&self) -> (String, Vec<usize>) {
        let shape = self.kind.as_ref().and_then(|k| k.tensor_type.as_ref()).and_then(|t| t.shape.as_ref());
        let dims = shape.map_or(Vec::new(), |s| s.dim.iter().map(|d| d.dim_value as usize).collect());
        (self.name.clone(), dims)
    }
}

/// A graph under construction. Values are handed around by name.
#[derive(Debug, Default)]
pub struct Builder {
    graph: Graph,
    names: usize,
    constant_bytes: usize,
}

impl Builder {
    /// An empty graph.
    pub fn new(name: &str) -> Self {
        Self { graph: Graph { name: name.into(), ..Graph::default() }, ..Self::default() }
    }

    fn fresh(&mut self) -> String {
        self.names += 1;
        format!("v{}", self.names)
    }

    /// Declares an input.
    pub fn input(&mut self, name: &str, shape: &[usize]) {
        self.graph.input.push(ValueInfo::float(name, shape));
    }

    /// Makes `value` an output of this name.
    pub fn output(&mut self, value: &str, name: &str, shape: &[usize]) {
        self.graph.output.push(ValueInfo::float(name, shape));
        self.push(Node {
            input: vec![value.into()],
            output: vec![name.into()],
            op_type: "Identity".into(),
            ..Node::default()
        });
    }

    /// Adds an operator with one result, and names that.
    pub fn op(&mut self, op_type: &str, input: &[&str], attribute: impl Into<Vec<Attribute>>) -> String {
        let output = self.fresh();
        self.push(Node {
            input: input.iter().map(|&i| i.into()).collect(),
            output: vec![output.clone()],
            op_type: op_type.into(),
            attribute: attribute.into(),
            ..Node::default()
        });
        output
    }

    /// Adds an operator whose result is cut along `axis` into pieces of these sizes.
    pub fn split(&mut self, input: &str, axis: i64, sizes: &[usize]) -> Vec<String> {
        let lengths: Vec<i64> = sizes.iter().map(|&n| n as i64).collect();
        let lengths = self.ints(&lengths);
        let output: Vec<String> = sizes.iter().map(|_| self.fresh()).collect();
        self.push(Node {
            input: vec![input.into(), lengths],
            output: output.clone(),
            op_type: "Split".into(),
            attribute: vec![Attribute::int("axis", axis)],
            ..Node::default()
        });
        output
    }

    fn push(&mut self, mut node: Node) {
        node.name = format!("{}_{}", node.op_type, self.graph.node.len());
        self.graph.node.push(node);
    }

    /// Adds a constant of floats.
    pub fn floats(&mut self, shape: &[usize], values: &[f32]) -> String {
        debug_assert_eq!(shape.iter().product::<usize>(), values.len());
        let raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(FLOAT, shape, raw_data)
    }

    /// Adds a constant list of integers: a shape, indices, pads.
    pub fn ints(&mut self, values: &[i64]) -> String {
        let raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(INT64, &[values.len()], raw_data)
    }

    /// Adds a constant integer: a bound.
    pub fn int(&mut self, value: i64) -> String {
        self.constant(INT64, &[], value.to_le_bytes().into())
    }

    fn constant(&mut self, data_type: i32, shape: &[usize], raw_data: Vec<u8>) -> String {
        self.constant_bytes += raw_data.len();
        let name = self.fresh();
        let dims = shape.iter().map(|&n| n as i64).collect();
        self.graph.initializer.push(Tensor { dims, data_type, name: name.clone(), raw_data });
        name
    }

    /// Size of all constants so far.
    pub fn constant_bytes(&self) -> usize {
        self.constant_bytes
    }

    /// The finished file's bytes.
    pub fn finish(self) -> Vec<u8> {
        let model = Model {
            ir_version: IR_VERSION,
            producer_name: env!("CARGO_PKG_NAME").into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
        };
        model.encode_to_vec()
    }
}

/// Names and shapes of a file's inputs and outputs, by reading it back.
///
/// # Errors
/// Where the bytes are no ONNX model.
pub fn signature(bytes: &[u8]) -> Result<Signature, prost::DecodeError> {
    let graph = Model::decode(bytes)?.graph.unwrap_or_default();
    Ok(Signature {
        inputs: graph.input.iter().map(ValueInfo::signature).collect(),
        outputs: graph.output.iter().map(ValueInfo::signature).collect(),
    })
}

/// What a network takes and gives: names with shapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Inputs, in order.
    pub inputs: Vec<(String, Vec<usize>)>,
    /// Outputs, in order.
    pub outputs: Vec<(String, Vec<usize>)>,
}
