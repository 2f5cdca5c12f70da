//! A time as RFC 3339 text, for serde.

use kiban_base::clock::Timestamp;
use serde::{Deserialize, Deserializer, Serializer};

/// Writes it with seconds.
pub(crate) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.rfc3339())
}

/// Reads it; what is no time counts as none.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(Timestamp::parse(&text).unwrap_or_default())
}
