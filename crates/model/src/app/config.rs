//! `env`, `files` and `secrets`: what configures the app.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::short::{Never, Short, short_form};
use crate::text::{FilePath, Name, RelativePath};

/// The value of an environment variable: a text, a key of a secret, or a field of the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum EnvValue {
    /// The text itself, exactly as written.
    Text(String),
    /// A key of one of the app's secrets.
    Secret {
        /// The secret's name, one of `secrets`.
        secret: Name,
        /// The key in it.
        key: String,
    },
    /// A field of the pod, as Kubernetes' downward API names it.
    Field {
        /// `metadata.name`, `status.podIP` and the like.
        field: String,
    },
}

/// A key of a secret, or a field of the pod.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvLong {
    /// The secret's name, one of secrets.
    #[serde(default)]
    secret: Option<Name>,
    /// The key in the secret.
    #[serde(default)]
    key: Option<String>,
    /// A field of the pod: metadata.name, metadata.namespace, metadata.uid, spec.nodeName, spec.serviceAccountName,
    /// status.hostIP, status.podIP.
    #[serde(default)]
    field: Option<String>,
}

/// The fields that the downward API offers to environment variables.
const POD_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

impl Short for EnvValue {
    type Long = EnvLong;
    type Item = Never;
    const EXPECTING: &'static str = "a text or a map with secret and key, or field";

    fn lacks(long: &EnvLong) -> Option<&'static str> {
        let is_part = long.field.is_none() && (long.secret.is_none() || long.key.is_none());
        is_part.then_some("give a text, or secret and key, or field")
    }
    fn from_long(long: EnvLong) -> Result<Self, String> {
        match (long.secret, long.key, long.field) {
            (Some(secret), Some(key), None) => match kiban_base::names::is_config_map_key(&key) {
                true => Ok(Self::Secret { secret, key }),
                false => Err(format!("{key:?} is no key of a secret: use letters, digits, '-', '_' and '.'")),
            },
            (None, None, Some(field)) if POD_FIELDS.contains(&field.as_str()) => Ok(Self::Field { field }),
            (None, None, Some(field)) => {
                Err(format!("{field:?} is no field of a pod; there are {}", POD_FIELDS.join(", ")))
            }
            _ => Err("give a text, or secret and key, or field".into()),
        }
    }
    fn from_text(text: &str) -> Option<Result<Self, String>> {
        Some(Ok(Self::Text(text.to_owned())))
    }
    fn short_schemas(_: &mut SchemaGenerator) -> Vec<Schema> {
        vec![json_schema!({"type": ["string", "number", "boolean"]})]
    }
}

impl<'de> Deserialize<'de> for EnvValue {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> serde::de::Visitor<'de> for Visit {
            type Value = EnvValue;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(EnvValue::EXPECTING)
            }
            fn visit_newtype_struct<D: serde::Deserializer<'de>>(self, d: D) -> Result<EnvValue, D::Error> {
                d.deserialize_any(self)
            }
            fn visit_str<E>(self, v: &str) -> Result<EnvValue, E> {
                Ok(EnvValue::Text(v.to_owned()))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<EnvValue, A::Error> {
                crate::short::read(serde::de::value::MapAccessDeserializer::new(map))
            }
        }
        d.deserialize_newtype_struct(crate::text::SOURCE_TEXT, Visit)
    }
}

impl JsonSchema for EnvValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "EnvValue".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        crate::short::schema::<Self>(generator)
    }
}

/// A configuration file: its text, or `{ from: path }` for a file of the app's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum File {
    /// The text itself.
    Text(String),
    /// A file below the app's folder.
    From {
        /// Its path below the app's folder.
        from: RelativePath,
    },
}

/// A file of the app's folder.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileLong {
    /// Path below the app's folder.
    from: RelativePath,
}

impl Short for File {
    type Long = FileLong;
    type Item = Never;
    const EXPECTING: &'static str = "the file's text or a map with from";

    fn from_long(long: FileLong) -> Result<Self, String> {
        Ok(Self::From { from: long.from })
    }
    fn from_text(text: &str) -> Option<Result<Self, String>> {
        Some(Ok(Self::Text(text.to_owned())))
    }
    fn short_schemas(_: &mut SchemaGenerator) -> Vec<Schema> {
        vec![json_schema!({"type": "string"})]
    }
}
short_form!(File);

/// How a secret reaches the app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretUse {
    /// Each key is a file, mounted read-only.
    #[default]
    Files,
    /// Each key is an environment variable.
    Env,
}

/// A secret that the app uses: its name, or `{ name, as, path }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SecretRef {
    /// The secret's name: `secrets/<env>/<name>.enc.yaml`.
    pub name: Name,
    /// How it reaches the app.
    #[serde(rename = "as")]
    pub used_as: SecretUse,
    /// Where its files are mounted; `None`: `/secrets/<name>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<FilePath>,
}

impl SecretRef {
    /// The folder in which the secret's files are mounted.
    pub fn mount_path(&self) -> String {
        self.path.as_ref().map_or_else(|| format!("/secrets/{}", self.name), ToString::to_string)
    }
}

/// A secret that the app uses.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretLong {
    /// The secret's name.
    name: Name,
    /// How it reaches the app: as files unless said.
    #[serde(default, rename = "as")]
    used_as: SecretUse,
    /// Where its files are mounted; /secrets/<name> unless said.
    #[serde(default)]
    path: Option<FilePath>,
}

impl Short for SecretRef {
    type Long = SecretLong;
    type Item = Never;
    const EXPECTING: &'static str = "a secret's name or a map with name and as";

    fn from_long(long: SecretLong) -> Result<Self, String> {
        if long.used_as == SecretUse::Env && long.path.is_some() {
            return Err("a secret that is used as env has no path".into());
        }
        Ok(Self { name: long.name, used_as: long.used_as, path: long.path })
    }
    fn from_text(text: &str) -> Option<Result<Self, String>> {
        Some(Name::new(text).map(|name| Self { name, used_as: SecretUse::Files, path: None }))
    }
    fn short_schemas(generator: &mut SchemaGenerator) -> Vec<Schema> {
        vec![generator.subschema_for::<Name>()]
    }
}
short_form!(SecretRef);
