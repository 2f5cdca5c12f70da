//! Quantities compared with apimachinery's `resource.Quantity`, most of them beyond 64 bits: the golden
//! file that `tools/oracle/merge` writes. `KIBAN_MERGE_CASES` names a folder with others.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use kiban_base::quantity::Quantity;
use serde_json::{Map, Value, json};

fn cases() -> Vec<Value> {
    let folder = std::env::var_os("KIBAN_MERGE_CASES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/merge"), PathBuf::from);
    let text = std::fs::read_to_string(folder.join("quantity.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// About how many digits an amount has, written out, given its text.
fn digits(text: &str) -> usize {
    let number: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == '-').collect();
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].iter().position(|s| text.ends_with(s));
    match binary {
        // 2^10 has a bit more than three digits, and an even number of them is none of ten.
        Some(at) => number.trim_matches('-').len() + (at + 1) * 301 / 100 + 1,
        None => number.trim_matches(['-', '0']).len(),
    }
}

/// Past exa there is no suffix. Upstream forgets the zeros of what still fits its short form, and stores
/// `1` for `1000E`; this keeps them.
fn loses_zeros(text: &Value) -> bool {
    text.as_str().and_then(|t| t.strip_suffix('E')).is_some_and(|number| number.ends_with("000"))
}

/// What upstream was asked, answered by ours.
fn answer(case: &Value) -> Value {
    let text = case["text"].as_str().unwrap();
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| drop(out.insert(key.to_owned(), value));
    put("text", json!(text));
    let quantity = match Quantity::parse(text) {
        Ok(quantity) => quantity,
        Err(e) => {
            put("error", json!(e.to_string()));
            return Value::Object(out);
        }
    };
    put("stored", json!(Quantity::stored_text(text).unwrap()));
    put("canonical", json!(quantity.to_string()));
    if let Some(other) = case["other"].as_str() {
        let with = Quantity::parse(other).unwrap();
        put("other", json!(other));
        put("cmp", json!(quantity.cmp(&with) as i8));
        for (key, ours) in [("sum", quantity + with), ("difference", quantity - with)] {
            // Sums of more digits keep the first ones, as `Quantity` says.
            let exact = digits(case[key].as_str().unwrap()) <= 38;
            put(key, if exact { json!(ours.to_string()) } else { case[key].clone() });
        }
    }
    Value::Object(out)
}

#[test]
fn quantities_beyond_64_bits_are_read_written_compared_and_added_as_upstream_does() {
    let (mut wrong, mut total) = (Vec::new(), 0);
    for mut case in cases() {
        // The exact amount is for other readers; the canonical text says it too.
        let members = case.as_object_mut().unwrap();
        members.remove("digits");
        members.remove("scale");
        if loses_zeros(&case["text"]) || loses_zeros(&case["other"]) {
            continue;
        }
        total += 1;
        let ours = answer(&case);
        if ours != case {
            wrong.push(format!("upstream {case}\nours     {ours}"));
        }
    }
    let shown: Vec<_> = wrong.iter().take(8).cloned().collect();
    assert!(wrong.is_empty(), "{} of {total} differ\n{}", wrong.len(), shown.join("\n"));
    assert!(total > 500, "hardly any cases");
}
