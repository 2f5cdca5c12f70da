//! Writes pins: `<app>/env/<env>.pin.yaml`, one line an image, digest first and the tag that people know it by in
//! the comment behind it.

use std::ops::Range;

use kiban_base::image::Reference;
use kiban_model::problem::{Kind, Problem};
use kiban_model::yaml::edit::{Change, Place, Scalars, apply, beside, scalars};

/// What a pin says of an image, and what people read beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin<'a> {
    /// The repository, as the app's file writes it.
    pub repository: &'a str,
    /// The digest.
    pub digest: &'a str,
    /// The tag, where it has one.
    pub tag: Option<&'a str>,
}

impl<'a> Pin<'a> {
    /// The pin of an image under the name that the app's file has for its repository.
    ///
    /// # Errors
    /// An image without a digest, or of another repository.
    pub fn of(repository: &'a str, image: &'a Reference) -> Result<Self, String> {
        let wanted = Reference::parse(repository).map_err(|e| e.to_string())?;
        if !wanted.is_same_repository(image) {
            return Err(format!("{image} is no image of {repository}, which the app's file names"));
        }
        let digest = image.digest.as_deref().ok_or_else(|| {
            format!(
                "{image} has no digest: a tag may mean another image tomorrow; ask the registry for it first"
            )
        })?;
        Ok(Self { repository, digest, tag: image.tag.as_deref() })
    }
}

/// A new pin's file.
pub fn new_file(pin: &Pin<'_>) -> String {
    let comment = pin.tag.map(|tag| format!(" # {tag}")).unwrap_or_default();
    format!(
        "apiVersion: kiban.dev/v1\nkind: Pin\nimages:\n  {}: {}{comment}\n",
        key(pin.repository),
        pin.digest
    )
}

/// The file with an image pinned. Where it is pinned already only that changes.
///
/// # Errors
/// What is no pin's file.
pub fn set(file: &str, text: &str, pin: &Pin<'_>) -> Result<String, Problem> {
    let scalars = scalars(file, text)?;
    let of_image =
        |p: &&Place| p.document == 0 && p.key(0) == Some("images") && p.key(1) == Some(pin.repository);
    let at = |key: Option<&str>| scalars.places.iter().filter(of_image).find(|p| p.key(2) == key);
    if let Some(place) = at(None).filter(|p| p.path.len() == 2) {
        return short(&scalars, place, pin);
    }
    if let Some(place) = at(Some("digest")) {
        let moved = place.text != pin.digest;
        let (tag, commit) = (at(Some("tag")), at(Some("commit")));
        // What was said of the old digest and nobody says of the new one goes.
        let stale = [tag.filter(|_| pin.tag.is_none()), commit].into_iter().flatten();
        let stale: Vec<&Place> = stale.filter(|_| moved).collect();
        if !stale.is_empty() {
            return set(file, &without(&scalars, &stale)?, pin);
        }
        let comment = pin.tag.filter(|_| tag.is_none() && !place.flow);
        let mut changes = vec![Change { place, value: pin.digest, comment }];
        if let (Some(place), Some(tag)) = (tag, pin.tag) {
            changes.push(Change { place, value: tag, comment: None });
        }
        return apply(&scalars, &changes, &[]);
    }
    let entry = |p: &&Place| p.document == 0 && p.key(0) == Some("images") && p.path.len() == 2;
    let Some(last) = scalars.places.iter().rfind(entry) else {
        let message = "it pins no image in the form `images: {<repository>: <digest>}`; a new file takes its place when this one is removed";
        return Err(Problem::of_file(file, Kind::Value, message));
    };
    apply(&scalars, &[], &[beside(&scalars, last, pin.repository, pin.digest, pin.tag)])
}

/// The short form: the digest, and in the comment behind it the tag; without a tag the comment goes.
fn short(scalars: &Scalars, place: &Place, pin: &Pin<'_>) -> Result<String, Problem> {
    let mut text = apply(scalars, &[Change { place, value: pin.digest, comment: pin.tag }], &[])?;
    if pin.tag.is_some() || place.text == pin.digest || scalars.comment_after(place).is_none() {
        return Ok(text);
    }
    let now = self::scalars(&scalars.source.name, &text)?;
    let at = |p: &&Place| p.document == place.document && p.path == place.path;
    if let Some(comment) = now.places.iter().find(at).and_then(|place| now.comment_after(place)) {
        let before = text.get(..comment.start).unwrap_or_default().trim_end_matches([' ', '\t']).len();
        text.replace_range(before..comment.end, "");
    }
    Ok(text)
}

/// The text without some keys of maps.
fn without(scalars: &Scalars, places: &[&Place]) -> Result<String, Problem> {
    let mut text = scalars.source.text.clone();
    let mut places = places.to_vec();
    places.sort_by_key(|p| std::cmp::Reverse(p.range.start));
    for place in places {
        let key = place.key(2).unwrap_or_default();
        match entry_of(&text, place, key) {
            Some(range) => text.replace_range(range, ""),
            None => {
                let message = format!("{key:?} is that of the image before: remove it by hand first");
                return Err(scalars.problem(place, message));
            }
        }
    }
    Ok(text)
}

