//! From a commit to a verdict: what a commit holds, deploy, reconcile, watch, roll back, tell.
//!
//! [`layout`] says what a commit of a manifest repository asks for, app by app; [`decide`] what is to be
//! done about it, purely; [`rollout`] does it for one app, and [`reconcile`] for all of them, again and again.

pub mod component;
pub mod config;
pub mod content;
pub mod decide;
pub mod drift;
pub mod environment;
pub mod forge;
pub mod image;
pub mod known;
pub mod layout;
pub mod notify;
pub mod pods;
pub mod proposal;
pub mod reconcile;
pub mod revert;
pub mod rollout;
pub mod ship;
pub mod source;
pub mod verdict;
