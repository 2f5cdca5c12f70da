//! Amounts of resources as Kubernetes writes them: `500m`, `1.5Gi`, `2e3`.
//!
//! Semantics are those of apimachinery's `resource.Quantity`: nothing finer than a billionth (rounded away
//! from zero), binary amounts capped at `i64::MAX`, and a canonical text that keeps the family of suffixes.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, Neg, Sub};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

mod text;

/// Why a text is no quantity; the sentences are those of the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a number with a suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The number is none.
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// The suffix is none that Kubernetes knows.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// The family of suffixes that a quantity is written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// `m`, `k`, `M`: powers of 1000.
    #[default]
    DecimalSi,
    /// `Ki`, `Mi`: powers of 1024.
    BinarySi,
    /// `e3`, `e6`.
    DecimalExponent,
}

/// Exponents beyond this are read as this: no real amount comes near, and texts stay short.
const EXPONENT_MAX: i32 = 1000;
/// Nothing finer than a billionth.
const NANO: i32 = -9;

/// An exact decimal amount: `value × 10^exponent`, and the family it is written in.
///
/// Comparison and equality look at the amount alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quantity {
    value: i128,
    exponent: i32,
    format: Format,
}

impl Quantity {
    /// Zero.
    pub const ZERO: Self = Self { value: 0, exponent: 0, format: Format::DecimalSi };

    /// `value × 10^exponent` in the family `format`.
    pub fn new(value: i64, exponent: i32, format: Format) -> Self {
        Self::normal(i128::from(value), exponent, format)
    }

    /// A plain number.
    pub fn from_int(value: i64) -> Self {
        Self::new(value, 0, Format::DecimalSi)
    }

    /// Thousandths: the unit that CPU is counted in.
    pub fn from_milli(value: i64) -> Self {
        Self::new(value, -3, Format::DecimalSi)
    }

    /// Bytes, written with binary suffixes.
    pub fn from_bytes(value: i64) -> Self {
        Self::new(value, 0, Format::BinarySi)
    }

    /// Reads the text of a quantity.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        text::parse(text).map(|p| p.quantity)
    }

    /// The text that the API server stores for `text`: the canonical one, but for a few spellings that it
    /// keeps as they came (`1.500`, `1025Ki`).
    pub fn stored_text(text: &str) -> Result<String, QuantityError> {
        let parsed = text::parse(text)?;
        Ok(if parsed.verbatim { text.to_string() } else { parsed.quantity.to_string() })
    }

    /// Reads a JSON value: a string, or a number as its text.
    pub fn from_json(value: &Value) -> Result<Self, QuantityError> {
        match value {
            Value::String(s) => Self::parse(s.trim()),
            Value::Number(n) => Self::parse(&n.to_string()),
            Value::Null => Ok(Self::ZERO),
            _ => Err(QuantityError::Format),
        }
    }

    /// The family of suffixes.
    pub fn format(self) -> Format {
        self.format
    }

    /// The same amount, written in another family.
    pub fn with_format(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// Whole units, rounded away from zero, held within `i64`.
    pub fn value(self) -> i64 {
        self.scaled(0)
    }

    /// Thousandths, rounded away from zero, held within `i64`.
    pub fn milli(self) -> i64 {
        self.scaled(-3)
    }

    /// The amount in units of `10^scale`, rounded away from zero, held within `i64`.
    pub fn scaled(self, scale: i32) -> i64 {
        let shift = self.exponent.saturating_sub(scale);
        let wide = if shift >= 0 {
            pow10(shift).and_then(|p| self.value.checked_mul(p)).unwrap_or(limit(self.value))
        } else {
            divide_away(self.value, shift.unsigned_abs())
        };
        i64::try_from(wide).unwrap_or(if wide < 0 { i64::MIN } else { i64::MAX })
    }

    /// The nearest floating point number.
    pub fn as_f64(self) -> f64 {
        // Through text: powi accumulates error, and 0.1 must be 0.1.
        format!("{}e{}", self.value, self.exponent).parse().unwrap_or(0.0)
    }

    /// Whether the amount is zero.
    pub fn is_zero(self) -> bool {
        self.value == 0
    }

    /// Whether the amount is below zero.
    pub fn is_negative(self) -> bool {
        self.value < 0
    }

    /// Whether the amount is a whole number.
    pub fn is_integer(self) -> bool {
        self.exponent >= 0
    }

    /// Strips factors of ten, so that equal amounts have one form, and rounds to a billionth.
    fn normal(mut value: i128, mut exponent: i32, format: Format) -> Self {
        if exponent < NANO {
            value = divide_away(value, exponent.unsigned_abs() - NANO.unsigned_abs());
            exponent = NANO;
        }
        if value == 0 {
            return Self { format, ..Self::ZERO };
        }
        while value % 10 == 0 {
            value /= 10;
            exponent = exponent.saturating_add(1);
        }
        Self { value, exponent: exponent.min(EXPONENT_MAX + 40), format }
    }

    /// The power of ten of the first digit.
    fn magnitude(self) -> i64 {
        if self.value == 0 {
            return i64::MIN;
        }
        i64::from(self.value.unsigned_abs().ilog10()) + i64::from(self.exponent)
    }
}

/// `10^n`, where it fits.
fn pow10(n: i32) -> Option<i128> {
    u32::try_from(n).ok().and_then(|n| 10_i128.checked_pow(n))
}

/// `value / 10^digits`, rounded away from zero.
fn divide_away(value: i128, digits: u32) -> i128 {
    match 10_i128.checked_pow(digits) {
        Some(p) => value / p + if value % p == 0 { 0 } else { value.signum() },
        None => value.signum(),
    }
}

fn limit(sign: i128) -> i128 {
    if sign < 0 { i128::MIN } else { i128::MAX }
}

/// The sum. It keeps the left side's family, but zero takes the other's. Sums that would need more than
/// 38 digits keep the first ones.
impl Add for Quantity {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        if other.is_zero() {
            return self.with_format(format);
        }
        if self.is_zero() {
            return other;
        }
        let (low, high) = if self.exponent <= other.exponent { (self, other) } else { (other, self) };
        let sum = pow10(high.exponent - low.exponent)
            .and_then(|p| high.value.checked_mul(p))
            .and_then(|v| v.checked_add(low.value));
        match sum {
            Some(value) => Self::normal(value, low.exponent, format),
            None if self.magnitude() >= other.magnitude() => self,
            None => other.with_format(format),
        }
    }
}

/// The difference; the family as in the sum.
impl Sub for Quantity {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Neg for Quantity {
    type Output = Self;
    fn neg(self) -> Self {
        Self { value: self.value.saturating_neg(), ..self }
    }
}

impl std::iter::Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::ZERO, Add::add)
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_sign = self.value.signum().cmp(&other.value.signum());
        if by_sign != Ordering::Equal || self.value == 0 {
            return by_sign;
        }
        let by_size = self.magnitude().cmp(&other.magnitude());
        if by_size != Ordering::Equal {
            return if self.value < 0 { by_size.reverse() } else { by_size };
        }
        // The same number of digits before the point: the one with the lower exponent is the longer text,
        // so bringing the other to it stays within 39 digits.
        let gap = self.exponent - other.exponent;
        let up = |v: i128, n: i32| pow10(n).and_then(|p| v.checked_mul(p)).unwrap_or(limit(v));
        if gap >= 0 { up(self.value, gap).cmp(&other.value) } else { self.value.cmp(&up(other.value, -gap)) }
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl FromStr for Quantity {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        Self::parse(text)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::canonical(*self))
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_json(&value).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
