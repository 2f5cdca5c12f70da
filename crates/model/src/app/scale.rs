//! `scale` and `size`: how many replicas, and how large.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::short::{Never, Short, short_form};
use crate::text::{Name, Percent, Quantity};

/// How many replicas run: a number, or `{ from, to, cpu, memory }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Scale {
    /// The least number of replicas.
    pub from: u32,
    /// The greatest number of replicas; equal to `from`: the number is fixed.
    pub to: u32,
    /// The mean CPU use, as a share of what is requested, that the autoscaler aims at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Percent>,
    /// The mean memory use, as a share of what is requested, that the autoscaler aims at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Percent>,
}

/// The greatest number of replicas that is believed to be meant.
pub const MAX_REPLICAS: u32 = 5000;

/// How many replicas run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScaleLong {
    /// The least number of replicas.
    #[serde(deserialize_with = "crate::range::int::<_, _, 1, 5000>")]
    #[schemars(range(min = 1, max = 5000))]
    from: u32,
    /// The greatest number of replicas.
    #[serde(deserialize_with = "crate::range::int::<_, _, 1, 5000>")]
    #[schemars(range(min = 1, max = 5000))]
    to: u32,
    /// The mean CPU use, as a share of what is requested, that the autoscaler aims at.
    #[serde(default)]
    cpu: Option<Percent>,
    /// The mean memory use, as a share of what is requested, that the autoscaler aims at.
    #[serde(default)]
    memory: Option<Percent>,
}

fn replicas(n: u32) -> Result<u32, String> {
    if (1..=MAX_REPLICAS).contains(&n) {
        return Ok(n);
    }
    Err(format!("{n} is out of range: 1 to {MAX_REPLICAS}"))
}

impl Short for Scale {
    type Long = ScaleLong;
    type Item = Never;
    const EXPECTING: &'static str = "a number of replicas or a map with from and to";

    fn from_long(long: ScaleLong) -> Result<Self, String> {
        let (from, to) = (long.from, long.to);
        if from > to {
            return Err(format!("from {from} to {to}: from must not exceed to"));
        }
        for (key, share) in [("cpu", long.cpu), ("memory", long.memory)] {
            if share.is_some_and(|s| s.rounded() == 0) {
                return Err(format!("a target of less than 1% {key} is never reached"));
            }
        }
        Ok(Self { from, to, cpu: long.cpu, memory: long.memory })
    }
    fn from_text(text: &str) -> Option<Result<Self, String>> {
        let n = text.parse::<u32>().map_err(|_| format!("{text:?} is no number of replicas"));
        Some(n.and_then(replicas).map(|n| Self { from: n, to: n, cpu: None, memory: None }))
    }
    fn short_schemas(_: &mut SchemaGenerator) -> Vec<Schema> {
        vec![json_schema!({"type": "integer", "minimum": 1, "maximum": MAX_REPLICAS})]
    }
}
short_form!(Scale);

/// CPU, memory and disk of one replica. Memory's request is its limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// CPU that is requested: `250m` is a quarter of a core.
    #[serde(deserialize_with = "amounts::cpu")]
    pub cpu: Quantity,
    /// Memory that is requested and the limit.
    #[serde(deserialize_with = "amounts::bytes")]
    pub memory: Quantity,
    /// Disk for logs, writable folders and the container's own layer; the platform's default unless said.
    #[serde(default, deserialize_with = "amounts::disk", skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<Quantity>,
}

/// Amounts that are believed to be meant.
mod amounts {
    use serde::de::{Deserialize, Deserializer, Error};

    use kiban_base::quantity::Quantity as Amount;

    use super::Quantity;

    /// More cores than a node has.
    const MAX_CORES: i64 = 512;
    /// Less memory than any process takes.
    const MIN_BYTES: i64 = 1 << 20;
    /// More memory than a node has.
    const MAX_BYTES: i64 = 64 << 40;
    /// What the kernel's shares of a core can tell apart.
    const LEAST_CPU: &str = "1m";

    pub(super) fn cpu<'de, D: Deserializer<'de>>(d: D) -> Result<Quantity, D::Error> {
        let quantity = Quantity::deserialize(d)?;
        if quantity.amount() < Amount::parse(LEAST_CPU).unwrap_or(Amount::ZERO) {
            return Err(D::Error::custom(format!(
                "{quantity} is less than {LEAST_CPU}, the least share of a core"
            )));
        }
        if quantity.amount().value() > MAX_CORES {
            let hint = if quantity.chars().all(|c| c.is_ascii_digit()) {
                format!("; did you mean \"{quantity}m\"?")
            } else {
                String::new()
            };
            return Err(D::Error::custom(format!("{quantity} is more CPU than a node has{hint}")));
        }
        Ok(quantity)
    }

    pub(super) fn bytes<'de, D: Deserializer<'de>>(d: D) -> Result<Quantity, D::Error> {
        let quantity = Quantity::deserialize(d)?;
        if quantity.amount().value() < MIN_BYTES {
            let number = quantity.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let message = format!("{quantity} is less than 1Mi of memory; did you mean \"{number}Mi\"?");
            return Err(D::Error::custom(message));
        }
        if quantity.amount().value() > MAX_BYTES {
            return Err(D::Error::custom(format!("{quantity} is more memory than a node has")));
        }
        Ok(quantity)
    }

    pub(super) fn disk<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Quantity>, D::Error> {
        let quantity = Option::<Quantity>::deserialize(d)?;
        match quantity.as_ref().map(super::whole_bytes) {
            Some(Err(why)) => Err(D::Error::custom(why)),
            _ => Ok(quantity),
        }
    }
}

/// Refuses more disk than a node has, and less than any file takes: its unit was forgotten, or is the one of
/// thousandths.
pub(super) fn whole_bytes(quantity: &Quantity) -> Result<(), String> {
    const MAX_BYTES: i64 = 1 << 50;
    match quantity.amount().value() {
        bytes if bytes > MAX_BYTES => return Err(format!("{quantity} is more disk than a node has")),
        bytes if bytes >= 1 << 10 => return Ok(()),
        _ => {}
    }
    let number = quantity.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    Err(format!("{quantity} is less than 1Ki; did you mean \"{number}Mi\"?"))
}

/// The size of one replica: a name of the platform's table, or amounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Size {
    /// A row of the platform's `sizes`.
    Named(Name),
    /// Amounts.
    Explicit(Resources),
}

impl Short for Size {
    type Long = Resources;
    type Item = Never;
    const EXPECTING: &'static str = "a size of the platform such as s, m, l, or a map with cpu and memory";

    fn from_long(long: Resources) -> Result<Self, String> {
        Ok(Self::Explicit(long))
    }
    fn from_text(text: &str) -> Option<Result<Self, String>> {
        Some(Name::new(text).map(Self::Named))
    }
    fn short_schemas(_: &mut SchemaGenerator) -> Vec<Schema> {
        vec![json_schema!({"type": "string", "examples": ["s", "m", "l", "xl"]})]
    }
}
short_form!(Size);
