//! What a projection sees of an object, and the key that objects are held by.

use std::borrow::{Borrow, Cow};
use std::cell::OnceCell;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use crate::watch::raw::Raw;

/// Namespace and name of an object, in one text: `shop/orders`, or `/node-1` for an object of the
/// cluster. All who hold the same object hold the same text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

impl Key {
    /// The key of an object; the namespace is empty for an object of the cluster.
    pub fn new(namespace: &str, name: &str) -> Self {
        let mut text = String::new();
        Self::write(&mut text, namespace, name);
        Self::from_text(&text)
    }

    /// Writes the text of a key.
    pub(crate) fn write(text: &mut String, namespace: &str, name: &str) {
        text.clear();
        text.push_str(namespace);
        text.push('/');
        text.push_str(name);
    }

    pub(crate) fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// The namespace; empty for an object of the cluster.
    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }

    /// `shop/orders`, or `/node-1`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Bytes that the text takes on the heap, shared by all who hold it.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.0.len() + 16
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object as it came from the API server. Nothing of it is kept but what a projection makes of it.
pub struct Object<'a> {
    raw: &'a Raw,
    key: &'a Key,
    labels: OnceCell<Labels<'a>>,
}

/// Labels of an object, in the order in which they are written.
pub type Labels<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

impl<'a> Object<'a> {
    pub(crate) fn new(raw: &'a Raw, key: &'a Key) -> Self {
        Self { raw, key, labels: OnceCell::new() }
    }

    /// Its namespace and name. A projection that keeps it shares the text with the cache.
    pub fn key(&self) -> &'a Key {
        self.key
    }

    /// Its name.
    pub fn name(&self) -> &'a str {
        self.raw.name()
    }

    /// Its namespace; empty for an object of the cluster.
    pub fn namespace(&self) -> &'a str {
        self.raw.namespace()
    }

    /// Its `resourceVersion`, to be compared for equality alone.
    pub fn revision(&self) -> &'a str {
        self.raw.revision()
    }

    /// Its JSON. Items of a list of a built-in kind name neither `apiVersion` nor `kind`.
    pub fn bytes(&self) -> &'a [u8] {
        self.raw.bytes()
    }

    /// The object as a type, which may borrow from it. Derive `Deserialize` with the fields that count
    /// and no others: what is not asked for is skipped.
    ///
    /// # Errors
    /// JSON that is none, or is not of this form.
    pub fn read<T: Deserialize<'a>>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.raw.bytes())
    }

    /// The JSON of one field, by path, as in `["status", "phase"]`: found by its outline, so that the
    /// rest of the object is not read. None where it is absent.
    pub fn field(&self, path: &[&str]) -> Option<&'a [u8]> {
        self.raw.field(path)
    }

    /// One field as a type, as [`Self::read`]; the default where it is absent. Reading `spec` and
    /// `status` this way is the quickest form of a projection: where they are is found once for all
    /// subscribers, and `managedFields`, half of many an object, is never looked into.
    ///
    /// # Errors
    /// JSON that is none, or is not of this form.
    pub fn part<T: Deserialize<'a> + Default>(&self, path: &[&str]) -> Result<T, serde_json::Error> {
        self.field(path).map_or_else(|| Ok(T::default()), serde_json::from_slice)
    }

    /// A text field, by path.
    pub fn text(&self, path: &[&str]) -> Option<Cow<'a, str>> {
        // As a field of a struct, since a text alone is never borrowed.
        #[derive(Deserialize)]
        struct Text<'t>(#[serde(borrow)] Cow<'t, str>);
        serde_json::from_slice::<Text<'a>>(self.field(path)?).ok().map(|t| t.0)
    }

    /// Its labels. Read once, whoever asks.
    pub fn labels(&self) -> &Labels<'a> {
        self.labels.get_or_init(|| labels(self.raw.labels()))
    }
}

fn labels(json: &[u8]) -> Labels<'_> {
    crate::watch::fields(json)
        .filter_map(|(key, value)| {
            let key = match std::str::from_utf8(key) {
                Ok(plain) if !plain.contains('\\') => Cow::Borrowed(plain),
                // A label's name has no character that needs an escape; some writers escape anyway.
                Ok(escaped) => Cow::Owned(serde_json::from_str(&format!("\"{escaped}\"")).ok()?),
                Err(_) => return None,
            };
            let value = match value.strip_prefix(b"\"")?.strip_suffix(b"\"")? {
                plain if !plain.contains(&b'\\') => Cow::Borrowed(std::str::from_utf8(plain).ok()?),
                _ => Cow::Owned(serde_json::from_slice(value).ok()?),
            };
            Some((key, value))
        })
        .collect()
}
