//! `WWW-Authenticate`: which ways to say who asks a registry takes.
//!
//! Source: RFC 9110, 11.6.1; distribution/distribution, `docs/spec/auth/token.md`.

use std::collections::BTreeMap;

/// The longest header that is read, in bytes.
const MAX: usize = 16 << 10;

/// One way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    /// The scheme in lower case: `bearer`, `basic`.
    pub scheme: String,
    /// Its parameters; names in lower case.
    pub parameters: BTreeMap<String, String>,
}

/// Reads a header, which may hold several challenges. What cannot be read ends it.
pub(super) fn parse(header: &str) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    let mut rest = header.get(..MAX.min(header.len())).unwrap_or_default();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = token(rest);
        if word.is_empty() {
            return found;
        }
        let spaces = after.trim_start_matches([' ', '\t']);
        let parameter = spaces.strip_prefix('=').filter(|_| !found.is_empty());
        match parameter {
            Some(value) => {
                let (value, after) = self::value(value.trim_start_matches([' ', '\t']));
                if let Some(last) = found.last_mut() {
                    last.parameters.insert(word.to_ascii_lowercase(), value);
                }
                rest = after;
            }
            None => {
                found.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: BTreeMap::new() });
                rest = after;
            }
        }
    }
}

fn token(text: &str) -> (&str, &str) {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
    text.split_at(end)
}

/// A token, or a quoted text with its escapes.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        for (header, expected) in [
            (
                "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"repository:library/nginx:pull,push\"",
                "bearer realm=https://auth.docker.io/token scope=repository:library/nginx:pull,push service=registry.docker.io",
            ),
            ("Basic realm=\"a \\\"b\\\"\"", "basic realm=a \"b\""),
            ("basic", "basic"),
            (
                "Negotiate, Basic realm=x , Bearer Realm = \"y\",error=\"invalid_token\"",
                "negotiate; basic realm=x; bearer error=invalid_token realm=y",
            ),
            ("Bearer realm=\"open", "bearer realm=open"),
            ("", ""),
            ("=,=", ""),
            ("ü", ""),
        ] {
            let said: Vec<String> = parse(header)
                .iter()
                .map(|c| {
                    let parameters = c.parameters.iter().map(|(n, v)| format!(" {n}={v}"));
                    format!("{}{}", c.scheme, parameters.collect::<String>())
                })
                .collect();
            assert_eq!(said.join("; "), expected, "{header}");
        }
    }

    #[test]
    fn nothing_hangs_or_panics() {
        for header in
            ["\"\"\"\"", "a=b=c=d", "Bearer \"", "x \\", &"Bearer a=".repeat(10_000), &"é,".repeat(20_000)]
        {
            parse(header);
        }
    }
}
