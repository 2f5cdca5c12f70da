//! What an applied render consists of, as data: the inventory `kiban-inventory-<app>-<env>`.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::id::ObjectId;
use crate::render::{Object, Owner};

/// One object of an inventory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entry {
    /// The object.
    pub id: ObjectId,
    /// SHA-256 of its canonical JSON (keys sorted, no spaces), in hexadecimal.
    pub hash: String,
}

/// The name of an owner's inventory in an environment.
pub fn name(owner: &Owner, env: &str) -> String {
    format!("kiban-inventory-{}-{env}", owner.folder())
}

/// The inventory of some objects, sorted by id.
pub fn inventory<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Vec<Entry> {
    let entry = |object: &Object| Entry { id: object.id(), hash: hash(object) };
    let mut entries: Vec<Entry> = objects.into_iter().map(entry).collect();
    entries.sort();
    entries
}

fn hash(object: &Object) -> String {
    let digest = Sha256::digest(object.value().to_string().as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
