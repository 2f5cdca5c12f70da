//! Lists: selectors, pages at a stable revision, the forms of the answer.
//!
//! Contract: Kubernetes apiserver/pkg/storage/continue.go and
//! apimachinery/pkg/apis/meta/internalversion/validation.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{Bytes, BytesMut};
use hyper::Response;
use kiban_base::selector::{FieldSelector, LabelSelector, Lookup};
use kiban_kinds::custom::jsonpath::JsonPath;
use kiban_kinds::fields;
use kiban_kinds::tables::{self, ListMeta, TableOptions};
use kiban_runtime::http::Body;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::path::Target;
use super::respond::Form;
use super::{Api, Call, custom, respond, twin};
use crate::custom::Version;
use crate::kind::KindId;
use crate::object::{Key, Stored};
use crate::status::ApiError;
use crate::store::Objects;

/// Lists larger than this go out in pieces of this size, so that a big list is never held twice.
const PIECE: usize = 256 << 10;

/// Looks selectable fields up in an object's header; one that is not set is empty.
struct FieldsOf<'a>(&'a Stored);

/// Fields of a custom object that can be asked for.
struct CustomFieldsOf<'a>(&'a Stored, BTreeMap<&'a str, String>);

impl Lookup for CustomFieldsOf<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        Some(self.1.get(key).map_or_else(|| self.0.field(key).unwrap_or_default(), String::as_str))
    }
}

/// The paths to the fields that a selector names, of those that a custom kind can be selected by.
fn custom_fields(version: &Version, selector: &FieldSelector) -> Result<Vec<(String, JsonPath)>, ApiError> {
    let mut out = Vec::new();
    for requirement in selector.requirements() {
        let name = requirement.field.as_str();
        if name == "metadata.name" || (name == "metadata.namespace" && version.info.namespaced) {
            continue;
        }
        let found = version.selectable.iter().find(|(own, _)| own == name);
        let known =
            found.ok_or_else(|| ApiError::bad_request(format!("field label not supported: {name}")))?;
        out.push(known.clone());
    }
    Ok(out)
}

impl Lookup for FieldsOf<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        Some(self.0.field(key).unwrap_or_default())
    }
}

/// Which objects a list or watch is about.
pub(super) struct Filter {
    namespace: String,
    labels: LabelSelector,
    fields: FieldSelector,
    /// Fields of a custom kind that are asked for, with the paths to them.
    paths: Vec<(String, JsonPath)>,
}

impl Filter {
    /// Reads the selectors of a call.
    ///
    /// # Errors
    /// 400 for what is no selector, and for fields that the kind does not select by.
    pub(super) fn of(target: &Target, call: &Call) -> Result<Self, ApiError> {
        let labels = LabelSelector::parse(&call.params.label_selector)
            .map_err(|e| ApiError::bad_request(format!("unable to parse label selector: {e}")))?;
        let fields = FieldSelector::parse(&call.params.field_selector)
            .map_err(|e| ApiError::bad_request(format!("unable to parse field selector: {e}")))?;
        let info = target.kind.info();
        let mut paths = Vec::new();
        let fields = match call.customs.version(target.kind) {
            Some(version) => {
                paths = custom_fields(version, &fields)?;
                fields
            }
            None => fields::supported(&info.group, &info.version, &info.kind, &fields)
                .map_err(|e| ApiError::bad_request(e.to_string()))?,
        };
        Ok(Self { namespace: target.namespace.clone(), labels, fields, paths })
    }

    /// The object is among those asked for.
    pub(super) fn matches(&self, object: &Stored) -> bool {
        (self.namespace.is_empty() || *self.namespace == *object.key.namespace)
            && self.labels.matches(object)
            && self.fields_match(object)
    }

    fn fields_match(&self, object: &Stored) -> bool {
        if self.paths.is_empty() {
            return self.fields.matches(&FieldsOf(object));
        }
        let value = object.value();
        let found = self.paths.iter().map(|(name, path)| {
            let text = match path.first(&value) {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            };
            (name.as_str(), text)
        });
        self.fields.matches(&CustomFieldsOf(object, found.collect()))
    }

