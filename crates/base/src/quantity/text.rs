//! The text of quantities: reading as leniently as the API server does, and the canonical form.

use super::{EXPONENT_MAX, Format, NANO, Quantity, QuantityError, pow10};

/// Suffixes with their base-10 or base-2 exponents.
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

/// Digits that surely fit an `i128`.
const DIGITS_MAX: usize = 38;

/// A quantity, and whether the API server would keep the text as it is.
pub(super) struct Parsed {
    pub(super) quantity: Quantity,
    pub(super) verbatim: bool,
}

struct Parts<'a> {
    negative: bool,
    /// Digits before the point, without leading zeros; "0" where there are none.
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
    /// There is a digit, be it a leading zero.
    has_digits: bool,
}

enum Suffix {
    Decimal(i32),
    Binary(u32),
    Exponent(i32),
}

pub(super) fn parse(text: &str) -> Result<Parsed, QuantityError> {
    if text.is_empty() {
        return Err(QuantityError::Format);
    }
    let parts = split(text)?;
    let suffix = suffix(parts.suffix)?;
    if !parts.has_digits && !is_read_without_digits(&suffix) {
        return Err(QuantityError::Numeric);
    }
    let (exponent, format) = match suffix {
        Suffix::Binary(power) => return Ok(binary(&parts, power)),
        Suffix::Decimal(e) => (e, Format::DecimalSi),
        Suffix::Exponent(e) => (e, Format::DecimalExponent),
    };
    let scale = exponent.saturating_sub(i32::try_from(parts.fraction.len()).unwrap_or(i32::MAX));
    let (value, dropped) = digits(parts.whole, parts.fraction);
    let value = if parts.negative { -value } else { value };
    let quantity = Quantity::normal(value, scale.saturating_add(dropped), format);
    Ok(Parsed { quantity, verbatim: decimal_verbatim(&parts, scale) })
}

/// A lone suffix is zero to upstream, but where the numbers of its suffix are too large or too fine for it
/// to go the short way.
fn is_read_without_digits(suffix: &Suffix) -> bool {
    match suffix {
        Suffix::Binary(power) => *power <= 40,
        Suffix::Decimal(e) | Suffix::Exponent(e) => *e >= NANO,
    }
}

/// Upstream keeps the text of a short decimal number whose scale is already a multiple of three.
fn decimal_verbatim(parts: &Parts<'_>, scale: i32) -> bool {
    let tail = |n: usize| parts.whole.bytes().chain(parts.fraction.bytes()).rev().take(n);
    let ends_in_zeros = tail(3).eq(*b"000");
    parts.whole.len() + parts.fraction.len() <= 18
        && scale >= NANO
        && scale % 3 == 0
        && !ends_in_zeros
        && !parts.whole.starts_with('0')
}

/// The mantissa of at most 38 digits, rounded up, and how many digits were left out.
fn digits(whole: &str, fraction: &str) -> (i128, i32) {
    let mut value = 0_i128;
    let (mut used, mut dropped, mut rest) = (0, 0_i32, false);
    for b in whole.bytes().chain(fraction.bytes()) {
        if used == 0 && b == b'0' {
            continue;
        }
        if used < DIGITS_MAX {
            value = value * 10 + i128::from(b - b'0');
            used += 1;
        } else {
            dropped = dropped.saturating_add(1);
            rest |= b != b'0';
        }
    }
    (value + i128::from(rest), dropped)
}

