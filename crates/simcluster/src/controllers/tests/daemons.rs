//! Scenarios: daemons.
