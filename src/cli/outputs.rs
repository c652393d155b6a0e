//! Options that name outputs: one of each kind of output that has an address or a file.
//!
//! An output's finer settings stand in the configuration file; an option gives it with its defaults.

use super::as_in_config;
#[cfg(target_os = "linux")]
use crate::sink::ShmConfig;
use crate::sink::jsonl::LandmarkDetail;
use crate::sink::{
    Adjust, CsvConfig, DatagramConfig, GltfConfig, IFacialMocapConfig, JsonlConfig, LiveLinkConfig,
    OscConfig, OutputConfig, VmcConfig, VrchatConfig, VtsConfig, VtsPhoneConfig, WebSocketConfig,
};
use clap::Args;

/// What an output's option means without a value. Each protocol has its own port.
const THIS_MACHINE: &str = "127.0.0.1";

/// Where samples go.
#[derive(Debug, Clone, Default, Args)]
#[command(
    next_help_heading = "Outputs, any number of each; without HOST:PORT this machine, the protocol's own port"
)]
pub struct OutputArgs {
    /// VMC: most avatar programs, Unity, Godot
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, default_missing_value = THIS_MACHINE)]
    pub vmc: Vec<String>,
    /// VRChat's own eye tracking; Unified Expressions need the configuration file
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, default_missing_value = THIS_MACHINE)]
    pub vrchat: Vec<String>,
    /// OpenSeeFace's packets: VSeeFace and its like
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, default_missing_value = THIS_MACHINE)]
    pub openseeface: Vec<String>,
    /// iFacialMocap's lines, pushed without being asked
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, default_missing_value = THIS_MACHINE)]
    pub ifacialmocap: Vec<String>,
    /// Answer receivers that ask as iFacialMocap's do, here or (0.0.0.0) from anywhere
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, default_missing_value = THIS_MACHINE)]
    pub ifacialmocap_listen: Vec<String>,
    /// Live Link Face's packets: Unreal Engine
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, default_missing_value = THIS_MACHINE)]
    pub livelink: Vec<String>,
    /// opentrack's UDP input: the head alone
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, default_missing_value = THIS_MACHINE)]
    pub opentrack: Vec<String>,
    /// Project Babble's OSC: VRCFaceTracking; oscavmgr at port 9400
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, default_missing_value = THIS_MACHINE)]
    pub babble: Vec<String>,
    /// OSC in facetrackd's own schema
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, default_missing_value = THIS_MACHINE)]
    pub osc: Vec<String>,
    /// VTube Studio's plugin API
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, default_missing_value = THIS_MACHINE)]
    pub vts: Vec<String>,
    /// Answer programs that ask VTube Studio's phone app for its face
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, default_missing_value = THIS_MACHINE)]
    pub vts_phone: Vec<String>,
    /// Listen for websocket clients, such as the page in clients/web
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, default_missing_value = THIS_MACHINE)]
    pub websocket: Vec<String>,
    /// The shared-memory ring /dev/shm/facetrackd.NAME
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "NAME")]
    pub shm: Vec<String>,
    /// One JSON line for each frame to a file, `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub jsonl: Vec<String>,
    /// Which landmarks the JSON lines hold: none, 68 or all
    #[arg(long, value_name = "WHICH", value_parser = as_in_config::<LandmarkDetail>, default_value = "all")]
    pub jsonl_landmarks: LandmarkDetail,
    /// A recording in the CSV of Live Link Face
    #[arg(long, value_name = "FILE")]
    pub csv: Vec<String>,
    /// A recording as a glTF animation (.glb), for Blender
    #[arg(long, value_name = "FILE")]
    pub gltf: Vec<String>,
}

