//! Vocabulary of applications: App, platform profile, environments, pins; YAML with positions.
