//! Scenarios: stateful.
