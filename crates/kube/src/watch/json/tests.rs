//! Outlines of JSON: the same values that a parser finds, however a body is cut.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn split(body: &[u8], cuts: &[usize]) -> Result<(Vec<Value>, Page), String> {
    let (mut splitter, mut items) = (Splitter::new(), Vec::new());
    let mut rest = body;
    for cut in cuts.iter().copied().chain([body.len()]) {
        let (piece, after) = rest.split_at(cut.min(rest.len()));
        rest = after;
        splitter.push(piece);
        while let Some(item) = splitter.next()? {
            items.push(serde_json::from_slice(&item).map_err(|e| e.to_string())?);
        }
    }
    Ok((items, splitter.finish()?))
}

#[test]
fn a_list_says_its_revision_and_its_next_page_wherever_they_stand() {
    let page = |revision: &str, next: &str| Page { revision: revision.into(), next: next.into() };
    for (body, items, expected) in [
        (
            r#"{"metadata":{"resourceVersion":"7","continue":"a\/b"},"items":[{"a":1},{"b":[]}]}"#,
            2,
            page("7", "a/b"),
        ),
        (r#" { "items" : [ { } ] , "metadata" : { "resourceVersion" : "7" } } "#, 1, page("7", "")),
        (r#"{"items":null,"metadata":{"continue":""}}"#, 0, page("", "")),
        (r#"{"kind":"PodList","items":[]}"#, 0, page("", "")),
    ] {
        let (found, page) = split(body.as_bytes(), &[]).unwrap();
        assert_eq!((found.len(), page), (items, expected), "{body}");
    }
}

#[test]
fn what_is_no_list_is_said_to_be_none() {
    for body in ["[]", "7", "{\"items\":[7]}", "{\"items\":[{}", "", "{]", "{\"a\" 7}", "<html>"] {
        assert!(split(body.as_bytes(), &[]).is_err(), "{body}");
    }
}

#[test]
fn fields_are_found_by_path() {
    let text = br#"{"a\"b":"}{","meta":{"n":"x","deep":{"k":[1,{"z":2}]}},"last":true}"#;
    let at = |path: &[&str]| find(text, 0, path).map(|s| std::str::from_utf8(&text[s]).unwrap().to_string());
    assert_eq!(at(&["meta", "n"]).unwrap(), "\"x\"");
    assert_eq!(at(&["meta", "deep", "k"]).unwrap(), r#"[1,{"z":2}]"#);
    assert_eq!(at(&["last"]).unwrap(), "true");
    assert_eq!(at(&["meta", "m"]), None);
    assert_eq!(at(&["last", "m"]), None);
    assert_eq!(plain(br#""a\u0041""#, &(0..9)), None);
    assert_eq!(plain(b"7", &(0..1)), None);
}

/// Values of any form, with the characters that outlines turn on.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a\"\\\\{}\\[\\],: é\n]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map("[a\"\\\\{]{0,3}", inner, 0..5)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn items_are_the_same_however_a_body_is_cut(
        items in proptest::collection::vec(value(), 0..6),
        pretty in any::<bool>(),
        cuts in proptest::collection::vec(1..9_usize, 0..60),
    ) {
        let items: Vec<Value> = items.into_iter().map(|v| json!({"v": v})).collect();
        let list = json!({"kind": "L", "metadata": {"resourceVersion": "9"}, "items": items});
        let body = if pretty { serde_json::to_vec_pretty(&list) } else { serde_json::to_vec(&list) }.unwrap();
        let (found, page) = split(&body, &cuts).unwrap();
        prop_assert_eq!(found, items);
        prop_assert_eq!(page.revision, "9");
        // A body that breaks off is never taken for a whole one.
        let cut = cuts.first().copied().unwrap_or(1).min(body.len() - 1);
        prop_assert!(split(&body[..body.len() - cut], &cuts).is_err());
    }

    #[test]
    fn any_bytes_end_in_an_answer(body in proptest::collection::vec(prop_oneof![
        Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b'"'), Just(b'\\'), Just(b','), Just(b':'), any::<u8>()], 0..80)) {
        let _ = split(&body, &[3, 1, 5]);
        for (key, span) in Fields::of(&body, 0) {
            prop_assert!(span.end <= body.len() && key.len() < body.len());
        }
    }

    #[test]
    fn fields_are_those_that_a_parser_finds(map in proptest::collection::btree_map("[a-f]{1,3}", value(), 0..6)) {
        let text = serde_json::to_vec(&map).unwrap();
        let found: std::collections::BTreeMap<String, Value> = Fields::of(&text, 0)
            .map(|(k, s)| (String::from_utf8(k.to_vec()).unwrap(), serde_json::from_slice(&text[s]).unwrap()))
            .collect();
        prop_assert_eq!(found, map);
    }
}
