//! Schemas and objects as tables.
