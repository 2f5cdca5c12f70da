//! Scenarios: cronjobs.
