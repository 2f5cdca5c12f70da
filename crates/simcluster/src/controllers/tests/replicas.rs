//! Scenarios: replicas.
