//! Kinds by small number: the one table that every generic handler reads.

use std::collections::HashMap;
use std::sync::LazyLock;

use kiban_schema::table::{Kind, Schema};

/// Index of a built-in kind that can be stored or posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KindId(pub u16);

struct Index {
    by_kind: HashMap<(&'static str, &'static str), KindId>,
    by_plural: HashMap<(&'static str, &'static str, &'static str), KindId>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index { by_kind: HashMap::new(), by_plural: HashMap::new() };
    for (i, k) in Schema::builtin().kinds.iter().enumerate() {
        let id = KindId(u16::try_from(i).unwrap_or(u16::MAX));
        // The first version of a kind is its stored form; the table lists the preferred one first.
        index.by_kind.entry((&k.group, &k.kind)).or_insert(id);
        index.by_plural.insert((&k.group, &k.version, &k.plural), id);
    }
    index
});

impl KindId {
    /// The table row of this kind.
    pub fn info(self) -> &'static Kind {
        &Schema::builtin().kinds[usize::from(self.0)]
    }

    /// `v1` or `apps/v1`.
    pub fn api_version(self) -> String {
        api_version(&self.info().group, &self.info().version)
    }

    /// `deployments.apps`, or `pods` for the core group: how errors and kubectl name the resource.
    pub fn resource_name(self) -> String {
        let k = self.info();
        if k.group.is_empty() { k.plural.clone() } else { format!("{}.{}", k.plural, k.group) }
    }

    /// `deployments.apps`, or `pods.` for the core group: how the namespace controller names it.
    pub fn resource_name_dotted(self) -> String {
        format!("{}.{}", self.info().plural, self.info().group)
    }

    /// The kind is (`group`, `kind`).
    pub fn is(self, group: &str, kind: &str) -> bool {
        self.info().group == group && self.info().kind == kind
    }

    /// The resource lists this subresource.
    pub fn has_subresource(self, name: &str) -> bool {
        self.info().subresources.iter().any(|s| s == name)
    }
}

/// `v1` for the core group, `group/version` otherwise.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// How many kinds there are: the length of every per-kind table.
pub fn kind_count() -> usize {
    Schema::builtin().kinds.len()
}

/// The kind of a group and kind name, in its stored version.
pub fn kind_id(group: &str, kind: &str) -> Option<KindId> {
    INDEX.by_kind.get(&(group, kind)).copied()
}

/// The kind behind a URL's group, version and plural.
pub fn kind_by_plural(group: &str, version: &str, plural: &str) -> Option<KindId> {
    INDEX.by_plural.get(&(group, version, plural)).copied()
}

/// Kinds that the controllers name; each is in the table, which a test checks.
macro_rules! well_known {
    ($($name:ident = $group:literal $kind:literal;)*) => {
        /// Kinds that controllers and handlers name.
        #[allow(missing_docs, non_snake_case)]
        pub mod well_known {
            use super::{KindId, kind_id};
            use std::sync::LazyLock;
            $(pub static $name: LazyLock<KindId> =
                LazyLock::new(|| kind_id($group, $kind).unwrap_or(KindId(u16::MAX)));)*
            #[cfg(test)]
            pub(crate) fn all() -> Vec<(&'static str, KindId)> { vec![$((stringify!($name), *$name)),*] }
        }
    };
}

well_known! {
    NAMESPACE = "" "Namespace";
    NODE = "" "Node";
    POD = "" "Pod";
    SERVICE = "" "Service";
    SERVICE_ACCOUNT = "" "ServiceAccount";
    CONFIG_MAP = "" "ConfigMap";
    SECRET = "" "Secret";
    EVENT = "" "Event";
    ENDPOINTS = "" "Endpoints";
    PERSISTENT_VOLUME = "" "PersistentVolume";
    PERSISTENT_VOLUME_CLAIM = "" "PersistentVolumeClaim";
    REPLICATION_CONTROLLER = "" "ReplicationController";
    DEPLOYMENT = "apps" "Deployment";
    REPLICA_SET = "apps" "ReplicaSet";
    STATEFUL_SET = "apps" "StatefulSet";
    DAEMON_SET = "apps" "DaemonSet";
    CONTROLLER_REVISION = "apps" "ControllerRevision";
    JOB = "batch" "Job";
    CRON_JOB = "batch" "CronJob";
    HPA = "autoscaling" "HorizontalPodAutoscaler";
    PDB = "policy" "PodDisruptionBudget";
    ENDPOINT_SLICE = "discovery.k8s.io" "EndpointSlice";
    LEASE = "coordination.k8s.io" "Lease";
    PRIORITY_CLASS = "scheduling.k8s.io" "PriorityClass";
    STORAGE_CLASS = "storage.k8s.io" "StorageClass";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_that_controllers_name_is_in_the_table() {
        for (name, id) in well_known::all() {
            assert!(usize::from(id.0) < kind_count(), "{name} is not in the kind table");
        }
    }
}
