//! Numbers within bounds, refused where they stand.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::text::{Duration, Percent};

struct Bounded<N, const MIN: i64, const MAX: i64>(PhantomData<N>);

impl<N: TryFrom<i64>, const MIN: i64, const MAX: i64> Bounded<N, MIN, MAX> {
    fn check<E: Error>(n: i64) -> Result<N, E> {
        let good = (MIN..=MAX).contains(&n).then(|| N::try_from(n).ok()).flatten();
        good.ok_or_else(|| E::custom(format!("{n} is out of range: {MIN} to {MAX}")))
    }
}

impl<N: TryFrom<i64>, const MIN: i64, const MAX: i64> Visitor<'_> for Bounded<N, MIN, MAX> {
    type Value = N;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {MIN} to {MAX}")
    }
    fn visit_i64<E: Error>(self, n: i64) -> Result<N, E> {
        Self::check(n)
    }
    fn visit_u64<E: Error>(self, n: u64) -> Result<N, E> {
        Self::check(i64::try_from(n).unwrap_or(i64::MAX))
    }
}

/// A whole number from `MIN` to `MAX`.
pub(crate) fn int<'de, D, N, const MIN: i64, const MAX: i64>(d: D) -> Result<N, D::Error>
where
    D: Deserializer<'de>,
    N: TryFrom<i64>,
{
    d.deserialize_i64(Bounded::<N, MIN, MAX>(PhantomData))
}

/// A whole number from `MIN` to `MAX`, or nothing.
pub(crate) fn opt<'de, D, N, const MIN: i64, const MAX: i64>(d: D) -> Result<Option<N>, D::Error>
where
    D: Deserializer<'de>,
    N: TryFrom<i64>,
{
    struct Optional<N, const MIN: i64, const MAX: i64>(PhantomData<N>);
    impl<'de, N: TryFrom<i64>, const MIN: i64, const MAX: i64> Visitor<'de> for Optional<N, MIN, MAX> {
        type Value = Option<N>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            Bounded::<N, MIN, MAX>(PhantomData).expecting(f)
        }
        fn visit_none<E: Error>(self) -> Result<Option<N>, E> {
            Ok(None)
        }
        fn visit_unit<E: Error>(self) -> Result<Option<N>, E> {
            Ok(None)
        }
        fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Option<N>, D::Error> {
            int::<D, N, MIN, MAX>(d).map(Some)
        }
    }
    d.deserialize_option(Optional::<N, MIN, MAX>(PhantomData))
}

/// A span of time from `MIN` to `MAX` milliseconds.
pub(crate) fn span<'de, D: Deserializer<'de>, const MIN: u64, const MAX: u64>(
    d: D,
) -> Result<Duration, D::Error> {
    let span = Duration::deserialize(d)?;
    if (MIN..=MAX).contains(&span.as_millis()) {
        return Ok(span);
    }
    let (min, max) = (Duration::millis(MIN), Duration::millis(MAX));
    Err(D::Error::custom(format!("{span} is out of range: {min} to {max}")))
}

/// As [`span`], or nothing.
pub(crate) fn opt_span<'de, D: Deserializer<'de>, const MIN: u64, const MAX: u64>(
    d: D,
) -> Result<Option<Duration>, D::Error> {
    struct Optional<const MIN: u64, const MAX: u64>;
    impl<'de, const MIN: u64, const MAX: u64> Visitor<'de> for Optional<MIN, MAX> {
        type Value = Option<Duration>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text")
        }
        fn visit_none<E: Error>(self) -> Result<Option<Duration>, E> {
            Ok(None)
        }
        fn visit_unit<E: Error>(self) -> Result<Option<Duration>, E> {
            Ok(None)
        }
        fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Option<Duration>, D::Error> {
            span::<D, MIN, MAX>(d).map(Some)
        }
    }
    d.deserialize_option(Optional::<MIN, MAX>)
}

/// A span of whole seconds from `MIN` to `MAX` milliseconds: what Kubernetes counts in seconds.
pub(crate) fn seconds<'de, D: Deserializer<'de>, const MIN: u64, const MAX: u64>(
    d: D,
) -> Result<Duration, D::Error> {
    let value = span::<D, MIN, MAX>(d)?;
    if value.as_millis() % 1000 == 0 {
        return Ok(value);
    }
    Err(D::Error::custom(format!("{value} must be whole seconds: Kubernetes counts it so")))
}

/// A share of no more than the whole.
pub(crate) fn part<'de, D: Deserializer<'de>>(d: D) -> Result<Percent, D::Error> {
    let share = Percent::deserialize(d)?;
    if share.ppm() <= 1_000_000 {
        return Ok(share);
    }
    Err(D::Error::custom(format!("{share} is more than the whole: 0% to 100%")))
}

/// Milliseconds of an hour.
pub(crate) const HOUR: u64 = 3_600_000;
/// Milliseconds of a day.
pub(crate) const DAY: u64 = 24 * HOUR;
