//! A `.glb`: twelve bytes of header, a chunk of JSON, a chunk of numbers.

use super::Key;
use serde_json::{Value, json};
use std::io::{self, Write};

/// The head without an animation, made by `tools/head_glb.mjs`.
const HEAD: &[u8] = include_bytes!("../../../models/head.glb");

const FLOAT: u32 = 5126;

/// The head: what stands before the animation in every file.
pub(super) struct Template {
    json: Value,
    numbers: &'static [u8],
}

impl Template {
    /// The one that is built in.
    pub fn embedded() -> Self {
        // The file is this repository's; a test reads it.
        Self::parse(HEAD).unwrap_or(Self { json: json!({}), numbers: &[] })
    }

    fn parse(glb: &'static [u8]) -> Option<Self> {
        let length = |at: usize| Some(u32::from_le_bytes(glb.get(at..at + 4)?.try_into().ok()?) as usize);
        let json = 20..20 + length(12)?;
        let numbers = json.end + 8..json.end + 8 + length(json.end)?;
        Some(Self { json: serde_json::from_slice(glb.get(json)?).ok()?, numbers: glb.get(numbers)? })
    }

    /// Writes the head with the animation of these keys.
    pub fn write(&self, keys: &[Key], out: &mut impl Write) -> io::Result<()> {
        let mut numbers_length = self.numbers.len();
        let mut json = self.json.clone();
        if let [first, .., last] | [first @ last] = keys {
            let range = [first.seconds(), last.seconds()];
            numbers_length += add_animation(&mut json, numbers_length, keys.len(), range);
        }
        json["buffers"][0]["byteLength"] = numbers_length.into();
        let mut text = serde_json::to_vec(&json)?;
        text.resize(text.len().next_multiple_of(4), b' ');

        let total = 12 + 8 + text.len() + 8 + numbers_length;
        let word = |n: usize| u32::try_from(n).map(u32::to_le_bytes).map_err(|_| io::ErrorKind::FileTooLarge);
        out.write_all(b"glTF\x02\0\0\0")?;
        out.write_all(&word(total)?)?;
        out.write_all(&word(text.len())?)?;
        out.write_all(b"JSON")?;
        out.write_all(&text)?;
        out.write_all(&word(numbers_length)?)?;
        out.write_all(b"BIN\0")?;
        out.write_all(self.numbers)?;
        for track in TRACKS {
            for number in keys.iter().flat_map(|key| (track.of)(key)) {
                out.write_all(&number.to_le_bytes())?;
            }
        }
        Ok(())
    }
}

