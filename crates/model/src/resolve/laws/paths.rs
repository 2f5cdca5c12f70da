//! Laws on paths in the container: files, secrets and writable folders must not lie upon each other.

use std::collections::BTreeMap;

use super::report;
use crate::app::{App, File, SecretUse};
use crate::problem::{Problem, did_you_mean};
use crate::repo::AppFolder;
use crate::text::FilePath;
use crate::yaml::Node;

/// A ConfigMap's limit, less what its names take.
const MAX_FILES: usize = 1_000_000;

/// The contents of the app's configuration files.
pub(crate) fn files(
    app: &App,
    folder: &AppFolder,
    tree: &Node,
    problems: &mut Vec<Problem>,
) -> BTreeMap<FilePath, String> {
    let mut contents = BTreeMap::new();
    let mut total = 0;
    for (path, file) in &app.files {
        let text = match file {
            File::Text(text) => Some(text.clone()),
            File::From { from } => {
                match folder.files.get(from.as_str()).map(|bytes| String::from_utf8(bytes.clone())) {
                    Some(Ok(text)) => Some(text),
                    Some(Err(_)) => {
                        let message = format!("{from} is no UTF-8 text");
                        report(tree, &["files", path, "from"], message, problems);
                        None
                    }
                    None => {
                        let hint = did_you_mean(from, folder.others.iter().map(String::as_str));
                        report(
                            tree,
                            &["files", path, "from"],
                            format!("no file {:?} in the app's folder{hint}", from.as_str()),
                            problems,
                        );
                        None
                    }
                }
            }
        };
        if let Some(text) = text {
            total += text.len();
            contents.insert(path.clone(), text);
        }
    }
    if total > MAX_FILES {
        report(
            tree,
            &["files"],
            format!("the files have {total} bytes together, at most {MAX_FILES} are possible"),
            problems,
        );
    }
    contents
}

/// Reports folders and files that would be mounted upon each other.
pub(super) fn clashes(app: &App, tree: &Node, problems: &mut Vec<Problem>) {
    let mut mounts: Vec<(String, String, Vec<String>)> = Vec::new();
    for path in app.files.keys() {
        mounts.push((path.to_string(), format!("file {path}"), vec!["files".into(), path.to_string()]));
    }
    for (index, secret) in app.secrets.iter().enumerate() {
        if secret.used_as == SecretUse::Files {
            let place = vec!["secrets".into(), index.to_string(), "path".into()];
            mounts.push((secret.mount_path(), format!("secret {}", secret.name), place));
        }
    }
    let mut folders: Vec<(String, String, Vec<String>)> = Vec::new();
    for path in app.writable.keys() {
        folders.push((
            path.to_string(),
            format!("writable {path}"),
            vec!["writable".into(), path.to_string()],
        ));
    }
    let whole = |path: &str| path.trim_end_matches('/').to_owned();
    for (index, (path, _, place)) in mounts.iter().chain(&folders).enumerate() {
        let earlier =
            mounts.iter().chain(&folders).take(index).find(|(other, ..)| whole(other) == whole(path));
        if let Some((_, what, _)) = earlier {
            let place: Vec<&str> = place.iter().map(String::as_str).collect();
            report(tree, &place, format!("{path} is taken by {what}"), problems);
        }
    }
}
