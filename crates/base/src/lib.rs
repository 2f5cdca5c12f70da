//! Small vocabulary that every crate may use: quantities, durations, selectors, clock.

pub mod clock;
