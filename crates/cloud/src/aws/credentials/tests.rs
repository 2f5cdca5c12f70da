//! Credentials are found where the surroundings name them, in the order of AWS' SDKs.
#![allow(clippy::unwrap_used)]
