//! The custom operators of the attention network as plain ONNX, and the merging of its regions into one mesh.
//!
//! Semantics are those of MediaPipe's CPU operators, version 2 (`mediapipe/util/tflite/operations`): the crop of a region
//! is the box of its landmarks, turned so that the line between two of them is level; the feature map is sampled through
//! that affine map, and the region's landmarks go back through it.

use super::convert::{Converter, Nhwc, Port, Value};
use super::flatbuf::FlexMap;
use super::onnx::{Attribute, Builder, FLOAT, INT64};
use super::tflite::{ConvertError, Result};

/// The tensors of a custom operator.
pub(super) struct Ports {
    pub first: usize,
    pub second: Option<usize>,
    pub output: usize,
}

/// Converts one custom operator.
pub(super) fn custom(
    converter: &mut Converter,
    name: &str,
    version: i32,
    options: &[u8],
    ports: &Ports,
) -> Result<Value> {
    let second = ports.second.ok_or(ConvertError::Damaged("a custom operator lacks an input"));
    match (name, version) {
        ("Landmarks2TransformMatrix", 2) => transform_matrix(converter, options, ports.first),
        ("TransformTensorBilinear", 2) => sample(converter, ports.first, second?, ports.output),
        ("TransformLandmarks", 2) => transform_landmarks(converter, ports.first, second?),
        _ => Err(ConvertError::Unsupported(format!("custom operator {name} of version {version}"))),
    }
}

/// Options of `Landmarks2TransformMatrix`.
struct Crop {
    left: i64,
    right: i64,
    subset: Vec<i64>,
    target_rad: f32,
    /// Width and height of the crop in the samples' pixels.
    size: [f32; 2],
    scale: [f32; 2],
}

impl Crop {
    fn read(options: &[u8], landmarks: usize) -> Result<Self> {
        let map = FlexMap::root(options)?;
        let index = |i: usize| -> Result<i64> {
            if i < landmarks {
                Ok(i as i64)
            } else {
                Err(ConvertError::Damaged("a landmark is out of bounds"))
            }
        };
        let crop = Self {
            left: index(map.uint("left_rotation_idx")?)?,
            right: index(map.uint("right_rotation_idx")?)?,
            subset: map.uints("subset_idxs")?.into_iter().map(index).collect::<Result<_>>()?,
            target_rad: map.float("target_rotation_radians")?,
            size: [map.uint("output_width")? as f32, map.uint("output_height")? as f32],
            scale: [map.float("scale_x")?, map.float("scale_y")?],
        };
        let sane = |v: f32| v.is_finite() && v > 0.0 && v < 4096.0;
        let [w, h] = crop.size;
        let [sx, sy] = crop.scale;
        if crop.subset.is_empty() || !crop.target_rad.is_finite() || ![w, h, sx, sy].into_iter().all(sane) {
            return Err(ConvertError::Damaged("a crop's options are out of bounds"));
        }
        Ok(crop)
    }
}

