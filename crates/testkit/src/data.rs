//! Test data of other projects.

use std::path::PathBuf;

/// A folder of the shared test data, or `None` with a note where it is not there.
pub fn testdata(test: &str, folder: &str) -> Option<PathBuf> {
    let base = std::env::var_os("KIBAN_TESTDATA")
        .map_or_else(|| crate::root().join("../shared/data"), PathBuf::from);
    let path = base.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    crate::skip(test, &format!("no test data at {}", path.display()));
    None
}
