//! What a scalar without quotes means: to YAML 1.2, to Kubernetes' reader, and to some reader somewhere.

/// What a plain scalar is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Plain {
    /// Nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number beyond `i64`.
    Uint(u64),
    /// Another number.
    Float(f64),
    /// A text.
    Text,
}

const NULLS: [&str; 5] = ["", "~", "null", "Null", "NULL"];
const TRUE: [&str; 3] = ["true", "True", "TRUE"];
const FALSE: [&str; 3] = ["false", "False", "FALSE"];
/// What YAML 1.1 also took for true.
const OLD_TRUE: [&str; 8] = ["y", "Y", "yes", "Yes", "YES", "on", "On", "ON"];
/// What YAML 1.1 also took for false.
const OLD_FALSE: [&str; 8] = ["n", "N", "no", "No", "NO", "off", "Off", "OFF"];
const NOT_A_NUMBER: [&str; 3] = [".nan", ".NaN", ".NAN"];

fn infinite(text: &str) -> Option<f64> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    matches!(rest, ".inf" | ".Inf" | ".INF").then_some(sign * f64::INFINITY)
}

fn all(text: &str, test: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(test)
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

/// `[-+]? ( \. digits | digits ( \. digits? )? ) ( [eE] [-+]? digits )?`
fn is_float(text: &str) -> bool {
    let body = unsigned(text);
    let (mantissa, exponent) = match body.find(['e', 'E']) {
        Some(at) => (body.get(..at).unwrap_or_default(), body.get(at + 1..)),
        None => (body, None),
    };
    let digits = |c: char| c.is_ascii_digit();
    let good_mantissa = match mantissa.split_once('.') {
        Some(("", part)) => all(part, digits),
        Some((whole, part)) => all(whole, digits) && part.chars().all(digits),
        None => all(mantissa, digits),
    };
    good_mantissa && exponent.is_none_or(|e| all(unsigned(e), digits))
}

fn int(text: &str) -> Option<Plain> {
    match text.parse::<i64>() {
        Ok(n) => Some(Plain::Int(n)),
        Err(_) => text.parse::<u64>().ok().map(Plain::Uint),
    }
}

fn radix(digits: &str, radix: u32, negative: bool) -> Option<Plain> {
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let n = u64::from_str_radix(digits, radix).ok()?;
    match (negative, i64::try_from(n)) {
        (false, Ok(n)) => Some(Plain::Int(n)),
        (false, Err(_)) => Some(Plain::Uint(n)),
        (true, _) => i64::try_from(-i128::from(n)).ok().map(Plain::Int),
    }
}

impl Plain {
    /// By YAML 1.2's core schema: how Kiban reads its own files.
    pub fn core(text: &str) -> Self {
        if NULLS.contains(&text) {
            return Self::Null;
        }
        if TRUE.contains(&text) || FALSE.contains(&text) {
            return Self::Bool(TRUE.contains(&text));
        }
        if NOT_A_NUMBER.contains(&text) {
            return Self::Float(f64::NAN);
        }
        if let Some(value) = infinite(text) {
            return Self::Float(value);
        }
        if all(unsigned(text), |c| c.is_ascii_digit())
            && let Some(found) = int(text)
        {
            return found;
        }
        for (prefix, base) in [("0o", 8), ("0x", 16)] {
            if let Some(found) = text.strip_prefix(prefix).and_then(|digits| radix(digits, base, false)) {
                return found;
            }
        }
        if is_float(text) {
            return text.parse().map_or(Self::Text, Self::Float);
        }
        Self::Text
    }

    /// As Kubernetes' clients read it (sigs.k8s.io/yaml over go-yaml 2): YAML 1.1's booleans, numbers with `_`,
    /// octal with a leading 0, binary; no sexagesimal numbers, and dates stay texts.
    pub fn kubernetes(text: &str) -> Self {
        if OLD_TRUE.contains(&text) || OLD_FALSE.contains(&text) {
            return Self::Bool(OLD_TRUE.contains(&text));
        }
        let candidate = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
        if !candidate {
            return match Self::core(text) {
                found @ (Self::Null | Self::Bool(_)) => found,
                _ => Self::Text,
            };
        }
        if NOT_A_NUMBER.contains(&text) || infinite(text).is_some() {
            return Self::core(text);
        }
        // go-yaml drops `_` only where a digit or a sign comes first.
        let bare = if text.starts_with('.') { text.to_owned() } else { text.replace('_', "") };
        if let Some(found) = go_int(&bare) {
            return found;
        }
        if is_float(&bare) {
            // Go calls what is beyond a double no number.
            return bare.parse().ok().filter(|n: &f64| n.is_finite()).map_or(Self::Text, Self::Float);
        }
        Self::Text
    }
}

/// What Go's `strconv.ParseInt(text, 0, 64)`, then `ParseUint`, read once the `_` are gone.
fn go_int(text: &str) -> Option<Plain> {
    let (negative, body) = match text.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = body.to_ascii_lowercase();
    for (prefix, base) in [("0x", 16), ("0b", 2), ("0o", 8)] {
        if let Some(digits) = lower.strip_prefix(prefix) {
            return radix(digits, base, negative);
        }
    }
    if body.len() > 1 && body.starts_with('0') {
        return radix(body, 8, negative);
    }
    radix(body, 10, negative)
}

/// Whether a plain `text` means a boolean or nothing to one reader and a text to another: `on`, `no`, `y`.
pub fn ambiguous(text: &str) -> bool {
    OLD_TRUE.contains(&text) || OLD_FALSE.contains(&text)
}

/// `digits ( : [0-5]? digit )+ ( \. digits? )?`: YAML 1.1's numbers of base 60.
fn is_sexagesimal(text: &str) -> bool {
    let body = unsigned(text);
    let (body, fraction) = body.split_once('.').unwrap_or((body, ""));
    let mut parts = body.split(':');
    let first = parts.next().is_some_and(|p| p.starts_with(|c: char| c.is_ascii_digit()) && is_digits(p));
    let mut rest = parts.peekable();
    first
        && rest.peek().is_some()
        && rest
            .all(|p| matches!(p.len(), 1 | 2) && p.parse::<u8>().is_ok_and(|n| n < 60) && !p.starts_with('+'))
        && fraction.chars().all(|c| c.is_ascii_digit() || c == '_')
}

fn is_digits(text: &str) -> bool {
    all(text, |c| c.is_ascii_digit() || c == '_')
}

/// YAML 1.1's dates and times: `2002-12-14`, `2001-12-14 21:59:43.10 -5`.
fn is_timestamp(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let (Some(year), Some(month), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let digits = |s: &str, most: usize| s.len() <= most && all(s, |c| c.is_ascii_digit());
    let day_end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (day, time) = rest.split_at(day_end);
    year.len() == 4
        && digits(year, 4)
        && digits(month, 2)
        && digits(day, 2)
        && (time.is_empty() || time.starts_with(['T', 't', ' ', '\t']) && time.contains(':'))
}

/// Whether some reader of YAML 1.1 or 1.2 takes a plain `text` for something else than a text.
pub(super) fn some_reader_differs(text: &str) -> bool {
    if Plain::core(text) != Plain::Text
        || Plain::kubernetes(text) != Plain::Text
        || matches!(text, "=" | "<<")
    {
        return true;
    }
    let bare = text.replace('_', "");
    let first = unsigned(text).chars().next();
    if !first.is_some_and(|c| c.is_ascii_digit() || c == '.') {
        return false;
    }
    let old_float = is_float(&bare) || go_int(&bare).is_some();
    // Numbers too large for 64 bits are numbers to readers with bigger ones.
    let lower = unsigned(&bare).to_ascii_lowercase();
    let big = [("0x", 16), ("0b", 2), ("0o", 8)]
        .iter()
        .any(|(p, base)| lower.strip_prefix(p).is_some_and(|d| all(d, |c| c.is_digit(*base))));
    old_float || big || is_sexagesimal(text) || is_timestamp(text)
}
