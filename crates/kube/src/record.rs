//! The inventory on the cluster: read, and written each time upon the revision that was read or written
//! before, so that whoever else wrote it in between is found out.

use http::Method;
use serde_json::{Value, json};

use crate::client::{ApiError, Call, Cluster, JSON, encode};
use crate::inventory::{self, Inventory, InventoryError};
use crate::object::text_at;
use crate::request::MANAGER;

/// Why an inventory was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It cannot be read, or does not fit.
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    /// The API refused, or did not answer.
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// An inventory with the revision that it has on the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    namespace: String,
    name: String,
    /// As it is there; none where there is none.
    pub(crate) inventory: Option<Inventory>,
    revision: String,
}

/// Reads the inventory of an app in an environment; none before its first apply.
///
/// # Errors
/// An inventory of a newer format or a damaged one, and as any call.
pub async fn read(
    cluster: &Cluster,
    namespace: &str,
    app: &str,
    env: &str,
) -> Result<Option<Inventory>, RecordError> {
    Ok(Record::read(cluster, namespace, app, env).await?.inventory)
}

/// Changes the inventory of an app in an environment, however often another is faster: what became of a
/// rollout, a hold. Returns it as it is then; none where there is none to change.
///
/// The objects and the revision are an apply's to change, and it fails where they change under its hands:
/// while one is at work, this may make it stop and say so.
///
/// # Errors
/// As [`read`], and ten times in a row another was faster.
pub async fn amend(
    cluster: &Cluster,
    namespace: &str,
    app: &str,
    env: &str,
    change: &(dyn Fn(&mut Inventory) + Sync),
) -> Result<Option<Inventory>, RecordError> {
    const TRIES: u32 = 10;
    let mut failed = 0;
    loop {
        let mut record = Record::read(cluster, namespace, app, env).await?;
        let Some(mut inventory) = record.inventory.clone() else { return Ok(None) };
        change(&mut inventory);
        match record.write(cluster, inventory).await {
            Ok(()) => return Ok(record.inventory),
            Err(RecordError::Api(e)) if e.is_conflict() && failed < TRIES => {
                failed += 1;
                tokio::time::sleep(cluster.pause(failed, None)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

impl Record {
    pub(crate) async fn read(
        cluster: &Cluster,
        namespace: &str,
        app: &str,
        env: &str,
    ) -> Result<Self, RecordError> {
        let name = inventory::name_of(app, env);
        let mut record = Self::none(namespace, &name);
        match cluster.call(&Call::get(record.path())).await {
            Ok(answer) => {
                record.inventory = Some(Inventory::read(&answer.body)?);
                record.revision =
                    text_at(&answer.body, &["metadata", "resourceVersion"]).unwrap_or("").into();
            }
            Err(e) if e.is_not_found() => {}
            Err(e) => return Err(e.into()),
        }
        Ok(record)
    }

    /// The record of an app that was never applied.
    pub(crate) fn none(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into(), inventory: None, revision: String::new() }
    }

    /// True when somebody wrote it since.
    pub(crate) async fn changed(&self, cluster: &Cluster) -> Result<bool, ApiError> {
        match cluster.call(&Call::get(self.path())).await {
            Ok(answer) => {
                let revision = text_at(&answer.body, &["metadata", "resourceVersion"]).unwrap_or("");
                Ok(revision != self.revision)
            }
            Err(e) if e.is_not_found() => Ok(self.inventory.is_some()),
            Err(e) => Err(e),
        }
    }

    /// Writes it unless it is so already. One without objects, that nothing is held in, is removed.
    pub(crate) async fn write(&mut self, cluster: &Cluster, inventory: Inventory) -> Result<(), RecordError> {
        if self.inventory.as_ref() == Some(&inventory) {
            return Ok(());
        }
        if inventory.objects.is_empty() && inventory.held.is_none() {
            return self.remove(cluster).await;
        }
        let mut object = inventory.write(&self.namespace)?;
        let query = format!("fieldManager={MANAGER}&fieldValidation=Strict");
        // Created or replaced, and never applied: an apply would go over one that another made meanwhile.
        let call = if self.revision.is_empty() {
            Call::new(Method::POST, format!("{}?{query}", self.collection()), Some(object), JSON)
        } else {
            object["metadata"]["resourceVersion"] = json!(self.revision);
            Call::new(Method::PUT, format!("{}?{query}", self.path()), Some(object), JSON)
        };
        let body = match cluster.call(&call).await {
            Ok(answer) => answer.body,
            // The answer to our own write may have got lost, so that its repetition met itself.
            Err(e) if e.is_conflict() => self.find_own(cluster, &inventory, e).await?,
            Err(e) => return Err(e.into()),
        };
        self.revision = text_at(&body, &["metadata", "resourceVersion"]).unwrap_or("").into();
        self.inventory = Some(inventory);
        Ok(())
    }

    /// An inventory of nothing is none: the app is gone from this environment.
    async fn remove(&mut self, cluster: &Cluster) -> Result<(), RecordError> {
        if self.inventory.take().is_none() {
            return Ok(());
        }
        let preconditions = json!({"resourceVersion": std::mem::take(&mut self.revision)});
        let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions});
        match cluster.call(&Call::new(Method::DELETE, self.path(), Some(body), JSON)).await {
            Ok(_) => Ok(()),
            Err(e) if e.is_not_found() => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    async fn find_own(
        &self,
        cluster: &Cluster,
        inventory: &Inventory,
        conflict: ApiError,
    ) -> Result<Value, RecordError> {
        let found = cluster.call(&Call::get(self.path())).await?.body;
        if Inventory::read(&found).as_ref() == Ok(inventory) { Ok(found) } else { Err(conflict.into()) }
    }

    fn collection(&self) -> String {
        format!("/api/v1/namespaces/{}/configmaps", encode(&self.namespace))
    }

    fn path(&self) -> String {
        format!("{}/{}", self.collection(), encode(&self.name))
    }
}
