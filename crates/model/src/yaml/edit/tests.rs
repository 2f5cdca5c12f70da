//! Places of scalars, and that a change changes nothing else.
#![allow(clippy::unwrap_used)]

use super::*;

fn shown(text: &str) -> Vec<String> {
    let found = scalars("t.yaml", text).unwrap();
    found
        .places
        .iter()
        .map(|p| {
            let path: Vec<String> = p
                .path
                .iter()
                .map(|s| match s {
                    Step::Key(k) => k.to_string(),
                    Step::Item(i) => i.to_string(),
                })
                .collect();
            format!("{} {}|{}|{}", p.document, path.join("."), &text[p.range.clone()], p.text)
        })
        .collect()
}

#[test]
fn every_value_is_found_with_exactly_its_own_bytes() {
    let text = "a: plain   # c\nb: 'si''ngle'  # 'c'\nc: \"do\\tub\\\"le\" # \"c\"\nd: [x, {e: y}, \"z\"]\n? [k1, k2]\n: v\nf: !!str 12\ng: &anchor abc\nh: *anchor\ni: two\n  lines\nj:\n- k: 1\n  l: 2\n";
    assert_eq!(
        shown(text),
        [
            "0 a|plain|plain",
            "0 b|'si''ngle'|si'ngle",
            "0 c|\"do\\tub\\\"le\"|do\tub\"le",
            "0 d.0|x|x",
            "0 d.1.e|y|y",
            "0 d.2|\"z\"|z",
            "0 |v|v",
            "0 f|12|12",
            "0 g|abc|abc",
            "0 h|*anchor|",
            "0 i|two\n  lines|two lines",
            "0 j.0.k|1|1",
            "0 j.0.l|2|2",
        ]
    );
}

#[test]
fn byte_order_marks_crlf_and_wide_characters_move_no_place() {
    let text = "\u{feff}名: 値 # 注\r\nb: \"日本\" \r\n---\r\nc: x\r\n";
    assert_eq!(shown(text), ["0 名|値|値", "0 b|\"日本\"|日本", "1 c|x|x"]);
}

fn change(text: &str, value: &str, comment: Option<&str>) -> Result<String, Problem> {
    let found = scalars("t.yaml", text).unwrap();
    apply(&found, &[Change { place: &found.places[0], value, comment }], &[])
}

#[test]
fn blocks_keep_their_form_and_what_follows_them() {
    for (old, new) in [
        ("a: >-\n  x\nb: []\n", "a: >-\n  n:2\nb: []\n"),
        ("a: |-\n  x\n  y\nb: 1\n", "a: |-\n  n:2\nb: 1\n"),
        ("a: >\n  x\nb: 1\n", "a: >-\n  n:2\nb: 1\n"),
        ("a: |+\n  x\n\n\nb: 1\n", "a: |-\n  n:2\n\n\nb: 1\n"),
        ("a: |2-\n    x\n  y\nb: 1\n", "a: |-\n    n:2\nb: 1\n"),
        ("a: >+1 # why\n  x\n# c\nb: 1\n", "a: >- # why\n  n:2\n# c\nb: 1\n"),
        ("a: |\n\n  x\n \n  y  \n  # no comment\nb: 1\n", "a: |-\n  n:2\nb: 1\n"),
        ("a: >- # é\r\n  x\r\nb: 1\r\n", "a: >- # é\r\n  n:2\r\nb: 1\r\n"),
        ("a: |\n  x", "a: |-\n  n:2"),
        ("a: |\n  x\n", "a: |-\n  n:2\n"),
        ("a: |-\n  x\n---\nb: 1\n", "a: |-\n  n:2\n---\nb: 1\n"),
        ("a: |-\n  x\n  \n...\n", "a: |-\n  n:2\n  \n...\n"),
        ("a:   &i # why\n  !!str >-\n    x\nb: *i\n", "a:   &i # why\n  !!str >-\n    n:2\nb: *i\n"),
        ("- >-\n  x\n- >-\n  y\n", "- >-\n  n:2\n- >-\n  y\n"),
        ("- - |-\n    x\n  - y\n", "- - |-\n    n:2\n  - y\n"),
        ("a: >-\nb: 1\n", "a: n:2\nb: 1\n"),
        ("a: |2+ # c\n\nb: 1\n", "a: n:2 # c\n\nb: 1\n"),
        ("a: >-", "a: n:2"),
        ("x'y: |\n  a: b\n", "x'y: |-\n  n:2\n"),
    ] {
        assert_eq!(change(old, "n:2", None).unwrap(), new, "{old:?}");
        assert_eq!(change(new, "n:2", None).unwrap(), new, "once more changes nothing");
    }
    assert_eq!(change("a: |\n  x\nb: 1\n", "", None).unwrap(), "a: \"\"\nb: 1\n");
    // A comment stands in the header, or nowhere.
    assert_eq!(change("a: |-\n  x\nb: 1\n", "n", Some("1.2")).unwrap(), "a: |-\n  n\nb: 1\n");
    assert_eq!(change("a: |- # 1\n  x\nb: 1\n", "n", Some("1.2")).unwrap(), "a: |- # 1.2\n  n\nb: 1\n");
}

