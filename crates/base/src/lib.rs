//! Small vocabulary that every crate may use: quantities, durations, selectors, clock.

pub mod clock;
pub mod cron;
pub mod duration;
pub mod names;
pub mod quantity;
pub mod rng;
pub mod selector;
