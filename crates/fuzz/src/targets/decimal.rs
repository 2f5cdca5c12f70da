//! Quantities worked out by hand, digit by digit: what the quantity target is compared with.

use std::cmp::Ordering;

/// An exact amount: `digits × 10^exponent`, without zeros at either end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

/// Nothing finer than a billionth.
const NANO: i64 = -9;
/// Suffixes and their powers of ten and of two.
const DECIMAL: [(&str, i64); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

impl Decimal {
    /// The amount that a well-formed text stands for, rounded and capped as Kubernetes does it; nothing
    /// where [`kiban_base::quantity`] says that it gives less: exponents of more than 900, fractions of
    /// binary amounts with more than 36 digits.
    pub(super) fn of_quantity(text: &str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = whole.bytes().chain(fraction.bytes()).map(|b| b - b'0').collect();
        let places = i64::try_from(fraction.len()).ok()?;
        let mut out = Self { negative, digits, exponent: -places }.trimmed();
        if let Some((_, power)) = BINARY.iter().find(|(s, _)| *s == suffix) {
            if places > 36 {
                return None;
            }
            (0..*power).for_each(|_| out.double());
            out = out.trimmed().rounded(NANO);
            let most = Self { negative, ..Self::of_integer(i64::MAX) };
            return Some(if out.size(&most) == Ordering::Greater { most } else { out });
        }
        let exponent = match DECIMAL.iter().find(|(s, _)| *s == suffix) {
            Some((_, exponent)) => *exponent,
            None => suffix.get(1..)?.parse().ok().filter(|e: &i64| e.unsigned_abs() <= 900)?,
        };
        out.exponent += exponent;
        // Of longer numbers 38 digits are kept, rounded up.
        let length = i64::try_from(out.digits.len()).ok()?;
        let finest = out.exponent + (length - 38).max(0);
        Some(out.rounded(finest).rounded(NANO)).filter(|d| d.exponent < 900)
    }

    fn of_integer(value: i64) -> Self {
        let digits = value.unsigned_abs().to_string().bytes().map(|b| b - b'0').collect();
        Self { negative: value < 0, digits, exponent: 0 }.trimmed()
    }

    /// The amount in units of `10^scale`, rounded away from zero and held within `i64`.
    pub(super) fn scaled(&self, scale: i64) -> i64 {
        let rounded = self.clone().rounded(scale);
        let limit = if self.negative { i64::MIN } else { i64::MAX };
        let zeros = rounded.exponent - scale;
        if rounded.digits.is_empty() {
            return 0;
        }
        if zeros > 20 {
            return limit;
        }
        let mut text: String = rounded.digits.iter().map(|d| char::from(b'0' + d)).collect();
        text.extend((0..zeros).map(|_| '0'));
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}{text}").parse().unwrap_or(limit)
    }

    /// Rounded away from zero to a multiple of `10^finest`.
    fn rounded(mut self, finest: i64) -> Self {
        let excess = finest - self.exponent;
        if excess <= 0 || self.digits.is_empty() {
            return self.trimmed();
        }
        let kept = self.digits.len().saturating_sub(usize::try_from(excess).unwrap_or(usize::MAX));
        // Digits without zeros at the end: what is cut is more than nothing.
        self.digits.truncate(kept);
        self.exponent = finest;
        let mut carry = 1;
        for digit in self.digits.iter_mut().rev() {
            *digit += carry;
            carry = *digit / 10;
            *digit %= 10;
        }
        if carry > 0 {
            self.digits.insert(0, carry);
        }
        self.trimmed()
    }

    fn double(&mut self) {
        let mut carry = 0;
        for digit in self.digits.iter_mut().rev() {
            *digit = *digit * 2 + carry;
            carry = *digit / 10;
            *digit %= 10;
        }
        if carry > 0 {
            self.digits.insert(0, carry);
        }
    }

    fn trimmed(mut self) -> Self {
        let zeros = self.digits.iter().take_while(|d| **d == 0).count();
        self.digits.drain(..zeros);
        while self.digits.last() == Some(&0) {
            self.digits.pop();
            self.exponent += 1;
        }
        if self.digits.is_empty() {
            return Self { negative: false, digits: Vec::new(), exponent: 0 };
        }
        self
    }

    /// Compares without the sign.
    fn size(&self, other: &Self) -> Ordering {
        let top = |d: &Self| match d.digits.len() {
            0 => i64::MIN,
            n => d.exponent + i64::try_from(n).unwrap_or(i64::MAX),
        };
        top(self).cmp(&top(other)).then_with(|| self.digits.cmp(&other.digits))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.size(other),
            (true, true) => other.size(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
