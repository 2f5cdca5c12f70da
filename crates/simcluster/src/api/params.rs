//! Query parameters.
//!
//! Contract: meta/v1 ListOptions, PatchOptions, DeleteOptions.

use crate::status::ApiError;

/// Longest query that is looked at.
const MAX_QUERY: usize = 64 << 10;

/// The parameters that the API knows; unknown ones are let pass, as the API server does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Params {
    pub(super) label_selector: String,
    pub(super) field_selector: String,
    pub(super) limit: usize,
    pub(super) continue_token: String,
    pub(super) resource_version: String,
    pub(super) resource_version_match: String,
    pub(super) watch: bool,
    pub(super) timeout_seconds: Option<u64>,
    pub(super) allow_bookmarks: bool,
    pub(super) send_initial_events: Option<bool>,
    pub(super) field_manager: String,
    pub(super) field_validation: String,
    pub(super) dry_run: bool,
    pub(super) force: bool,
    pub(super) grace_period: Option<i64>,
    pub(super) propagation: String,
    pub(super) include_object: String,
    pub(super) container: String,
    pub(super) follow: bool,
    pub(super) previous: bool,
    pub(super) timestamps: bool,
    pub(super) tail_lines: Option<i64>,
    pub(super) since_seconds: Option<i64>,
    pub(super) since_time: String,
    pub(super) limit_bytes: Option<i64>,
    pub(super) verbose: bool,
}

impl Params {
    /// Reads a query string.
    ///
    /// # Errors
    /// 400 where a value is not what its parameter takes.
    pub(super) fn parse(query: &str) -> Result<Self, ApiError> {
        if query.len() > MAX_QUERY {
            return Err(ApiError::new(414, "RequestURITooLong", "the query is too long"));
        }
        let mut params = Self::default();
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let bad = || ApiError::bad_request("the query is not valid percent-encoded UTF-8");
            let key = percent_decode(key, true).ok_or_else(bad)?;
            let value = percent_decode(value, true).ok_or_else(bad)?;
            params.set(&key, value)?;
        }
        Ok(params)
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), ApiError> {
        match key {
            "labelSelector" => self.label_selector = value,
            "fieldSelector" => self.field_selector = value,
            "limit" => self.limit = number(key, &value)?.unwrap_or(0).try_into().unwrap_or(0),
            "continue" => self.continue_token = value,
            "resourceVersion" => self.resource_version = value,
            "resourceVersionMatch" => self.resource_version_match = value,
            "watch" => self.watch = flag(key, &value)?,
            "timeoutSeconds" => self.timeout_seconds = number(key, &value)?.and_then(|n| n.try_into().ok()),
            "allowWatchBookmarks" => self.allow_bookmarks = flag(key, &value)?,
            "sendInitialEvents" => self.send_initial_events = Some(flag(key, &value)?),
            "fieldManager" => self.field_manager = value,
            "fieldValidation" => self.field_validation = value,
            "dryRun" => self.dry_run = dry_run(&value)?,
            "force" => self.force = flag(key, &value)?,
            "gracePeriodSeconds" => self.grace_period = number(key, &value)?,
            "propagationPolicy" => self.propagation = value,
            "includeObject" => self.include_object = value,
            "container" => self.container = value,
            "follow" => self.follow = flag(key, &value)?,
            "previous" => self.previous = flag(key, &value)?,
            "timestamps" => self.timestamps = flag(key, &value)?,
            "tailLines" => self.tail_lines = number(key, &value)?,
            "sinceSeconds" => self.since_seconds = number(key, &value)?,
            "sinceTime" => self.since_time = value,
            "verbose" => self.verbose = flag(key, &value)?,
            "limitBytes" => self.limit_bytes = number(key, &value)?,
            _ => {}
        }
        Ok(())
    }
}

/// Go's ParseBool, and the API server's reading of a bare parameter as true.
fn flag(key: &str, value: &str) -> Result<bool, ApiError> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        other => Err(ApiError::bad_request(format!("invalid value for {key}: \"{other}\" is not a boolean"))),
    }
}

fn number(key: &str, value: &str) -> Result<Option<i64>, ApiError> {
    if value.is_empty() {
        return Ok(None);
    }
    let bad = || ApiError::bad_request(format!("invalid value for {key}: \"{value}\" is not an integer"));
    value.parse().map(Some).map_err(|_| bad())
}

/// Reads `dryRun`, which takes just `All`.
pub(super) fn dry_run(value: &str) -> Result<bool, ApiError> {
    match value {
        "" => Ok(false),
        "All" => Ok(true),
        other => Err(ApiError::new(
            422,
            "Invalid",
            format!("dryRun: Unsupported value: \"{other}\": supported values: \"All\""),
        )
        .cause(
            "FieldValueNotSupported",
            format!("Unsupported value: \"{other}\": supported values: \"All\""),
            Some("dryRun"),
        )),
    }
}

/// Decodes percent escapes; `form` also reads `+` as a space. `None` where that is no UTF-8.
pub(super) fn percent_decode(text: &str, form: bool) -> Option<String> {
    if !text.contains(['%', '+']) {
        return Some(text.to_owned());
    }
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' if form => b' ',
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(out).ok()
}
