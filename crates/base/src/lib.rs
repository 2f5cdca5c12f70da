//! Small vocabulary that every crate may use: quantities, durations, selectors, clock.
