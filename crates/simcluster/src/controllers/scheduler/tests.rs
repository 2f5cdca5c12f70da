//! Scheduling through the API.
