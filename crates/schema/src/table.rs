//! The type table: which fields a type has, how its lists merge, its protobuf numbers.

use std::collections::BTreeMap;

/// Index of an object type in [`Schema::types`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u32);

/// The value that a field, list item or map entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Any JSON: RawExtension, FieldsV1, JSONSchemaProps' JSON and the like.
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
}

/// One field of an object type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// JSON name.
    pub name: String,
    /// What it holds.
    pub shape: Shape,
    /// Upstream lists it as required.
    pub required: bool,
    /// Protobuf field number; 0 where the type has no protobuf form.
    pub proto: u32,
    /// Server-side apply's merge rule, for lists.
    pub list: ListKind,
    /// `x-kubernetes-map-type: atomic` (maps and objects that are owned whole).
    pub atomic: bool,
    /// Strategic merge's rule.
    pub patch: PatchStrategy,
    /// `x-kubernetes-patch-merge-key`.
    pub merge_key: Option<String>,
    /// Allowed values, where upstream declares them.
    pub values: Vec<String>,
    /// The default that matters to list keys (`ports.protocol` = TCP), as JSON text.
    pub default: Option<serde_json::Value>,
}

/// An object type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Type {
    /// Short name with its package, like `io.k8s.api.apps.v1.Deployment`.
    pub name: String,
    /// Fields, sorted by JSON name.
    pub fields: Vec<Field>,
    /// The whole object is atomic (`x-kubernetes-map-type: atomic` on the type, like
    /// LabelSelector).
    pub atomic: bool,
}

impl Type {
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
    pub verbs: Vec<String>,
    /// Names of subresources served (`status`, `scale`, `eviction`, …).
    pub subresources: Vec<String>,
    /// Its type in the table.
    pub type_id: TypeId,
}

/// The whole table.
#[derive(Debug, Default)]
pub struct Schema {
    /// Object types; [`TypeId`] indexes it.
    pub types: Vec<Type>,
    /// Built-in kinds.
    pub kinds: Vec<Kind>,
    /// Type by its full name.
    pub by_name: BTreeMap<String, TypeId>,
}

impl Schema {
    /// The type behind an id.
    pub fn get(&self, id: TypeId) -> &Type {
        &self.types[id.0 as usize]
    }

    /// The kind of this group, version and kind.
    pub fn kind(&self, group: &str, version: &str, kind: &str) -> Option<&Kind> {
        self.kinds.iter().find(|k| k.group == group && k.version == version && k.kind == kind)
    }
}
