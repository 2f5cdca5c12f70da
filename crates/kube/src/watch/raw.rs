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
}

impl Raw {
    /// Finds the metadata. None where there is no revision: that is no object of a cluster. A bookmark
    /// has no name, an object has.
    pub(crate) fn read(bytes: Bytes) -> Option<Self> {
        let metadata = find(&bytes, 0, &["metadata"])?;
        let mut raw =
            Self { bytes, name: 0..0, namespace: 0..0, revision: 0..0, labels: 0..0, annotations: 0..0 };
        for (key, span) in Fields::of(&raw.bytes, metadata.start) {
            match key {
                b"name" => raw.name = plain(&raw.bytes, &span)?,
                b"namespace" => raw.namespace = plain(&raw.bytes, &span)?,
                b"resourceVersion" => raw.revision = plain(&raw.bytes, &span)?,
                b"labels" => raw.labels = span,
                b"annotations" => raw.annotations = span,
                _ => {}
            }
        }
        (!raw.revision.is_empty()).then_some(raw)
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
    pub(crate) object: Bytes,
}

impl Line {
    pub(crate) fn read(line: &Bytes) -> Option<Self> {
        let (mut kind, mut object) = (None, None);
        for (key, span) in Fields::of(line, 0) {
            match key {
                b"type" => kind = plain(line, &span).and_then(|s| line.get(s)),
                b"object" => object = Some(line.slice(span)),
                _ => {}
            }
        }
        Some(Self { kind: std::str::from_utf8(kind?).ok()?.to_string(), object: object? })
    }
}