impl OutputArgs {
    /// The outputs that were named, a kind after another.
    pub fn configs(&self) -> Vec<OutputConfig> {
        let mut all = Vec::new();
        let to = |address: &str| Some(address.to_owned());
        let datagrams = |address: &str| DatagramConfig { address: to(address), ..DatagramConfig::default() };
        let mut each = |named: &[String], config: &dyn Fn(&str) -> OutputConfig| {
            all.extend(named.iter().map(|name| config(name)));
        };
        each(&self.vmc, &|a| OutputConfig::Vmc(VmcConfig { address: a.to_owned(), ..VmcConfig::default() }));
        each(&self.vrchat, &|a| {
            OutputConfig::Vrchat(VrchatConfig { address: to(a), ..VrchatConfig::default() })
        });
        each(&self.openseeface, &|a| OutputConfig::OpenSeeFace(datagrams(a)));
        each(&self.ifacialmocap, &|a| {
            OutputConfig::IFacialMocap(IFacialMocapConfig { address: to(a), ..IFacialMocapConfig::default() })
        });
        each(&self.ifacialmocap_listen, &|a| {
            OutputConfig::IFacialMocap(IFacialMocapConfig { listen: to(a), ..IFacialMocapConfig::default() })
        });
        each(&self.livelink, &|a| {
            OutputConfig::LiveLink(LiveLinkConfig { address: to(a), ..LiveLinkConfig::default() })
        });
        each(&self.opentrack, &|a| OutputConfig::Opentrack(datagrams(a)));
        each(&self.babble, &|a| OutputConfig::Babble(datagrams(a)));
        each(&self.osc, &|a| OutputConfig::Osc(OscConfig { address: to(a), ..OscConfig::default() }));
        each(&self.vts, &|a| OutputConfig::Vts(VtsConfig { address: to(a), ..VtsConfig::default() }));
        each(&self.vts_phone, &|a| {
            OutputConfig::VtsPhone(VtsPhoneConfig { listen: a.to_owned(), ..VtsPhoneConfig::default() })
        });
        each(&self.websocket, &|a| {
            OutputConfig::WebSocket(WebSocketConfig { listen: a.to_owned(), ..WebSocketConfig::default() })
        });
        #[cfg(target_os = "linux")]
        each(&self.shm, &|name| OutputConfig::Shm(ShmConfig::new(name)));
        let landmarks = self.jsonl_landmarks;
        each(&self.jsonl, &|path| OutputConfig::Jsonl(JsonlConfig { path: path.into(), landmarks }));
        each(&self.csv, &|path| {
            OutputConfig::Csv(CsvConfig { path: path.into(), fps: 60, adjust: Adjust::default() })
        });
        each(&self.gltf, &|path| {
            OutputConfig::Gltf(GltfConfig { path: path.into(), adjust: Adjust::default() })
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::Cli;
    use crate::sink::OutputConfig;
    use clap::{CommandFactory, Parser};

    fn outputs(line: &str) -> Vec<OutputConfig> {
        Cli::try_parse_from(line.split(' ')).unwrap().track.outputs.configs()
    }

    #[test]
    fn every_output_can_be_named_any_number_of_times_on_one_line() {
        let all = outputs(
            "facetrackd --vmc 127.0.0.1:1 --vmc 127.0.0.1:2 --vrchat 127.0.0.1:3 --openseeface 127.0.0.1:4 \
             --ifacialmocap 127.0.0.1:5 --ifacialmocap-listen 127.0.0.1:6 --livelink 127.0.0.1:7 \
             --opentrack 127.0.0.1:8 --babble 127.0.0.1:9 --osc 127.0.0.1:10 \
             --websocket 127.0.0.1:11 --shm face --jsonl a --csv b --csv c --gltf d.glb",
        );
        let said: Vec<String> = all.iter().map(ToString::to_string).collect();
        for (n, name) in (1..).zip([
            "VMC",
            "VMC",
            "VRChat",
            "OpenSeeFace",
            "iFacialMocap",
            "iFacialMocap",
            "Live Link Face",
            "opentrack",
            "Babble",
            "OSC",
        ]) {
            let listens = if n == 6 { " listening on" } else { "" };
            assert_eq!(said[n - 1], format!("{name}{listens} 127.0.0.1:{n}"));
        }
        assert_eq!(
            said[10..],
            [
                "websocket on 127.0.0.1:11",
                "shared memory face",
                "JSON lines a",
                "CSV b",
                "CSV c",
                "glTF d.glb"
            ]
        );
        for output in all {
            output.validate().unwrap();
        }
    }

    #[test]
    fn an_output_without_an_address_goes_to_this_machine() {
        let said: Vec<String> =
            outputs("facetrackd --vrchat --livelink --shm face").iter().map(ToString::to_string).collect();
        assert_eq!(said, ["VRChat 127.0.0.1", "Live Link Face 127.0.0.1", "shared memory face"]);
    }

    #[test]
    fn help_shows_every_output() {
        let help = Cli::command().render_long_help().to_string();
        for option in [
            "--vmc",
            "--vrchat",
            "--openseeface",
            "--ifacialmocap",
            "--livelink",
            "--opentrack",
            "--babble",
            "--osc",
            "--vts",
            "--vts-phone",
            "--websocket",
            "--shm",
            "--jsonl",
            "--csv",
            "--gltf",
        ] {
            assert!(help.matches(option).count() > 0, "{option}");
        }
    }
}
