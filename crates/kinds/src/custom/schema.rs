//! A structural schema as a tree: what a field may hold, and what is checked of it.
//!
//! Read from the stored form of `spec.versions[].schema.openAPIV3Schema`, which
//! [`super::definition`] has found sound; what does not fit is read as if it were not there.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::cel::Program;
use super::pattern::Pattern;
use crate::validate::at::{field, list, text};

/// Levels of nesting that are read; deeper ones are as if they held anything.
pub(crate) const MAX_DEPTH: usize = 100;

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Type {
    /// None is stated: anything, or what the alternatives say.
    #[default]
    Any,
    /// Object.
    Object,
    /// Array.
    Array,
    /// String.
    String,
    /// Whole number.
    Integer,
    /// Number.
    Number,
    /// `true` or `false`.
    Boolean,
}

impl Type {
    /// The type of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "" => Self::Any,
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }

    /// Its name; empty for [`Type::Any`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "",
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// What `additionalProperties` says.
#[derive(Debug, Clone, Default)]
pub enum Additional {
    /// Nothing: other fields are pruned.
    #[default]
    None,
    /// Any other field may stand, with anything that is not pruned away in it.
    Any,
    /// Any other field may stand, and holds this.
    Of(Box<Node>),
}

/// How items of a list are told apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ListKind {
    /// Not at all.
    #[default]
    Atomic,
    /// By their value.
    Set,
    /// By these fields.
    Map(Vec<String>),
}

/// One place of a schema.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// Its type.
    pub type_: Type,
    /// Named fields.
    pub properties: BTreeMap<String, Node>,
    /// Items of a list.
    pub items: Option<Box<Node>>,
    /// Fields that have no name here.
    pub additional: Additional,
    /// `null` is a value.
    pub nullable: bool,
    /// `x-kubernetes-preserve-unknown-fields`.
    pub preserve: bool,
    /// `x-kubernetes-embedded-resource`.
    pub embedded: bool,
    /// `x-kubernetes-int-or-string`.
    pub int_or_string: bool,
    /// What stands where nothing is given.
    pub default: Option<Value>,
    /// `x-kubernetes-list-type`.
    pub list: ListKind,
    /// `x-kubernetes-map-type: atomic`.
    pub atomic: bool,
    /// Checks of the value.
    pub checks: Option<Box<Checks>>,
    /// `x-kubernetes-validations`.
    pub rules: Vec<Rule>,
}

/// What is checked of a value beside its type.
#[derive(Debug, Clone, Default)]
pub struct Checks {
    /// The values that are allowed; empty for any.
    pub values: Vec<Value>,
    /// `format`.
    pub format: String,
    /// `pattern`.
    pub pattern: Option<Pattern>,
    /// `minimum` with whether it is excluded.
    pub minimum: Option<(f64, bool)>,
    /// `maximum` with whether it is excluded.
    pub maximum: Option<(f64, bool)>,
    /// `multipleOf`.
    pub multiple_of: Option<f64>,
    /// Characters, items, fields: least.
    pub min: Sizes,
    /// Characters, items, fields: most.
    pub max: Sizes,
    /// Fields that must be there.
    pub required: Vec<String>,
    /// All of these hold.
    pub all_of: Vec<Node>,
    /// At least one of these holds.
    pub any_of: Vec<Node>,
    /// Exactly one of these holds.
    pub one_of: Vec<Node>,
    /// This does not hold.
    pub not: Option<Box<Node>>,
}

/// A bound for each form of size.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sizes {
    /// Characters of a text.
    pub length: Option<usize>,
    /// Items of a list.
    pub items: Option<usize>,
    /// Fields of an object.
    pub properties: Option<usize>,
}

/// One rule of `x-kubernetes-validations`.
#[derive(Debug, Clone, Default)]
pub struct Rule {
    /// The expression that must be true.
    pub rule: String,
    /// What is said when it is not.
    pub message: String,
    /// An expression that makes the message.
    pub message_expression: String,
    /// `FieldValueInvalid` and the like; empty for the default.
    pub reason: String,
    /// The field below this place that the failure is about.
    pub field_path: String,
    /// The rule runs on create too, with an optional `oldSelf`.
    pub optional_old_self: bool,
    /// The expression as it is run; `None` for one that is not.
    pub(crate) program: Option<Program>,
    /// The expression of the message.
    pub(crate) message_program: Option<Program>,
}

impl Node {
    /// Reads a schema.
    pub fn read(schema: &Value) -> Self {
        Self::read_at(schema, 0)
    }

