//! Request bodies: bounded reading, and decoding of JSON, YAML and protobuf.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use kiban_schema::json::{self, Document};
use kiban_schema::table::Schema;
use kiban_schema::{proto, strict};
use serde_json::Value;

use super::{Call, custom};
use crate::kind::KindId;
use crate::status::ApiError;

/// Largest body: the API server's `--max-request-bytes` for everything but streams.
const MAX_BODY: usize = 3 << 20;

/// How much of a body that is too large is read and thrown away before the answer.
const MAX_DRAINED: usize = 64 << 20;

/// How long a client may take to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads a body whole.
pub(super) async fn read(body: Incoming, encoding: String) -> Result<Bytes, ApiError> {
    if !encoding.is_empty() && encoding != "identity" {
        return Err(ApiError::unsupported_media(format!("content encoding {encoding} is not supported")));
    }
    match tokio::time::timeout(BODY_TIMEOUT, collect(body)).await {
        Ok(answer) => answer,
        Err(_) => Err(ApiError::new(408, "Timeout", "the request body did not arrive in time")),
    }
}

/// Reads to the end, or as far as is bearable: clients that are answered in the midst of a body take its end for
/// the connection's, and never see the answer.
async fn collect<B: Body<Data = Bytes> + Unpin>(mut body: B) -> Result<Bytes, ApiError> {
    let mut whole = BytesMut::new();
    let mut seen = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::bad_request("the request body ended early"))?;
        let Ok(data) = frame.into_data() else { continue };
        seen = seen.saturating_add(data.len());
        if seen <= MAX_BODY {
            whole.extend_from_slice(&data);
        } else {
            whole = BytesMut::new();
        }
        if seen > MAX_DRAINED {
            break;
        }
    }
    if seen > MAX_BODY {
        let message = format!("Request entity too large: limit is {MAX_BODY}");
        return Err(ApiError::new(413, "RequestEntityTooLarge", message));
    }
    Ok(whole.freeze())
}

/// A decoded object and what its fields were warned about.
pub(super) struct Decoded {
    /// The object, without unknown fields.
    pub(super) value: Value,
    /// For `Warning:` headers.
    pub(super) warnings: Vec<String>,
}

/// The media type without parameters.
pub(super) fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Decodes an object that should be of `kind`; its `apiVersion` and `kind` may be missing.
///
/// # Errors
/// 400 for what cannot be read, 415 for other media types.
pub(super) fn object(call: &Call, kind: KindId) -> Result<Decoded, ApiError> {
    let document = plain(call, Some(kind))?;
    expect_kind(&document.value, kind)?;
    check_of(call, document, kind)
}

/// [`check`] for a body of this request, whose kind may be a custom one.
pub(super) fn check_of(call: &Call, document: Document, kind: KindId) -> Result<Decoded, ApiError> {
    let validation = call.params.field_validation.as_str();
    match call.customs.version(kind) {
        Some(version) => {
            check_validation(validation)?;
            custom::check(version, document, validation)
        }
        None => check(document, kind, validation),
    }
}

/// Decodes a body to plain JSON; `kind` is what a protobuf body that does not say is taken for.
pub(super) fn plain(call: &Call, kind: Option<KindId>) -> Result<Document, ApiError> {
    match media_type(&call.content_type) {
        "" | "application/json" | "*/*" => from_json(&call.body),
        "application/yaml" => from_yaml(&call.body).map(Document::from),
        "application/vnd.kubernetes.protobuf" => {
            let version = kind.map(KindId::api_version).unwrap_or_default();
            let default = kind.map(|k| (version.as_str(), k.info().kind.as_str()));
            let decoded = proto::decode_envelope_or(Schema::builtin(), &call.body, default);
            decoded.map(|e| e.value.into()).map_err(|e| ApiError::bad_request(e.to_string()))
        }
        other => Err(ApiError::unsupported_media(format!(
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf (got {other})"
        ))),
    }
}

/// Reads JSON, with the keys that occur twice.
pub(super) fn from_json(bytes: &[u8]) -> Result<Document, ApiError> {
    json::parse(bytes).map_err(|e| ApiError::bad_request(format!("couldn't get version/kind; {e}")))
}

/// Reads one YAML document.
pub(super) fn from_yaml(bytes: &[u8]) -> Result<Value, ApiError> {
    let bad = |e: &dyn std::fmt::Display| ApiError::bad_request(format!("error decoding YAML: {e}"));
    let mut documents = kiban_model::yaml::manifests("the request body", bytes).map_err(|e| bad(&e))?;
    match documents.len() {
        1 => Ok(documents.remove(0).value),
        n => Err(bad(&format!("expected one document, found {n}"))),
    }
}

fn expect_kind(value: &Value, kind: KindId) -> Result<(), ApiError> {
    let info = kind.info();
    let given = |key: &str| value[key].as_str().unwrap_or_default();
    let (version, name) = (given("apiVersion"), given("kind"));
    let right =
        (version.is_empty() || version == kind.api_version()) && (name.is_empty() || name == info.kind);
    if right {
        return Ok(());
    }
    Err(ApiError::bad_request(format!(
        "the API version in the data ({version}) and kind ({name}) do not match the expected {}, Kind={}",
        kind.api_version(),
        info.kind
    )))
}

/// Holds a document to its type: wrong types are refused, unknown fields refused, warned of or dropped.
pub(super) fn check(document: Document, kind: KindId, validation: &str) -> Result<Decoded, ApiError> {
    check_validation(validation)?;
    let info = kind.info();
    let refused = |e: &strict::DecodeError| {
        ApiError::bad_request(strict::cannot_be_handled(&info.kind, &info.version, e))
    };
    let decoded = strict::decode(Schema::builtin(), info.type_id, document).map_err(|e| refused(&e))?;
    if validation == "Strict" && !decoded.findings.is_empty() {
        return Err(refused(&strict::strict_error(&decoded.findings)));
    }
    let warnings = if validation == "Ignore" { Vec::new() } else { decoded.findings };
    Ok(Decoded { value: decoded.value, warnings })
}

fn check_validation(validation: &str) -> Result<(), ApiError> {
    if matches!(validation, "" | "Ignore" | "Warn" | "Strict") {
        return Ok(());
    }
    let text =
        format!("Unsupported value: \"{validation}\": supported values: \"Ignore\", \"Warn\", \"Strict\"");
    Err(ApiError::new(422, "Invalid", format!("fieldValidation: {text}")).cause(
        "FieldValueNotSupported",
        text,
        Some("fieldValidation"),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use hyper::body::Frame;

    use super::*;

    /// So many pieces of a MiB each.
    struct Pieces(usize);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let Some(rest) = self.0.checked_sub(1) else { return Poll::Ready(None) };
            self.0 = rest;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![0; 1 << 20])))))
        }
    }

    fn read(body: &mut Pieces) -> Result<Bytes, ApiError> {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(collect(body))
    }

    #[test]
    fn a_body_that_is_too_large_is_read_to_its_end_before_the_answer_unless_it_has_none() {
        assert_eq!(read(&mut Pieces(3)).unwrap().len(), MAX_BODY);
        let mut large = Pieces(60);
        let error = read(&mut large).unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (413, "Request entity too large: limit is 3145728"));
        assert_eq!(large.0, 0);
        let mut endless = Pieces(usize::MAX);
        assert_eq!(read(&mut endless).unwrap_err().code, 413);
        assert_eq!(usize::MAX - endless.0, (MAX_DRAINED >> 20) + 1);
    }
}
