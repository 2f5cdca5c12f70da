//! Images in files: who asks for which, and single values changed without another byte.
//!
//! Three sorts of files are changed: our own pins ([`pin`]), manifests as `kubectl set image` changes them,
//! and files of Flux and kustomize ([`manifest`]). What asks is in [`ask`].

pub mod ask;
pub mod manifest;
pub mod pin;