    fn selects(&self) -> bool {
        !self.labels.is_everything() || !self.fields.is_everything()
    }
}

/// A continue token: where the next page starts, at which revision.
#[derive(Debug, Serialize, Deserialize)]
struct Continue {
    v: String,
    rv: i64,
    start: String,
}

impl Continue {
    fn encode(revision: u64, after: &Key, namespace: &str) -> String {
        // The API server's token holds the key relative to the listed prefix, with a zero byte
        // behind it: the first key that is larger.
        let start = if namespace.is_empty() && !after.namespace.is_empty() {
            format!("{}/{}\0", after.namespace, after.name)
        } else {
            format!("{}\0", after.name)
        };
        let token = Self { v: "meta.k8s.io/v1".into(), rv: i64::try_from(revision).unwrap_or(-1), start };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }

    fn decode(text: &str, kind: KindId, namespace: &str) -> Result<(i64, Key), ApiError> {
        let bad = || ApiError::bad_request("continue key is not valid");
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| bad())?;
        let token: Self = serde_json::from_slice(&bytes).map_err(|_| bad())?;
        if token.v != "meta.k8s.io/v1" {
            return Err(bad());
        }
        let start = token.start.strip_suffix('\0').ok_or_else(bad)?;
        let key = match start.split_once('/') {
            Some((ns, name)) if namespace.is_empty() && kind.info().namespaced => Key::new(ns, name),
            Some(_) => return Err(bad()),
            None => Key::new(namespace, start),
        };
        Ok((token.rv, key))
    }
}

/// The objects of a list and what its metadata says.
struct Page {
    objects: Vec<Arc<Stored>>,
    meta: ListMeta,
}

impl Api {
    pub(super) fn list(&self, target: &Target, call: &Call) -> Result<Response<Body>, ApiError> {
        let filter = Filter::of(target, call)?;
        check_list(call)?;
        let mut page = self.page(target, call, &filter)?;
        page.objects =
            page.objects.into_iter().map(|o| custom::view(&call.customs, target.kind, o)).collect();
        let include = respond::include(&call.params.include_object)?;
        let info = target.kind.info();
        let values = || page.objects.iter().map(|o| o.value()).collect::<Vec<_>>();
        match &call.accept.form {
            Form::Object => {
                let custom = call.customs.version(target.kind).map(|v| v.list_kind.clone());
                let list_kind = custom.unwrap_or_else(|| format!("{}List", info.kind));
                Ok(stream(target.kind, &list_kind, &page.meta, page.objects))
            }
            Form::Table(version) => {
                let options = TableOptions { include, no_headers: false, version: *version };
                let now = self.cluster.now();
                let table = match call.customs.version(target.kind) {
                    Some(v) => tables::render_custom(&v.columns, &values(), &page.meta, options, now),
                    None => tables::render(&info.group, &info.kind, &values(), &page.meta, options, now),
                };
                Ok(respond::value(200, &table))
            }
            Form::Metadata(version) => Ok(respond::value(
                200,
                &tables::partial_object_metadata_list(&values(), &page.meta, *version),
            )),
        }
    }

    /// Objects of the kind as they were at `revision`.
    fn objects_at(&self, kind: KindId, revision: u64) -> Result<(Objects, u64), ApiError> {
        let state = self.cluster.snapshot();
        if revision > state.revision {
            return Err(too_large(revision, state.revision));
        }
        let changes = self.cluster.store().changes(kind, revision, usize::MAX).map_err(|e| {
            ApiError::expired(format!(
                "The resourceVersion for the provided list is too old: {} ({})",
                e.asked, e.oldest
            ))
        })?;
        let mut objects = state.objects(kind).clone();
        for change in changes.iter().rev().filter(|c| c.revision <= state.revision) {
            match &change.old {
                Some(old) => objects.insert(old.key.clone(), old.clone()),
                None => objects.remove(&change.new.key),
            };
        }
        Ok((objects, revision))
    }

