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

#[test]
fn blocks_end_before_what_follows_them() {
    for text in ["a: |-\n  x\n  y\nb: 1\n", "a: >\n  x\nb: 1\n", "a: |\n  x\n"] {
        let found = scalars("t.yaml", text).unwrap();
        let new = rewrite(&found, &[Change { place: &found.places[0], value: "v", comment: None }]);
        let again = scalars("t.yaml", &new).unwrap();
        assert_eq!(again.places[0].text.trim_end(), "v", "{text:?} {new:?}");
        assert_eq!(again.places.len(), found.places.len(), "{new:?}");
    }
}

#[test]
fn a_changed_value_keeps_its_quotes_and_gets_some_where_it_must() {
    let change = |text: &str, value: &str, comment: Option<&str>| {
        let found = scalars("t.yaml", text).unwrap();
        rewrite(&found, &[Change { place: &found.places[0], value, comment }])
    };
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
