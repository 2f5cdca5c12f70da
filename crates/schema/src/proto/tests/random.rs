//! Random values of a type, from a seed.

use serde_json::{Map, Value, json};

use super::special::Union;
use crate::table::{Schema, Shape, TypeId};

struct Random(u64);

impl Random {
    /// splitmix64.
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

/// A value of a type; deeper levels are ever sparser.
pub(super) fn value(schema: &Schema, id: TypeId, seed: u64) -> Value {
    object(schema, id, &mut Random(seed), 0)
}

fn object(schema: &Schema, id: TypeId, r: &mut Random, depth: u64) -> Value {
    let mut out = Map::new();
    for f in &schema.get(id).fields {
        // Type and version travel in the envelope.
        if f.proto == 0 && matches!(f.name.as_str(), "apiVersion" | "kind") {
            continue;
        }
        if r.next(3 + depth * 2) < 2 && depth < 9 {
            let go = f.go_type.as_deref().unwrap_or_default();
            out.insert(f.name.clone(), of_shape(schema, &f.shape, go, r, depth + 1));
        }
    }
    Value::Object(out)
}

fn of_shape(schema: &Schema, shape: &Shape, go: &str, r: &mut Random, depth: u64) -> Value {
    let pick = |r: &mut Random, values: &[Value]| values[r.next(values.len() as u64) as usize].clone();
    match shape {
        Shape::String => pick(r, &[json!("a"), json!("web"), json!("ü☸"), json!("")]),
        Shape::Bytes => pick(r, &[json!("AAECAw=="), json!("eA=="), json!("")]),
        Shape::Bool => (r.next(2) == 0).into(),
        Shape::Int32 => (r.next(1 << 32) as u32 as i32).into(),
        Shape::Int64 => (r.next(u64::MAX) as i64).into(),
        Shape::Float => (r.next(1000) as f64 / 8.0).into(),
        Shape::Quantity => pick(r, &[json!("500m"), json!(2), json!("1.5Gi"), json!("0"), json!("1000k")]),
        Shape::IntOrString => pick(r, &[json!(80), json!("http"), json!("25%"), json!(0)]),
        Shape::Time => pick(r, &[json!("2026-01-02T03:04:05Z"), json!("1969-12-31T23:59:59Z"), json!(null)]),
        Shape::MicroTime => {
            pick(r, &[json!("2026-01-02T03:04:05.000006Z"), json!("1960-12-31T23:59:59.500000Z")])
        }
        Shape::Duration => pick(r, &[json!("1h30m0s"), json!("0s"), json!("-15ms")]),
        Shape::Any => match Union::of(go) {
            Some(Union::Bool) => pick(r, &[json!(true), json!(false), json!({"type": "string"})]),
            Some(Union::Array) => pick(r, &[json!({"type": "string"}), json!([{"type": "object"}, {}])]),
            Some(Union::StringArray) => pick(r, &[json!({"type": "string"}), json!(["a", "b"])]),
            None => pick(r, &[json!({"a": [1, null, {"b": "c"}]}), json!("text"), json!(7)]),
        },
        Shape::Object(id) => object(schema, *id, r, depth),
        Shape::List(item) => (0..1 + r.next(2)).map(|_| of_shape(schema, item, go, r, depth)).collect(),
        Shape::Map(item) => {
            let keys = ["a", "app.kubernetes.io/name", ""];
            let count = 1 + r.next(2) as usize;
            let entries =
                keys.iter().take(count).map(|k| (k.to_string(), of_shape(schema, item, "", r, depth)));
            Value::Object(entries.collect())
        }
    }
}
