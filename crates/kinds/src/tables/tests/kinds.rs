//! The cells of every kind but pods.
