//! Text forms of JSON values as Go prints them: clients match on these inside error messages, and
//! the names in field sets are written in them.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

/// `%v`: `map[a:1 b:[x y]]`, `<nil>`, strings bare.
pub(crate) fn plain(v: &Value) -> String {
    let mut out = String::new();
    write_plain(&mut out, v);
    out
}

/// `%v` of an object.
pub(crate) fn plain_map(m: &Map<String, Value>) -> String {
    let mut out = String::new();
    write_plain_map(&mut out, m);
    out
}

/// `%v` of a list.
pub(crate) fn plain_list(l: &[Value]) -> String {
    let mut out = String::new();
    write_plain_list(&mut out, l);
    out
}

fn write_plain(out: &mut String, v: &Value) {
    match v {
        Value::Null => out.push_str("<nil>"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => out.push_str(&number(n)),
        Value::String(s) => out.push_str(s),
        Value::Array(l) => write_plain_list(out, l),
        Value::Object(m) => write_plain_map(out, m),
    }
}

fn write_plain_list(out: &mut String, l: &[Value]) {
    out.push('[');
    for (i, v) in l.iter().enumerate() {
        if i > 0 {
            out.push(' ');
        }
        write_plain(out, v);
    }
    out.push(']');
}

fn write_plain_map(out: &mut String, m: &Map<String, Value>) {
    out.push_str("map[");
    for (i, (k, v)) in m.iter().enumerate() {
        if i > 0 {
            out.push(' ');
        }
        out.push_str(k);
        out.push(':');
        write_plain(out, v);
    }
    out.push(']');
}

/// `%s`: like `%v` for strings; other values carry their type.
pub(crate) fn as_string(v: &Value) -> String {
    match v {
        Value::String(s) => s.clone(),
        Value::Null => "%!s(<nil>)".to_owned(),
        Value::Bool(_) | Value::Number(_) => format!("%!s({}={})", type_name(v), plain(v)),
        Value::Array(l) => {
            let items: Vec<String> = l.iter().map(as_string).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(m) => {
            let items: Vec<String> = m.iter().map(|(k, v)| format!("{k}:{}", as_string(v))).collect();
            format!("map[{}]", items.join(" "))
        }
    }
}

/// `%#v`: Go syntax.
pub(crate) fn syntax(v: &Value) -> String {
    match v {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::Bool(_) | Value::Number(_) => plain(v),
        Value::String(s) => quote(s),
        Value::Array(l) => {
            let items: Vec<String> = l.iter().map(syntax).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Value::Object(m) => {
            let items: Vec<String> = m.iter().map(|(k, v)| format!("{}:{}", quote(k), syntax(v))).collect();
            format!("map[string]interface {{}}{{{}}}", items.join(", "))
        }
    }
}

/// The name of the Go type that decoded JSON has.
pub(crate) fn type_name(v: &Value) -> &'static str {
    match v {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// `%v` of a number: integers in full, doubles with the shortest digits, and with an exponent below
/// 1e-4 and from 1e6.
pub(crate) fn number(n: &Number) -> String {
    match n.as_f64() {
        Some(f) if n.is_f64() => shortest(f, -4, 6),
        _ => n.to_string(),
    }
}

/// Shortest digits that read back as `f`: positional where the decimal exponent lies in
/// `low..high`, else with an exponent of at least two digits.
fn shortest(f: f64, low: i32, high: i32) -> String {
    if f == 0.0 {
        return if f.is_sign_negative() { "-0".to_owned() } else { "0".to_owned() };
    }
    let scientific = format!("{f:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (low..high).contains(&exponent) {
        return format!("{f}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// `%q`: a double-quoted Go string.
pub(crate) fn quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            ' '..='~' => out.push(c),
            '\0'..='\u{7f}' => drop(write!(out, "\\x{:02x}", c as u32)),
            c if is_print(c) => out.push(c),
            c if (c as u32) < 0x10000 => drop(write!(out, "\\u{:04x}", c as u32)),
            c => drop(write!(out, "\\U{:08x}", c as u32)),
        }
    }
    out.push('"');
    out
}

/// Whether a character has a glyph of its own, the ASCII space included.
pub(crate) fn is_print(c: char) -> bool {
    match c {
        ' '..='~' => true,
        c if c.is_control() || c.is_whitespace() => false,
        // Rust escapes what is not printable, and combining marks, which Go prints.
        c => c.escape_debug().count() == 1 || c.is_alphanumeric(),
    }
}

/// Compact JSON as Go's encoder writes it: keys sorted, `<`, `>`, `&` and the two line separators
/// of Unicode escaped.
pub(crate) fn json(v: &Value) -> String {
    let mut out = String::new();
    write_json(&mut out, v);
    out
}

/// Appends [`json`].
pub(crate) fn write_json(out: &mut String, v: &Value) {
    match v {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => match n.as_f64() {
            Some(f) if n.is_f64() => out.push_str(&json_float(f)),
            _ => out.push_str(&n.to_string()),
        },
        Value::String(s) => write_json_string(out, s, true),
        Value::Array(l) => {
            out.push('[');
            for (i, v) in l.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json(out, v);
            }
            out.push(']');
        }
        Value::Object(m) => {
            out.push('{');
            for (i, (k, v)) in m.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json_string(out, k, true);
                out.push(':');
                write_json(out, v);
            }
            out.push('}');
        }
    }
}

fn json_float(f: f64) -> String {
    let text = shortest(f, -6, 21);
    // Go drops the zero of a two-digit negative exponent.
    match text.split_once("e-0") {
        Some((mantissa, digit)) => format!("{mantissa}e-{digit}"),
        None => text,
    }
}

/// Appends a JSON string; `html` escapes the characters that are special in HTML.
pub(crate) fn write_json_string(out: &mut String, s: &str, html: bool) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' if html => out.push_str("\\b"),
            '\u{c}' if html => out.push_str("\\f"),
            '<' | '>' | '&' if html => drop(write!(out, "\\u{:04x}", c as u32)),
            '\u{2028}' | '\u{2029}' if html => drop(write!(out, "\\u{:04x}", c as u32)),
            c if (c as u32) < 0x20 => drop(write!(out, "\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_print_as_go_prints_them() {
        let v = json!({"b": [1, "x", null], "a": {"f": 1.5, "t": true}});
        assert_eq!(plain(&v), "map[a:map[f:1.5 t:true] b:[1 x <nil>]]");
        assert_eq!(
            syntax(&v),
            r#"map[string]interface {}{"a":map[string]interface {}{"f":1.5, "t":true}, "b":[]interface {}{1, "x", interface {}(nil)}}"#
        );
        assert_eq!(as_string(&json!(3)), "%!s(int64=3)");
    }

    #[test]
    fn strings_are_quoted_as_go_quotes_them() {
        assert_eq!(quote("a\"b\\\n\u{1}\u{7f}é\u{200b}"), "\"a\\\"b\\\\\\n\\x01\\x7fé\\u200b\"");
    }

    #[test]
    fn json_is_written_as_go_writes_it() {
        assert_eq!(
            json(&json!({"b": "<a&b>", "a": [1.0, 1e21, 1e-7]})),
            r#"{"a":[1,1e+21,1e-7],"b":"\u003ca\u0026b\u003e"}"#
        );
    }
}
