//! The app's settings: a ConfigMap for variables, one for files, and references to both.

use std::collections::BTreeMap;

use kiban_model::app::{CallTarget, EnvValue, ResourceKind, SecretUse};
use kiban_model::origin::child;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::meta;
use crate::facts::{Facts, Graph};
use crate::node::Node;
use crate::rules;

/// Hexadecimal digits of the hash in a ConfigMap's name: 40 bits, of which an app has a few in its life.
const HASH_DIGITS: usize = 10;

/// The settings of one app, ready to be referred to by its pods.
#[derive(Debug)]
pub(super) struct Config {
    /// Name and content of the variables' ConfigMap.
    variables: Option<(String, Node)>,
    /// Name and content of the files' ConfigMap.
    files: Option<(String, Node)>,
    /// Path in the container, key in the files' ConfigMap.
    file_keys: Vec<(String, String)>,
}

impl Config {
    pub(super) fn new(graph: &Graph<'_>, f: &Facts<'_>) -> Self {
        let variables = variables(graph, f);
        let mut files = Node::empty_map();
        let mut file_keys = Vec::new();
        for (path, content) in &f.r.files {
            let key = file_key(path, &file_keys);
            let origin = f.origin(&child("files", path));
            files.put(&key, Node::from(&rules::FILES, origin, content.as_str()));
            file_keys.push((path.to_string(), key));
        }
        let named = |kind: &str, data: Node| {
            let value = data.value();
            let is_empty = value.as_object().is_none_or(serde_json::Map::is_empty);
            (!is_empty).then(|| (format!("{}-{kind}-{}", f.name(), hash(&value)), data))
        };
        Self { variables: named("config", variables), files: named("files", files), file_keys }
    }

    /// The ConfigMaps.
    pub(super) fn objects(&self, f: &Facts<'_>) -> Vec<Node> {
        let object = |(name, data): &(String, Node)| {
            let name = Node::new(&rules::CONFIG_NAME, name.as_str());
            meta::header(f, "v1", "ConfigMap", name, f.name())
                .with("data", data.clone())
                .with("immutable", Node::new(&rules::CONFIG_IMMUTABLE, true))
        };
        self.variables.iter().chain(&self.files).map(object).collect()
    }

    /// `envFrom` of a container.
    pub(super) fn env_from(&self, f: &Facts<'_>) -> Option<Node> {
        let mut sources = Vec::new();
        if let Some((name, _)) = &self.variables {
            sources.push(Node::new(&rules::CONFIG_REF, json!({"configMapRef": {"name": name}})));
        }
        for (index, secret) in f.r.app.secrets.iter().enumerate() {
            if secret.used_as == SecretUse::Env {
                let origin = f.origin(&format!("secrets[{index}]"));
                let value = json!({"secretRef": {"name": secret.name.as_str()}});
                sources.push(Node::from(&rules::SECRET_ENV, origin, value));
            }
        }
        (!sources.is_empty()).then_some(Node::List(sources))
    }

    /// Volumes and mounts of a pod: files, secrets, writable folders.
    pub(super) fn volumes(&self, f: &Facts<'_>) -> (Vec<Node>, Vec<Node>) {
        let (mut volumes, mut mounts) = (Vec::new(), Vec::new());
        if let Some((name, _)) = &self.files {
            // 0444: settings are no secret, and files of images are read so.
            let volume = json!({"name": "files", "configMap": {"name": name, "defaultMode": 0o444}});
            volumes.push(Node::from(&rules::FILES, f.origin("files"), volume));
            for (path, key) in &self.file_keys {
                let mount = json!({"name": "files", "mountPath": path, "subPath": key, "readOnly": true});
                mounts.push(Node::from(&rules::FILES, f.origin(&child("files", path)), mount));
            }
        }
        secret_volumes(f, &mut volumes, &mut mounts);
        writable_volumes(f, &mut volumes, &mut mounts);
        (volumes, mounts)
    }
}

fn secret_volumes(f: &Facts<'_>, volumes: &mut Vec<Node>, mounts: &mut Vec<Node>) {
    for (index, secret) in f.r.app.secrets.iter().enumerate() {
        if secret.used_as != SecretUse::Files {
            continue;
        }
        let origin = f.origin(&format!("secrets[{index}]"));
        let name = format!("secret-{}", secret.name);
        // 0440: the app's group reads, nobody else.
        let volume =
            json!({"name": name, "secret": {"secretName": secret.name.as_str(), "defaultMode": 0o440}});
        let mount = json!({"name": name, "mountPath": secret.mount_path(), "readOnly": true});
        volumes.push(Node::from(&rules::SECRET_FILES, origin, volume));
        mounts.push(Node::from(&rules::SECRET_FILES, origin, mount));
    }
}

fn writable_volumes(f: &Facts<'_>, volumes: &mut Vec<Node>, mounts: &mut Vec<Node>) {
    let mut names: Vec<String> = Vec::new();
    for (path, folder) in &f.r.app.writable {
        let origin = f.origin(&child("writable", path));
        let name = volume_name(path, &names);
        // Without a size of its own a folder may hold what the replica may: its ephemeral disk.
        let size = folder.size.as_ref().or(f.r.resources.ephemeral.as_ref());
        let mut empty = serde_json::Map::new();
        if folder.memory {
            empty.insert("medium".to_owned(), "Memory".into());
        }
        if let Some(size) = size {
            empty.insert("sizeLimit".to_owned(), size.as_str().into());
        }
        let volume = json!({"name": name, "emptyDir": empty});
        volumes.push(Node::from(&rules::WRITABLE, origin, volume));
        mounts.push(Node::from(&rules::WRITABLE, origin, json!({"name": name, "mountPath": path.as_str()})));
        names.push(name);
    }
}

