//! Times as the API reads and writes them: RFC 3339, in UTC, with Go's words for what is wrong.

use serde_json::Value;

use super::DecodeError;

/// Seconds of a day.
const DAY: i64 = 86_400;
/// Go's zero time, 0001-01-01T00:00:00Z, in Unix seconds.
pub(crate) const GO_ZERO: i64 = -62_135_596_800;

/// One element of a layout, as Go's errors quote it.
#[derive(Clone, Copy)]
enum Part {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    /// With an optional fraction where none is asked for by the layout.
    Second,
    Micros,
    Zone,
    Literal(&'static str),
}

const SECONDS: &[Part] = &[
    Part::Year,
    Part::Literal("-"),
    Part::Month,
    Part::Literal("-"),
    Part::Day,
    Part::Literal("T"),
    Part::Hour,
    Part::Literal(":"),
    Part::Minute,
    Part::Literal(":"),
    Part::Second,
    Part::Zone,
];

const MICROS: &[Part] = &[
    Part::Year,
    Part::Literal("-"),
    Part::Month,
    Part::Literal("-"),
    Part::Day,
    Part::Literal("T"),
    Part::Hour,
    Part::Literal(":"),
    Part::Minute,
    Part::Literal(":"),
    Part::Second,
    Part::Micros,
    Part::Zone,
];

/// A moment: Unix seconds and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Moment {
    seconds: i64,
    nanos: u32,
}

/// `metav1.Time`: canonical text, or null for Go's zero time.
pub(super) fn time(text: &str) -> Result<Value, DecodeError> {
    let moment = parse(text, SECONDS, "2006-01-02T15:04:05Z07:00")?;
    // The real type keeps the fraction of a text until it is written: only the whole is zero.
    Ok(if moment == (Moment { seconds: GO_ZERO, nanos: 0 }) {
        Value::Null
    } else {
        format_unix(moment.seconds).into()
    })
}

/// `metav1.MicroTime`: canonical text, or null for Go's zero time.
pub(super) fn micro_time(text: &str) -> Result<Value, DecodeError> {
    let moment = parse(text, MICROS, "2006-01-02T15:04:05.000000Z07:00")?;
    Ok(format_micro_time(moment.seconds, moment.nanos).map_or(Value::Null, Value::from))
}

/// Text of a time from protobuf; none for Go's zero time and for years that have no text.
pub(crate) fn format_time(seconds: i64) -> Option<String> {
    (seconds != GO_ZERO && writable(seconds)).then(|| format_unix(seconds))
}

/// Text of a time with microseconds; none for Go's zero time and for years that have no text.
pub(crate) fn format_micro_time(seconds: i64, nanos: u32) -> Option<String> {
    if (seconds, nanos) == (GO_ZERO, 0) || !writable(seconds) {
        return None;
    }
    let whole = format_unix(seconds);
    Some(format!("{}.{:06}Z", whole.trim_end_matches('Z'), nanos.min(999_999_999) / 1000))
}

/// Years 0 to 9999.
fn writable(seconds: i64) -> bool {
    (-62_167_219_200..253_402_300_800).contains(&seconds)
}

