//! Files that nobody honest wrote: the converter answers with an error, whatever the bytes.

use crate::provision::onnx::{Graph, Model};
use crate::provision::{ConvertError, Outputs, Port, convert};
use flatbuffers::{FlatBufferBuilder, ForwardsUOffset, UnionWIPOffset, Vector, WIPOffset};
use proptest::prelude::*;
use prost::Message;

type Offset = WIPOffset<UnionWIPOffset>;

/// A field of a table, as the schema types it.
#[derive(Clone, Copy)]
enum Field {
    Byte(u8),
    Int(i32),
    Offset(Offset),
}

/// Writes TFLite files, by field numbers.
struct Writer<'a>(FlatBufferBuilder<'a>);

impl Writer<'_> {
    fn table(&mut self, fields: &[(u16, Field)]) -> Offset {
        let start = self.0.start_table();
        for &(number, field) in fields {
            let slot = 4 + 2 * number;
            match field {
                Field::Byte(v) => self.0.push_slot_always(slot, v),
                Field::Int(v) => self.0.push_slot_always(slot, v),
                Field::Offset(v) => self.0.push_slot_always(slot, v),
            }
        }
        self.0.end_table(start).as_union_value()
    }

    fn ints(&mut self, values: &[i32]) -> Field {
        Field::Offset(WIPOffset::new(self.0.create_vector(values).value()))
    }

    fn bytes(&mut self, values: &[u8]) -> Field {
        Field::Offset(WIPOffset::new(self.0.create_vector(values).value()))
    }

    fn tables(&mut self, tables: &[Offset]) -> Field {
        let vector: WIPOffset<Vector<ForwardsUOffset<UnionWIPOffset>>> = self.0.create_vector(tables);
        Field::Offset(WIPOffset::new(vector.value()))
    }

    fn operator(
        &mut self,
        code: i32,
        inputs: &[i32],
        output: i32,
        options: Option<&[(u16, Field)]>,
    ) -> Offset {
        let (inputs, outputs) = (self.ints(inputs), self.ints(&[output]));
        let mut fields = vec![(0, Field::Int(code)), (1, inputs), (2, outputs)];
        if let Some(options) = options {
            fields.push((4, Field::Offset(self.table(options))));
        }
        self.table(&fields)
    }
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A network of every shape of thing that the real ones have: a zero border, half floats, a `PReLU`, added channels, a
/// pooling and a reshape. 8 x 8 x 1 pixels in, 2 x 2 x 3 numbers out.
fn specimen() -> Vec<u8> {
    let mut w = Writer(FlatBufferBuilder::new());
    // (shape, type, contents); types: 0 is f32, 1 is f16, 2 is i32.
    let border: Vec<u8> = [0, 0, 1, 1, 1, 1, 0, 0].iter().flat_map(|v: &i32| v.to_le_bytes()).collect();
    let channel: Vec<u8> = [0, 0, 0, 0, 0, 0, 0, 1].iter().flat_map(|v: &i32| v.to_le_bytes()).collect();
    let tensors: [(&[i32], u8, Vec<u8>); 13] = [
        (&[1, 8, 8, 1], 0, vec![]),
        (&[4, 2], 2, border),
        (&[1, 10, 10, 1], 0, vec![]),
        (&[2, 3, 3, 1], 1, [0x00, 0x3c].repeat(18)),
        (&[2, 3, 3, 1], 0, vec![]),
        (&[2], 0, floats(&[0.5, -0.5])),
        (&[1, 4, 4, 2], 0, vec![]),
        (&[1, 1, 2], 0, floats(&[0.25, 2.0])),
        (&[1, 4, 4, 2], 0, vec![]),
        (&[4, 2], 2, channel),
        (&[1, 4, 4, 3], 0, vec![]),
        (&[1, 2, 2, 3], 0, vec![]),
        (&[1, 4, 3], 0, vec![]),
    ];
    let mut buffers = vec![w.table(&[])];
    let mut written = Vec::new();
    for (shape, kind, contents) in &tensors {
        let mut buffer = 0;
        if !contents.is_empty() {
            let contents = w.bytes(contents);
            buffer = buffers.len() as i32;
            buffers.push(w.table(&[(0, contents)]));
        }
        let shape = w.ints(shape);
        written.push(w.table(&[(0, shape), (1, Field::Byte(*kind)), (2, Field::Int(buffer))]));
    }
    let codes: Vec<Offset> = [34, 6, 3, 54, 17, 22]
        .iter()
        .map(|&c| w.table(&[(3, Field::Int(c)), (0, Field::Byte(c as u8))]))
        .collect();
    let stride = [(0, Field::Byte(1)), (1, Field::Int(2)), (2, Field::Int(2))];
    let pool = [stride.as_slice(), &[(3, Field::Int(2)), (4, Field::Int(2))]].concat();
    let operators = [
        w.operator(0, &[0, 1], 2, None),
        w.operator(1, &[3], 4, None),
        w.operator(2, &[2, 4, 5], 6, Some(&stride)),
        w.operator(3, &[6, 7], 8, None),
        w.operator(0, &[8, 9], 10, None),
        w.operator(4, &[10], 11, Some(&pool)),
        w.operator(5, &[11], 12, None),
    ];
    let (tensors, operators) = (w.tables(&written), w.tables(&operators));
    let (inputs, outputs) = (w.ints(&[0]), w.ints(&[12]));
    let graph = w.table(&[(0, tensors), (1, inputs), (2, outputs), (3, operators)]);
    let (codes, graphs, buffers) = (w.tables(&codes), w.tables(&[graph]), w.tables(&buffers));
    let model = w.table(&[(0, Field::Int(3)), (1, codes), (2, graphs), (4, buffers)]);
    w.0.finish(model, Some("TFL3"));
    w.0.finished_data().to_vec()
}

