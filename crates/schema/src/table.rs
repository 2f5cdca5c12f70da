//! The type table: which fields a type has, how its lists merge, its protobuf numbers.

use std::collections::BTreeMap;

/// Index of an object type in [`Schema::types`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u32);

/// The value that a field, list item or map entry holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Shape {
    /// UTF-8 string.
    String,
    /// Base64 text in JSON, bytes in protobuf.
    Bytes,
    /// `true` or `false`.
    Bool,
    /// 32-bit integer.
    Int32,
    /// 64-bit integer.
    Int64,
    /// Double.
    Float,
    /// `resource.Quantity`: a string in JSON (numbers are accepted on input).
    Quantity,
    /// Integer or string.
    IntOrString,
    /// RFC 3339 time with seconds.
    Time,
    /// RFC 3339 time with microseconds.
    MicroTime,
    /// `metav1.Duration`: a Go duration string.
    Duration,
    /// Any JSON: RawExtension, FieldsV1, JSONSchemaProps' JSON and the like. Server-side apply
    /// deduces their rules: objects merge by key, lists are atomic.
    #[default]
    Any,
    /// An object type of the table.
    Object(TypeId),
    /// Homogeneous list.
    List(Box<Shape>),
    /// String-keyed map with values of one shape.
    Map(Box<Shape>),
}

/// How server-side apply merges a list (`x-kubernetes-list-type`). Without a marker: atomic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ListKind {
    /// The list is owned and replaced whole.
    #[default]
    Atomic,
    /// Unique scalars.
    Set,
    /// Objects identified by these keys.
    Map {
        /// `x-kubernetes-list-map-keys`, in upstream's order.
        keys: Vec<String>,
    },
}

/// How a strategic merge patch merges a field (`x-kubernetes-patch-strategy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PatchStrategy {
    /// `merge`: lists merge by key (or as a set, for scalars) instead of being replaced.
    pub merge: bool,
    /// `retainKeys`: the patch may list the keys to keep.
    pub retain_keys: bool,
    /// `replace`: an object is replaced whole instead of merged (PodDisruptionBudget's
    /// `spec.selector`).
    pub replace: bool,
}

/// One field of an object type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Field {
    /// JSON name.
    pub name: String,
    /// What it holds.
    pub shape: Shape,
    /// Upstream lists it as required.
    pub required: bool,
    /// Protobuf field number; 0 where the type has no protobuf form, or where the field lies in a
    /// message of [`Type::inline`].
    pub proto: u32,
    /// The real API's type is a pointer: zero and absent differ.
    pub pointer: bool,
    /// The real API writes the field even when it is zero (`resources: {}`).
    pub always: bool,
    /// The real API's name of the type, where it does not follow from the shape
    /// (`v1.PullPolicy`): error messages print it.
    pub go_type: Option<String>,
    /// Server-side apply's merge rule, for lists.
    pub list: ListKind,
    /// `x-kubernetes-map-type: atomic` (maps and objects that are owned whole).
    pub atomic: bool,
    /// Strategic merge's rule.
    pub patch: PatchStrategy,
    /// `x-kubernetes-patch-merge-key`.
    pub merge_key: Option<String>,
    /// Allowed values (of a list: of its items), where upstream declares them.
    pub values: Vec<String>,
    /// The default that the published schema declares (`ports.protocol` = TCP), where it is not
    /// the zero value. Server-side apply fills absent list keys with it.
    pub default: Option<serde_json::Value>,
}

/// A protobuf message whose fields stand flat in the JSON object around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inline {
    /// Its protobuf field number.
    pub proto: u32,
    /// Its type; the outer type lists the same fields with number 0.
    pub type_id: TypeId,
}

/// An object type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Type {
    /// Short name with its package, like `io.k8s.api.apps.v1.Deployment`.
    pub name: String,
    /// Fields, sorted by JSON name.
    pub fields: Vec<Field>,
    /// Embedded messages, by protobuf number.
    pub inline: Vec<Inline>,
    /// The whole object is atomic (`x-kubernetes-map-type: atomic` on the type, like
    /// LabelSelector).
    pub atomic: bool,
    /// What it may hold beside its fields.
    pub open: Open,
}

/// What an object may hold that its type does not name. Built-in types hold nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Open {
    /// Nothing.
    #[default]
    No,
    /// Other members, which merge as their form says.
    Members,
    /// It is no certain object at all: any value, which merges as its form says.
    Whole,
}

impl Type {
    /// Name without its package: `Deployment`.
    pub fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or_default()
    }

    /// The field of this JSON name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.binary_search_by(|f| f.name.as_str().cmp(name)).ok().map(|i| &self.fields[i])
    }
}

