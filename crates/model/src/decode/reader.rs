//! serde's deserializer over a tree.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess, Unexpected, VariantAccess,
    Visitor,
};

use super::address;
use super::error::{DecodeError, What};
use crate::text::{CHECKED_TEXT, SHORT_FORM, SOURCE_TEXT};
use crate::yaml::{Entry, Node, Plain, Scalar, Tree, ambiguous};

type Outcome<T> = Result<T, DecodeError>;

/// Reads one node.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    node: &'a Node,
}

impl<'a> Reader<'a> {
    pub(super) fn new(node: &'a Node) -> Self {
        Self { node }
    }

    fn map<V: Visitor<'a>>(entries: &'a [Entry], visitor: V) -> Outcome<V::Value> {
        visitor.visit_map(Entries { entries: entries.iter(), value: None })
    }

    fn list<V: Visitor<'a>>(items: &'a [Node], visitor: V) -> Outcome<V::Value> {
        visitor.visit_seq(Items(items.iter()))
    }

    fn any<V: Visitor<'a>>(self, visitor: V) -> Outcome<V::Value> {
        match &self.node.tree {
            Tree::Map(entries) => Self::map(entries, visitor),
            Tree::List(items) => Self::list(items, visitor),
            Tree::Scalar(s) if s.is_plain() => {
                refuse_ambiguous(s)?;
                match Plain::core(&s.text) {
                    Plain::Null => visitor.visit_unit(),
                    Plain::Bool(b) => visitor.visit_bool(b),
                    Plain::Int(n) => match u64::try_from(n) {
                        Ok(n) => visitor.visit_u64(n),
                        Err(_) => visitor.visit_i64(n),
                    },
                    Plain::Uint(n) => visitor.visit_u64(n),
                    Plain::Float(n) if n.is_finite() => visitor.visit_f64(n),
                    Plain::Float(_) | Plain::Text => visitor.visit_borrowed_str(&s.text),
                }
            }
            Tree::Scalar(s) => visitor.visit_borrowed_str(&s.text),
        }
    }

    fn string<V: Visitor<'a>>(self, visitor: V) -> Outcome<V::Value> {
        match &self.node.tree {
            Tree::Scalar(s) if s.is_plain() => {
                refuse_ambiguous(s)?;
                match Plain::core(&s.text) {
                    Plain::Text => visitor.visit_borrowed_str(&s.text),
                    _ => Err(DecodeError::invalid_type(Unexpected::Other("no text"), &visitor)),
                }
            }
            _ => self.any(visitor),
        }
    }

    /// A scalar's text as written. Checked texts refuse what some reader takes for no text at all.
    fn source<V: Visitor<'a>>(self, visitor: V, checked: bool) -> Outcome<V::Value> {
        let Tree::Scalar(s) = &self.node.tree else { return self.any(visitor) };
        if s.is_plain() {
            let meaning = Plain::core(&s.text);
            if checked {
                refuse_ambiguous(s)?;
            }
            if meaning == Plain::Null || checked && matches!(meaning, Plain::Bool(_)) {
                return self.any(visitor);
            }
        }
        visitor.visit_borrowed_str(&s.text)
    }
}

/// `on`, `no`, `y` and the like are booleans to readers of YAML 1.1 and texts to those of YAML 1.2.
fn refuse_ambiguous(scalar: &Scalar) -> Outcome<()> {
    if !ambiguous(&scalar.text) {
        return Ok(());
    }
    let text = &scalar.text;
    let meant =
        if matches!(text.to_ascii_lowercase().as_str(), "y" | "yes" | "on") { "true" } else { "false" };
    Err(DecodeError::new(What::Message(format!(
        "{text} without quotes is a boolean to some readers of YAML and a text to others; write \"{text}\" or {meant}"
    ))))
}

macro_rules! forward {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'a>>(self, visitor: V) -> Outcome<V::Value> {
            self.any(visitor)
        })*
    };
}

