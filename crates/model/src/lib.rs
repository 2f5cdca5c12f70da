//! Vocabulary of applications: App, platform profile, environments, pins; YAML with positions.

pub mod app;
pub mod origin;
pub mod pin;
pub mod profile;
pub mod resolved;
mod schema;
mod short;
pub mod text;
