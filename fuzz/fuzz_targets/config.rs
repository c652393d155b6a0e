//! A configuration of any text is read or refused; one that is read says the same after being written.
#![no_main]

use facetrackd::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(config) = Config::parse(text) else { return };
    let written = toml::to_string(&config).expect("what was read can be written");
    // Through text, since NaN, which some keys take, is not equal to itself.
    let again = Config::parse(&written).expect("what was written can be read");
    assert_eq!(format!("{again:?}"), format!("{config:?}"));
});
