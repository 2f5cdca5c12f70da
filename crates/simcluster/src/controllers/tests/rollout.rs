//! Scenarios: rollout.
