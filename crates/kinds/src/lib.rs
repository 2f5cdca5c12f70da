//! What each kind does with its values: defaults, value checks, table columns. Built-in kinds are rows of
//! tables; [`custom`] does the same for kinds that a CustomResourceDefinition describes.

pub mod custom;
pub mod defaults;
pub mod fields;
pub mod prepare;
pub mod tables;
pub mod validate;
