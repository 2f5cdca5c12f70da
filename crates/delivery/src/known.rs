//! What the cluster remembers of all apps: their inventories, from one watch.

use std::collections::BTreeMap;

use kiban_kube::cache::{Footprint, Object, Projected};
use kiban_kube::inventory::{Inventory, LABEL};
use kiban_kube::object::ObjectId;
use serde_json::Value;

/// The labels of the inventories of an environment, in kubectl's syntax.
pub fn selector(env: &str) -> String {
    format!("{LABEL}=true,kiban.dev/env={env}")
}

/// An inventory as it is kept in memory: without its objects, of which only the number counts here.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// One that can be read.
    Good {
        /// The inventory; its objects are left out.
        inventory: Box<Inventory>,
        /// How many objects it lists.
        objects: usize,
    },
    /// One that cannot be read, and why.
    Bad(String),
}

impl Footprint for Known {}

/// The projection of a ConfigMap that is an inventory.
pub fn project(object: &Object<'_>) -> Projected<Known> {
    let value: Value = object.read().map_err(|error| error.to_string())?;
    Ok(Some(match Inventory::read(&value) {
        Ok(mut inventory) => {
            let objects: BTreeMap<ObjectId, _> = std::mem::take(&mut inventory.objects);
            Known::Good { inventory: Box::new(inventory), objects: objects.len() }
        }
        Err(error) => Known::Bad(error.to_string()),
    }))
}

/// What is to be pruned whole, and whether that needs a word first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// The apps that nothing asks for any more, with their namespaces.
    pub apps: Vec<(String, String)>,
    /// Why that is held until somebody says so; none where it may be done.
    pub held: Option<String>,
}

/// Which apps are gone from a repository. `inventories` are those of the environment that came from this
/// repository: app, namespace, number of objects. What others brought is none of its business.
pub fn gone(
    inventories: &[(String, String, usize)],
    asked: &dyn Fn(&str, &str) -> bool,
    anything_asked: bool,
) -> Gone {
    let total: usize = inventories.iter().map(|(_, _, objects)| objects).sum();
    let left: Vec<_> = inventories.iter().filter(|(app, namespace, _)| !asked(app, namespace)).collect();
    let objects: usize = left.iter().map(|(_, _, objects)| objects).sum();
    let apps: Vec<_> = left.iter().map(|(app, namespace, _)| (app.clone(), namespace.clone())).collect();
    let is_much = objects * 3 > total || !anything_asked;
    let held = (!apps.is_empty() && is_much).then(|| {
        let names: Vec<&str> = apps.iter().map(|(app, _)| app.as_str()).collect();
        format!(
            "nothing asks any more for {}: {objects} of {total} objects would be deleted; `kiban deploy --prune-all` does it",
            names.join(", ")
        )
    });
    Gone { apps, held }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Vec<(String, String, usize)> {
        [("a", 4), ("b", 4), ("c", 2)].map(|(app, n)| (app.to_owned(), format!("{app}-dev"), n)).to_vec()
    }

    #[test]
    fn an_app_that_nothing_asks_for_goes_and_much_at_once_asks_first() {
        let without =
            |names: &'static [&'static str]| gone(&three(), &move |app, _| !names.contains(&app), true);
        assert_eq!(without(&[]), Gone::default());
        assert_eq!(without(&["c"]).apps, [("c".to_owned(), "c-dev".to_owned())]);
        assert_eq!(without(&["c"]).held, None);
        let much = without(&["a"]).held.unwrap_or_default();
        assert!(much.contains("for a: 4 of 10 objects"), "{much}");
        let empty = gone(&three(), &|_, _| false, false);
        assert!(empty.held.is_some());
        // An app that moved to another namespace leaves its old one.
        let moved = gone(&three(), &|app, namespace| (app, namespace) != ("c", "c-dev"), true);
        assert_eq!(moved.apps.len(), 1);
    }
}