    fn page(&self, target: &Target, call: &Call, filter: &Filter) -> Result<Page, ApiError> {
        let (params, kind) = (&call.params, twin::kept_kind(target.kind));
        let asked = revision(&params.resource_version)?;
        let (objects, at, start) = if !params.continue_token.is_empty() {
            let (at, start) = Continue::decode(&params.continue_token, target.kind, &target.namespace)?;
            self.continued(target, at, start)?
        } else if params.resource_version_match == "Exact" {
            let (objects, at) = self.objects_at(kind, asked)?;
            (objects, at, None)
        } else {
            let state = self.cluster.snapshot();
            if asked > state.revision {
                return Err(too_large(asked, state.revision));
            }
            (state.objects(kind).clone(), state.revision, None)
        };
        Ok(cut(&objects, at, start.as_ref(), target, filter, params.limit))
    }

    /// The objects that a continue token goes on with.
    fn continued(
        &self,
        target: &Target,
        at: i64,
        start: Key,
    ) -> Result<(Objects, u64, Option<Key>), ApiError> {
        let kind = twin::kept_kind(target.kind);
        // A negative revision is the token of an inconsistent continuation: whatever is there now.
        let Ok(at) = u64::try_from(at) else {
            let state = self.cluster.snapshot();
            return Ok((state.objects(kind).clone(), state.revision, Some(start)));
        };
        let (objects, at) = self.objects_at(kind, at).map_err(|e| {
            if e.code != 410 {
                return e;
            }
            let token = Continue { v: "meta.k8s.io/v1".into(), rv: -1, start: relative(&start, &target.namespace) };
            let token = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default());
            let mut expired = ApiError::expired(
                "The provided continue parameter is too old to display a consistent list result. Start a new list without it, or go on with the token in this answer, which gives the rest as it is now.",
            );
            expired.continue_token = Some(token.into());
            expired
        })?;
        Ok((objects, at, Some(start)))
    }
}

fn relative(key: &Key, namespace: &str) -> String {
    if namespace.is_empty() && !key.namespace.is_empty() {
        format!("{}/{}\0", key.namespace, key.name)
    } else {
        format!("{}\0", key.name)
    }
}

/// Cuts one page out of the objects.
fn cut(
    objects: &Objects,
    at: u64,
    start: Option<&Key>,
    target: &Target,
    filter: &Filter,
    limit: usize,
) -> Page {
    use std::ops::Bound;
    let from = match start {
        Some(key) => Bound::Excluded(key.clone()),
        None => Bound::Included(Key::new(target.namespace.as_str(), "")),
    };
    let mut range = objects
        .range((from, Bound::Unbounded))
        .map(|(_, o)| o)
        .take_while(|o| target.namespace.is_empty() || *target.namespace == *o.key.namespace);
    let mut page = Vec::new();
    let mut meta = ListMeta { resource_version: at.to_string(), ..ListMeta::default() };
    while let Some(object) = range.next() {
        if !filter.matches(object) {
            continue;
        }
        page.push(object.clone());
        if limit == 0 || page.len() < limit {
            continue;
        }
        let rest = if filter.selects() {
            range.filter(|o| filter.matches(o)).take(1).count()
        } else {
            range.count()
        };
        if rest > 0 {
            meta.continue_token = Continue::encode(at, &object.key, &target.namespace);
            if !filter.selects() {
                meta.remaining_item_count = i64::try_from(rest).ok();
            }
        }
        break;
    }
    Page { objects: page, meta }
}