/// Landmarks [1, n, 3] to the affine map from the crop's pixels to the landmarks' own.
fn transform_matrix(converter: &mut Converter, options: &[u8], landmarks: usize) -> Result<Value> {
    let &[1, count, 3] = converter.shape(landmarks) else {
        return Err(ConvertError::Unsupported("landmarks of this shape".into()));
    };
    let crop = Crop::read(options, count)?;
    let points = converter.tensor(landmarks)?;
    let g = &mut converter.graph;
    // The turn r takes the direction (dx, dy) from the left to the right landmark to the target angle: without angles,
    // cos r = (dx cos t + dy sin t) / |d| and sin r = (dx sin t - dy cos t) / |d|.
    let ends = g.ints(&[crop.left, crop.right]);
    let ends = g.op("Gather", &[&points, &ends], [Attribute::int("axis", 1)]);
    let flat = g.ints(&[1, 6]);
    let ends = g.op("Reshape", &[&ends, &flat], []);
    let (sin_t, cos_t) = crop.target_rad.sin_cos();
    // For a direction, the 10 numbers [c, s; -s, c; 0, 0] (turns row vectors x y z by r) and [c, -s; s, c] (back).
    let (c, s) = ([cos_t, sin_t], [sin_t, -cos_t]);
    let neg = |v: [f32; 2]| v.map(|x| -x);
    let columns = [c, s, neg(s), c, [0.0; 2], [0.0; 2], c, neg(s), s, c];
    let mut selector = vec![0.0; 6 * columns.len()];
    for (j, [x, y]) in columns.into_iter().enumerate() {
        for (row, v) in [(0, -x), (1, -y), (3, x), (4, y)] {
            selector[row * columns.len() + j] = v;
        }
    }
    let selector = g.floats(&[6, columns.len()], &selector);
    let turns = g.op("MatMul", &[&ends, &selector], []);
    let parts = g.split(&turns, 1, &[6, 4]);
    // The second part holds c and s twice each: its length is sqrt 2 times |d|.
    let length = g.op("ReduceL2", &[&parts[1]], []);
    let half = g.floats(&[1], &[std::f32::consts::FRAC_1_SQRT_2]);
    let length = g.op("Mul", &[&length, &half], []);
    let turn = g.op("Div", &[&parts[0], &length], []);
    let back = g.op("Div", &[&parts[1], &length], []);
    let (three_two, two_two) = (g.ints(&[3, 2]), g.ints(&[2, 2]));
    let turn = g.op("Reshape", &[&turn, &three_two], []);
    let back = g.op("Reshape", &[&back, &two_two], []);
    // The box of the turned points.
    let subset = g.ints(&crop.subset);
    let subset = g.op("Gather", &[&points, &subset], [Attribute::int("axis", 1)]);
    let turned = g.op("MatMul", &[&subset, &turn], []);
    let over_points = || [Attribute::ints("axes", [1]), Attribute::int("keepdims", 0)];
    let max = g.op("ReduceMax", &[&turned], over_points());
    let min = g.op("ReduceMin", &[&turned], over_points());
    let bounds = g.op("Concat", &[&max, &min], [Attribute::int("axis", 1)]);
    // [max x, max y, min x, min y] to rows (kx, 0), (0, ky), middle - half the crop: k = scale * box / size.
    let ([w, h], [sx, sy]) = (crop.size, crop.scale);
    let rows = [
        [sx / w, 0.0, 0.0, 0.0, 0.5 - sx / 2.0, 0.0],
        [0.0, 0.0, 0.0, sy / h, 0.0, 0.5 - sy / 2.0],
        [-sx / w, 0.0, 0.0, 0.0, 0.5 + sx / 2.0, 0.0],
        [0.0, 0.0, 0.0, -sy / h, 0.0, 0.5 + sy / 2.0],
    ];
    let rows = g.floats(&[4, 6], rows.as_flattened());
    let upright = g.op("MatMul", &[&bounds, &rows], []);
    let upright = g.op("Reshape", &[&upright, &three_two], []);
    Ok(Value::Affine(g.op("MatMul", &[&upright, &back], [])))
}

