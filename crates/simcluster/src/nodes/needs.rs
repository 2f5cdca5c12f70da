//! What a pod cannot start without: ConfigMaps, Secrets and claims, in its volumes and environment.
//!
//! Contract: the errors of Kubernetes pkg/kubelet/kubelet_pods.go (environment) and pkg/volume
//! (`MountVolume.SetUp`), which people search the web for.

use serde_json::Value;

use super::script::{items, text};
use crate::kind::{KindId, well_known::*};
use crate::object::Key;
use crate::store::State;

/// An object that must be there, with some keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// ConfigMap, Secret or PersistentVolumeClaim.
    pub kind: KindId,
    /// Its name, in the pod's namespace.
    pub name: String,
    /// Keys that it must have.
    pub keys: Vec<String>,
    /// Its absence is no hindrance.
    pub optional: bool,
    /// The volume that it is for; empty for the environment.
    pub volume: String,
}

impl Need {
    fn new(kind: KindId, name: &Value, volume: &str, optional: &Value) -> Self {
        Self {
            kind,
            name: text(name).to_owned(),
            keys: Vec::new(),
            optional: optional == true,
            volume: volume.to_owned(),
        }
    }

    /// Its key in a namespace.
    pub fn key(&self, namespace: &str) -> Key {
        Key::new(namespace, self.name.as_str())
    }

    /// What is wrong now, in the kubelet's words.
    ///
    /// # Errors
    /// The text, where the object or a key is missing, or a claim is not bound.
    pub fn check(&self, state: &State, namespace: &str) -> Result<(), String> {
        let Some(object) = state.get(self.kind, &self.key(namespace)) else {
            let absent = match self.kind {
                kind if kind == *PERSISTENT_VOLUME_CLAIM => {
                    format!(
                        "failed to fetch PVC from API server: persistentvolumeclaims \"{}\" not found",
                        self.name
                    )
                }
                kind => format!("{} \"{}\" not found", kind.info().kind.to_ascii_lowercase(), self.name),
            };
            return if self.optional { Ok(()) } else { Err(absent) };
        };
        let is_claim = self.kind == *PERSISTENT_VOLUME_CLAIM;
        if self.keys.is_empty() && !is_claim {
            return Ok(());
        }
        let value = object.value();
        if is_claim {
            let bound = value["status"]["phase"] == "Bound";
            return if bound { Ok(()) } else { Err("PVC is not bound".to_owned()) };
        }
        let has = |key: &str| ["data", "binaryData"].iter().any(|d| !value[d][key].is_null());
        match self.keys.iter().find(|k| !has(k)) {
            Some(key) if !self.optional => Err(self.lacks(key, namespace)),
            _ => Ok(()),
        }
    }

    /// The event's text, or the reason that the container is held: what `check` said, in its frame.
    pub fn explain(&self, why: &str, namespace: &str) -> String {
        let volume = &self.volume;
        if volume.is_empty() {
            return why.to_owned();
        }
        if self.kind != *PERSISTENT_VOLUME_CLAIM {
            return format!("MountVolume.SetUp failed for volume \"{volume}\" : {why}");
        }
        format!(
            "Unable to attach or mount volumes: unmounted volumes=[{volume}], unattached volumes=[], failed to process volumes=[{volume}]: error processing PVC {namespace}/{}: {why}",
            self.name
        )
    }

    fn lacks(&self, key: &str, namespace: &str) -> String {
        let kind = &self.kind.info().kind;
        match (self.volume.is_empty(), self.kind == *SECRET) {
            (true, _) => format!("couldn't find key {key} in {kind} {namespace}/{}", self.name),
            (false, true) => format!("references non-existent secret key: {key}"),
            (false, false) => format!("configmap references non-existent config key: {key}"),
        }
    }
}

/// What the volumes of a pod need.
pub fn of_volumes(spec: &Value) -> Vec<Need> {
    let mut needs = Vec::new();
    for volume in items(&spec["volumes"]) {
        let name = text(&volume["name"]);
        let sources = items(&volume["projected"]["sources"]);
        for source in std::iter::once(volume).chain(sources) {
            let (map, secret) = (&source["configMap"], &source["secret"]);
            if map.is_object() {
                needs.push(with_items(Need::new(*CONFIG_MAP, &map["name"], name, &map["optional"]), map));
            }
            if secret.is_object() {
                let named =
                    if secret["secretName"].is_string() { &secret["secretName"] } else { &secret["name"] };
                needs.push(with_items(Need::new(*SECRET, named, name, &secret["optional"]), secret));
            }
        }
        let claim = &volume["persistentVolumeClaim"]["claimName"];
        if claim.is_string() {
            needs.push(Need::new(*PERSISTENT_VOLUME_CLAIM, claim, name, &Value::Null));
        }
    }
    needs
}

fn with_items(mut need: Need, source: &Value) -> Need {
    need.keys = items(&source["items"]).map(|i| text(&i["key"]).to_owned()).collect();
    need
}

/// What the environment of a container needs.
pub fn of_environment(container: &Value) -> Vec<Need> {
    let mut needs = Vec::new();
    for source in items(&container["envFrom"]) {
        for (field, kind) in [("configMapRef", *CONFIG_MAP), ("secretRef", *SECRET)] {
            if source[field].is_object() {
                needs.push(Need::new(kind, &source[field]["name"], "", &source[field]["optional"]));
            }
        }
    }
    for variable in items(&container["env"]) {
        let from = &variable["valueFrom"];
        for (field, kind) in [("configMapKeyRef", *CONFIG_MAP), ("secretKeyRef", *SECRET)] {
            if from[field].is_object() {
                let mut need = Need::new(kind, &from[field]["name"], "", &from[field]["optional"]);
                need.keys.push(text(&from[field]["key"]).to_owned());
                needs.push(need);
            }
        }
    }
    needs
}
