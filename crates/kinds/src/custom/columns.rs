//! Printer columns of a custom kind.

use kiban_base::clock::Timestamp;
use serde_json::{Value, json};

use super::jsonpath::JsonPath;
use crate::tables::cell::{at, human_duration, text, time};
use crate::validate::at::{field, list};

/// A column with the path to its values.
#[derive(Debug, Clone)]
pub struct Column {
    name: String,
    type_: String,
    format: String,
    description: String,
    priority: i64,
    path: JsonPath,
}

/// The columns of a version of a CRD, after the name.
#[derive(Debug, Clone)]
pub struct Columns(Vec<Column>);

impl Columns {
    /// Reads `additionalPrinterColumns`; a kind without has the age of its objects.
    pub fn read(columns: &Value) -> Self {
        let all: Vec<Column> = list(columns).iter().filter_map(Column::read).collect();
        if all.is_empty() { Self(Column::age().into_iter().collect()) } else { Self(all) }
    }

    /// `columnDefinitions` of a Table.
    pub fn definitions(&self) -> Value {
        let name = json!({
            "name": "Name", "type": "string", "format": "name", "description": "Name of the object.", "priority": 0,
        });
        let others = self.0.iter().map(|c| {
            json!({
                "name": c.name, "type": c.type_, "format": c.format, "description": c.description,
                "priority": c.priority,
            })
        });
        std::iter::once(name).chain(others).collect()
    }

    /// The cells of a row.
    pub fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let name = Value::from(text(object, "metadata.name"));
        std::iter::once(name).chain(self.0.iter().map(|c| c.cell(object, now))).collect()
    }
}

impl Column {
    fn read(column: &Value) -> Option<Self> {
        let of = |name: &str| field(column, name).as_str().unwrap_or_default().to_owned();
        let description = match of("description") {
            own if own.is_empty() => "The value at ".to_owned() + &of("jsonPath"),
            own => own,
        };
        Some(Self {
            name: of("name"),
            type_: of("type"),
            format: of("format"),
            description,
            priority: field(column, "priority").as_i64().unwrap_or(0),
            path: JsonPath::parse(&of("jsonPath")).ok()?,
        })
    }

    fn age() -> Option<Self> {
        Self::read(&json!({
            "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp",
            "description": "Time since the object was created.",
        }))
    }

    fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let Some(value) = self.path.first(object) else { return Value::Null };
        match (self.type_.as_str(), value) {
            (_, Value::Null) => Value::Null,
            ("string", Value::String(text)) => text.clone().into(),
            ("string", other) => other.to_string().into(),
            // A fraction is cut off, as Go's conversion does.
            #[allow(clippy::cast_possible_truncation)]
            ("integer", Value::Number(n)) => {
                n.as_i64().or_else(|| n.as_f64().map(|f| f as i64)).map_or(Value::Null, Value::from)
            }
            ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
            ("date", Value::String(_)) => match time(value) {
                Some(then) => human_duration(now.0.saturating_sub(then.0)).into(),
                None if at(object, "metadata.creationTimestamp") == value => "<unknown>".into(),
                None => "<invalid>".into(),
            },
            _ => Value::Null,
        }
    }
}
