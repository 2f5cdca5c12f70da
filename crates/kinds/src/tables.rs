//! The columns that `kubectl get` prints, kind by kind.
//!
//! The API server prints on behalf of its clients: asked for `as=Table;g=meta.k8s.io;v=v1` it
//! answers with column definitions and one row of cells an object. This module is that printer:
//! pure functions from stored objects to cells. Names, types, formats, priorities and cell texts
//! are those of Kubernetes 1.37; the descriptions of the columns are our own.
//!
//! Printing is total. A field of the wrong type counts as absent, as no printer may fail because
//! of what lies in the store.

mod admission;
mod autoscaling;
pub(crate) mod cell;
mod cluster;
mod devices;
mod evictions;
mod network;
mod pod;
mod selector;
mod storage;
mod workloads;

use kiban_base::clock::Timestamp;
use serde_json::{Map, Value, json};

use crate::custom::columns::Columns;
use cell::{at, cells, number, text, time};

/// One column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Heading as the API gives it (`Up-to-date`); kubectl prints it in capitals.
    pub name: &'static str,
    /// OpenAPI type: `string`, `integer`, `boolean` or `date`.
    pub type_: &'static str,
    /// `name` for the column that identifies the object, otherwise empty.
    pub format: &'static str,
    /// 0 is always shown, 1 with `-o wide` only.
    pub priority: u8,
    /// What the column says, in one line.
    pub description: &'static str,
}

/// Which object a row carries: `includeObject` of `TableOptions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IncludeObject {
    /// No object.
    None,
    /// `PartialObjectMetadata`, the default.
    #[default]
    Metadata,
    /// The whole object.
    Object,
}

/// An `includeObject` parameter that the API does not know: 400 BadRequest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "Unable to convert to Table as requested: includeObject: Invalid value: \"{0}\": must be 'Metadata', \
     'Object', 'None', or empty"
)]
pub struct UnknownIncludeObject(pub String);

impl IncludeObject {
    /// Reads the query parameter `includeObject`; empty means [`IncludeObject::Metadata`].
    ///
    /// # Errors
    /// Any other word is refused with the API server's text.
    pub fn parse(parameter: &str) -> Result<Self, UnknownIncludeObject> {
        match parameter {
            "" | "Metadata" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            "None" => Ok(Self::None),
            other => Err(UnknownIncludeObject(other.to_owned())),
        }
    }
}

/// The version of `meta.k8s.io` that the client asked for. Both have the same fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetaVersion {
    /// `meta.k8s.io/v1`.
    #[default]
    V1,
    /// `meta.k8s.io/v1beta1`, which clients older than 1.15 ask for.
    V1Beta1,
}

impl MetaVersion {
    /// The `apiVersion` of what is answered.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// How a table is to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableOptions {
    /// What each row carries beside its cells.
    pub include: IncludeObject,
    /// Leaves the column definitions out (`null`). On a watch they come with the first event only.
    pub no_headers: bool,
    /// Version of the answer.
    pub version: MetaVersion,
}

/// The metadata of a list: what a table repeats of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListMeta {
    /// Revision at which the list was read.
    pub resource_version: String,
    /// Token for the next page; empty on the last one.
    pub continue_token: String,
    /// Objects behind this page, where the server can tell.
    pub remaining_item_count: Option<i64>,
}

impl ListMeta {
    fn to_value(&self) -> Value {
        let mut out = Map::new();
        if !self.resource_version.is_empty() {
            out.insert("resourceVersion".into(), self.resource_version.as_str().into());
        }
        if !self.continue_token.is_empty() {
            out.insert("continue".into(), self.continue_token.as_str().into());
        }
        if let Some(count) = self.remaining_item_count {
            out.insert("remainingItemCount".into(), count.into());
        }
        Value::Object(out)
    }
}

/// The columns of a kind. `group` is empty for the core group. A kind without a printer of its own,
/// built in or not, has `Name` and `Created At`.
pub fn columns(group: &str, kind: &str) -> &'static [Column] {
    printer(group, kind).columns
}

