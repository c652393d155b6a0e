//! Numbers of the configuration that must lie in a range: refused while reading, so that the error points at the line.

use serde::{Deserialize, Deserializer, de};
use std::fmt::Display;

/// Reads a number and refuses it where it is not from `low` to `high`. `what` begins the message.
///
/// # Errors
/// The deserialiser's, or that the number is out of range.
pub(crate) fn within<'de, D, T>(deserializer: D, what: &str, low: T, high: T) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + PartialOrd + Display + Copy,
{
    let value = T::deserialize(deserializer)?;
    // Written so that NaN, which is in no range, is refused too.
    if low <= value && value <= high {
        Ok(value)
    } else {
        Err(de::Error::custom(format_args!("{what} is {low} to {high}, not {value}")))
    }
}
