//! Scalars that the API keeps in a canonical text.

use kiban_base::duration;
use kiban_base::quantity::Quantity;
use serde_json::{Number, Value};

use super::DecodeError;

/// The canonical text of a quantity that came as a string or a number.
pub(super) fn quantity(value: &Value) -> Result<Value, DecodeError> {
    let text = match value {
        Value::String(s) => s.trim().to_owned(),
        // The real API reads the raw text, whatever its JSON type.
        other => other.to_string(),
    };
    match Quantity::stored_text(&text) {
        Ok(text) => Ok(Value::String(text)),
        Err(error) => Err(DecodeError(error.to_string())),
    }
}

/// The canonical text of a Go duration.
pub(super) fn duration(text: &str) -> Result<Value, DecodeError> {
    match duration::parse_go_nanos(text) {
        Ok(nanos) => Ok(Value::String(duration::format_go_nanos(nanos))),
        Err(error) => Err(DecodeError(error.to_string())),
    }
}

pub(super) fn is_int32(n: &Number) -> bool {
    n.as_i64().is_some_and(|n| i32::try_from(n).is_ok())
}