/// The cells of one object, in the order of [`columns`]. `now` is what ages are counted to.
///
/// IPAddress gives one cell more than it has columns (its age), as the API server does; clients
/// drop it.
pub fn row(group: &str, kind: &str, object: &Value, now: Timestamp) -> Vec<Value> {
    (printer(group, kind).cells)(object, now)
}

/// Whether the kind has a printer of its own.
pub fn has_printer(group: &str, kind: &str) -> bool {
    find(group, kind).is_some()
}

/// A list as a `Table`. Objects come in the list's order, but FlowSchemas, which the API server
/// sorts by precedence.
pub fn render<'a>(
    group: &str,
    kind: &str,
    objects: impl IntoIterator<Item = &'a Value>,
    meta: &ListMeta,
    options: TableOptions,
    now: Timestamp,
) -> Value {
    let printer = printer(group, kind);
    let mut objects: Vec<&Value> = objects.into_iter().collect();
    if is(printer, "flowcontrol.apiserver.k8s.io", "FlowSchema") {
        objects.sort_by_key(|o| (number(o, "spec.matchingPrecedence"), text(o, "metadata.name")));
    }
    let default_class = match is(printer, "storage.k8s.io", "StorageClass") {
        true => storage::default_class(&objects),
        false => None,
    };
    let rows = objects
        .iter()
        .map(|object| {
            let mut cells = (printer.cells)(object, now);
            if let (Some(default), Some(name)) = (default_class, cells.first_mut())
                && name.as_str() == Some(default)
            {
                *name = format!("{default} (default)").into();
            }
            table_row(printer, object, cells, options)
        })
        .collect();
    table(printer, meta.to_value(), rows, options)
}

/// One object as a `Table` of one row: the answer to `get NAME`, and the object of a watch event.
/// On a watch the first event has headers, the later ones set [`TableOptions::no_headers`].
pub fn render_one(group: &str, kind: &str, object: &Value, options: TableOptions, now: Timestamp) -> Value {
    let printer = printer(group, kind);
    let meta = ListMeta {
        resource_version: text(object, "metadata.resourceVersion").to_owned(),
        ..ListMeta::default()
    };
    let row = table_row(printer, object, (printer.cells)(object, now), options);
    table(printer, meta.to_value(), vec![row], options)
}

/// [`render`] for a custom kind.
pub fn render_custom<'a>(
    columns: &Columns,
    objects: impl IntoIterator<Item = &'a Value>,
    meta: &ListMeta,
    options: TableOptions,
    now: Timestamp,
) -> Value {
    let rows: Vec<Value> =
        objects.into_iter().map(|o| table_row(&DEFAULT, o, columns.cells(o, now), options)).collect();
    json!({
        "kind": "Table",
        "apiVersion": options.version.api_version(),
        "metadata": meta.to_value(),
        "columnDefinitions": if options.no_headers { Value::Null } else { columns.definitions() },
        "rows": rows,
    })
}

/// [`render_one`] for a custom kind.
pub fn render_custom_one(columns: &Columns, object: &Value, options: TableOptions, now: Timestamp) -> Value {
    let resource_version = text(object, "metadata.resourceVersion").to_owned();
    let meta = ListMeta { resource_version, ..ListMeta::default() };
    render_custom(columns, [object], &meta, options, now)
}

/// The object with nothing but its metadata: `as=PartialObjectMetadata`.
pub fn partial_object_metadata(object: &Value, version: MetaVersion) -> Value {
    let metadata = match at(object, "metadata") {
        metadata @ Value::Object(_) => metadata.clone(),
        _ => Value::Object(Map::new()),
    };
    json!({"kind": "PartialObjectMetadata", "apiVersion": version.api_version(), "metadata": metadata})
}

/// The list form of [`partial_object_metadata`]: `as=PartialObjectMetadataList`.
pub fn partial_object_metadata_list<'a>(
    objects: impl IntoIterator<Item = &'a Value>,
    meta: &ListMeta,
    version: MetaVersion,
) -> Value {
    let items: Vec<Value> = objects.into_iter().map(|o| partial_object_metadata(o, version)).collect();
    json!({
        "kind": "PartialObjectMetadataList",
        "apiVersion": version.api_version(),
        "metadata": meta.to_value(),
        "items": items,
    })
}

