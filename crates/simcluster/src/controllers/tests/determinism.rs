//! Scenarios: determinism.
