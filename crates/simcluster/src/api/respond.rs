//! Answers: content negotiation, Status, Table, metadata only.

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use kiban_base::clock::Timestamp;
use kiban_kinds::custom::columns::Columns;
use kiban_kinds::tables::{self, IncludeObject, MetaVersion, TableOptions};
use kiban_runtime::http::Body;
use serde_json::Value;

use crate::kind::KindId;
use crate::object::Stored;
use crate::status::ApiError;

/// The form in which objects are answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Form {
    /// The objects.
    #[default]
    Object,
    /// A `Table`.
    Table(MetaVersion),
    /// `PartialObjectMetadata`, alone or as a list.
    Metadata(MetaVersion),
}

/// What the client accepts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Accept {
    /// Form of objects.
    pub(super) form: Form,
    /// Aggregated discovery is wanted in this version (`v2`, `v2beta1`).
    pub(super) aggregated: Option<&'static str>,
    /// An OpenAPI v2 document is wanted as protobuf.
    pub(super) swagger_proto: bool,
}

/// OpenAPI v2 as protobuf: how it is asked for and named in the answer, and its older name.
pub(super) const SWAGGER_PROTO: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const SWAGGER_PROTO_ASKED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

impl Accept {
    /// Reads an Accept header; the first entry that can be served wins.
    ///
    /// # Errors
    /// 406 where nothing can.
    pub(super) fn parse(header: &str) -> Result<Self, ApiError> {
        if header.trim().is_empty() {
            return Ok(Self::default());
        }
        header.split(',').find_map(Self::entry).ok_or_else(|| {
            ApiError::new(
                406,
                "NotAcceptable",
                "only the following media types are accepted: application/json, application/yaml",
            )
        })
    }

    fn entry(entry: &str) -> Option<Self> {
        let mut parts = entry.split(';').map(str::trim);
        let media = parts.next()?;
        if matches!(media, SWAGGER_PROTO | SWAGGER_PROTO_ASKED) {
            return Some(Self { swagger_proto: true, ..Self::default() });
        }
        if !matches!(
            media,
            "application/json" | "application/yaml" | "application/*" | "*/*" | "text/plain" | "text/*"
        ) {
            return None;
        }
        let (mut kind, mut group, mut version) = ("", "", "");
        for part in parts {
            match part.split_once('=') {
                Some(("as", v)) => kind = v,
                Some(("g", v)) => group = v,
                Some(("v", v)) => version = v,
                _ => {}
            }
        }
        let meta = match version {
            "v1" => Some(MetaVersion::V1),
            "v1beta1" => Some(MetaVersion::V1Beta1),
            _ => None,
        };
        let discovery = ["v2", "v2beta1"].into_iter().find(|v| *v == version);
        let plain = Self::default();
        match (kind, group) {
            ("", _) => Some(plain),
            ("Table", "meta.k8s.io") => meta.map(|v| Self { form: Form::Table(v), ..plain }),
            ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io") => {
                meta.map(|v| Self { form: Form::Metadata(v), ..plain })
            }
            ("APIGroupDiscoveryList", "apidiscovery.k8s.io") => {
                discovery.map(|v| Self { aggregated: Some(v), ..plain })
            }
            _ => None,
        }
    }
}

/// Which part of the object a Table row carries (`includeObject`).
pub(super) fn include(text: &str) -> Result<IncludeObject, ApiError> {
    IncludeObject::parse(text).map_err(|e| ApiError::bad_request(e.to_string()))
}

/// A JSON answer.
pub(super) fn json(code: u16, bytes: impl Into<Bytes>) -> Response<Body> {
    respond(code, "application/json", Body::full(bytes))
}

/// A JSON answer of a value.
pub(super) fn value(code: u16, value: &Value) -> Response<Body> {
    json(code, serde_json::to_vec(value).unwrap_or_default())
}

/// Plain text.
pub(super) fn text(text: impl Into<Bytes>) -> Response<Body> {
    respond(200, "text/plain; charset=utf-8", Body::full(text))
}

/// An answer with any body.
pub(super) fn respond(code: u16, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A refusal.
pub(super) fn error(error: &ApiError) -> Response<Body> {
    let mut response = value(error.code, &error.to_status());
    if let Some(seconds) = error.details.get("retryAfterSeconds").and_then(Value::as_u64) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    warn(response, &error.warnings)
}

/// One object in the form asked for.
pub(super) fn object(
    code: u16,
    object: &Stored,
    form: &Form,
    include: IncludeObject,
    now: Timestamp,
    columns: Option<&Columns>,
) -> Response<Body> {
    match form {
        Form::Object => json(code, object.json.clone()),
        _ => value(code, &printed(object.kind, &object.value(), form, include, now, (true, columns))),
    }
}

/// [`converted`], with the columns of a custom kind.
pub(super) fn printed(
    kind: KindId,
    object: &Value,
    form: &Form,
    include: IncludeObject,
    now: Timestamp,
    (with_columns, columns): (bool, Option<&Columns>),
) -> Value {
    match (form, columns) {
        (Form::Table(version), Some(columns)) => {
            let options = TableOptions { include, no_headers: !with_columns, version: *version };
            tables::render_custom_one(columns, object, options, now)
        }
        _ => converted(kind, object, form, include, now, with_columns),
    }
}

/// An object as a one-row Table or as its metadata.
pub(super) fn converted(
    kind: KindId,
    object: &Value,
    form: &Form,
    include: IncludeObject,
    now: Timestamp,
    with_columns: bool,
) -> Value {
    let info = kind.info();
    match form {
        Form::Object => object.clone(),
        Form::Table(version) => {
            let options = TableOptions { include, no_headers: !with_columns, version: *version };
            tables::render_one(&info.group, &info.kind, object, options, now)
        }
        Form::Metadata(version) => tables::partial_object_metadata(object, *version),
    }
}

/// Adds `Warning:` headers, as clients print them, each once.
pub(super) fn warn(mut response: Response<Body>, warnings: &[String]) -> Response<Body> {
    for (i, warning) in warnings.iter().enumerate() {
        if warnings.iter().take(i).any(|before| before == warning) {
            continue;
        }
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\r'], " ");
        if let Ok(text) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append("warning", text);
        }
    }
    response
}
