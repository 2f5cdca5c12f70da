//! The cluster's certificate, as a ConfigMap in every namespace: pods trust the API server by it.
//!
//! Contract: Kubernetes pkg/controller/certificates/rootcacertpublisher/publisher.go.

use serde_json::{Value, json};

use super::namespaces::accept_existing;
use super::{Again, Controller, Ctx, Item};
use crate::kind::{KindId, well_known::*};
use crate::object::Key;
use crate::registry::{Actor, Part};
use crate::status::ApiError;
use crate::store::{Change, State};

/// The ConfigMap's name.
const NAME: &str = "kube-root-ca.crt";
/// The annotation that says what it is for, and our words for it.
const DESCRIPTION: &str = "kubernetes.io/description";
const PURPOSE: &str = "Trust this to reach the API server from inside the cluster.";

/// Keeps `kube-root-ca.crt` in every namespace as it should be.
#[derive(Debug)]
pub struct RootCa {
    pem: String,
}

impl RootCa {
    /// Publishes a certificate, PEM.
    pub fn new(pem: &str) -> Self {
        Self { pem: pem.to_owned() }
    }

    fn data(&self) -> Value {
        json!({"ca.crt": self.pem})
    }
}

impl Controller for RootCa {
    fn name(&self) -> &'static str {
        "root-ca-certificate-publisher"
    }

    fn watches(&self) -> Vec<KindId> {
        vec![*NAMESPACE, *CONFIG_MAP]
    }

    fn wakes(&mut self, _: &State, change: &Change, items: &mut Vec<Item>) {
        let object = &change.new;
        if object.kind == *NAMESPACE {
            items.push(Item { kind: *NAMESPACE, key: object.key.clone() });
        } else if &*object.key.name == NAME {
            items.push(Item { kind: *NAMESPACE, key: Key::new("", object.key.namespace.clone()) });
        }
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
        let (state, actor) = (ctx.state(), Actor::new(self.name()));
        if state.get(*NAMESPACE, &item.key).is_none_or(|namespace| namespace.deleting) {
            return Ok(None);
        }
        let key = Key::new(item.key.name.clone(), NAME);
        let Some(map) = state.get(*CONFIG_MAP, &key) else {
            let metadata = json!({"name": NAME, "annotations": {DESCRIPTION: PURPOSE}});
            let map = json!({"metadata": metadata, "data": self.data()});
            accept_existing(ctx.cluster.create(*CONFIG_MAP, &item.key.name, map, &actor))?;
            return Ok(None);
        };
        let value = map.value();
        let described = value["metadata"]["annotations"][DESCRIPTION].as_str().is_some_and(|d| !d.is_empty());
        if !map.deleting && (value["data"] != self.data() || !described) {
            ctx.cluster.modify(*CONFIG_MAP, &key, Part::Main, &actor, |map| {
                map["data"] = self.data();
                if let Some(metadata) = map["metadata"].as_object_mut() {
                    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
                    annotations[DESCRIPTION] = PURPOSE.into();
                }
            })?;
        }
        Ok(None)
    }
}