/// Sends a list: its objects' bytes as they are stored.
fn stream(kind: KindId, list_kind: &str, meta: &ListMeta, objects: Vec<Arc<Stored>>) -> Response<Body> {
    let mut metadata = json!({"resourceVersion": meta.resource_version});
    if !meta.continue_token.is_empty() {
        metadata["continue"] = meta.continue_token.clone().into();
    }
    if let Some(count) = meta.remaining_item_count {
        metadata["remainingItemCount"] = count.into();
    }
    let head = format!(
        "{{\"kind\":\"{list_kind}\",\"apiVersion\":\"{}\",\"metadata\":{},\"items\":[",
        kind.api_version(),
        metadata
    );
    let total: usize = objects.iter().map(|o| o.json.len() + 1).sum();
    if total < PIECE {
        let mut whole = BytesMut::with_capacity(head.len() + total + 2);
        whole.extend_from_slice(head.as_bytes());
        append(&mut whole, &objects, true);
        whole.extend_from_slice(b"]}");
        return respond::json(200, whole.freeze());
    }
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        if sender.send(Bytes::from(head)).await.is_err() {
            return;
        }
        let mut rest = objects.as_slice();
        let mut first = true;
        while !rest.is_empty() {
            let mut size = 0;
            let count = rest
                .iter()
                .take_while(|o| {
                    let fits = size < PIECE;
                    size += o.json.len();
                    fits
                })
                .count();
            let (now, later) = rest.split_at(count);
            let mut piece = BytesMut::with_capacity(size + count);
            append(&mut piece, now, first);
            (rest, first) = (later, false);
            if sender.send(piece.freeze()).await.is_err() {
                return;
            }
        }
        let _ = sender.send(Bytes::from_static(b"]}")).await;
    });
    respond::respond(200, "application/json", Body::Stream(receiver))
}

fn append(out: &mut BytesMut, objects: &[Arc<Stored>], mut first: bool) {
    for object in objects {
        if !std::mem::take(&mut first) {
            out.extend_from_slice(b",");
        }
        out.extend_from_slice(&object.json);
    }
}

/// Reads a resource version.
///
/// # Errors
/// 400 for what is none. Up to 1.37 Kubernetes answers 500 here, which it holds for a bug
/// (kubernetes/kubernetes#139485); the words are those of `ParseResourceVersion` in
/// apiserver/pkg/storage/api_object_versioner.go.
pub(super) fn revision(text: &str) -> Result<u64, ApiError> {
    if text.is_empty() {
        return Ok(0);
    }
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| {
        let why = if digits { "value out of range" } else { "invalid syntax" };
        ApiError::bad_request(format!(
            "resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": {why}"
        ))
    })
}

/// 504 for a revision that is yet to come.
pub(super) fn too_large(asked: u64, current: u64) -> ApiError {
    ApiError::new(504, "Timeout", format!("Timeout: Too large resource version: {asked}, current: {current}"))
        .cause("ResourceVersionTooLarge", "Too large resource version", None)
        .retry_after(1)
}

fn check_list(call: &Call) -> Result<(), ApiError> {
    let p = &call.params;
    let forbid = |field: &str, why: &str| {
        let text = format!("Forbidden: {why}");
        Err(ApiError::new(
            422,
            "Invalid",
            format!("ListOptions.meta.k8s.io \"\" is invalid: {field}: {text}"),
        )
        .cause("FieldValueForbidden", text, Some(field)))
    };
    if p.send_initial_events.is_some() {
        return forbid("sendInitialEvents", "sendInitialEvents is forbidden for list");
    }
    let matching = p.resource_version_match.as_str();
    if !matching.is_empty() {
        if p.resource_version.is_empty() {
            return forbid(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            );
        }
        if !p.continue_token.is_empty() {
            return forbid(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden when continue is provided",
            );
        }
        if !matches!(matching, "Exact" | "NotOlderThan") {
            let text =
                format!("Unsupported value: \"{matching}\": supported values: \"Exact\", \"NotOlderThan\"");
            return Err(ApiError::new(
                422,
                "Invalid",
                format!("ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: {text}"),
            )
            .cause("FieldValueNotSupported", text, Some("resourceVersionMatch")));
        }
        if matching == "Exact" && p.resource_version == "0" {
            return forbid(
                "resourceVersionMatch",
                "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            );
        }
    }
    if !p.continue_token.is_empty() && !matches!(p.resource_version.as_str(), "" | "0") {
        return Err(ApiError::bad_request("specifying resource version is not allowed when using continue"));
    }
    Ok(())
}
