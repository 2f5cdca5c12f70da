//! Errors as the API server says them: `meta/v1 Status` with code, reason and causes.
//!
//! Contract: Kubernetes apimachinery/pkg/api/errors and meta/v1 StatusReason; client logic depends on
//! code and reason, people on the message.

use serde_json::{Map, Value, json};

use crate::kind::KindId;

/// One cause of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldManagerConflict`, `DisruptionBudget`, …
    pub reason: String,
    /// The text.
    pub message: String,
    /// Field path, where one is to blame.
    pub field: Option<String>,
}

/// A refusal: what goes over the wire as a `Status` object.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason, like `NotFound`.
    pub reason: &'static str,
    /// What a person reads.
    pub message: String,
    /// `details`: name, group, kind, uid, retryAfterSeconds.
    pub details: Box<Map<String, Value>>,
    /// `details.causes`.
    pub causes: Vec<Cause>,
    /// `metadata.continue`: how a list whose token expired can go on.
    pub continue_token: Option<Box<str>>,
    /// What the client is to be warned of all the same: `Warning:` headers.
    pub warnings: Vec<String>,
}

impl ApiError {
    /// An error without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Box::default(),
            causes: Vec::new(),
            continue_token: None,
            warnings: Vec::new(),
        }
    }

    /// Adds name and resource, as clients print them.
    #[must_use]
    pub fn about(mut self, kind: KindId, name: &str) -> Self {
        let info = kind.info();
        self.details.insert("name".into(), name.into());
        if !info.group.is_empty() {
            self.details.insert("group".into(), info.group.clone().into());
        }
        self.details.insert("kind".into(), info.plural.clone().into());
        self
    }

    /// Adds a cause.
    #[must_use]
    pub fn cause(mut self, reason: &str, message: impl Into<String>, field: Option<&str>) -> Self {
        self.causes.push(Cause {
            reason: reason.to_owned(),
            message: message.into(),
            field: field.map(str::to_owned),
        });
        self
    }

    /// Adds what was found before the refusal: a refused request loses no warning
    /// (apiserver/pkg/endpoints/filters/warning.go writes each as it comes).
    #[must_use]
    pub fn warned(mut self, warnings: &[String]) -> Self {
        self.warnings.extend_from_slice(warnings);
        self
    }

    /// Tells the client when to come back.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.details.insert("retryAfterSeconds".into(), seconds.into());
        self
    }

    /// 404 for an object.
    pub fn not_found(kind: KindId, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} \"{name}\" not found", kind.resource_name())).about(kind, name)
    }

    /// 404 for a path that serves nothing.
    pub fn no_route() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    /// 409 for a name that is taken.
    pub fn already_exists(kind: KindId, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{} \"{name}\" already exists", kind.resource_name()))
            .about(kind, name)
    }

    /// 409 for a write on an old version.
    pub fn conflict(kind: KindId, name: &str, why: &str) -> Self {
        Self::new(
            409,
            "Conflict",
            format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.resource_name()),
        )
        .about(kind, name)
    }

    /// 409 because another write came first.
    pub fn stale(kind: KindId, name: &str) -> Self {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(kind, name, why)
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 403 for an object.
    pub fn forbidden(kind: KindId, name: &str, why: &str) -> Self {
        Self::new(403, "Forbidden", format!("{} \"{name}\" is forbidden: {why}", kind.resource_name()))
            .about(kind, name)
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    /// 410: the version asked for is no longer held.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 415.
    pub fn unsupported_media(message: impl Into<String>) -> Self {
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 422 from `Status` JSON that the kinds crate made.
    pub fn from_status(status: &Value) -> Self {
        let causes = status["details"]["causes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut details = status["details"].as_object().cloned().unwrap_or_default();
        details.remove("causes");
        Self {
            code: status["code"].as_u64().and_then(|c| u16::try_from(c).ok()).unwrap_or(422),
            reason: "Invalid",
            message: status["message"].as_str().unwrap_or_default().to_owned(),
            details: Box::new(details),
            causes: causes
                .iter()
                .map(|c| Cause {
                    reason: c["reason"].as_str().unwrap_or_default().to_owned(),
                    message: c["message"].as_str().unwrap_or_default().to_owned(),
                    field: c["field"].as_str().map(str::to_owned),
                })
                .collect(),
            continue_token: None,
            warnings: Vec::new(),
        }
    }

    /// The `Status` object of this error.
    pub fn to_status(&self) -> Value {
        let mut details = self.details.clone();
        if !self.causes.is_empty() {
            let causes = self.causes.iter().map(|c| {
                let mut cause = json!({"reason": c.reason, "message": c.message});
                if let Some(field) = &c.field {
                    cause["field"] = field.clone().into();
                }
                cause
            });
            details.insert("causes".into(), causes.collect());
        }
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Failure", "message": self.message, "reason": self.reason, "code": self.code,
        });
        if let Some(token) = &self.continue_token {
            status["metadata"]["continue"] = (**token).into();
        }
        if !details.is_empty() {
            status["details"] = Value::Object(*details);
        }
        status
    }
}
