//! Fixtures for tests: embedded clusters, real clients, test data.
