//! Fixtures for tests: embedded clusters, the real clients, the test data of other projects.

mod client;
mod data;
mod sim;

pub use client::{Background, Kubectl, Said, python, said, tool};
pub use data::testdata;
pub use sim::Sim;

use std::io::Write;

/// Notes that a test cannot run here, and why. The test then returns; `make test` counts it as skipped.
///
/// # Panics
/// Where KIBAN_SKIPS names a file that cannot be written: a skip must not pass unseen.
pub fn skip(test: &str, why: &str) {
    eprintln!("skipped: {test}: {why}");
    if let Some(path) = std::env::var_os("KIBAN_SKIPS") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let mut file = file.expect("KIBAN_SKIPS names a file that can be written");
        writeln!(file, "{test}: {why}").expect("KIBAN_SKIPS can be written");
    }
}

/// The repository's root.
pub fn root() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The `kiban` binary that cargo built beside the test.
///
/// # Panics
/// Where the test's own path cannot be told.
pub fn kiban() -> std::path::PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    // target/PROFILE/deps/test-hash → target/PROFILE/kiban
    let profile = test.parent().and_then(std::path::Path::parent).expect("tests lie in target/PROFILE/deps");
    profile.join("kiban")
}