/// A number times a power of two: exact to 36 decimals, then rounded up to a billionth and capped.
fn binary(parts: &Parts<'_>, power: u32) -> Parsed {
    const UNIT: u128 = 10_u128.pow(36);
    let cap = i128::from(i64::MAX);
    let (mut whole, dropped) = digits(parts.whole, "");
    if dropped > 0 {
        whole = cap + 1;
    }
    let mut fraction = 0_u128;
    for i in 0..36 {
        let digit = parts.fraction.as_bytes().get(i).map_or(0, |b| b - b'0');
        fraction = fraction * 10 + u128::from(digit);
    }
    let rest = parts.fraction.bytes().skip(36).any(|b| b != b'0');
    for _ in 0..power {
        fraction *= 2;
        whole = whole.saturating_mul(2).saturating_add(i128::from(fraction >= UNIT)).min(cap + 1);
        fraction %= UNIT;
    }
    let nanos = fraction.div_ceil(10_u128.pow(27)) as i128;
    let nanos = if rest && nanos == 0 { 1 } else { nanos };
    let mut value = whole * 1_000_000_000 + nanos;
    if value > cap * 1_000_000_000 {
        value = cap * 1_000_000_000;
    }
    // Amounts below one keep their decimals readable.
    let format = if value > 0 && value < 1_000_000_000 { Format::DecimalSi } else { Format::BinarySi };
    let short = 15 - parts.whole.len() as i64 - i64::from(power) * 3 / 10 > 0;
    let odd = parts.whole.parse::<i64>().is_ok_and(|v| v & 7 != 0);
    let verbatim = parts.fraction.is_empty() && short && odd;
    let value = if parts.negative { -value } else { value };
    Parsed { quantity: Quantity::normal(value, NANO, format), verbatim }
}

/// Cuts a text into sign, digits and suffix, as lenient as upstream: `1.`, `.5`, and a lone suffix pass.
fn split(text: &str) -> Result<Parts<'_>, QuantityError> {
    let (negative, rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let unsigned = rest;
    let rest = rest.trim_start_matches('0');
    let (whole, rest) = leading_digits(rest);
    let whole = if whole.is_empty() { "0" } else { whole };
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(after) => leading_digits(after),
        None => ("", rest),
    };
    let tail = rest.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let tail = tail.strip_prefix(['-', '+']).unwrap_or(tail);
    if leading_digits(tail).1.is_empty() {
        let has_digits = unsigned.starts_with(|c: char| c.is_ascii_digit()) || !fraction.is_empty();
        Ok(Parts { negative, whole, fraction, suffix: rest, has_digits })
    } else {
        Err(QuantityError::Format)
    }
}

fn leading_digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

fn suffix(text: &str) -> Result<Suffix, QuantityError> {
    if let Some((_, e)) = DECIMAL.iter().find(|(s, _)| *s == text) {
        return Ok(Suffix::Decimal(*e));
    }
    if let Some((_, e)) = BINARY.iter().find(|(s, _)| *s == text) {
        return Ok(Suffix::Binary(*e));
    }
    match text.strip_prefix(['e', 'E']).map(str::parse::<i64>) {
        Some(Ok(e)) => {
            Ok(Suffix::Exponent(e.clamp(i64::from(-EXPONENT_MAX), i64::from(EXPONENT_MAX)) as i32))
        }
        _ => Err(QuantityError::Suffix),
    }
}

pub(super) fn canonical(q: Quantity) -> String {
    if q.is_zero() {
        return "0".to_string();
    }
    match q.format {
        Format::BinarySi => binary_text(q).unwrap_or_else(|| decimal_text(q)),
        Format::DecimalSi => decimal_text(q),
        Format::DecimalExponent => {
            let shift = q.exponent.rem_euclid(3);
            let exponent = q.exponent - shift;
            let mantissa = with_zeros(q.value, shift);
            if exponent == 0 { mantissa } else { format!("{mantissa}e{exponent}") }
        }
    }
}

/// Binary text, where the amount is a whole number of at least 1024.
fn binary_text(q: Quantity) -> Option<String> {
    let mut value = match q.exponent {
        e if e >= 0 => pow10(e).and_then(|p| q.value.checked_mul(p))?,
        _ => return None,
    };
    if value.unsigned_abs() < 1024 {
        return None;
    }
    let mut suffix = "";
    for (next, _) in BINARY {
        if value % 1024 != 0 {
            break;
        }
        value /= 1024;
        suffix = next;
    }
    Some(format!("{value}{suffix}"))
}

fn decimal_text(q: Quantity) -> String {
    // Past exa there is no suffix: the number grows instead.
    let exponent = (q.exponent - q.exponent.rem_euclid(3)).min(18);
    let suffix = DECIMAL.iter().find(|(_, e)| *e == exponent).map_or("", |(s, _)| s);
    format!("{}{suffix}", with_zeros(q.value, q.exponent - exponent))
}

fn with_zeros(value: i128, zeros: i32) -> String {
    let mut text = value.to_string();
    text.extend(std::iter::repeat_n('0', usize::try_from(zeros).unwrap_or(0)));
    text
}