fn table(printer: &Printer, metadata: Value, rows: Vec<Value>, options: TableOptions) -> Value {
    // The aggregator prints APIServices itself and never leaves the headers out.
    let headers = !options.no_headers || printer.kind == "APIService";
    json!({
        "kind": "Table",
        "apiVersion": options.version.api_version(),
        "metadata": metadata,
        "columnDefinitions": if headers { definitions(printer.columns) } else { Value::Null },
        "rows": rows,
    })
}

fn definitions(columns: &[Column]) -> Value {
    let definition = |c: &Column| {
        json!({
            "name": c.name,
            "type": c.type_,
            "format": c.format,
            "description": c.description,
            "priority": c.priority,
        })
    };
    columns.iter().map(definition).collect()
}

fn table_row(printer: &Printer, object: &Value, cells: Vec<Value>, options: TableOptions) -> Value {
    let mut row = Map::new();
    row.insert("cells".into(), Value::Array(cells));
    if is(printer, "", "Pod")
        && let Some(condition) = pod::completed(object)
    {
        row.insert("conditions".into(), json!([condition]));
    }
    let carried = match options.include {
        IncludeObject::None => Value::Null,
        IncludeObject::Metadata => partial_object_metadata(object, options.version),
        IncludeObject::Object => object.clone(),
    };
    row.insert("object".into(), carried);
    Value::Object(row)
}

/// How one kind is printed.
struct Printer {
    group: &'static str,
    kind: &'static str,
    columns: &'static [Column],
    cells: fn(&Value, Timestamp) -> Vec<Value>,
}

static PRINTERS: &[&[Printer]] = &[
    pod::PRINTERS,
    workloads::PRINTERS,
    autoscaling::PRINTERS,
    network::PRINTERS,
    cluster::PRINTERS,
    storage::PRINTERS,
    admission::PRINTERS,
    devices::PRINTERS,
    evictions::PRINTERS,
];

/// Kinds whose storage prints nothing but name and creation time: Role, ClusterRole, LimitRange,
/// CSIStorageCapacity, CustomResourceDefinition and all that has no printer.
static DEFAULT: Printer = Printer {
    group: "",
    kind: "",
    columns: &[NAME, Column { type_: "date", ..string("Created At", "When the object was created.") }],
    cells: |object, _| {
        let created = time(at(object, "metadata.creationTimestamp"));
        // The zero time of the API's own clock type.
        cells![
            text(object, "metadata.name"),
            created.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), Timestamp::rfc3339),
        ]
    },
};

fn find(group: &str, kind: &str) -> Option<&'static Printer> {
    PRINTERS.iter().copied().flatten().find(|p| p.kind == kind && p.group == group)
}

fn printer(group: &str, kind: &str) -> &'static Printer {
    find(group, kind).unwrap_or(&DEFAULT)
}

fn is(printer: &Printer, group: &str, kind: &str) -> bool {
    printer.kind == kind && printer.group == group
}

/// The identifying column that nearly every kind begins with.
const NAME: Column = Column { format: "name", ..string("Name", "Name of the object.") };
/// Time since creation.
const AGE: Column = string("Age", "Time since the object was created.");
/// The three wide columns of everything that makes pods from a template.
const CONTAINERS: Column = string("Containers", "Names of the template's containers.").wide();
const IMAGES: Column = string("Images", "Images of the template's containers.").wide();
const SELECTOR: Column = string("Selector", "Labels of the pods that belong to the object.").wide();

const fn string(name: &'static str, description: &'static str) -> Column {
    Column { name, type_: "string", format: "", priority: 0, description }
}

const fn integer(name: &'static str, description: &'static str) -> Column {
    Column { name, type_: "integer", format: "", priority: 0, description }
}

const fn boolean(name: &'static str, description: &'static str) -> Column {
    Column { name, type_: "boolean", format: "", priority: 0, description }
}

impl Column {
    const fn wide(self) -> Self {
        Self { priority: 1, ..self }
    }
}

#[cfg(test)]
mod tests;
