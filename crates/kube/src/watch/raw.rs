//! An object as its bytes, with the few fields of its metadata that whoever follows a kind needs.

use bytes::Bytes;

use super::json::{Fields, Span, find, plain};

/// Bytes of one object, and where in them its name is.
#[derive(Debug, Clone)]
pub(crate) struct Raw {
    bytes: Bytes,
    name: Span,
    namespace: Span,
    revision: Span,
    labels: Span,
    annotations: Span,
    /// Where the values of the fields that most objects have are, by [`PARTS`]; empty where absent.
    parts: [Span; PARTS.len()],
}

/// Fields that are found once for all who look at an object.
const PARTS: [&str; 4] = ["metadata", "spec", "status", "data"];

impl Raw {
    /// Finds the metadata. None where there is no revision, or the bytes are no whole object: that is
    /// no object of a cluster. A bookmark has no name, an object has.
    pub(crate) fn read(bytes: Bytes) -> Option<Self> {
        let mut parts: [Span; PARTS.len()] = std::array::from_fn(|_| 0..0);
        let mut fields = Fields::of(&bytes, 0);
        while let Some(key) = fields.key() {
            let value = fields.pass()?;
            if let Some(at) = PARTS.iter().position(|part| part.as_bytes() == key) {
                parts[at] = value;
            }
        }
        if !bytes.get(fields.end()?..)?.trim_ascii().is_empty() {
            return None;
        }
        let metadata = parts.first().cloned().filter(|span| !span.is_empty())?;
        let mut raw = Self {
            bytes,
            name: 0..0,
            namespace: 0..0,
            revision: 0..0,
            labels: 0..0,
            annotations: 0..0,
            parts,
        };
        let bytes = raw.bytes.clone();
        let mut fields = Fields::of(&bytes, metadata.start);
        while let Some(key) = fields.key() {
            // The longest field. Who writes it in the order of the types has written all others before
            // it; who writes keys by the alphabet has not written the name.
            if key == b"managedFields" && !raw.name.is_empty() {
                break;
            }
            let span = fields.pass()?;
            match key {
                b"name" => raw.name = plain(&bytes, &span)?,
                b"namespace" => raw.namespace = plain(&bytes, &span)?,
                b"resourceVersion" => raw.revision = plain(&bytes, &span)?,
                b"labels" => raw.labels = span,
                b"annotations" => raw.annotations = span,
                _ => {}
            }
        }
        (!raw.revision.is_empty()).then_some(raw)
    }

    /// The JSON of a field by path; none where it is absent.
    pub(crate) fn field(&self, path: &[&str]) -> Option<&[u8]> {
        let span = match path.split_first() {
            None => 0..self.bytes.len(),
            Some((first, rest)) => match PARTS.iter().position(|part| part == first) {
                Some(at) => {
                    let part = self.parts.get(at).cloned().filter(|span| !span.is_empty())?;
                    if rest.is_empty() { part } else { find(&self.bytes, part.start, rest)? }
                }
                None => find(&self.bytes, 0, path)?,
            },
        };
        self.bytes.get(span)
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn name(&self) -> &str {
        self.text(&self.name)
    }

    /// Empty for an object of the cluster.
    pub(crate) fn namespace(&self) -> &str {
        self.text(&self.namespace)
    }

    pub(crate) fn revision(&self) -> &str {
        self.text(&self.revision)
    }

    /// The labels' JSON; empty where there are none.
    pub(crate) fn labels(&self) -> &[u8] {
        self.bytes.get(self.labels.clone()).unwrap_or_default()
    }

    /// True for the bookmark that ends the first part of a streamed list.
    pub(crate) fn ends_list(&self) -> bool {
        let mark = find(&self.bytes, self.annotations.start, &["k8s.io/initial-events-end"]);
        !self.annotations.is_empty() && mark.is_some_and(|s| self.bytes.get(s) == Some(b"\"true\""))
    }

    fn text(&self, span: &Span) -> &str {
        self.bytes.get(span.clone()).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or("")
    }
}

/// One line of a watch.
pub(crate) struct Line {
    /// `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK`, `ERROR`, or what a later version of the API adds.
    pub(crate) kind: String,
    /// The JSON of its object.
    pub(crate) json: Bytes,
    /// That object, where it is one of a cluster.
    pub(crate) object: Option<Raw>,
}

impl Line {
    pub(crate) fn read(line: &Bytes) -> Option<Self> {
        if let Some(line) = Self::usual(line) {
            return Some(line);
        }
        let (mut kind, mut object) = (None, None);
        for (key, span) in Fields::of(line, 0) {
            match key {
                b"type" => kind = plain(line, &span).and_then(|s| line.get(s)),
                b"object" => object = Some(line.slice(span)),
                _ => {}
            }
        }
        let json = object?;
        Some(Self { kind: text(kind?)?, object: Raw::read(json.clone()), json })
    }

    /// The form that API servers write, whose object need not be looked through to find its end.
    fn usual(line: &Bytes) -> Option<Self> {
        let rest = line.strip_prefix(b"{\"type\":\"")?;
        let (kind, rest) = rest.split_at_checked(memchr::memchr(b'"', rest)?)?;
        let object = rest.strip_prefix(b"\",\"object\":")?.strip_suffix(b"}")?;
        let json = line.slice_ref(object);
        Some(Self { kind: text(kind)?, object: Some(Raw::read(json.clone())?), json })
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\\')).map(String::from)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_line_is_read_the_same_in_every_form() {
        let object = r#"{"kind":"Pod","metadata":{"managedFields":[{"a":"}"}],"name":"p","namespace":"n","resourceVersion":"9"},"status":{"phase":"x"}}"#;
        for form in [
            format!(r#"{{"type":"ADDED","object":{object}}}"#),
            format!(r#"{{"object":{object},"type":"ADDED"}}"#),
            format!(r#" {{ "type" : "ADDED" , "object" : {object} }} "#),
            format!(r#"{{"type":"ADDED","object":{object},"more":{{}}}}"#),
        ] {
            let line = Line::read(&form.clone().into()).unwrap();
            let raw = line.object.unwrap();
            assert_eq!((line.kind.as_str(), &line.json[..]), ("ADDED", object.as_bytes()), "{form}");
            assert_eq!((raw.name(), raw.namespace(), raw.revision()), ("p", "n", "9"), "{form}");
            assert_eq!(raw.field(&["status", "phase"]), Some(br#""x""#.as_slice()));
            assert_eq!(raw.field(&["kind"]), Some(br#""Pod""#.as_slice()));
            assert_eq!(raw.field(&["spec", "a"]), None);
            assert_eq!(raw.field(&[]), Some(object.as_bytes()));
        }
    }

    #[test]
    fn what_is_no_event_or_no_object_is_neither() {
        for text in ["", "{}", "[]", r#"{"type":"ADDED"}"#, r#"{"type":"A\u0041","object":{}}"#] {
            assert!(Line::read(&Bytes::from_static(text.as_bytes())).is_none(), "{text}");
        }
        for text in [
            r#"{"metadata":{"name":"a"}}"#,
            r#"{"metadata":{"name":"a","resourceVersion":"1"}"#,
            r#"{"metadata":{"name":"a","resourceVersion":"1"}}{"#,
            r#"{"metadata":{"name":7,"resourceVersion":"1"}}"#,
            r#"{"metadata":[]}"#,
        ] {
            assert!(Raw::read(Bytes::from_static(text.as_bytes())).is_none(), "{text}");
        }
    }
}