    fn read_at(schema: &Value, depth: usize) -> Self {
        if depth > MAX_DEPTH || !schema.is_object() {
            return Self { preserve: depth > MAX_DEPTH, ..Self::default() };
        }
        let below = |v: &Value| Self::read_at(v, depth + 1);
        let flag = |name: &str| field(schema, name).as_bool().unwrap_or(false);
        let items = field(schema, "items");
        let default = field(schema, "default");
        Self {
            type_: Type::parse(text(field(schema, "type"))).unwrap_or_default(),
            properties: members(field(schema, "properties")).map(|(k, v)| (k.clone(), below(v))).collect(),
            items: items.is_object().then(|| Box::new(below(items))),
            additional: match field(schema, "additionalProperties") {
                Value::Bool(true) => Additional::Any,
                of @ Value::Object(_) => Additional::Of(Box::new(below(of))),
                _ => Additional::None,
            },
            nullable: flag("nullable"),
            preserve: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            default: (!default.is_null()).then(|| default.clone()),
            list: list_kind(schema),
            atomic: text(field(schema, "x-kubernetes-map-type")) == "atomic",
            checks: Checks::read(schema, depth).map(Box::new),
            rules: list(field(schema, "x-kubernetes-validations")).iter().map(Rule::read).collect(),
        }
    }

    /// The schema of a field: named, or what other fields hold.
    pub fn child(&self, name: &str) -> Option<&Node> {
        match (self.properties.get(name), &self.additional) {
            (Some(node), _) => Some(node),
            (None, Additional::Of(node)) => Some(node),
            _ => None,
        }
    }

    /// Some rule stands here or below.
    pub fn has_rules(&self) -> bool {
        let additional = match &self.additional {
            Additional::Of(node) => node.has_rules(),
            _ => false,
        };
        !self.rules.is_empty()
            || additional
            || self.items.as_deref().is_some_and(Node::has_rules)
            || self.properties.values().any(Node::has_rules)
    }

    /// The schema at a simple path of field names (`spec.replicas`).
    pub fn at(&self, path: &[String]) -> Option<&Node> {
        path.iter().try_fold(self, |node, name| node.child(name))
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn list_kind(schema: &Value) -> ListKind {
    match text(field(schema, "x-kubernetes-list-type")) {
        "set" => ListKind::Set,
        "map" => {
            let keys = list(field(schema, "x-kubernetes-list-map-keys"));
            ListKind::Map(keys.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        }
        _ => ListKind::Atomic,
    }
}

impl Checks {
    /// The checks of a schema; `None` where it has none.
    fn read(schema: &Value, depth: usize) -> Option<Self> {
        const KEYS: [&str; 16] = [
            "enum",
            "format",
            "pattern",
            "minimum",
            "maximum",
            "multipleOf",
            "minLength",
            "maxLength",
            "minItems",
            "maxItems",
            "minProperties",
            "maxProperties",
            "required",
            "allOf",
            "anyOf",
            "oneOf",
        ];
        let not = field(schema, "not");
        if not.is_null() && KEYS.iter().all(|k| field(schema, k).is_null()) {
            return None;
        }
        let below =
            |name: &str| list(field(schema, name)).iter().map(|v| Node::read_at(v, depth + 1)).collect();
        let bound = |name: &str, exclusive: &str| {
            let excluded = field(schema, exclusive).as_bool().unwrap_or(false);
            field(schema, name).as_f64().map(|n| (n, excluded))
        };
        let size = |name: &str| field(schema, name).as_u64().and_then(|n| usize::try_from(n).ok());
        let sizes = |length: &str, items: &str, properties: &str| Sizes {
            length: size(length),
            items: size(items),
            properties: size(properties),
        };
        Some(Self {
            values: list(field(schema, "enum")).to_vec(),
            format: text(field(schema, "format")).to_owned(),
            pattern: field(schema, "pattern")
                .as_str()
                .filter(|p| !p.is_empty())
                .and_then(|p| Pattern::new(p).ok()),
            minimum: bound("minimum", "exclusiveMinimum"),
            maximum: bound("maximum", "exclusiveMaximum"),
            multiple_of: field(schema, "multipleOf").as_f64().filter(|n| *n > 0.0),
            min: sizes("minLength", "minItems", "minProperties"),
            max: sizes("maxLength", "maxItems", "maxProperties"),
            required: list(field(schema, "required"))
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            all_of: below("allOf"),
            any_of: below("anyOf"),
            one_of: below("oneOf"),
            not: not.is_object().then(|| Box::new(Node::read_at(not, depth + 1))),
        })
    }
}

impl Rule {
    fn read(rule: &Value) -> Self {
        let of = |name: &str| text(field(rule, name)).to_owned();
        Self {
            rule: of("rule"),
            message: of("message"),
            message_expression: of("messageExpression"),
            reason: of("reason"),
            field_path: of("fieldPath"),
            optional_old_self: field(rule, "optionalOldSelf").as_bool().unwrap_or(false),
            program: Program::new(&of("rule")).ok(),
            message_program: Some(of("messageExpression"))
                .filter(|m| !m.is_empty())
                .and_then(|m| Program::new(&m).ok()),
        }
    }
}
