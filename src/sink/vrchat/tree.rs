//! OSCQuery's JSON, as VRChat writes it and anybody could.

use super::avatar::Input;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Parameters looked at; avatars have a few hundred at most.
const INPUTS_MAX: usize = 4096;
/// Depth to which a tree is followed. VRChat allows slashes in names, some avatars have five.
const DEPTH_MAX: usize = 16;

/// Why a tree is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum TreeError {
    #[error("its answer is no OSCQuery: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it names no avatar yet")]
    NoAvatar,
    #[error("its OSC port is 0")]
    NoPort,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Node {
    #[serde(default)]
    full_path: String,
    /// 1 can be read, 2 written, 3 both.
    #[serde(default)]
    access: u8,
    #[serde(rename = "TYPE", default)]
    kind: Option<String>,
    #[serde(default)]
    contents: BTreeMap<String, Node>,
    #[serde(default)]
    value: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct HostInfo {
    #[serde(rename = "OSC_PORT")]
    osc_port: u16,
}

/// Where `?HOST_INFO` says that OSC goes.
pub(super) fn osc_port(json: &[u8]) -> Result<u16, TreeError> {
    let info: HostInfo = serde_json::from_slice(json)?;
    if info.osc_port == 0 { Err(TreeError::NoPort) } else { Ok(info.osc_port) }
}

/// The avatar's id, as `/avatar/change` has it.
pub(super) fn value_of_change(json: &[u8]) -> Result<String, TreeError> {
    let node: Node = serde_json::from_slice(json)?;
    node.value.first().and_then(|v| v.as_str()).map(str::to_owned).ok_or(TreeError::NoAvatar)
}

/// What can be written below `/avatar`.
pub(super) fn inputs(json: &[u8]) -> Result<Vec<Input>, TreeError> {
    let mut all = Vec::new();
    collect(&serde_json::from_slice(json)?, 0, &mut all);
    Ok(all)
}

fn collect(node: &Node, depth: usize, all: &mut Vec<Input>) {
    if depth > DEPTH_MAX || all.len() >= INPUTS_MAX {
        return;
    }
    let kind = match node.kind.as_deref() {
        Some("f") => Some("Float"),
        Some("T" | "F") => Some("Bool"),
        _ => None,
    };
    if let Some(kind) = kind.filter(|_| node.access & 2 != 0) {
        all.push(Input { address: node.full_path.clone(), kind: kind.to_owned() });
    }
    node.contents.values().for_each(|child| collect(child, depth + 1, all));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_that_can_be_written_are_found_at_any_depth() {
        let tree = br#"{"FULL_PATH":"/avatar","ACCESS":0,"CONTENTS":{
            "change":{"FULL_PATH":"/avatar/change","ACCESS":1,"TYPE":"s","VALUE":["avtr_1"]},
            "parameters":{"FULL_PATH":"/avatar/parameters","ACCESS":0,"CONTENTS":{
                "v2":{"FULL_PATH":"/avatar/parameters/v2","ACCESS":0,"CONTENTS":{
                    "JawOpen":{"FULL_PATH":"/avatar/parameters/v2/JawOpen","ACCESS":3,"TYPE":"f","VALUE":[0.0]}}},
                "Hat":{"FULL_PATH":"/avatar/parameters/Hat","ACCESS":3,"TYPE":"T"},
                "Seated":{"FULL_PATH":"/avatar/parameters/Seated","ACCESS":1,"TYPE":"T"},
                "Viseme":{"FULL_PATH":"/avatar/parameters/Viseme","ACCESS":3,"TYPE":"i"}}}}}"#;
        let found: Vec<_> = inputs(tree).unwrap().into_iter().map(|i| (i.address, i.kind)).collect();
        let expected = [("/avatar/parameters/Hat", "Bool"), ("/avatar/parameters/v2/JawOpen", "Float")];
        assert_eq!(found, expected.map(|(a, k)| (a.to_owned(), k.to_owned())));
    }

    #[test]
    fn the_avatar_and_the_port_are_read() {
        let change = br#"{"FULL_PATH":"/avatar/change","ACCESS":1,"TYPE":"s","VALUE":["avtr_1"]}"#;
        assert_eq!(value_of_change(change).unwrap(), "avtr_1");
        assert!(matches!(value_of_change(b"{}"), Err(TreeError::NoAvatar)));
        assert_eq!(osc_port(br#"{"NAME":"VRChat-Client-1","OSC_PORT":9000}"#).unwrap(), 9000);
        assert!(osc_port(br#"{"OSC_PORT":0}"#).is_err() && osc_port(br#"{"OSC_PORT":65536}"#).is_err());
    }

    #[test]
    fn trees_that_grow_to_the_sky_are_errors_or_cut_off() {
        let deep = "{\"CONTENTS\":{\"a\":".repeat(100_000);
        assert!(inputs(deep.as_bytes()).is_err());
        let leaf = |i: usize| format!("\"{i}\":{{\"FULL_PATH\":\"/{i}\",\"ACCESS\":3,\"TYPE\":\"f\"}}");
        let leaves: Vec<String> = (0..10_000).map(leaf).collect();
        let wide = format!("{{\"CONTENTS\":{{{}}}}}", leaves.join(","));
        assert_eq!(inputs(wide.as_bytes()).unwrap().len(), INPUTS_MAX);
    }
}