/// A built-in kind: what discovery says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// API group, empty for core.
    pub group: String,
    /// API version, like `v1`.
    pub version: String,
    /// CamelCase kind.
    pub kind: String,
    /// Lower-case plural used in URLs.
    pub plural: String,
    /// Lower-case singular.
    pub singular: String,
    /// kubectl's short names.
    pub short_names: Vec<String>,
    /// kubectl's categories (`all`).
    pub categories: Vec<String>,
    /// Objects live in a namespace.
    pub namespaced: bool,
    /// Verbs as discovery lists them (`create`, `delete`, …; virtual kinds have only `create`).
    /// Empty: no collection of its own, but the body of a subresource (Eviction, TokenRequest,
    /// Scale) or an options object; `plural` is empty then too.
    pub verbs: Vec<String>,
    /// Names of subresources served (`status`, `scale`, `eviction`, …).
    pub subresources: Vec<String>,
    /// Its type in the table.
    pub type_id: TypeId,
}

impl Kind {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// A collection of its own is served.
    pub fn is_resource(&self) -> bool {
        !self.verbs.is_empty()
    }

    /// Serves this subresource (`status`, `scale`, …).
    pub fn has_subresource(&self, name: &str) -> bool {
        self.subresources.iter().any(|s| s == name)
    }
}

/// The whole table.
#[derive(Debug, Default)]
pub struct Schema {
    /// Object types; [`TypeId`] indexes it.
    pub types: Vec<Type>,
    /// Built-in kinds, in the order of discovery.
    pub kinds: Vec<Kind>,
    /// Type by its full name.
    pub by_name: BTreeMap<String, TypeId>,
    /// Indexes of `kinds`, sorted by group, version and kind.
    by_kind: Vec<u32>,
    /// Indexes of the resources in `kinds`, sorted by group, version and plural.
    by_plural: Vec<u32>,
}

impl Schema {
    /// A table of these types and kinds, indexed.
    pub fn new(types: Vec<Type>, kinds: Vec<Kind>) -> Schema {
        let by_name = (0u32..).zip(&types).map(|(i, t)| (t.name.clone(), TypeId(i))).collect();
        let mut by_kind: Vec<u32> = (0u32..).zip(&kinds).map(|(i, _)| i).collect();
        let mut by_plural: Vec<u32> =
            (0u32..).zip(&kinds).filter(|(_, k)| k.is_resource()).map(|(i, _)| i).collect();
        by_kind.sort_by(|a, b| kind_key(&kinds, *a).cmp(&kind_key(&kinds, *b)));
        by_plural.sort_by(|a, b| plural_key(&kinds, *a).cmp(&plural_key(&kinds, *b)));
        Schema { types, kinds, by_name, by_kind, by_plural }
    }

    /// The type behind an id.
    pub fn get(&self, id: TypeId) -> &Type {
        &self.types[id.0 as usize]
    }

    /// The type of this full name (`io.k8s.api.core.v1.Pod`).
    pub fn type_named(&self, name: &str) -> Option<TypeId> {
        self.by_name.get(name).copied()
    }

    /// The kind of this group, version and kind, in O(log n).
    pub fn kind(&self, group: &str, version: &str, kind: &str) -> Option<&Kind> {
        let wanted = (group, version, kind);
        let found = self.by_kind.binary_search_by(|i| kind_key(&self.kinds, *i).cmp(&wanted));
        found.ok().map(|at| &self.kinds[self.by_kind[at] as usize])
    }

    /// The resource of this group, version and plural (`apps`, `v1`, `deployments`), in O(log n).
    pub fn resource(&self, group: &str, version: &str, plural: &str) -> Option<&Kind> {
        let wanted = (group, version, plural);
        let found = self.by_plural.binary_search_by(|i| plural_key(&self.kinds, *i).cmp(&wanted));
        found.ok().map(|at| &self.kinds[self.by_plural[at] as usize])
    }

    /// The type of an `apiVersion` and `kind` as a request body states them. Options objects
    /// (DeleteOptions, …) are known in every group version, as in the real API.
    pub fn type_of(&self, api_version: &str, kind: &str) -> Option<TypeId> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let own = self.kind(group, version, kind);
        let found = own.or_else(|| kind.ends_with("Options").then(|| self.kind("", "v1", kind)).flatten());
        found.map(|k| k.type_id)
    }

    /// The resources of a group version, in the order of discovery.
    pub fn kinds_in<'a>(&'a self, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a Kind> {
        self.resources().filter(move |k| k.group == group && k.version == version)
    }

    /// Every kind that has a collection of its own, in the order of discovery.
    pub fn resources(&self) -> impl Iterator<Item = &Kind> {
        self.kinds.iter().filter(|k| k.is_resource())
    }

    /// Group and version of every resource, in the order of discovery (core first).
    pub fn group_versions(&self) -> Vec<(&str, &str)> {
        let mut out: Vec<(&str, &str)> = Vec::new();
        for kind in self.resources() {
            let pair = (kind.group.as_str(), kind.version.as_str());
            if !out.contains(&pair) {
                out.push(pair);
            }
        }
        out
    }
}

fn kind_key(kinds: &[Kind], at: u32) -> (&str, &str, &str) {
    let k = &kinds[at as usize];
    (&k.group, &k.version, &k.kind)
}

fn plural_key(kinds: &[Kind], at: u32) -> (&str, &str, &str) {
    let k = &kinds[at as usize];
    (&k.group, &k.version, &k.plural)
}
