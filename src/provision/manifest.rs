//! Manifests of the networks that are provisioned: `models/*.toml`, compiled in.

use super::convert::{Outputs, Port};
use serde::Deserialize;

/// What one network takes and gives, and where it comes from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name of the network, and of its file without `.onnx`.
    pub name: String,
    /// SPDX name of its licence.
    pub licence: String,
    /// The original.
    pub source: Source,
    /// Its one input.
    pub input: Input,
    /// Its results, in order.
    #[serde(rename = "output")]
    pub outputs: Vec<Output>,
    /// A detector's anchors, feature map by feature map.
    #[serde(default)]
    pub anchors: Vec<Anchors>,
}

/// Where a network comes from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Package and version, as `name==version`.
    pub package: String,
    /// The file within the package.
    pub path: String,
    /// SHA-256 of that file.
    pub sha256: String,
    /// What becomes of the file's outputs.
    pub outputs: Outputs,
}

/// A network's input: one image.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Its name in the graph.
    pub name: String,
    /// Its shape, `[1, 3, height, width]`.
    pub shape: Vec<usize>,
    /// Order of its numbers, in words.
    pub layout: String,
    /// What black and white are.
    pub range: [f32; 2],
}

/// A network's result.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name in the graph.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// What the numbers say, and in which unit.
    pub meaning: String,
}

/// Anchors on one feature map: `in_cell` in the middle of each cell.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchors {
    /// Input pixels between neighbouring cells.
    pub stride: usize,
    /// Rows and columns.
    pub cells: [usize; 2],
    /// Anchors that share a cell.
    pub in_cell: usize,
}

/// The text of every manifest that is compiled in.
const MANIFESTS: [&str; 4] = [
    include_str!("../../models/face_detection_short_range.toml"),
    include_str!("../../models/face_detection_full_range.toml"),
    include_str!("../../models/face_landmark_with_attention.toml"),
    include_str!("../../models/iris.toml"),
];

impl Manifest {
    /// All of them.
    ///
    /// # Panics
    /// Where a compiled-in manifest is no manifest, which a test rules out.
    pub fn all() -> Vec<Self> {
        MANIFESTS.map(|text| toml::from_str(text).expect("manifests are read by a test")).into()
    }

    /// Name and shape of the input.
    pub fn input_port(&self) -> Port {
        (self.input.name.clone(), self.input.shape.clone())
    }

    /// Names and shapes of the outputs.
    pub fn output_ports(&self) -> Vec<Port> {
        self.outputs.iter().map(|o| (o.name.clone(), o.shape.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_manifest_reads_and_names_its_own_file() {
        let names: Vec<String> = Manifest::all().into_iter().map(|m| m.name).collect();
        let expected = [
            "face_detection_short_range",
            "face_detection_full_range",
            "face_landmark_with_attention",
            "iris",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn anchors_are_as_many_as_boxes_and_tile_the_input() {
        for manifest in Manifest::all().into_iter().filter(|m| !m.anchors.is_empty()) {
            let anchors: usize = manifest.anchors.iter().map(|a| a.cells[0] * a.cells[1] * a.in_cell).sum();
            assert_eq!(anchors, manifest.outputs[0].shape[1], "{}", manifest.name);
            for map in &manifest.anchors {
                assert_eq!(map.cells.map(|c| c * map.stride), manifest.input.shape[2..], "{}", manifest.name);
            }
        }
    }
}
