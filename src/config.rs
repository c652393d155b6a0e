//! The configuration file: every table's home is its stage, this module reads and checks the whole.

use crate::capture::CaptureConfig;
use crate::filter::FilterConfig;
use crate::infer::TrackerConfig;
use crate::sink::{OutputConfig, SinkError, VmcConfig};
use crate::solve::{ExpressionConfig, PoseConfig};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The built-in configuration with a comment on every key: a file to start from.
pub const DEFAULT_TOML: &str = include_str!("../default.toml");

/// All that can be configured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which camera, and how it is opened.
    pub camera: CaptureConfig,
    /// How faces are found and followed.
    pub tracking: TrackerConfig,
    /// How head pose is solved.
    pub pose: PoseConfig,
    /// How expressions are told from a face at rest.
    pub expression: ExpressionConfig,
    /// How values are smoothed, held and faded.
    pub filter: FilterConfig,
    /// Where samples go. Where it is empty: VMC to its usual port on this machine.
    pub output: Vec<OutputConfig>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is no TOML, has an unknown key or a bad value. The message shows the line.
    #[error("{}: {source}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// An output's settings make no sense.
    #[error("{}: {source}", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// Which setting, and its range.
        source: SinkError,
    },
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`], pointing at the line.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let config = Self::parse(&text)
            .map_err(|source| ConfigError::Invalid { path: path.to_owned(), source: Box::new(source) })?;
        config.check_outputs().map_err(|source| ConfigError::Output { path: path.to_owned(), source })?;
        Ok(config)
    }

    fn check_outputs(&self) -> Result<(), SinkError> {
        self.output.iter().try_for_each(OutputConfig::validate)
    }

    /// Reads TOML text.
    ///
    /// # Errors
    /// The line and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// The outputs to open: those that are configured, or VMC to its usual port on this machine.
    pub fn outputs(&self) -> Vec<OutputConfig> {
        if self.output.is_empty() {
            vec![OutputConfig::Vmc(VmcConfig::default())]
        } else {
            self.output.clone()
        }
    }

    /// The file that is read where none is named: `facetrackd/config.toml` in the XDG configuration directory.
    pub fn default_path() -> Option<PathBuf> {
        directories::BaseDirs::new().map(|dirs| dirs.config_dir().join("facetrackd").join("config.toml"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commented_file_says_what_is_built_in() {
        assert_eq!(Config::parse(DEFAULT_TOML).expect("default.toml parses"), Config::default());
    }

    /// The commented file with every unset setting set.
    fn everything_set() -> Config {
        let text: String = DEFAULT_TOML
            .lines()
            .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
            .flat_map(|line| [line, "\n"])
            .collect();
        Config::parse(&text).expect("every setting in default.toml is one")
    }

    #[test]
    fn every_setting_that_is_unset_by_default_can_be_set() {
        let config = everything_set();
        assert!(config.camera.device.is_some() && config.camera.resolution.is_some());
        config.check_outputs().expect("the outputs shown are sound");
    }

    #[test]
    fn every_key_there_is_stands_in_the_commented_file() {
        let all = toml::Value::try_from(everything_set()).expect("serialises");
        let mut missing = Vec::new();
        find_missing(&all, "", &mut missing);
        assert!(missing.is_empty(), "default.toml is silent on {missing:?}");
    }

    /// Keys of `value` whose name default.toml nowhere assigns.
    fn find_missing(value: &toml::Value, path: &str, missing: &mut Vec<String>) {
        let key = path.rsplit('.').next().unwrap_or(path);
        match value {
            toml::Value::Table(table) => {
                for (key, inner) in table {
                    find_missing(inner, &format!("{path}.{key}"), missing);
                }
            }
            toml::Value::Array(items) => items.iter().for_each(|item| find_missing(item, path, missing)),
            _ if DEFAULT_TOML.contains(&format!("{key} = ")) => {}
            _ => missing.push(path.to_owned()),
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error = Config::parse("[tracking]\nfaces = 1\nfases = 2\n").expect_err("unknown key").to_string();
        assert!(error.contains("line 3") && error.contains("fases"), "{error}");
    }

    #[test]
    fn a_wrong_type_is_refused_with_its_line() {
        let error = Config::parse("\n[tracking]\nfaces = \"two\"\n").expect_err("wrong type").to_string();
        assert!(error.contains("line 3"), "{error}");
    }

    #[test]
    fn a_number_out_of_range_is_refused_with_its_line_and_range() {
        for (text, range) in [
            ("[tracking]\nfaces = 0\n", "1 to 8"),
            ("[tracking]\npresence_min = nan\n", "0 to 1"),
            ("[pose]\nfov_deg = 200.0\n", "5 to 150"),
            ("[filter]\nhold_s = -1.0\n", "0 to 60"),
            ("[camera]\nfreeze_timeout_s = 0.0\n", "0.2 to 60"),
        ] {
            let error = Config::parse(text).expect_err(text).to_string();
            assert!(error.contains("line 2") && error.contains(range), "{error}");
        }
    }

    #[test]
    fn an_output_of_no_known_type_is_refused_and_the_known_ones_are_named() {
        let error = Config::parse("[[output]]\ntype = \"vcm\"\n").expect_err("unknown type").to_string();
        assert!(error.contains("line 1") || error.contains("line 2"), "{error}");
        assert!(error.contains("vmc"), "{error}");
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(Config::parse("").expect("empty"), Config::default());
    }
}