#[test]
fn empty_values_get_a_space_before_them() {
    for (old, new) in [
        ("a:\nb: 1\n", "a: n:2\nb: 1\n"),
        ("a:", "a: n:2"),
        ("a: # none\nb: 1\n", "a: n:2 # none\nb: 1\n"),
        ("a:   \r\nb: 1\r\n", "a: n:2   \r\nb: 1\r\n"),
        ("{a: }\n", "{a: n:2 }\n"),
        ("{a:, b: 1}\n", "{a: n:2, b: 1}\n"),
        ("{a:}\n", "{a: n:2}\n"),
        ("{\"a\":, b: 1}\n", "{\"a\": n:2, b: 1}\n"),
        ("'a' :\nb: 1\n", "'a' : n:2\nb: 1\n"),
        ("\"a: b\": # c: d\n", "\"a: b\": n:2 # c: d\n"),
        ("a: &i\nb: *i\n", "a: &i n:2\nb: *i\n"),
        ("a: !!str # c\nb: 1\n", "a: !!str n:2 # c\nb: 1\n"),
        ("- a:\n  b: 1\n- c\n", "- a: n:2\n  b: 1\n- c\n"),
        ("a: ~\nb: null\n", "a: n:2\nb: null\n"),
        ("a: ''\n", "a: 'n:2'\n"),
    ] {
        assert_eq!(change(old, "n:2", None).unwrap(), new, "{old:?}");
    }
    assert_eq!(change("a:\nb: 1", "new", Some("1.2")).unwrap(), "a: new # 1.2\nb: 1");
}

#[test]
fn what_would_change_anything_else_is_refused_with_its_place() {
    let mut found = scalars("t.yaml", "a: x\nb: [y]\nc: z\n").unwrap();
    let mut place = found.places.remove(0);
    // As a parser might say it that counts wrongly.
    place.range.end += 1;
    found.places.insert(0, place);
    let why = apply(&found, &[Change { place: &found.places[0], value: "v", comment: None }], &[]);
    let why = why.unwrap_err().to_string();
    assert!(why.starts_with("t.yaml:1:4: ") && why.contains("without changing something else"), "{why}");
    for text in ["{a, b: 1}\n", "? a\n"] {
        assert!(change(text, "v", None).is_err(), "{text:?}");
    }
}

#[test]
fn new_keys_stand_behind_their_neighbour() {
    let put = |text: &str, comment| {
        let found = scalars("t.yaml", text).unwrap();
        let insert = beside(&found, &found.places[0], "[::1]/k", "v", comment);
        apply(&found, &[], &[insert]).unwrap()
    };
    assert_eq!(put("a: x # c\nb: y\n", Some("1")), "a: x # c\n\"[::1]/k\": v # 1\nb: y\n");
    assert_eq!(put("a: |+\n  x\n\nb: y\n", None), "a: |+\n  x\n\n\"[::1]/k\": v\nb: y\n");
    assert_eq!(put("a: >-\n  x", None), "a: >-\n  x\n\"[::1]/k\": v");
    assert_eq!(put("a:\n", None), "a:\n\"[::1]/k\": v\n");
    assert_eq!(put("{a: x}", Some("1")), "{a: x, \"[::1]/k\": v}");
}

#[test]
fn a_changed_value_keeps_its_quotes_and_gets_some_where_it_must() {
    let change = |text: &str, value: &str, comment| super::tests::change(text, value, comment).unwrap();
    assert_eq!(change("a: x # c\nb: y", "new", None), "a: new # c\nb: y");
    assert_eq!(change("a: x # c\nb: y", "new", Some("1.2")), "a: new # 1.2\nb: y");
    assert_eq!(change("a: x\r\nb: y", "new", Some("1.2")), "a: new # 1.2\r\nb: y");
    assert_eq!(change("a: 'x'", "it's", None), "a: 'it''s'");
    assert_eq!(change("a: \"x\"", "q\"", None), "a: \"q\\\"\"");
    assert_eq!(change("a: x", "12", None), "a: \"12\"");
    assert_eq!(change("a: x", "yes", None), "a: \"yes\"");
    assert_eq!(change("{a: x, b: y}", "p,q", Some("no")), "{a: \"p,q\", b: y}");
    assert_eq!(change("a: x#y", "v", Some("c")), "a: v # c");
    assert_eq!(change("- &i x\n- *i\n", "v", None), "- &i v\n- *i\n");
}
