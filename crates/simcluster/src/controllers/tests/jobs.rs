//! Scenarios: jobs.