impl<'a> Deserializer<'a> for Reader<'a> {
    type Error = DecodeError;

    forward!(deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64
        deserialize_char deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_seq deserialize_map);

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Outcome<V::Value> {
        self.string(visitor)
    }
    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Outcome<V::Value> {
        self.string(visitor)
    }
    fn deserialize_identifier<V: Visitor<'a>>(self, visitor: V) -> Outcome<V::Value> {
        match self.node.text() {
            Some(text) => visitor.visit_borrowed_str(text),
            None => self.any(visitor),
        }
    }
    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Outcome<V::Value> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }
    fn deserialize_unit_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Outcome<V::Value> {
        self.any(visitor)
    }
    fn deserialize_newtype_struct<V: Visitor<'a>>(self, name: &'static str, visitor: V) -> Outcome<V::Value> {
        match name {
            SOURCE_TEXT => self.source(visitor, false),
            CHECKED_TEXT | SHORT_FORM => self.source(visitor, true),
            _ => visitor.visit_newtype_struct(self),
        }
    }
    fn deserialize_tuple<V: Visitor<'a>>(self, _: usize, visitor: V) -> Outcome<V::Value> {
        self.any(visitor)
    }
    fn deserialize_tuple_struct<V: Visitor<'a>>(self, _: &'static str, _: usize, v: V) -> Outcome<V::Value> {
        self.any(v)
    }
    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Outcome<V::Value> {
        match &self.node.tree {
            Tree::Map(entries) => Self::map(entries, visitor),
            // A list would be taken for the fields in their order.
            _ => Err(DecodeError::invalid_type(Unexpected::Other("no map"), &visitor)),
        }
    }
    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Outcome<V::Value> {
        match &self.node.tree {
            Tree::Scalar(s) if s.is_plain() && Plain::core(&s.text) != Plain::Text => {
                let list = known.join(", ");
                Err(DecodeError::new(What::Type(format!("one of {list}"))))
            }
            Tree::Scalar(s) => visitor.visit_enum(Word(&s.text)),
            _ => Err(DecodeError::new(What::Type(format!("one of {}", known.join(", "))))),
        }
    }
    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Outcome<V::Value> {
        visitor.visit_unit()
    }
}

struct Entries<'a> {
    entries: std::slice::Iter<'a, Entry>,
    value: Option<&'a Entry>,
}

impl<'a> MapAccess<'a> for Entries<'a> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Outcome<Option<K::Value>> {
        let Some(entry) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some(entry);
        let key = seed.deserialize(KeyReader(entry.name()));
        key.map(Some).map_err(|e| e.place(address(&entry.key), true))
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Outcome<V::Value> {
        let Some(entry) = self.value.take() else {
            return Err(DecodeError::custom("a value was asked for before its key"));
        };
        seed.deserialize(Reader::new(&entry.value)).map_err(|e| e.place(address(&entry.value), false))
    }
}

struct Items<'a>(std::slice::Iter<'a, Node>);

impl<'a> SeqAccess<'a> for Items<'a> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Outcome<Option<T::Value>> {
        let Some(item) = self.0.next() else {
            return Ok(None);
        };
        let value = seed.deserialize(Reader::new(item)).map_err(|e| e.place(address(item), false))?;
        Ok(Some(value))
    }
}

/// A key: always its text.
struct KeyReader<'a>(&'a str);

impl<'de> Deserializer<'de> for KeyReader<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Outcome<V::Value> {
        visitor.visit_borrowed_str(self.0)
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// A word of a list.
struct Word<'a>(&'a str);

impl<'a> EnumAccess<'a> for Word<'a> {
    type Error = DecodeError;
    type Variant = Unit;

    fn variant_seed<V: DeserializeSeed<'a>>(self, seed: V) -> Outcome<(V::Value, Unit)> {
        let word: StrDeserializer<'a, DecodeError> = StrDeserializer::new(self.0);
        Ok((seed.deserialize(word)?, Unit))
    }
}

/// A variant without a value.
struct Unit;

impl<'a> VariantAccess<'a> for Unit {
    type Error = DecodeError;

    fn unit_variant(self) -> Outcome<()> {
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, _: T) -> Outcome<T::Value> {
        Err(DecodeError::custom("one word is expected"))
    }
    fn tuple_variant<V: Visitor<'a>>(self, _: usize, _: V) -> Outcome<V::Value> {
        Err(DecodeError::custom("one word is expected"))
    }
    fn struct_variant<V: Visitor<'a>>(self, _: &'static [&'static str], _: V) -> Outcome<V::Value> {
        Err(DecodeError::custom("one word is expected"))
    }
}
