//! Files of a manifest repository.

use kiban_manifest::render_repo;
use kiban_model::origin::Layer;
use kiban_model::repo::{MemoryFiles, Repo};
use kiban_model::yaml;

/// A file of Kiban's own dialect: what is written is what was read.
pub(super) fn yaml(data: &[u8]) -> bool {
    let Ok(documents) = yaml::parse("fuzz.yaml", data, Layer::App) else { return false };
    for document in &documents {
        let value = document.to_json();
        let written = yaml::to_yaml(&value);
        let again = yaml::parse("again.yaml", written.as_bytes(), Layer::App);
        let again = again.unwrap_or_else(|e| panic!("was written and cannot be read: {e}\n{written}"));
        if let Some(first) = again.first() {
            assert_eq!(first.to_json(), value, "{written}");
        }
        let kubectl = yaml::manifests("again.yaml", written.as_bytes());
        assert!(kubectl.is_ok(), "was written and kubectl cannot read it: {kubectl:?}\n{written}");
    }
    true
}

/// A file of manifests, as kubectl reads them.
pub(super) fn manifests(data: &[u8]) -> bool {
    yaml::manifests("fuzz.yaml", data).is_ok()
}

/// A whole repository: files one after another, each behind a line `=== path`.
pub(super) fn repository(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let files = text.split("=== ").skip(1).filter_map(|part| part.split_once('\n'));
    let repo = Repo::load(&MemoryFiles::of(files));
    let problems = repo.check();
    for problem in &problems {
        let _ = format!("{problem:#}");
    }
    for env in repo.environments() {
        if let Ok(rendered) = render_repo(&repo, &env) {
            assert_eq!(rendered.stream(), rendered.stream(), "the same files give other bytes");
        }
    }
    problems.is_empty()
}

/// A path that `explain` and overrides take.
pub(super) fn path(data: &[u8]) -> bool {
    std::str::from_utf8(data).is_ok_and(|text| kiban_manifest::path::parse(text).is_ok())
}
