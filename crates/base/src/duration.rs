//! Durations in the dialects that clusters use: Go's (`1h2m3s`), Prometheus' and Kiban's (`5m`, `1d`),
//! and the ages that kubectl prints.

use std::fmt::Write;
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Go's sentence for a text without sense.
    #[error("time: invalid duration {0}")]
    Invalid(String),
    /// Go's sentence for a number without a unit.
    #[error("time: missing unit in duration {0}")]
    MissingUnit(String),
    /// Go's sentence for a unit that it does not know.
    #[error("time: unknown unit {0} in duration {1}")]
    UnknownUnit(String, String),
    /// A negative duration where none is allowed.
    #[error("negative duration {0} not allowed")]
    Negative(String),
    /// Prometheus' sentence for an empty text.
    #[error("empty duration string")]
    Empty,
    /// Prometheus' sentence for a text that is no duration.
    #[error("not a valid duration string: {0:?}")]
    NotPrometheus(String),
    /// Too large to count.
    #[error("duration out of range")]
    OutOfRange,
}

/// Reads a Go duration (`1h30m`, `-1.5s`, `300ms`, `2µs`) as nanoseconds.
pub fn parse_go_nanos(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid(go_quote(text));
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0_u64;
    while !rest.is_empty() {
        let (nanos, after) = go_term(rest, text)?;
        total = total.checked_add(nanos).filter(|t| *t <= 1 << 63).ok_or_else(invalid)?;
        rest = after;
    }
    match (negative, i64::try_from(total)) {
        (true, _) => Ok(0_i64.wrapping_sub_unsigned(total)),
        (false, Ok(nanos)) => Ok(nanos),
        (false, Err(_)) => Err(invalid()),
    }
}

/// One number with its unit, in nanoseconds, and what follows it.
fn go_term<'a>(text: &'a str, all: &str) -> Result<(u64, &'a str), DurationError> {
    let invalid = || DurationError::Invalid(go_quote(all));
    let (whole, rest) = digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(after) => digits(after),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(invalid());
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
    let end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    let scale = match unit {
        "" => return Err(DurationError::MissingUnit(go_quote(all))),
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3600 * SECOND,
        _ => return Err(DurationError::UnknownUnit(go_quote(unit), go_quote(all))),
    };
    let nanos = whole.checked_mul(scale).filter(|n| *n <= 1 << 63).ok_or_else(invalid)?;
    // Digits past the eighteenth are below a nanosecond for every unit.
    let (mut part, mut unit) = (0_u128, 1_u128);
    for b in fraction.bytes().take(18) {
        part = part * 10 + u128::from(b - b'0');
        unit *= 10;
    }
    let part = u64::try_from(part * u128::from(scale) / unit).map_err(|_| invalid())?;
    Ok((nanos.checked_add(part).ok_or_else(invalid)?, rest))
}

/// Reads a Go duration that must not be negative.
pub fn parse_go(text: &str) -> Result<Duration, DurationError> {
    let nanos = parse_go_nanos(text)?;
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| DurationError::Negative(text.to_string()))
}

/// Go's `Duration.String()`: `1h0m0s`, `1.5s`, `300ms`, `0s`.
pub fn format_go(duration: Duration) -> String {
    format_go_nanos(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

/// [`format_go`] for signed nanoseconds.
pub fn format_go_nanos(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let n = nanos.unsigned_abs();
    let (scale, unit) = match n {
        0 => return "0s".to_string(),
        1..1_000 => (1, "ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..SECOND => (1_000_000, "ms"),
        _ => (SECOND, "s"),
    };
    if n < SECOND {
        return format!("{sign}{}{unit}", decimal(n, scale));
    }
    let (hours, minutes, rest) = (n / (3600 * SECOND), n / (60 * SECOND) % 60, n % (60 * SECOND));
    let mut out = sign.to_string();
    if hours > 0 {
        let _ = write!(out, "{hours}h");
    }
    if hours > 0 || minutes > 0 {
        let _ = write!(out, "{minutes}m");
    }
    let _ = write!(out, "{}s", decimal(rest, SECOND));
    out
}

/// `n / scale` without trailing zeros.
fn decimal(n: u64, scale: u64) -> String {
    let (whole, part) = (n / scale, n % scale);
    if part == 0 {
        return whole.to_string();
    }
    let width = scale.ilog10() as usize;
    format!("{whole}.{}", format!("{part:0width$}").trim_end_matches('0'))
}

/// Units of Prometheus' durations, largest first, in milliseconds.
const PROMETHEUS_UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads a duration of Prometheus' and Kiban's files: whole numbers with `y w d h m s ms`, the larger unit
/// first, each at most once; `0` needs no unit.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let invalid = || DurationError::NotPrometheus(text.to_string());
    match text {
        "" => return Err(DurationError::Empty),
        "0" => return Ok(Duration::ZERO),
        _ => {}
    }
    let (mut rest, mut next_unit, mut total) = (text, 0, 0_u64);
    while !rest.is_empty() {
        let (number, after) = digits(rest);
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let index = PROMETHEUS_UNITS.iter().position(|(u, _)| *u == unit).ok_or_else(invalid)?;
        if number.is_empty() || index < next_unit {
            return Err(invalid());
        }
        let amount = number.parse::<u64>().ok().and_then(|n| n.checked_mul(PROMETHEUS_UNITS[index].1));
        // Prometheus counts nanoseconds in 63 bits.
        total = amount
            .and_then(|a| total.checked_add(a))
            .filter(|t| *t <= i64::MAX as u64 / 1_000_000)
            .ok_or(DurationError::OutOfRange)?;
        next_unit = index + 1;
        rest = after;
    }
    Ok(Duration::from_millis(total))
}

/// Prometheus' text of a duration: `1d12h`, `5m`, `1500ms` as `1s500ms`. Below a millisecond is cut off.
pub fn format(duration: Duration) -> String {
    let mut ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_string();
    }
    let mut out = String::new();
    for (unit, size) in PROMETHEUS_UNITS {
        // Years and weeks are written only where nothing remains: `8d`, not `1w1d`.
        if matches!(unit, "y" | "w") && ms % size != 0 {
            continue;
        }
        if ms >= size {
            let _ = write!(out, "{}{unit}", ms / size);
            ms %= size;
        }
    }
    out
}

/// The age that kubectl and server-side tables print: `45s`, `2m5s`, `3h`, `5d2h`, `2y30d`.
pub fn human(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => pair(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => pair(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

fn pair(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large}{large_unit}")
    } else {
        format!("{large}{large_unit}{small}{small_unit}")
    }
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len()))
}

/// Go's quoting in `time`'s errors: everything but printable ASCII as `\xNN`.
fn go_quote(text: &str) -> String {
    let mut out = String::from("\"");
    for b in text.bytes() {
        match b {
            b'"' | b'\\' => out.extend(['\\', char::from(b)]),
            b' '..=b'~' => out.push(char::from(b)),
            _ => {
                let _ = write!(out, "\\x{b:02x}");
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests;
