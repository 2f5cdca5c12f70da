//! Scenarios: namespaces.