fn converted(bytes: &[u8]) -> Result<Vec<u8>, ConvertError> {
    let port = |name: &str, shape: &[usize]| -> Port { (name.into(), shape.into()) };
    let outputs = [port("out", &[1, 4, 3])];
    convert(bytes, "specimen", &port("in", &[1, 1, 8, 8]), Outputs::AsTheyAre, &outputs)
}

fn graph() -> Graph {
    Model::decode(&*converted(&specimen()).unwrap()).unwrap().graph.unwrap()
}

#[test]
fn a_zero_border_goes_into_the_convolution_and_no_padding_is_left() {
    let graph = graph();
    let convolution = graph.node.iter().find(|n| n.op_type == "Conv").unwrap();
    let pads = convolution.attribute.iter().find(|a| a.name == "pads").unwrap();
    // The last row and column of the border are never reached by a window of 3 with a step of 2, but belong to it.
    assert_eq!(pads.ints, [1, 1, 1, 1]);
    assert!(graph.node.iter().all(|n| n.op_type != "Pad"));
}

#[test]
fn a_network_is_transposed_only_where_a_feature_map_is_cut_into_rows() {
    let transposed: Vec<_> = graph().node.into_iter().filter(|n| n.op_type == "Transpose").collect();
    assert_eq!(transposed.len(), 1);
    assert_eq!(transposed[0].attribute[0].ints, [0, 2, 3, 1]);
}

#[test]
fn half_floats_arrive_as_floats() {
    let graph = graph();
    let weights = graph.initializer.iter().find(|t| t.dims == [2, 1, 3, 3]).unwrap();
    assert_eq!(weights.raw_data, floats(&[1.0; 18]));
}

#[test]
fn an_operator_that_is_not_known_is_refused_by_its_number() {
    // The operator code of the reshape, 22, becomes 23 + 100.
    let mut bytes = specimen();
    let at: Vec<usize> =
        (0..bytes.len() - 4).filter(|&i| bytes[i..i + 4] == 22i32.to_le_bytes() && i % 4 == 0).collect();
    let refused = at.iter().any(|&i| {
        let kept = bytes[i];
        bytes[i] = 123;
        let error = converted(&bytes);
        bytes[i] = kept;
        error == Err(ConvertError::Unsupported("TFLite operator 123".into()))
    });
    assert!(refused, "tried {at:?}");
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let bytes = specimen();
    for end in 0..bytes.len() {
        // Padding at the very end may go unmissed; anything else is missed.
        if let Ok(onnx) = converted(&bytes[..end]) {
            assert_eq!(Ok(onnx), converted(&bytes), "cut at {end}");
        }
    }
    assert!(converted(&[]).is_err() && converted(b"TFL3TFL3").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_damage_makes_the_converter_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = specimen();
        for (index, value) in damage {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        // Either is right: a weight may change unnoticed. What must not be is a panic.
        if let Ok(onnx) = converted(&bytes) {
            prop_assert!(Model::decode(&*onnx).is_ok());
        }
    }

    #[test]
    fn no_offset_makes_the_converter_panic(
        words in prop::collection::vec((any::<prop::sample::Index>(), any::<i32>()), 1..4),
    ) {
        let mut bytes = specimen();
        for (index, value) in words {
            let at = index.index(bytes.len() / 4) * 4;
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        if let Ok(onnx) = converted(&bytes) {
            prop_assert!(Model::decode(&*onnx).is_ok());
        }
    }

    #[test]
    fn no_noise_makes_the_converter_panic(noise in prop::collection::vec(any::<u8>(), 0..512)) {
        let bytes = [&[16, 0, 0, 0], b"TFL3".as_slice(), &noise].concat();
        prop_assert!(converted(&bytes).is_err());
    }
}
