//! Scenarios: garbage.
