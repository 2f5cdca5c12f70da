//! How long things take: drawn from the seed, or next to nothing with `--timing fast`.

use std::ops::Range;
use std::time::Duration;

use kiban_base::rng::Rng;

/// In fast mode a second that somebody asked for is a millisecond.
const FASTER: u32 = 1_000;

/// The longest wait of fast mode, back-offs apart.
const FAST_LIMIT: Duration = Duration::from_millis(100);

/// Draws durations. The same seed and name give the same duration, whatever was drawn before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Steps take milliseconds.
    pub fast: bool,
    /// What all draws come from.
    pub seed: u64,
}

impl Timing {
    /// The randomness of the thing called `name`.
    pub fn rng(&self, name: &str) -> Rng {
        Rng::named(self.seed, name)
    }

    /// What the machinery takes for a step, in milliseconds; nothing in fast mode.
    pub fn latency(&self, name: &str, millis: Range<u64>) -> Duration {
        if self.fast { Duration::ZERO } else { self.draw(name, millis) }
    }

    /// A duration within `millis`, whatever the mode.
    pub fn draw(&self, name: &str, millis: Range<u64>) -> Duration {
        let span = millis.end.saturating_sub(millis.start);
        Duration::from_millis(millis.start + self.rng(name).below(span))
    }

    /// A duration that an object asks for: in fast mode a thousandth, and never long.
    pub fn asked(&self, duration: Duration) -> Duration {
        if self.fast { self.backoff(duration).min(FAST_LIMIT) } else { duration }
    }

    /// A back-off: in fast mode a thousandth.
    pub fn backoff(&self, duration: Duration) -> Duration {
        if !self.fast || duration.is_zero() {
            return duration;
        }
        (duration / FASTER).max(Duration::from_millis(1))
    }
}
