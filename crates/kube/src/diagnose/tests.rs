//! Situations, and what is said of them.
