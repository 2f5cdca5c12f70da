//! Values with a short form: one type reads `8080` and `{ port: 8080, protocol: grpc }` alike.

use std::fmt;
use std::marker::PhantomData;

use crate::text::SHORT_FORM;
use schemars::{Schema, SchemaGenerator};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// A value that people may write short (a scalar or a list) or long (a map).
pub(crate) trait Short: Sized {
    /// The long form.
    type Long: for<'de> Deserialize<'de> + schemars::JsonSchema;
    /// The items of the list form.
    type Item: for<'de> Deserialize<'de> + schemars::JsonSchema;
    /// Whether there is a list form.
    const HAS_LIST: bool = false;
    /// What an error says was expected.
    const EXPECTING: &'static str;

    fn from_long(long: Self::Long) -> Result<Self, String>;

    /// What a long form lacks that another layer of the file may bring; `None`: nothing.
    fn lacks(_long: &Self::Long) -> Option<&'static str> {
        None
    }

    /// `None`: there is no scalar form.
    fn from_text(_text: &str) -> Option<Result<Self, String>> {
        None
    }

    /// `None`: there is no list form.
    fn from_list(_items: Vec<Self::Item>) -> Option<Result<Self, String>> {
        None
    }

    /// JSON Schemas of the short forms.
    fn short_schemas(generator: &mut SchemaGenerator) -> Vec<Schema>;
}

/// An item type for values without a list form.
#[derive(Debug)]
pub(crate) enum Never {}

impl<'de> Deserialize<'de> for Never {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("no list is possible here"))
    }
}

impl schemars::JsonSchema for Never {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Never".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        false.into()
    }
}

struct ShortVisitor<T>(PhantomData<T>);

impl<T: Short> ShortVisitor<T> {
    fn text<E: serde::de::Error>(self, text: &str, unexpected: serde::de::Unexpected<'_>) -> Result<T, E> {
        match T::from_text(text) {
            Some(result) => result.map_err(E::custom),
            None => Err(E::invalid_type(unexpected, &self)),
        }
    }
}

impl<'de, T: Short> Visitor<'de> for ShortVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTING)
    }
    fn visit_newtype_struct<D: Deserializer<'de>>(self, d: D) -> Result<T, D::Error> {
        d.deserialize_any(self)
    }
    fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<T, E> {
        self.text(v, serde::de::Unexpected::Str(v))
    }
    fn visit_bool<E: serde::de::Error>(self, v: bool) -> Result<T, E> {
        Err(E::invalid_type(serde::de::Unexpected::Bool(v), &self))
    }
    fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<T, E> {
        self.text(&v.to_string(), serde::de::Unexpected::Unsigned(v))
    }
    fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<T, E> {
        self.text(&v.to_string(), serde::de::Unexpected::Signed(v))
    }
    fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<T, E> {
        self.text(&v.to_string(), serde::de::Unexpected::Float(v))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        let long = T::Long::deserialize(MapAccessDeserializer::new(map))?;
        if let Some(missing) = T::lacks(&long) {
            return Err(A::Error::invalid_length(0, &missing));
        }
        T::from_long(long).map_err(A::Error::custom)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<T, A::Error> {
        if !T::HAS_LIST {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        }
        let items = Vec::<T::Item>::deserialize(SeqAccessDeserializer::new(seq))?;
        match T::from_list(items) {
            Some(result) => result.map_err(A::Error::custom),
            None => Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self)),
        }
    }
}

pub(crate) fn read<'de, T: Short, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_newtype_struct(SHORT_FORM, ShortVisitor(PhantomData))
}

pub(crate) fn schema<T: Short>(generator: &mut SchemaGenerator) -> Schema {
    let mut forms = T::short_schemas(generator);
    forms.push(generator.subschema_for::<T::Long>());
    if T::HAS_LIST {
        let item = generator.subschema_for::<T::Item>();
        forms.push(schemars::json_schema!({"type": "array", "items": item}));
    }
    schemars::json_schema!({"anyOf": forms})
}

/// `Deserialize` and `JsonSchema` for a type with [`Short`].
macro_rules! short_form {
    ($name:ident) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                crate::short::read(d)
            }
        }
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                crate::short::schema::<$name>(generator)
            }
        }
    };
}

pub(crate) use short_form;