/// RFC 3339 in UTC; years beyond four digits are written as they are.
fn format_unix(seconds: i64) -> String {
    let (year, month, day) = civil(seconds.div_euclid(DAY));
    let rest = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Days since 1970-01-01 to a date (Howard Hinnant's algorithm for the proleptic Gregorian
/// calendar).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The inverse of [`civil`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn month_length(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// The state of one parse; errors quote the whole text and what is left of it.
struct Parser<'t> {
    text: &'t str,
    layout: &'static str,
    rest: &'t str,
}

impl<'t> Parser<'t> {
    fn bad(&self, element: &str) -> DecodeError {
        DecodeError(format!(
            "parsing time {} as {}: cannot parse {} as {}",
            quote(self.text),
            quote(self.layout),
            quote(self.rest),
            quote(element)
        ))
    }

    fn out_of_range(&self, what: &str) -> DecodeError {
        DecodeError(format!("parsing time {}: {what} out of range", quote(self.text)))
    }

    /// Takes between `least` and `most` digits.
    fn digits(&mut self, least: usize, most: usize, element: &str) -> Result<i64, DecodeError> {
        let count = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if count < least {
            return Err(self.bad(element));
        }
        let (digits, rest) = self.rest.split_at(count);
        let value = digits.parse().map_err(|_| self.bad(element))?;
        self.rest = rest;
        Ok(value)
    }

    /// A number that stands in a range.
    fn number(
        &mut self,
        least: usize,
        element: &str,
        what: &str,
        range: std::ops::Range<i64>,
    ) -> Result<i64, DecodeError> {
        let value = self.digits(least, 2, element)?;
        if range.contains(&value) { Ok(value) } else { Err(self.out_of_range(what)) }
    }

    /// `.123`: a fraction that the layout does not ask for, of any length.
    fn fraction(&mut self) -> u32 {
        let digits = match self.rest.strip_prefix(['.', ',']) {
            Some(tail) => tail.bytes().take_while(u8::is_ascii_digit).count(),
            None => 0,
        };
        if digits == 0 {
            return 0;
        }
        let (taken, rest) = self.rest.split_at(digits + 1);
        self.rest = rest;
        let nanos = taken.bytes().skip(1).chain(std::iter::repeat(b'0')).take(9);
        nanos.fold(0, |n, digit| n * 10 + u32::from(digit - b'0'))
    }

    fn micros(&mut self) -> Result<u32, DecodeError> {
        let fits = self.rest.starts_with(['.', ','])
            && self.rest.len() >= 7
            && self.rest.bytes().skip(1).take(6).all(|b| b.is_ascii_digit());
        if !fits {
            return Err(self.bad(".000000"));
        }
        let (taken, rest) = self.rest.split_at(7);
        self.rest = rest;
        Ok(taken.bytes().skip(1).fold(0, |n, digit| n * 10 + u32::from(digit - b'0')) * 1000)
    }

    /// `Z` or `+hh:mm`, in seconds east of UTC.
    fn zone(&mut self) -> Result<i64, DecodeError> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        let [sign @ (b'+' | b'-'), h1, h0, b':', m1, m0, ..] = *self.rest.as_bytes() else {
            return Err(self.bad("Z07:00"));
        };
        if ![h1, h0, m1, m0].iter().all(u8::is_ascii_digit) {
            return Err(self.bad("Z07:00"));
        }
        let two = |a: u8, b: u8| i64::from(a - b'0') * 10 + i64::from(b - b'0');
        let (hours, minutes) = (two(h1, h0), two(m1, m0));
        self.rest = self.rest.get(6..).unwrap_or("");
        if hours > 24 {
            return Err(self.out_of_range("time zone offset hour"));
        }
        if minutes > 60 {
            return Err(self.out_of_range("time zone offset minute"));
        }
        let east = (hours * 60 + minutes) * 60;
        Ok(if sign == b'-' { -east } else { east })
    }
}

fn parse(text: &str, parts: &[Part], layout: &'static str) -> Result<Moment, DecodeError> {
    let mut p = Parser { text, layout, rest: text };
    let (mut year, mut month, mut day) = (0, 1, 1);
    let (mut seconds, mut nanos, mut east) = (0, 0, 0);
    for (at, part) in parts.iter().enumerate() {
        match *part {
            Part::Literal(literal) => match p.rest.strip_prefix(literal) {
                Some(rest) => p.rest = rest,
                None => return Err(p.bad(literal)),
            },
            Part::Year => year = p.digits(4, 4, "2006")?,
            Part::Month => month = p.number(2, "01", "month", 1..13)?,
            Part::Day => day = p.digits(2, 2, "02")?,
            Part::Hour => seconds += p.number(1, "15", "hour", 0..24)? * 3600,
            Part::Minute => seconds += p.number(2, "04", "minute", 0..60)? * 60,
            Part::Second => {
                seconds += p.number(2, "05", "second", 0..60)?;
                if !matches!(parts.get(at + 1), Some(Part::Micros)) {
                    nanos = p.fraction();
                }
            }
            Part::Micros => nanos = p.micros()?,
            Part::Zone => east = p.zone()?,
        }
    }
    if !p.rest.is_empty() {
        return Err(DecodeError(format!("parsing time {}: extra text: {}", quote(text), quote(p.rest))));
    }
    if day < 1 || day > month_length(year, month) {
        return Err(p.out_of_range("day"));
    }
    Ok(Moment { seconds: days(year, month, day) * DAY + seconds - east, nanos })
}

/// Quotes a text as Go's time package does: printable ASCII as it is, everything else in hex.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}
