//! What an image's name says of when to pull it.

/// The pull policy of an image that names none: always for the tag `latest`, said or implied.
pub(crate) fn pull_policy(image: &str) -> &'static str {
    if tag(image) == Some("latest") { "Always" } else { "IfNotPresent" }
}

/// The tag of an image's name; `latest` for one with neither tag nor digest, `None` for one with a digest
/// alone and for a text that is no image name.
fn tag(image: &str) -> Option<&str> {
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    let after_slash = name.rfind('/').map_or(0, |i| i + 1);
    let (repository, tag) = match name.get(after_slash..).and_then(|last| last.split_once(':')) {
        Some((last, tag)) => (name.get(..after_slash + last.len())?, Some(tag)),
        None => (name, None),
    };
    if !is_repository(repository) || !tag.is_none_or(is_tag) || !digest.is_none_or(is_digest) {
        return None;
    }
    tag.or(if digest.is_none() { Some("latest") } else { None })
}

fn is_repository(text: &str) -> bool {
    let mut parts = text.split('/');
    let first = parts.next().unwrap_or("");
    let rest: Vec<&str> = parts.collect();
    let is_host = !rest.is_empty()
        && (first.contains(['.', ':'])
            || first == "localhost"
            || first.chars().any(|c| c.is_ascii_uppercase()));
    let host_is_good = !is_host
        || first.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']'));
    host_is_good && (is_host || is_path_part(first)) && rest.iter().all(|part| is_path_part(part))
}

fn is_path_part(text: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|b| alphanumeric(b) || matches!(b, b'.' | b'_' | b'-'))
}

fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn is_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, hash)| {
        !algorithm.is_empty() && hash.len() >= 32 && hash.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::pull_policy;

    #[test]
    fn images_without_a_tag_or_digest_are_the_latest() {
        let always =
            ["nginx", "nginx:latest", "docker.io/library/nginx", "localhost:5000/a/b", "gcr.io/p/x:latest"];
        let digest = "nginx@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        let once = ["nginx:1.27", "localhost:5000/a/b:v1", digest, "", "Nginx", "a b", "nginx:1.27:2", "a/B"];
        for image in always {
            assert_eq!(pull_policy(image), "Always", "{image}");
        }
        for image in once {
            assert_eq!(pull_policy(image), "IfNotPresent", "{image}");
        }
        assert_eq!(pull_policy(&format!("nginx:latest@{}", digest.trim_start_matches("nginx@"))), "Always");
    }
}
