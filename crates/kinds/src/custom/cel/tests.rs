//! Expressions as a table.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

fn holds(text: &str, this: &Value, old: Option<&Value>) -> Result<bool, String> {
    let scope = Scope { this, old, optional: false };
    Program::new(text)?.holds(scope, &mut Budget::of(100_000))
}

#[test]
fn expressions_say_what_they_say_in_kubernetes() {
    let this = json!({
        "min": 1, "max": 3, "name": "web-1", "ratio": 0.5, "labels": {"app": "web"}, "list": [3, 1, 2],
        "ports": [{"name": "http", "port": 80}, {"name": "dns", "port": 53}], "namespace": "n", "a-b": 1, "time": "90s",
    });
    let old = json!({"min": 1, "max": 5});
    for (text, wanted) in [
        ("self.min <= self.max", true),
        ("self.min > self.max || self.name.startsWith('web')", true),
        ("!has(self.missing)", true),
        ("!has(self.missing) || self.missing == 1", true),
        ("has(self.labels) && 'app' in self.labels && self.labels['app'] == \"web\"", true),
        ("self.ports.all(p, p.port > 50)", true),
        ("self.ports.exists(p, p.name == 'dns' && p.port == 53)", true),
        ("self.ports.exists_one(p, p.port < 60)", true),
        ("self.ports.map(p, p.port).sum() == 133", true),
        ("self.ports.filter(p, p.port == 80).size() == 1", true),
        ("size(self.list) == 3 && self.list.max() == 3 && !self.list.isSorted()", true),
        ("self.name.matches('^web-[0-9]$')", true),
        ("self.max == oldSelf.max", false),
        ("self.min == oldSelf.min", true),
        ("self.ratio * 2.0 == 1", true),
        ("7 / 2 == 3 && 7 % 2 == 1 && -self.min == -1", true),
        ("self.min == 1 ? self.max == 3 : false", true),
        ("self.__namespace__ == 'n' && self.a__dash__b == 1", true),
        ("self.name in ['web-1', 'web-2']", true),
        ("self.labels == {'app': 'web'}", true),
        ("self.?missing.orValue(4) == 4 && !self.?missing.hasValue()", true),
        ("duration(self.time) < duration('2m')", true),
        ("'a,b'.split(',') == ['a', 'b'] && ['a', 'b'].join('-') == 'a-b'", true),
        ("self.missing == 1 || true", true),
        ("false && self.missing == 1", false),
        ("r'\\d' == '\\\\d' && \"\\x41\" == 'A'", true),
        ("isIP('10.0.0.1') && isCIDR('10.0.0.0/8') && !isIP('x')", true),
        ("string(self.min) + 'x' == '1x' && int('7') == 7 && double('1.5') == 1.5", true),
        (
            "self.name.substring(4) == '1' && self.name.indexOf('-') == 3 && self.name.upperAscii() == 'WEB-1'",
            true,
        ),
    ] {
        assert_eq!(holds(text, &this, Some(&old)), Ok(wanted), "{text}");
    }
}

#[test]
fn what_cannot_be_evaluated_says_why() {
    let this = json!({"a": 1, "big": vec![1; 1_000]});
    for (text, words) in [
        ("self.b == 1", "no such key: b"),
        ("self.a == ", "Syntax error: the expression ends early"),
        ("quantity(self.a).isInteger()", "undeclared reference to"),
        ("self.a + 'x' == 'x'", "no such overload"),
        ("self.a / 0 == 1", "division by zero"),
        ("self.big.all(x, self.big.all(y, self.big.all(z, x + y + z > 0)))", "actual cost limit exceeded"),
        ("'x'.matches('(')", "error parsing regexp"),
        ("9223372036854775807 + self.a == 0", "integer overflow"),
        ("oldSelf == self", "undeclared reference to 'oldSelf'"),
    ] {
        let error = holds(text, &this, None).unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
    }
    for text in
        ["(".repeat(10_000), "!".repeat(9_999) + "true", "1+".repeat(10_000) + "1", "a.".repeat(10_000)]
    {
        let _ = holds(&text, &this, None);
    }
}
