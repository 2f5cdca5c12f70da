//! The formats of texts that an API server checks; any other is a remark and checks nothing.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use kiban_base::clock::Timestamp;
use kiban_base::names;

/// A check of one format.
type Check = fn(&str) -> bool;

const FORMATS: &[(&str, Check)] = &[
    ("bsonobjectid", |t| t.len() == 24 && hex(t)),
    ("byte", |t| base64::engine::general_purpose::STANDARD.decode(t.replace(['\n', '\r'], "")).is_ok()),
    ("cidr", cidr),
    ("date", |t| t.len() == 10 && Timestamp::parse(&format!("{t}T00:00:00Z")).is_some()),
    ("date-time", date_time),
    ("datetime", date_time),
    ("duration", duration),
    ("email", email),
    ("hostname", hostname),
    ("ipv4", |t| t.parse::<Ipv4Addr>().is_ok()),
    ("ipv6", |t| t.parse::<Ipv6Addr>().is_ok()),
    ("k8s-long-name", |t| names::check_dns1123_subdomain(t).is_empty()),
    ("k8s-short-name", |t| names::check_dns1123_label(t).is_empty()),
    ("mac", mac),
    ("uri", uri),
    ("uuid", |t| uuid(t, None)),
    ("uuid3", |t| uuid(t, Some('3'))),
    ("uuid4", |t| uuid(t, Some('4'))),
    ("uuid5", |t| uuid(t, Some('5'))),
    ("hexcolor", hexcolor),
    ("isbn", |t| isbn10(t) || isbn13(t)),
    ("isbn10", isbn10),
    ("isbn13", isbn13),
    ("creditcard", creditcard),
    ("ssn", ssn),
    ("rgbcolor", rgbcolor),
    ("password", |_| true),
];

/// The text has this format; always for one that is not checked.
pub(super) fn holds(format: &str, text: &str) -> bool {
    FORMATS.iter().find(|(name, _)| *name == format).is_none_or(|(_, check)| check(text))
}

fn hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn cidr(text: &str) -> bool {
    let Some((ip, bits)) = text.split_once('/') else { return false };
    let bits = bits.parse::<u8>().ok().filter(|_| digits(bits));
    let v4 = ip.parse::<Ipv4Addr>().is_ok() && bits.is_some_and(|b| b <= 32);
    v4 || (ip.parse::<Ipv6Addr>().is_ok() && bits.is_some_and(|b| b <= 128))
}

fn date_time(text: &str) -> bool {
    text.get(10..11).is_some_and(|t| t.eq_ignore_ascii_case("t"))
        && Timestamp::parse(&text.to_uppercase()).is_some()
}

/// Go's durations, and whole numbers of a unit that is spelled out (`3 days`).
fn duration(text: &str) -> bool {
    const UNITS: &[&str] = &[
        "ns",
        "us",
        "µs",
        "ms",
        "s",
        "m",
        "h",
        "d",
        "w",
        "nanosecond",
        "microsecond",
        "millisecond",
        "second",
        "minute",
        "hour",
        "day",
        "week",
        "sec",
        "min",
        "hr",
        "milli",
        "micro",
        "nano",
    ];
    if kiban_base::duration::parse_go(text).is_ok() {
        return true;
    }
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(split);
    let unit = unit.trim_start();
    digits(count) && UNITS.iter().any(|u| *u == unit || unit.strip_suffix('s') == Some(u))
}

fn email(text: &str) -> bool {
    let address = match text.rsplit_once('<') {
        Some((_, rest)) => rest.strip_suffix('>').unwrap_or_default(),
        None => text,
    };
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let sound = |s: &str| !s.is_empty() && !s.starts_with('.') && !s.ends_with('.') && !s.contains("..");
    sound(local) && sound(domain) && !address.contains(|c: char| c.is_whitespace() || "()<>,;:\\".contains(c))
}

