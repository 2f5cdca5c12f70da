//! Numbers within bounds, refused where they stand.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Error, Visitor};

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