/// What one accessor holds for each key.
struct Track {
    of: fn(&Key) -> &[f32],
    kind: &'static str,
    /// Accessor's elements a key has.
    elements: usize,
    /// Numbers an element has.
    size: usize,
    /// The node it moves and how; the track of times moves none.
    target: Option<(usize, &'static str)>,
}

const fn turns(of: fn(&Key) -> &[f32], node: usize) -> Track {
    Track { of, kind: "VEC4", elements: 1, size: 4, target: Some((node, "rotation")) }
}

/// Nodes by the template: head, left eye, right eye.
const TRACKS: [Track; 6] = [
    Track { of: |key| &key.0[..1], kind: "SCALAR", elements: 1, size: 1, target: None },
    Track { of: Key::weights, kind: "SCALAR", elements: 52, size: 1, target: Some((0, "weights")) },
    turns(Key::head_turn, 0),
    Track { of: Key::head_place, kind: "VEC3", elements: 1, size: 3, target: Some((0, "translation")) },
    turns(Key::left_eye, 1),
    turns(Key::right_eye, 2),
];

/// Says in JSON where the animation's numbers lie; gives their bytes.
fn add_animation(json: &mut Value, start: usize, keys: usize, seconds: [f32; 2]) -> usize {
    let (mut offset, mut samplers, mut channels) = (start, Vec::new(), Vec::new());
    let next = |json: &Value, list: &str| json[list].as_array().map_or(0, Vec::len);
    let times = next(json, "accessors");
    for track in TRACKS {
        let count = keys * track.elements;
        let bytes = 4 * count * track.size;
        let (view, accessor) = (next(json, "bufferViews"), next(json, "accessors"));
        let mut described =
            json!({"bufferView": view, "componentType": FLOAT, "count": count, "type": track.kind});
        match track.target {
            None => {
                described["min"] = json!([seconds[0]]);
                described["max"] = json!([seconds[1]]);
            }
            Some((node, path)) => {
                channels.push(json!({"sampler": samplers.len(), "target": {"node": node, "path": path}}));
                samplers.push(json!({"input": times, "output": accessor, "interpolation": "LINEAR"}));
            }
        }
        push(json, "bufferViews", json!({"buffer": 0, "byteOffset": offset, "byteLength": bytes}));
        push(json, "accessors", described);
        offset += bytes;
    }
    json["animations"] = json!([{"name": "Take", "samplers": samplers, "channels": channels}]);
    offset - start
}

fn push(json: &mut Value, list: &str, item: Value) {
    if let Some(list) = json[list].as_array_mut() {
        list.push(item);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::face;
    use super::*;
    use crate::face::Blendshape;
    use crate::geom::Angles;
    use crate::sink::adjust::{Adjust, Adjuster};
    use glam::{Quat, Vec3};

    fn keys(count: u16) -> Vec<Key> {
        let mut subject = face(Angles { yaw_rad: 0.5, pitch_rad: -0.25, roll_rad: 0.0 });
        subject.head.translation_mm = Vec3::new(30.0, 20.0, 600.0);
        subject.gaze.left = subject.head.rotation * Vec3::new(0.6, 0.0, 0.8);
        let adjuster = Adjuster::new(&Adjust::default());
        let mut last = Key::default();
        let key = |n| {
            subject.blendshapes[Blendshape::JawOpen] = f32::from(n) / 16.0;
            last = Key::new(
                f32::from(n) / 64.0,
                &adjuster.view(&subject, crate::face::Presence::Tracked),
                &last,
            );
            last
        };
        (0..count).map(key).collect()
    }

    fn glb(keys: &[Key]) -> (Value, Vec<u8>) {
        let mut file = Vec::new();
        Template::embedded().write(keys, &mut file).unwrap();
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!((&file[..8], word(8)), (&b"glTF\x02\0\0\0"[..], file.len()));
        let end = 20 + word(12);
        assert_eq!((&file[16..20], &file[end + 4..end + 8]), (&b"JSON"[..], &b"BIN\0"[..]));
        assert_eq!((end % 4, end + 8 + word(end)), (0, file.len()));
        (serde_json::from_slice(&file[20..end]).unwrap(), file[end + 8..].to_vec())
    }

    /// The numbers that a channel gives its node's property, by the file alone.
    fn channel(json: &Value, numbers: &[u8], node: &str, path: &str) -> Vec<f32> {
        let animation = &json["animations"][0];
        let node = json["nodes"].as_array().unwrap().iter().position(|n| n["name"] == node).unwrap();
        let channels = animation["channels"].as_array().unwrap();
        let is_it = |c: &&Value| c["target"]["node"] == node && c["target"]["path"] == path;
        let sampler = channels.iter().find(is_it).unwrap()["sampler"].as_u64().unwrap() as usize;
        let accessor = animation["samplers"][sampler]["output"].as_u64().unwrap() as usize;
        let view = json["accessors"][accessor]["bufferView"].as_u64().unwrap() as usize;
        let view = &json["bufferViews"][view];
        let [at, length] = ["byteOffset", "byteLength"].map(|k| view[k].as_u64().unwrap() as usize);
        numbers[at..at + length].chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    #[test]
    fn the_head_has_the_52_by_name_and_in_arkits_order() {
        let (json, numbers) = glb(&[]);
        let names: Vec<&str> = Blendshape::ALL.iter().map(|b| b.name()).collect();
        assert_eq!(json["meshes"][0]["extras"]["targetNames"], json!(names));
        assert_eq!(json["meshes"][0]["primitives"][0]["targets"].as_array().unwrap().len(), 52);
        assert_eq!(json["buffers"][0]["byteLength"], numbers.len());
        assert!(json.get("animations").is_none(), "an animation has at least one key");
    }

    #[test]
    fn the_animation_holds_every_key_in_gltfs_space() {
        let (json, numbers) = glb(&keys(3));
        let get = |node, path| channel(&json, &numbers, node, path);
        let weights = get("Head", "weights");
        let jaw: Vec<f32> = weights.chunks(52).map(|w| w[Blendshape::JawOpen as usize]).collect();
        assert_eq!((weights.len(), jaw), (3 * 52, vec![0.0, 0.0625, 0.125]));
        let nose = Quat::from_slice(&get("Head", "rotation")[4..8]) * Vec3::Z;
        assert!(nose.x > 0.4 && nose.y > 0.2, "the subject's left is +x, up +y: {nose}");
        let place = Vec3::from_slice(&get("Head", "translation"));
        assert!(place.distance(Vec3::new(0.03, -0.02, -0.6)) < 1e-6, "millimetres become metres: {place}");
        let gaze = Quat::from_slice(&get("LeftEye", "rotation")) * Vec3::Z;
        assert!(gaze.distance(Vec3::new(0.6, 0.0, 0.8)) < 1e-5, "{gaze}");
        let times =
            &json["accessors"][json["animations"][0]["samplers"][0]["input"].as_u64().unwrap() as usize];
        assert_eq!(
            (&times["min"], &times["max"], &times["count"]),
            (&json!([0.0]), &json!([0.03125]), &json!(3))
        );
    }

    #[test]
    fn one_key_is_an_animation() {
        assert_eq!(glb(&keys(1)).0["accessors"].as_array().unwrap().last().unwrap()["count"], 1);
    }
}
