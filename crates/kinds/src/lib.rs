//! What each built-in kind does with its values: defaults, value checks, table columns.

pub mod defaults;
pub mod fields;
pub mod prepare;
pub mod tables;
pub mod validate;
