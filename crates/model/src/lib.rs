//! Vocabulary of applications: App, platform profile, environments, pins; YAML with positions.

pub mod app;
pub mod decode;
pub mod origin;
pub mod pin;
pub mod problem;
pub mod profile;
mod range;
pub mod repo;
pub mod resolve;
pub mod resolved;
pub mod schema;
mod short;
pub mod text;
pub mod yaml;