/// The variables that are plain text: the app's, and what follows from its calls.
fn variables(graph: &Graph<'_>, f: &Facts<'_>) -> Node {
    let mut data = Node::empty_map();
    data.put("KIBAN_APP", Node::new(&rules::ABOUT, f.name()));
    data.put("KIBAN_ENV", Node::new(&rules::ABOUT, f.r.env.as_str()));
    for (target, address) in addresses(graph, f) {
        let origin = f.origin(&child("calls", &target.to_string()));
        data.put(&variable_of(target), Node::from(&rules::CALL_ADDRESS, origin, address));
    }
    for (name, value) in &f.r.app.env {
        if let EnvValue::Text(text) = value {
            let origin = f.origin(&child("env", name));
            data.put(name, Node::from(&rules::CONFIG, origin, text.as_str()));
        }
    }
    data
}

/// The address of each target of `calls` that has one in this environment.
fn addresses<'a>(graph: &Graph<'a>, f: &Facts<'a>) -> Vec<(&'a CallTarget, String)> {
    let mut out: BTreeMap<String, (&'a CallTarget, String)> = BTreeMap::new();
    for edge in graph.calls_of(f.name()) {
        let Some((_, callee)) = graph.ends(edge) else { continue };
        let Some(port) = callee.service_port(edge.call.port.as_ref()) else { continue };
        let host = format!("{}.{}.svc", callee.name(), callee.namespace);
        let address = match (port.name, port.number) {
            ("http", 80) => format!("http://{host}"),
            ("https", 443) => format!("https://{host}"),
            (_, number) if port.protocol == kiban_model::app::Protocol::Http => {
                format!("http://{host}:{number}")
            }
            (_, number) => format!("{host}:{number}"),
        };
        out.insert(edge.target.to_string(), (edge.target, address));
    }
    for target in f.r.app.calls.keys() {
        let CallTarget::Resource { kind, .. } = target else { continue };
        let external = f.r.platform.external(target);
        if let Some(host) = external.and_then(|external| external.host.as_ref()) {
            let port = external.and_then(|external| external.port).unwrap_or(kind.port());
            let scheme = match kind {
                ResourceKind::Https => "https://",
                ResourceKind::Http => "http://",
                _ => "",
            };
            let is_usual = !scheme.is_empty() && port == kind.port();
            let port = if is_usual { String::new() } else { format!(":{port}") };
            out.insert(target.to_string(), (target, format!("{scheme}{host}{port}")));
        }
    }
    out.into_values().collect()
}

/// `KIBAN_CALL_ORDERS_DB` for `pg:orders-db`.
fn variable_of(target: &CallTarget) -> String {
    let name = match target {
        CallTarget::App { app, .. } => app.to_string(),
        CallTarget::Resource { name, .. } => name.to_string(),
        other => other.to_string(),
    };
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("KIBAN_CALL_{}", name.chars().map(upper).collect::<String>())
}

/// Variables that are no plain text, in the form of a container's `env`.
pub(super) fn references(f: &Facts<'_>) -> Vec<Node> {
    f.r.app.env.iter().filter_map(|(name, value)| reference(f, &child("env", name), name, value)).collect()
}

/// One variable as an item of `env`; `None` for plain text.
pub(super) fn reference(f: &Facts<'_>, path: &str, name: &str, value: &EnvValue) -> Option<Node> {
    let (rule, source) = match value {
        EnvValue::Text(_) => return None,
        EnvValue::Secret { secret, key } => {
            (&rules::SECRET_ENV, json!({"secretKeyRef": {"name": secret.as_str(), "key": key}}))
        }
        EnvValue::Field { field } => (&rules::POD_FIELDS, json!({"fieldRef": {"fieldPath": field}})),
    };
    Some(Node::from(rule, f.origin(path), json!({"name": name, "valueFrom": source})))
}

/// Hash of a ConfigMap's content.
fn hash(data: &Value) -> String {
    let digest = Sha256::digest(data.to_string().as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>().chars().take(HASH_DIGITS).collect()
}

/// A key for a file: its name, or with a number behind it where another file has the same one.
fn file_key(path: &str, taken: &[(String, String)]) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let clean: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    unique(&clean, |candidate| taken.iter().any(|(_, key)| key == candidate))
}

/// A volume's name for a folder: a DNS label made of its path.
fn volume_name(path: &str, taken: &[String]) -> String {
    let dashes = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let label: String = path.chars().map(dashes).collect();
    let label: String = format!("dir-{}", label.trim_matches('-')).chars().take(50).collect();
    unique(label.trim_end_matches('-'), |candidate| taken.iter().any(|name| name == candidate))
}

fn unique(base: &str, is_taken: impl Fn(&str) -> bool) -> String {
    if !is_taken(base) {
        return base.to_owned();
    }
    (2..).map(|n| format!("{base}-{n}")).find(|candidate| !is_taken(candidate)).unwrap_or_default()
}
