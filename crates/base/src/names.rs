//! What Kubernetes accepts as names, keys and values, with the sentences that its API server answers.
//!
//! Each `check_*` returns every sentence that applies and an empty list for a good value; each `is_*`
//! answers the same question without building text. The sentences are part of the contract: clients
//! and users compare them.

/// Longest DNS label, label value, and name part of a label key.
pub const LABEL_MAX: usize = 63;
/// Longest DNS subdomain and ConfigMap key.
pub const SUBDOMAIN_MAX: usize = 253;

const LABEL_FMT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_FMT: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS1035_FMT: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const KEY_FMT: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const VALUE_FMT: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";

const LABEL_MSG: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
                         and must start and end with an alphanumeric character";
const SUBDOMAIN_MSG: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
                             '-' or '.', and must start and end with an alphanumeric character";
const DNS1035_MSG: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', \
                           start with an alphabetic character, and end with an alphanumeric character";
const KEY_MSG: &str = "must consist of alphanumeric characters, '-', '_' or '.', \
                       and must start and end with an alphanumeric character";
const VALUE_MSG: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' \
                         or '.', and must start and end with an alphanumeric character";

/// The sentence for a text of more than `max` bytes.
pub fn too_long(max: usize) -> String {
    format!("must be no more than {max} characters")
}

/// The sentence for a text that does not match a regular expression.
pub fn regex_error(message: &str, regex: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    if examples.is_empty() {
        return format!("{message} (regex used for validation is '{regex}')");
    }
    format!("{message} (e.g. {}regex used for validation is '{regex}')", examples.join(" or "))
}

/// A DNS label as RFC 1123 allows it: names of namespaces, containers, and most objects' parts.
pub fn is_dns1123_label(value: &str) -> bool {
    value.len() <= LABEL_MAX && label_shape(value)
}

/// Sentences for [`is_dns1123_label`].
pub fn check_dns1123_label(value: &str) -> Vec<String> {
    let mut errors = length(value, LABEL_MAX);
    if !label_shape(value) {
        errors.push(if subdomain_shape(value) {
            "must not contain dots".to_string()
        } else {
            regex_error(LABEL_MSG, LABEL_FMT, &["my-name", "123-abc"])
        });
    }
    errors
}

/// A DNS subdomain as RFC 1123 allows it: names of most objects.
pub fn is_dns1123_subdomain(value: &str) -> bool {
    value.len() <= SUBDOMAIN_MAX && subdomain_shape(value)
}

/// Sentences for [`is_dns1123_subdomain`].
pub fn check_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors = length(value, SUBDOMAIN_MAX);
    if !subdomain_shape(value) {
        errors.push(regex_error(SUBDOMAIN_MSG, SUBDOMAIN_FMT, &["example.com"]));
    }
    errors
}

/// A DNS label as RFC 1035 has it, starting with a letter: names of Services.
pub fn is_dns1035_label(value: &str) -> bool {
    value.len() <= LABEL_MAX && dns1035_shape(value)
}

/// Sentences for [`is_dns1035_label`].
pub fn check_dns1035_label(value: &str) -> Vec<String> {
    let mut errors = length(value, LABEL_MAX);
    if !dns1035_shape(value) {
        errors.push(regex_error(DNS1035_MSG, DNS1035_FMT, &["my-name", "abc-123"]));
    }
    errors
}

/// A wildcard host such as `*.example.com`: Ingress and Gateway hosts.
pub fn is_wildcard_subdomain(value: &str) -> bool {
    value.len() <= SUBDOMAIN_MAX && value.strip_prefix("*.").is_some_and(subdomain_shape)
}

/// Sentences for [`is_wildcard_subdomain`].
pub fn check_wildcard_subdomain(value: &str) -> Vec<String> {
    let mut errors = length(value, SUBDOMAIN_MAX);
    if !value.strip_prefix("*.").is_some_and(subdomain_shape) {
        let message = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, \
                       which must consist of lower case alphanumeric characters, '-' or '.' and end with an \
                       alphanumeric character";
        errors.push(regex_error(message, &format!(r"\*\.{SUBDOMAIN_FMT}"), &["*.example.com"]));
    }
    errors
}

/// A label key, annotation key or other qualified name: `[prefix/]name`.
pub fn is_qualified_name(value: &str) -> bool {
    let (prefix, name) = match value.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, value),
    };
    prefix.is_none_or(is_dns1123_subdomain) && name.len() <= LABEL_MAX && key_shape(name)
}

/// Sentences for [`is_qualified_name`].
pub fn check_qualified_name(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let key_error = || regex_error(KEY_MSG, KEY_FMT, &["MyName", "my.name", "123-abc"]);
    let name = match value.split_once('/') {
        None => value,
        Some((_, rest)) if rest.contains('/') => {
            errors.push(format!(
                "a valid label key {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                key_error()
            ));
            return errors;
        }
        Some((prefix, name)) => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".to_string());
            } else {
                errors
                    .extend(check_dns1123_subdomain(prefix).into_iter().map(|e| format!("prefix part {e}")));
            }
            name
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_string());
    } else {
        errors.extend(length(name, LABEL_MAX).into_iter().map(|e| format!("name part {e}")));
    }
    if !key_shape(name) {
        errors.push(format!("name part {}", key_error()));
    }
    errors
}

/// A label's value: empty, or alphanumeric at both ends with `-`, `_` and `.` between.
pub fn is_label_value(value: &str) -> bool {
    value.len() <= LABEL_MAX && (value.is_empty() || key_shape(value))
}

