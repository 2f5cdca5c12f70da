//! Scenarios: endpoints.
