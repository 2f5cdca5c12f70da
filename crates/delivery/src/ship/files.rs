//! What shipping reads of a commit.

use kiban_model::origin::Layer;
use kiban_model::problem::did_you_mean;
use kiban_model::repo::MemoryFiles;
use kiban_model::yaml::edit::scalars;
use kiban_model::yaml::parse_one;

use super::ShipError;
use crate::content::{Content, files_below, join};
use crate::layout::LayoutError;

/// The files that manifests are rendered from: all but those below `rendered/` and hidden ones.
///
/// # Errors
/// What cannot be read.
pub fn memory_files(content: &dyn Content) -> Result<MemoryFiles, ShipError> {
    let mut files = MemoryFiles::default();
    for entry in content.folder("")? {
        if entry.name == "rendered" || entry.name.starts_with('.') {
            continue;
        }
        let paths = match entry.is_folder {
            true => files_below(content, &entry.name)?.into_iter().map(|(path, _)| path).collect(),
            false => vec![join("", &entry.name)],
        };
        for path in paths {
            if let Some(bytes) = content.file(&path)? {
                files.0.insert(path, bytes);
            }
        }
    }
    Ok(files)
}

/// The repository of the app's image, as its file writes it.
pub(super) fn repository_of(
    files: &MemoryFiles,
    app: &str,
    content: &dyn Content,
) -> Result<String, ShipError> {
    let path = format!("{app}/app.yaml");
    let Some(bytes) = files.0.get(&path) else {
        let apps: Vec<&str> = files.0.keys().filter_map(|path| path.strip_suffix("/app.yaml")).collect();
        let hint = did_you_mean(app, apps.iter().copied());
        return Err(ShipError::Refused(format!("{} holds no app {app:?}{hint}", content.commit())));
    };
    let node = parse_one(&path, bytes, Layer::App).map_err(|p| LayoutError::Problems(vec![p]))?;
    match node.get("image").and_then(|image| image.text()) {
        Some(image) => Ok(image.to_owned()),
        None => Err(ShipError::Refused(format!("{path}: it names no image"))),
    }
}

/// The digest that a pin's file has for a repository.
pub(super) fn pinned(text: &str, repository: &str) -> Option<String> {
    let scalars = scalars("pin.yaml", text).ok()?;
    let of_image = |place: &&kiban_model::yaml::edit::Place| {
        place.key(0) == Some("images")
            && place.key(1) == Some(repository)
            && (place.path.len() == 2 || place.key(2) == Some("digest"))
    };
    scalars.places.iter().find(of_image).map(|place| place.text.clone())
}