/// A feature map seen through an affine map. What lies outside the map is zero, without a soft edge.
///
/// All samplings of one map whose matrices are known by now are made in one go, for speed; the others find theirs done.
fn sample(converter: &mut Converter, map: usize, affine: usize, output: usize) -> Result<Value> {
    if let Ok(done) = converter.value(output) {
        return Ok(done.clone());
    }
    let (from, to) = (converter.nhwc(map)?, converter.nhwc(output)?);
    if from.c != to.c || from.w < 2 || from.h < 2 {
        return Err(ConvertError::Damaged("a sampling changes the number of channels"));
    }
    let siblings = converter.network.operators.iter().filter_map(|operator| match operator.inputs[..] {
        [Some(m), Some(a)] if m == map && operator.kind.is_custom("TransformTensorBilinear", 2) => {
            let &[o] = &operator.outputs[..] else { return None };
            let alike = converter.shape(o) == converter.shape(output);
            (o != output && alike && converter.value(o).is_err()).then_some((a, o))
        }
        _ => None,
    });
    let mut outputs = vec![output];
    let Value::Affine(affine) = converter.value(affine)?.clone() else {
        return Err(ConvertError::Unsupported("sampling by what is no transform matrix".into()));
    };
    let mut affines = vec![affine];
    for (affine, output) in siblings {
        if let Ok(Value::Affine(affine)) = converter.value(affine) {
            affines.push(affine.clone());
            outputs.push(output);
        }
    }
    let map = converter.tensor(map)?;
    let values = bilinear(&mut converter.graph, &map, &from, &affines, &to);
    for (output, value) in outputs.iter().zip(&values) {
        converter.insert(*output, value.clone().into());
    }
    Ok(values[0].clone().into())
}

/// One sampling of `map` for each affine map, bilinear, as a weighted sum of four gathered rows of channels.
///
/// `GridSample` does the same for one grid; ONNX Runtime 1.31.1 takes three times as long with it (measured on the
/// attention network's own sizes: 0.67 against 0.22 ms).
fn bilinear(g: &mut Builder, map: &str, from: &Nhwc, affines: &[String], to: &Nhwc) -> Vec<String> {
    let (count, area) = (affines.len(), to.h * to.w);
    let points = crop_points(g, affines, to);
    let (neighbours, weights) = neighbours(g, &points, from);
    let rows = shape(g, &[area * count, 1, 4]);
    let weights = g.op("Reshape", &[&weights, &rows], []);
    let table = g.op("Transpose", &[map], [Attribute::ints("perm", [0, 2, 3, 1])]);
    let rows = shape(g, &[from.h * from.w, from.c]);
    let table = g.op("Reshape", &[&table, &rows], []);
    let gathered = g.op("Gather", &[&table, &neighbours], []);
    let sums = g.op("MatMul", &[&weights, &gathered], []);
    let by_crop = shape(g, &[area, count, from.c]);
    let sums = g.op("Reshape", &[&sums, &by_crop], []);
    let sums = g.op("Transpose", &[&sums], [Attribute::ints("perm", [1, 2, 0])]);
    let maps = shape(g, &[count, from.c, to.h, to.w]);
    let sums = g.op("Reshape", &[&sums, &maps], []);
    if count == 1 { vec![sums] } else { g.split(&sums, 0, &vec![1; count]) }
}

fn shape(g: &mut Builder, dims: &[usize]) -> String {
    g.ints(&dims.iter().map(|&n| n as i64).collect::<Vec<_>>())
}

/// Every pixel of the crops as a point (x, y) in the map's pixels, pixel by pixel, for each pixel crop by crop.
fn crop_points(g: &mut Builder, affines: &[String], to: &Nhwc) -> String {
    // Pixel centres stand at half integers, in the crop and in the map.
    let pixels = (0..to.h).flat_map(|y| (0..to.w).map(move |x| [x as f32 + 0.5, y as f32 + 0.5, 1.0]));
    let pixels: Vec<[f32; 3]> = pixels.collect();
    let pixels = g.floats(&[to.h * to.w, 3], pixels.as_flattened());
    let pairs = shape(g, &[to.h * to.w * affines.len(), 2]);
    let affines: Vec<&str> = affines.iter().map(String::as_str).collect();
    let affines = g.op("Concat", &affines, [Attribute::int("axis", 1)]);
    let points = g.op("MatMul", &[&pixels, &affines], []);
    let points = g.op("Reshape", &[&points, &pairs], []);
    let half = g.floats(&[1], &[-0.5]);
    g.op("Add", &[&points, &half], [])
}

