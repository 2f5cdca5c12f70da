//! Kinds by small number: the one table that every generic handler reads.
//!
//! Built-in kinds are the rows of the type table. A custom kind gets a number a served version, and one under
//! which its objects are kept, whatever their version. These names are interned once a process and stay: they
//! are not what is served (which is [`crate::custom`]'s, a cluster's own), only what numbers mean.

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};

use kiban_schema::table::{Kind, Schema, TypeId};

/// Index of a kind that can be stored or posted.
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
        match Schema::builtin().kinds.get(usize::from(self.0)) {
            Some(kind) => kind,
            None => self.interned().map_or(&NOTHING, |i| &i.info),
        }
    }

    /// A CustomResourceDefinition made it.
    pub fn is_custom(self) -> bool {
        usize::from(self.0) >= kind_count()
    }

    /// The kind under which objects are kept: of a custom kind, one for all its versions.
    pub fn kept(self) -> KindId {
        self.interned().map_or(self, |i| i.kept)
    }

    fn interned(self) -> Option<&'static Interned> {
        let at = usize::from(self.0).checked_sub(kind_count())?;
        NAMES.read().unwrap_or_else(PoisonError::into_inner).all.get(at).copied()
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

/// What a number of a custom kind means.
struct Interned {
    info: Kind,
    kept: KindId,
}

#[derive(Default)]
struct Names {
    all: Vec<&'static Interned>,
    by_name: HashMap<CustomName, KindId>,
}

static NAMES: LazyLock<RwLock<Names>> = LazyLock::new(RwLock::default);

/// What no number means.
static NOTHING: LazyLock<Kind> = LazyLock::new(|| kind_of(&CustomName::default()));

/// The names by which a version of a custom kind is told from others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct CustomName {
    /// API group.
    pub group: String,
    /// Version; empty for the kind under which objects are kept.
    pub version: String,
    /// Plural in URLs.
    pub plural: String,
    /// CamelCase kind.
    pub kind: String,
    /// Objects live in a namespace.
    pub namespaced: bool,
    /// Subresources that are served.
    pub subresources: Vec<&'static str>,
}

/// The number of a custom kind, always the same for the same names; `None` when all are given out.
pub fn custom_kind(name: &CustomName) -> Option<KindId> {
    let found = |names: &Names| names.by_name.get(name).copied();
    if let Some(id) = found(&NAMES.read().unwrap_or_else(PoisonError::into_inner)) {
        return Some(id);
    }
    let unversioned = CustomName { version: String::new(), subresources: Vec::new(), ..name.clone() };
    let kept = if *name == unversioned { None } else { Some(custom_kind(&unversioned)?) };
    let mut names = NAMES.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(id) = found(&names) {
        return Some(id);
    }
    // The last number is what an unknown kind has.
    let id = u16::try_from(kind_count() + names.all.len()).ok().filter(|id| *id < u16::MAX).map(KindId)?;
    names.all.push(Box::leak(Box::new(Interned { info: kind_of(name), kept: kept.unwrap_or(id) })));
    names.by_name.insert(name.clone(), id);
    Some(id)
}

fn kind_of(name: &CustomName) -> Kind {
    const VERBS: [&str; 8] =
        ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
    Kind {
        group: name.group.clone(),
        version: name.version.clone(),
        kind: name.kind.clone(),
        plural: name.plural.clone(),
        singular: String::new(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: name.namespaced,
        verbs: VERBS.map(str::to_owned).to_vec(),
        subresources: name.subresources.iter().map(|s| (*s).to_owned()).collect(),
        type_id: TypeId(u32::MAX),
    }
}

/// `v1` for the core group, `group/version` otherwise.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// How many built-in kinds there are: the length of their tables.
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
    RUNTIME_CLASS = "node.k8s.io" "RuntimeClass";
    STORAGE_CLASS = "storage.k8s.io" "StorageClass";
    DEFINITION = "apiextensions.k8s.io" "CustomResourceDefinition";
    ROLE = "rbac.authorization.k8s.io" "Role";
    CLUSTER_ROLE = "rbac.authorization.k8s.io" "ClusterRole";
    ROLE_BINDING = "rbac.authorization.k8s.io" "RoleBinding";
    CLUSTER_ROLE_BINDING = "rbac.authorization.k8s.io" "ClusterRoleBinding";
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
