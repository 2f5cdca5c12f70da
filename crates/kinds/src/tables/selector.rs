//! Label maps and label selectors as the API prints them.

use kiban_base::selector::LabelSelector;
use serde_json::{Map, Value};

use super::cell::{at, items, map, strings, text};

/// A label map: `a=1,b=2`, sorted; `<none>` for an empty one.
pub(super) fn labels(object: &Value, path: &str) -> String {
    let mut pairs: Vec<String> = map(object, path).into_iter().flat_map(pairs).collect();
    pairs.sort();
    none_if_empty(pairs.join(","))
}

/// A label selector: `a=1,b in (x,y),!c`, sorted by key; `<none>` for an empty one, `<error>` for
/// one that selects nothing because it is not well formed.
pub(super) fn selector(object: &Value, path: &str) -> String {
    expression(at(object, path)).map_or_else(|| "<error>".to_owned(), none_if_empty)
}

/// The selector in its query form, empty for none; [`None`] for one that is not well formed.
pub(super) fn expression(selector: &Value) -> Option<String> {
    LabelSelector::from_object(selector).ok().map(|s| s.to_string())
}

/// The selector in the debug form of the API's Go type, which admission bindings print.
pub(super) fn debug(selector: &Value) -> String {
    let labels: String = map(selector, "matchLabels")
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}: {},", value.as_str().unwrap_or("")))
        .collect();
    let expressions: String = items(selector, "matchExpressions")
        .iter()
        .map(|r| {
            format!(
                "LabelSelectorRequirement{{Key:{},Operator:{},Values:[{}],}},",
                text(r, "key"),
                text(r, "operator"),
                strings(r, "values").join(" ")
            )
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},\
         MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

fn pairs(map: &Map<String, Value>) -> impl Iterator<Item = String> {
    map.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or("")))
}

fn none_if_empty(text: String) -> String {
    if text.is_empty() { "<none>".to_owned() } else { text }
}
