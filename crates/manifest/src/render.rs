//! From resolved apps to objects: which objects there are. What is in each is in the modules below.

use kiban_base::object::{ObjectId, group_of};
use kiban_model::resolved::Resolved;
use serde_json::Value;

use crate::facts::{Facts, Graph};
use crate::node::Node;

mod config;
mod job;
mod mesh;
mod meta;
mod platform;
mod pod;
mod policy;
mod probe;
mod route;
mod scale;
mod service;
mod workload;

pub(crate) use meta::{LABEL_MANAGED_BY, MANAGER, identity_labels};

/// Whom a rendered object belongs to, and so in which folder it lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// The environment as a whole: `rendered/<env>/platform/`.
    Platform,
    /// An app: `rendered/<env>/<app>/`.
    App(String),
}

impl Owner {
    /// The folder below `rendered/<env>/`.
    pub fn folder(&self) -> &str {
        match self {
            Owner::Platform => "platform",
            Owner::App(name) => name,
        }
    }
}

/// How an object came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// Rendered from the app.
    Derived,
    /// Brought by the app (`extra/`).
    Extra,
    /// Brought by the platform team (`platform/`).
    Platform,
}

/// One rendered object.
#[derive(Debug, Clone)]
pub struct Object {
    /// Whom it belongs to.
    pub owner: Owner,
    /// How it came to be.
    pub made: Made,
    /// Its content, with the rule behind each leaf.
    pub node: Node,
}

impl Object {
    /// The object as JSON.
    pub fn value(&self) -> Value {
        self.node.value()
    }

    /// A text at the top of the object.
    fn text(&self, keys: &[&str]) -> &str {
        let node = keys.iter().try_fold(&self.node, |node, key| node.get(key));
        match node {
            Some(Node::Leaf(Value::String(text), _)) => text,
            _ => "",
        }
    }

    /// The kind.
    pub fn kind(&self) -> &str {
        self.text(&["kind"])
    }

    /// The API version.
    pub fn api_version(&self) -> &str {
        self.text(&["apiVersion"])
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.text(&["metadata", "name"])
    }

    /// The namespace; empty for cluster-scoped kinds.
    pub fn namespace(&self) -> &str {
        self.text(&["metadata", "namespace"])
    }

    /// Its identity.
    pub fn id(&self) -> ObjectId {
        ObjectId {
            namespace: self.namespace().to_owned(),
            kind: self.kind().to_owned(),
            group: group_of(self.api_version()).to_owned(),
            name: self.name().to_owned(),
        }
    }

    /// The name of its file: `<kind>-<name>.yaml`; in the platform's folder, which holds objects of many
    /// namespaces, `<kind>-<name>.<namespace>.yaml`.
    pub fn file_name(&self) -> String {
        // Names of RBAC objects may hold ':', which is no character for a file name everywhere.
        let name = self.name().replace(':', "_");
        let kind = self.kind().to_lowercase();
        match (&self.owner, self.namespace()) {
            (Owner::Platform, namespace) if !namespace.is_empty() => {
                format!("{kind}-{name}.{namespace}.yaml")
            }
            _ => format!("{kind}-{name}.yaml"),
        }
    }

    /// Its file below `rendered/`: `<env>/<owner>/<kind>-<name>.yaml`.
    pub fn path(&self, env: &str) -> String {
        format!("{env}/{}/{}", self.owner.folder(), self.file_name())
    }
}

/// The objects that follow from the apps of an environment, in the order of their files.
/// Escape hatches are not applied yet.
pub(crate) fn derived(graph: &Graph<'_>) -> Vec<Object> {
    let mut objects = platform::objects(graph);
    for facts in &graph.apps {
        let owner = Owner::App(facts.name().to_owned());
        let nodes = app_objects(graph, facts).into_iter();
        objects.extend(nodes.map(|node| Object { owner: owner.clone(), made: Made::Derived, node }));
    }
    objects
}

/// The objects of one app.
fn app_objects(graph: &Graph<'_>, facts: &Facts<'_>) -> Vec<Node> {
    let config = config::Config::new(graph, facts);
    let mut nodes = vec![meta::service_account(facts)];
    nodes.extend(config.objects(facts));
    if facts.has_workload {
        nodes.push(workload::deployment(facts, &config));
        nodes.push(scale::budget(facts));
    }
    if facts.scales() {
        nodes.push(scale::autoscaler(facts));
    }
    nodes.extend(service::service(facts));
    nodes.extend(job::jobs(facts, &config));
    nodes.extend(policy::policy(graph, facts));
    nodes.extend(route::routes(facts));
    nodes.extend(mesh::objects(graph, facts));
    nodes
}

/// The resolved spec as JSON, for the annotation `kiban.dev/app`: the keys of `app.yaml` after resolution, and
/// `environment`.
pub(crate) fn spec_json(r: &Resolved) -> String {
    let mut spec = serde_json::to_value(&r.app).unwrap_or(Value::Null);
    if let Value::Object(map) = &mut spec {
        map.insert("environment".to_owned(), Value::from(r.env.as_str()));
    }
    spec.to_string()
}