/// Sentences for [`is_label_value`].
pub fn check_label_value(value: &str) -> Vec<String> {
    let mut errors = length(value, LABEL_MAX);
    if !value.is_empty() && !key_shape(value) {
        errors.push(regex_error(VALUE_MSG, VALUE_FMT, &["MyValue", "my_value", "12345"]));
    }
    errors
}

/// A port's name as RFC 6335 has it, in lower case.
pub fn is_port_name(value: &str) -> bool {
    check_port_name(value).is_empty()
}

/// Sentences for [`is_port_name`].
pub fn check_port_name(value: &str) -> Vec<String> {
    let mut errors = length(value, 15);
    if value.is_empty() || !value.bytes().all(|b| b == b'-' || lower_alnum(b)) {
        errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_string());
    }
    if !value.bytes().any(|b| b.is_ascii_lowercase()) {
        errors.push("must contain at least one letter (a-z)".to_string());
    }
    if value.contains("--") {
        errors.push("must not contain consecutive hyphens".to_string());
    }
    if value.starts_with('-') || value.ends_with('-') {
        errors.push("must not begin or end with a hyphen".to_string());
    }
    errors
}

/// A port's number.
pub fn is_port_number(port: i64) -> bool {
    (1..=65535).contains(&port)
}

/// Sentences for [`is_port_number`].
pub fn check_port_number(port: i64) -> Vec<String> {
    if is_port_number(port) { Vec::new() } else { vec!["must be between 1 and 65535, inclusive".to_string()] }
}

/// An environment variable's name. Since Kubernetes 1.34 any printable ASCII but `=` is one.
pub fn is_env_var_name(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'=')
}

/// Sentences for [`is_env_var_name`].
pub fn check_env_var_name(value: &str) -> Vec<String> {
    if is_env_var_name(value) {
        return Vec::new();
    }
    vec![if value.is_empty() {
        "environment variable name must be non-empty".to_string()
    } else {
        "a valid environment variable name must consist only of printable ASCII characters other than '='"
            .to_string()
    }]
}

/// An environment variable's name that every shell and linter takes: letters, digits, `_`, `-`, `.`, no
/// digit first. Keys that `envFrom` imports were held to this before 1.34.
pub fn is_strict_env_var_name(value: &str) -> bool {
    check_strict_env_var_name(value).is_empty()
}

/// Sentences for [`is_strict_env_var_name`].
pub fn check_strict_env_var_name(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if !config_key_shape(value) || value.starts_with(|c: char| c.is_ascii_digit()) {
        let message = "a valid environment variable name must consist of alphabetic characters, digits, '_', \
                       '-', or '.', and must not start with a digit";
        let examples = ["my.env-name", "MY_ENV.NAME", "MyEnvName1"];
        errors.push(regex_error(message, "[-._a-zA-Z][-._a-zA-Z0-9]*", &examples));
    }
    errors.extend(parent_folder(value));
    errors
}

/// A key in a ConfigMap or Secret.
pub fn is_config_map_key(value: &str) -> bool {
    check_config_map_key(value).is_empty()
}

/// Sentences for [`is_config_map_key`].
pub fn check_config_map_key(value: &str) -> Vec<String> {
    let mut errors = length(value, SUBDOMAIN_MAX);
    if !config_key_shape(value) {
        let message = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        errors.push(regex_error(message, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    errors.extend(parent_folder(value));
    errors
}

/// A name that may become part of a path: `.`, `..`, `/` and `%` are taken (RBAC objects' names).
pub fn check_path_segment(value: &str) -> Vec<String> {
    if value == "." || value == ".." {
        return vec![format!("may not be '{value}'")];
    }
    ["/", "%"].iter().filter(|c| value.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// `prefix` of a `generateName`, made checkable by the rules for whole names: a trailing dash is allowed there.
pub fn mask_generate_name(prefix: &str) -> String {
    match prefix.strip_suffix('-') {
        // Upstream drops the character before the dash too; the result is only ever checked.
        Some(head) if !head.is_empty() => {
            let mut chars = head.chars();
            chars.next_back();
            format!("{}a", chars.as_str())
        }
        _ => prefix.to_string(),
    }
}

fn length(value: &str, max: usize) -> Vec<String> {
    if value.len() > max { vec![too_long(max)] } else { Vec::new() }
}

fn parent_folder(value: &str) -> Option<String> {
    match value {
        "." => Some("must not be '.'".to_string()),
        ".." => Some("must not be '..'".to_string()),
        v if v.starts_with("..") => Some("must not start with '..'".to_string()),
        _ => None,
    }
}

fn lower_alnum(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn label_shape(value: &str) -> bool {
    let bytes = value.as_bytes();
    bytes.first().is_some_and(|b| lower_alnum(*b))
        && bytes.last().is_some_and(|b| lower_alnum(*b))
        && bytes.iter().all(|b| *b == b'-' || lower_alnum(*b))
}

fn subdomain_shape(value: &str) -> bool {
    value.split('.').all(label_shape)
}

fn dns1035_shape(value: &str) -> bool {
    label_shape(value) && value.starts_with(|c: char| c.is_ascii_lowercase())
}

fn key_shape(value: &str) -> bool {
    let bytes = value.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && config_key_shape(value)
}

fn config_key_shape(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

#[cfg(test)]
mod tests;