fn hostname(text: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    let text = text.strip_suffix('.').unwrap_or(text);
    !text.is_empty() && text.len() <= 255 && text.split('.').all(label)
}

fn mac(text: &str) -> bool {
    ([':', '-'].iter().any(|sep| {
        let parts: Vec<&str> = text.split(*sep).collect();
        matches!(parts.len(), 6 | 8 | 20) && parts.iter().all(|p| p.len() == 2 && hex(p))
    })) || {
        let parts: Vec<&str> = text.split('.').collect();
        matches!(parts.len(), 3 | 4 | 10) && parts.iter().all(|p| p.len() == 4 && hex(p))
    }
}

/// What Go's `url.ParseRequestURI` takes: an absolute URI, or an absolute path.
fn uri(text: &str) -> bool {
    let sound = !text.is_empty() && !text.contains(|c: char| c.is_control() || c == ' ');
    let scheme = || {
        text.split_once(':').is_some_and(|(scheme, _)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        })
    };
    sound && (text.starts_with('/') || scheme())
}

fn uuid(text: &str, version: Option<char>) -> bool {
    let plain: String = text.chars().filter(|c| *c != '-').collect();
    let dashes = text.len() == 32
        || (text.len() == 36 && [8, 13, 18, 23].iter().all(|i| text.as_bytes().get(*i) == Some(&b'-')));
    let right = version.is_none_or(|v| plain.chars().nth(12) == Some(v));
    let variant =
        !matches!(version, Some('4' | '5')) || plain.chars().nth(16).is_some_and(|c| "89abAB".contains(c));
    dashes && plain.len() == 32 && hex(&plain) && right && variant
}

fn hexcolor(text: &str) -> bool {
    let text = text.strip_prefix('#').unwrap_or(text);
    matches!(text.len(), 3 | 6) && hex(text)
}

fn isbn10(text: &str) -> bool {
    let plain: Vec<u8> = text.bytes().filter(|b| !matches!(b, b'-' | b' ')).collect();
    let digit = |(i, b): (usize, &u8)| match b {
        b'0'..=b'9' => Some(u32::from(b - b'0')),
        b'X' if i == 9 => Some(10),
        _ => None,
    };
    let values: Option<Vec<u32>> = plain.iter().enumerate().map(digit).collect();
    values
        .is_some_and(|v| v.len() == 10 && (1..).zip(&v).map(|(i, d): (u32, _)| i * d).sum::<u32>() % 11 == 0)
}

fn isbn13(text: &str) -> bool {
    let plain: String = text.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
    let sum = |t: &str| {
        t.bytes().enumerate().map(|(i, b)| u32::from(b - b'0') * if i % 2 == 0 { 1 } else { 3 }).sum::<u32>()
    };
    plain.len() == 13 && digits(&plain) && sum(&plain) % 10 == 0
}

fn creditcard(text: &str) -> bool {
    let plain: String = text.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
    let luhn = |t: &str| {
        let sum: u32 = t
            .bytes()
            .rev()
            .enumerate()
            .map(|(i, b)| match (i % 2, u32::from(b - b'0')) {
                (0, d) => d,
                (_, d) if d < 5 => d * 2,
                (_, d) => d * 2 - 9,
            })
            .sum();
        sum.is_multiple_of(10)
    };
    (13..=19).contains(&plain.len()) && digits(&plain) && luhn(&plain)
}

fn ssn(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['-', ' ']).collect();
    matches!(parts.as_slice(), [a, b, c] if a.len() == 3 && b.len() == 2 && c.len() == 4 && parts.iter().all(|p| digits(p)))
}

fn rgbcolor(text: &str) -> bool {
    let inner = text.strip_prefix("rgb(").and_then(|t| t.strip_suffix(')')).unwrap_or_default();
    let parts: Vec<&str> = inner.split(',').map(str::trim).collect();
    parts.len() == 3 && parts.iter().all(|p| digits(p) && p.parse::<u8>().is_ok())
}