/// A key and its value: a line, or in a flow map with the comma that goes with it.
fn entry_of(text: &str, place: &Place, key: &str) -> Option<Range<usize>> {
    let before = text.get(..place.range.start)?;
    let after = text.get(place.range.end..)?;
    if !place.flow {
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let end = after.find('\n').map_or(text.len(), |at| place.range.end + at + 1);
        let is_alone = before.get(start..)?.trim_start().trim_start_matches(['"', '\'']).starts_with(key);
        return is_alone.then_some(start..end);
    }
    let before = before.trim_end().strip_suffix(':')?.trim_end().trim_end_matches(['"', '\'']);
    let before = before.strip_suffix(key)?.trim_end_matches(['"', '\'']);
    if let Some(others) = before.trim_end().strip_suffix(',') {
        return Some(others.len()..place.range.end);
    }
    let rest = after.trim_start().strip_prefix(',').map_or(after, str::trim_start);
    Some(before.len()..text.len() - rest.len())
}

/// A repository as a key: with a port it holds a colon, which is no trouble without a space behind it.
fn key(repository: &str) -> String {
    if repository.starts_with('[') { format!("\"{repository}\"") } else { repository.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const OLD: &str = "sha256:a7af5bd5cdc5666f987d8876de5b76901734c0cbf35d28ba4e40ad9f313c1a8f";
    const NEW: &str = "sha256:5ee62d18d8f43fede17645b9f0ffc8ef5a37299ef0f17bd47c713c05812c5371";

    fn set_in(text: &str, image: &str) -> String {
        let image = Reference::parse(image).unwrap();
        set("p.yaml", text, &Pin::of("r.example/a", &image).unwrap()).unwrap()
    }

    #[test]
    fn one_line_changes_and_everything_else_stays() {
        let old = format!(
            "# by tools\napiVersion: kiban.dev/v1\nkind: Pin\nimages:\n  r.example/a: {OLD} # 1.0\n  r.example/b: {OLD} # x\n"
        );
        let new = set_in(&old, &format!("r.example/a:2.0@{NEW}"));
        assert_eq!(new, old.replacen(&format!("{OLD} # 1.0"), &format!("{NEW} # 2.0"), 1));
        let changed: Vec<_> = old.lines().zip(new.lines()).filter(|(a, b)| a != b).collect();
        assert_eq!(changed.len(), 1);
    }

    #[test]
    fn longer_forms_new_images_and_new_files_are_written_too() {
        let long = format!("images:\n  r.example/a:\n    digest: {OLD} # d\n    tag: '1.0'\n");
        assert_eq!(
            set_in(&long, &format!("r.example/a:2.0@{NEW}")),
            format!("images:\n  r.example/a:\n    digest: {NEW} # d\n    tag: '2.0'\n")
        );
        let other = format!("images:\n  r.example/b: {OLD} # x\n");
        assert_eq!(
            set_in(&other, &format!("r.example/a:2.0@{NEW}")),
            format!("{other}  r.example/a: {NEW} # 2.0\n")
        );
        let image = Reference::parse(&format!("r.example/a@{NEW}")).unwrap();
        let file = new_file(&Pin::of("r.example/a", &image).unwrap());
        assert_eq!(file, format!("apiVersion: kiban.dev/v1\nkind: Pin\nimages:\n  r.example/a: {NEW}\n"));
    }

    /// A line of a pin that nobody asks to change.
    fn other() -> impl Strategy<Value = String> {
        let form = select(vec!["line", "long", "block", "empty"]);
        let name =
            select(vec!["r.example/b", "'r.example/c'", "\"r.example/ab\"", "r.example:5000/a", "nginx"]);
        let comment = select(vec!["", " # r.example/a", "   # ü: 1"]);
        (name, comment, form).prop_map(|(name, comment, form)| match form {
            "long" => format!("  {name}:{comment}\n    tag: '1'\n    digest: {OLD}\n"),
            "block" => format!("  {name}: >-{comment}\n    {OLD}\n\n"),
            "empty" => format!("  {name}:{comment}\n"),
            _ => format!("  {name}: {OLD}{comment}\n"),
        })
    }

    proptest! {
        #[test]
        fn every_byte_but_the_value_and_its_comment_is_kept(
            before in prop::collection::vec(other(), 0..3),
            after in prop::collection::vec(other(), 0..3),
            quote in select(vec!["", "'", "\""]),
            key in select(vec!["r.example/a", "'r.example/a'", "\"r.example/a\""]),
            gap in " {1,3}",
            comment in select(vec![None, Some("1.0"), Some("é (old)")]),
            head in "(# é\n|---\n|\n){0,2}",
            crlf: bool,
            bom: bool,
        ) {
            let document = |value: &str, comment: Option<&str>| {
                let comment = comment.map(|c| format!(" # {c}")).unwrap_or_default();
                let mut unique: Vec<String> = Vec::new();
                for line in &before {
                    unique.push(line.replacen("r.example/", &format!("r.example/x{}-", unique.len()), 1));
                }
                let mut text = format!(
                    "{head}apiVersion: kiban.dev/v1\nkind: Pin # ours\nimages: # all\n{}  {key}:{gap}{quote}{value}{quote}{comment}\n",
                    unique.concat()
                );
                for (at, line) in after.iter().enumerate() {
                    text.push_str(&line.replacen("r.example/", &format!("r.example/y{at}-"), 1));
                }
                if crlf {
                    text = text.replace('\n', "\r\n");
                }
                if bom {
                    text.insert(0, '\u{feff}');
                }
                text
            };
            let old = document(OLD, comment);
            prop_assume!(scalars("p.yaml", &old).is_ok_and(|s| s.places.iter().all(|p| p.document == 0)));
            let tagged = set_in(&old, &format!("r.example/a:2.0@{NEW}"));
            prop_assert_eq!(&tagged, &document(NEW, Some("2.0")));
            prop_assert_eq!(set_in(&old, &format!("r.example/a@{NEW}")), document(NEW, None));
            prop_assert_eq!(set_in(&tagged, &format!("r.example/a:2.0@{NEW}")), tagged);
        }
    }

    #[test]
    fn what_was_said_of_the_old_digest_goes_with_it() {
        let image = format!("r.example/a@{NEW}");
        for (old, new) in [
            (
                format!("images:\n  r.example/a: {OLD} # 1.0\n  r.example/b: x # y\n"),
                format!("images:\n  r.example/a: {NEW}\n  r.example/b: x # y\n"),
            ),
            (
                format!("images: {{r.example/a: '{OLD}'}} # all\n"),
                format!("images: {{r.example/a: '{NEW}'}}\n"),
            ),
            (
                format!(
                    "images:\r\n  r.example/a:\r\n    tag: '1.0' # t\r\n    digest: {OLD} # d\r\n    commit: 4f2a9c1\r\n"
                ),
                format!("images:\r\n  r.example/a:\r\n    digest: {NEW} # d\r\n"),
            ),
            (
                format!("images: {{ r.example/a: {{ digest: \"{OLD}\", tag: 1.0.0 }} }}\n"),
                format!("images: {{ r.example/a: {{ digest: \"{NEW}\" }} }}\n"),
            ),
            (
                format!("images: {{ r.example/a: {{ \"tag\": 1.0.0, commit: 4f2a9c1, digest: {OLD} }} }}\n"),
                format!("images: {{ r.example/a: {{ digest: {NEW} }} }}\n"),
            ),
        ] {
            assert_eq!(set_in(&old, &image), new);
            assert_eq!(set_in(&new, &image), new, "once more changes nothing");
        }
        // The same digest keeps what is known of it.
        let known = format!("images:\n  r.example/a:\n    digest: {NEW}\n    commit: 4f2a9c1\n");
        assert_eq!(set_in(&known, &image), known);
        let tagged = format!("images:\n  r.example/a: {NEW} # 2.0\n");
        assert_eq!(set_in(&tagged, &image), tagged);
    }

    #[test]
    fn blocks_and_keys_without_a_value_are_pinned() {
        let image = format!("r.example/a:2.0@{NEW}");
        for (old, new) in [
            (
                format!("images:\n  r.example/a: >-\n    {OLD}\n  r.example/b: x\n"),
                format!("images:\n  r.example/a: >-\n    {NEW}\n  r.example/b: x\n"),
            ),
            (
                format!("images:\n  r.example/a: | # 1.0\n    {OLD}\n"),
                format!("images:\n  r.example/a: |- # 2.0\n    {NEW}\n"),
            ),
            (
                "images:\n  r.example/a:\n  r.example/b: x\n".to_owned(),
                format!("images:\n  r.example/a: {NEW} # 2.0\n  r.example/b: x\n"),
            ),
            ("images:\n  r.example/a:".to_owned(), format!("images:\n  r.example/a: {NEW} # 2.0")),
            (
                format!("images:\n  r.example/b: >-\n    {OLD}\n"),
                format!("images:\n  r.example/b: >-\n    {OLD}\n  r.example/a: {NEW} # 2.0\n"),
            ),
            (
                format!("images:\n  r.example/a:\n    digest: >-\n      {OLD}\n    tag: |\n      1.0\n"),
                format!("images:\n  r.example/a:\n    digest: >-\n      {NEW}\n    tag: |-\n      2.0\n"),
            ),
        ] {
            assert_eq!(set_in(&old, &image), new, "{old:?}");
        }
        let old = format!("images:\n  r.example/a: >- # 1.0\n    {OLD}\n");
        assert_eq!(
            set_in(&old, &format!("r.example/a@{NEW}")),
            format!("images:\n  r.example/a: >-\n    {NEW}\n")
        );
    }

    #[test]
    fn a_tag_alone_and_another_repository_are_refused() {
        let of = |image: &str| Pin::of("r.example/a", &Reference::parse(image).unwrap()).unwrap_err();
        assert!(of("r.example/a:1").contains("has no digest"));
        assert!(of(&format!("r.example/b@{NEW}")).contains("is no image of r.example/a"));
    }
}
