//! Small vocabulary that every crate may use: quantities, durations, selectors, object ids, image references, clock.

pub mod clock;
pub mod cron;
pub mod duration;
pub mod image;
pub mod intern;
pub mod names;
pub mod object;
pub mod quantity;
pub mod rng;
pub mod selector;
