//! When a request is tried again, after which pause, and how often a host bears it.

use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, StatusCode};
use kiban_base::clock::Timestamp;
use kiban_base::rng::Rng;
use tokio::time::Instant;

/// How a request that fails for a passing reason is tried again: no connection, no answer, or 408, 425,
/// 429, 500, 502, 503, 504.
///
/// The pause doubles from `pause` to `longest_pause`, of which a random part between a half and the whole
/// is taken; `Retry-After` lengthens it. Where that is longer than `longest_retry_after`, or ends after the
/// request's deadline, the answer is given back instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Tries in all, the first included.
    pub attempts: u32,
    /// The first pause.
    pub pause: Duration,
    /// The longest pause of our own.
    pub longest_pause: Duration,
    /// The longest pause that the host may ask for.
    pub longest_retry_after: Duration,
}

impl Retry {
    /// One try.
    pub const NEVER: Self = Self {
        attempts: 1,
        pause: Duration::ZERO,
        longest_pause: Duration::ZERO,
        longest_retry_after: Duration::ZERO,
    };

    /// The pause after `tries` tries.
    pub(super) fn backoff(&self, tries: u32, rng: &mut Rng) -> Duration {
        let doubled = self.pause.saturating_mul(1_u32 << tries.saturating_sub(1).min(16));
        doubled.min(self.longest_pause).mul_f64(0.5 + rng.f64() / 2.0)
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 4,
            pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(8),
            longest_retry_after: Duration::from_secs(60),
        }
    }
}

/// Whether an answer says that trying again may help.
pub(super) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// The pause that an answer asks for: seconds, or a date.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let at = Timestamp::from_secs(i64::try_from(at.as_secs()).ok()?);
    Some(at.since(now))
}

/// Tries beyond the first that a host bears at once.
const BUDGET: f64 = 20.0;

/// How many of them grow back a second.
const GROWTH: f64 = 0.5;

/// Hosts that are told apart; further ones share a budget.
const MAX_HOSTS: usize = 256;

/// The budgets of all hosts: where a host is down, its callers do not knock all the harder.
#[derive(Debug, Default)]
pub(super) struct Budgets(HashMap<String, (f64, Instant)>);

impl Budgets {
    /// Takes one try of a host's budget. False: there is none left.
    pub(super) fn take(&mut self, host: &str, now: Instant) -> bool {
        let host = if self.0.len() >= MAX_HOSTS && !self.0.contains_key(host) { "" } else { host };
        let (left, at) = self.0.entry(host.to_owned()).or_insert((BUDGET, now));
        *left = (*left + now.duration_since(*at).as_secs_f64() * GROWTH).min(BUDGET);
        *at = now;
        if *left < 1.0 {
            return false;
        }
        *left -= 1.0;
        true
    }
}