/// For each point the numbers of the four pixels around it, and their weights: zero for a point outside the map.
fn neighbours(g: &mut Builder, points: &str, map: &Nhwc) -> (String, String) {
    let (columns, rows) = (map.w as f32, map.h as f32);
    let zero = g.floats(&[1], &[0.0]);
    let last = g.floats(&[2], &[columns - 1.0, rows - 1.0]);
    let within = g.op("Max", &[points, &zero], []);
    let within = g.op("Min", &[&within, &last], []);
    let inside = g.op("Equal", &[&within, points], []);
    let inside = g.op("Cast", &[&inside], [Attribute::int("to", i64::from(FLOAT))]);
    let inside = g.op("ReduceMin", &[&inside], [Attribute::ints("axes", [1])]);
    // The upper left of the four is never in the last row or column.
    let last_but_one = g.floats(&[2], &[columns - 2.0, rows - 2.0]);
    let corner = g.op("Floor", &[&within], []);
    let corner = g.op("Min", &[&corner, &last_but_one], []);
    let part = g.op("Sub", &[&within, &corner], []);
    let step = g.floats(&[2, 1], &[1.0, columns]);
    let number = g.op("MatMul", &[&corner, &step], []);
    let steps = g.floats(&[4], &[0.0, 1.0, columns, columns + 1.0]);
    let numbers = g.op("Add", &[&number, &steps], []);
    let numbers = g.op("Cast", &[&numbers], [Attribute::int("to", i64::from(INT64))]);
    // A NaN becomes any integer. Its weights are NaN too and tell of it; the gathering must not fail before that.
    let (first, end) = (g.int(0), g.int((map.h * map.w) as i64 - 1));
    let numbers = g.op("Clip", &[&numbers, &first, &end], []);
    let across = g.floats(&[2, 4], &[-1.0, 1.0, -1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    let down = g.floats(&[2, 4], &[0.0, 0.0, 0.0, 0.0, -1.0, -1.0, 1.0, 1.0]);
    let (left, upper) = (g.floats(&[4], &[1.0, 0.0, 1.0, 0.0]), g.floats(&[4], &[1.0, 1.0, 0.0, 0.0]));
    let across = g.op("Gemm", &[&part, &across, &left], []);
    let down = g.op("Gemm", &[&part, &down, &upper], []);
    let weights = g.op("Mul", &[&across, &down], []);
    (numbers, g.op("Mul", &[&weights, &inside], []))
}

/// Landmarks [1, n, 2] through an affine map.
fn transform_landmarks(converter: &mut Converter, landmarks: usize, affine: usize) -> Result<Value> {
    let &[1, count, 2] = converter.shape(landmarks) else {
        return Err(ConvertError::Unsupported("landmarks of this shape".into()));
    };
    let Value::Affine(affine) = converter.value(affine)?.clone() else {
        return Err(ConvertError::Unsupported("landmarks through what is no transform matrix".into()));
    };
    let points = converter.tensor(landmarks)?;
    let g = &mut converter.graph;
    let ones = g.floats(&[1, count, 1], &vec![1.0; count]);
    let points = g.op("Concat", &[&points, &ones], [Attribute::int("axis", 2)]);
    Ok(g.op("MatMul", &[&points, &affine], []).into())
}

const LIPS: [i64; 80] = [
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409, // outer
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415, // inner
    76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304,
    408, // outer half
    62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272,
    407, // inner half
];
/// The subject's right eye (MediaPipe's left): its contour of 16 first, then rings outwards to the brow.
const RIGHT_EYE: [i64; 71] = [
    33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173, // contour
    130, 25, 110, 24, 23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190, // second ring
    226, 31, 228, 229, 230, 231, 232, 233, 244, 113, 225, 224, 223, 222, 221, 189, // third ring
    35, 124, 46, 53, 52, 65, // brow's lower edge
    143, 111, 117, 118, 119, 120, 121, 128, 245, 156, 70, 63, 105, 66, 107, 55, 193, // fifth ring
];
const LEFT_EYE: [i64; 71] = [
    263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398, // contour
    359, 255, 339, 254, 253, 252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414, // second ring
    446, 261, 448, 449, 450, 451, 452, 453, 464, 342, 445, 444, 443, 442, 441, 413, // third ring
    265, 353, 276, 283, 282, 295, // brow's lower edge
    372, 340, 346, 347, 348, 349, 350, 357, 465, 383, 300, 293, 334, 296, 336, 285, 417, // fifth ring
];
/// Points of an eye's contour, at the head of its list.
const CONTOUR: usize = 16;
/// Points of the mesh without the irises.
const MESH: usize = 468;
const IRIS: usize = 5;

/// Merges the regions into one mesh, as MediaPipe's graph `tensors_to_face_landmarks_with_attention` does: x and y of lips,
/// eyes and irises come from their regions, depth stays the mesh's, an iris' depth is the mean of its eye's contour.
///
/// Outputs are `[1, 478, 3]` in pixels of the crop (depth in the same scale, smaller is nearer) and the logit of presence.
pub(super) fn merge(converter: &mut Converter, outputs: &[Port]) -> Result<()> {
    let tensors = converter.network.outputs.clone();
    let ([mesh, lips, right_eye, left_eye, right_iris, left_iris, presence], [landmarks_port, presence_port]) =
        (&tensors[..], outputs)
    else {
        return Err(ConvertError::Unsupported("a refined mesh of other outputs".into()));
    };
    let mesh = converter.reshaped(*mesh, &[1, MESH, 3])?;
    let mut regions = Vec::new();
    for (tensor, count) in
        [(lips, 80), (right_eye, 71), (left_eye, 71), (right_iris, IRIS), (left_iris, IRIS)]
    {
        regions.push(converter.reshaped(*tensor, &[1, count, 2])?);
    }
    let presence = converter.reshaped(*presence, &presence_port.1)?;
    let g = &mut converter.graph;
    let parts = g.split(&mesh, 2, &[2, 1]);
    let [xy, z] = &parts[..] else { return Err(ConvertError::Damaged("a split gave no two parts")) };
    // Where the x and y of each point come from, in the mesh followed by the regions. Later regions overwrite.
    let mut source: Vec<i64> = (0..(MESH + 2 * IRIS) as i64).collect();
    let irises: Vec<i64> = (MESH as i64..).take(2 * IRIS).collect();
    let refined = LIPS.iter().chain(&RIGHT_EYE).chain(&LEFT_EYE).chain(&irises);
    for (from, point) in (MESH as i64..).zip(refined) {
        source[*point as usize] = from;
    }
    let axis = |axis| [Attribute::int("axis", axis)];
    let all: Vec<&str> = std::iter::once(xy).chain(&regions).map(String::as_str).collect();
    let all = g.op("Concat", &all, axis(1));
    let source = g.ints(&source);
    let xy = g.op("Gather", &[&all, &source], axis(1));
    let mut depths = vec![z.clone()];
    for eye in [&RIGHT_EYE, &LEFT_EYE] {
        let contour = g.ints(&eye[..CONTOUR]);
        let contour = g.op("Gather", &[z, &contour], axis(1));
        let mean =
            g.op("ReduceMean", &[&contour], [Attribute::ints("axes", [1]), Attribute::int("keepdims", 1)]);
        depths.extend(std::iter::repeat_n(mean, IRIS));
    }
    let depths: Vec<&str> = depths.iter().map(String::as_str).collect();
    let z = g.op("Concat", &depths, axis(1));
    let landmarks = g.op("Concat", &[&xy, &z], axis(2));
    g.output(&landmarks, &landmarks_port.0, &landmarks_port.1);
    g.output(&presence, &presence_port.0, &presence_port.1);
    Ok(())
}
