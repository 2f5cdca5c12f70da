//! Whether a write changed anything.

use serde_json::{Map, Value};

use super::managed;

/// Whether `new` equals `old` but for the times in managedFields; if so, `new` gets the old times,
/// the two are the same, and there is nothing to write.
pub fn settle(old: &Value, new: &mut Value) -> bool {
    let (Value::Object(before), Value::Object(after)) = (old, &*new) else { return old == new };
    let same = equal_but(before, after, "metadata", |a, b| match (a, b) {
        (Value::Object(a), Value::Object(b)) => equal_but(a, b, "managedFields", same_owners),
        (a, b) => a == b,
    });
    if same && managed::list_of(old) != managed::list_of(new) {
        managed::put_list(new, managed::list_of(old).cloned());
    }
    same
}

fn equal_but(
    a: &Map<String, Value>,
    b: &Map<String, Value>,
    key: &str,
    special: impl Fn(&Value, &Value) -> bool,
) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|((a_key, a), (b_key, b))| {
            a_key == b_key && if a_key == key { special(a, b) } else { a == b }
        })
}

fn same_owners(a: &Value, b: &Value) -> bool {
    let (Value::Array(a), Value::Array(b)) = (a, b) else { return a == b };
    let without_time = |v: &Value| -> Vec<(String, Value)> {
        let members = v.as_object().into_iter().flatten();
        members.filter(|(k, _)| *k != "time").map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || without_time(a) == without_time(b))
}
