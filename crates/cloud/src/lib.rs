//! What lies outside of the cluster and is asked over HTTP: image registries, and AWS.
//!
//! [`registry`] says what an image is and where it runs; [`aws`] signs calls and finds credentials. Nothing
//! here reads the environment, a file or the clock by itself: all of it is given.

pub mod aws;
pub mod registry;
