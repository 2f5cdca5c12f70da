//! The tables of a profile, sizes and tiers, with the rows that exist unless redefined.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use crate::app::Resources;
use crate::text::{Name, Percent, Quantity, source_text};

/// What a tier means in production; elsewhere one replica is enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// The priority of the tier's pods: a lower one gives way.
    #[serde(deserialize_with = "crate::range::int::<_, _, -1_000_000_000, 1_000_000_000>")]
    #[schemars(range(min = -1_000_000_000_i64, max = 1_000_000_000_i64))]
    pub priority: i32,
    /// The least number of replicas in production.
    #[serde(deserialize_with = "crate::range::int::<_, _, 1, 5000>")]
    #[schemars(range(min = 1, max = 5000))]
    pub replicas: u32,
    /// The replicas that a disruption (a drain, say) may take away at once.
    pub disruption: Disruption,
    /// The least availability that an app of the tier promises, and what it promises unless it says more.
    #[serde(default, deserialize_with = "crate::app::objective", skip_serializing_if = "Option::is_none")]
    pub availability: Option<Percent>,
}

/// The replicas that a disruption may take away at once: a number or a share.
pub type Disruption = IntOrPercent;

/// A number or a share of a whole: `1`, `25%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntOrPercent {
    /// A number.
    Int(u32),
    /// Whole per cent.
    Percent(u32),
}

impl IntOrPercent {
    /// Parses `1` or `25%`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub fn new(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no number and no whole share such as 25%");
        let parsed = match text.strip_suffix('%') {
            Some(share) => share.parse::<u32>().ok().filter(|n| *n <= 100).map(Self::Percent),
            None => text.parse::<u32>().ok().map(Self::Int),
        };
        parsed.ok_or_else(bad)
    }

    /// As Kubernetes' IntOrString.
    pub fn to_json(self) -> serde_json::Value {
        match self {
            Self::Int(n) => n.into(),
            Self::Percent(n) => format!("{n}%").into(),
        }
    }

    /// Of `whole`, rounded up.
    pub fn of(self, whole: u32) -> u32 {
        match self {
            Self::Int(n) => n,
            Self::Percent(n) => {
                u32::try_from((u64::from(whole) * u64::from(n)).div_ceil(100)).unwrap_or(u32::MAX)
            }
        }
    }
}

impl std::fmt::Display for IntOrPercent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int(n) => write!(f, "{n}"),
            Self::Percent(n) => write!(f, "{n}%"),
        }
    }
}

impl Serialize for IntOrPercent {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Int(n) => s.serialize_u32(*n),
            Self::Percent(_) => s.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for IntOrPercent {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(&source_text(d)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for IntOrPercent {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "IntOrPercent".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [
            {"type": "integer", "minimum": 0},
            {"type": "string", "pattern": "^(100|[0-9]{1,2})%$"}
        ]})
    }
}

/// The sizes that exist unless redefined: memory four times the CPU, as the common machine types have it.
const SIZES: [(&str, &str, &str, &str); 4] = [
    ("s", "100m", "256Mi", "512Mi"),
    ("m", "250m", "512Mi", "1Gi"),
    ("l", "1", "2Gi", "2Gi"),
    ("xl", "2", "8Gi", "4Gi"),
];

/// The sizes that exist unless the profile redefines them.
pub fn default_sizes() -> BTreeMap<Name, Resources> {
    SIZES
        .into_iter()
        .map(|(name, cpu, memory, disk)| {
            let resources = Resources {
                cpu: Quantity::from_static(cpu),
                memory: Quantity::from_static(memory),
                ephemeral: Some(Quantity::from_static(disk)),
            };
            (Name::from_static(name), resources)
        })
        .collect()
}

/// Tier, priority, replicas, disruption, availability in hundredths of a per cent.
const TIERS: [(u8, i32, u32, IntOrPercent, u32); 4] = [
    (1, 1_000_000, 3, IntOrPercent::Percent(25), 9990),
    (2, 100_000, 2, IntOrPercent::Percent(25), 9950),
    (3, 10_000, 2, IntOrPercent::Percent(25), 9900),
    (4, 1_000, 2, IntOrPercent::Percent(50), 9500),
];

/// The tiers unless the profile redefines them.
pub fn default_tiers() -> BTreeMap<u8, Tier> {
    TIERS
        .into_iter()
        .map(|(tier, priority, replicas, disruption, availability)| {
            let availability = Some(Percent::hundredths(availability));
            (tier, Tier { priority, replicas, disruption, availability })
        })
        .collect()
}

pub(super) fn sizes<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<Name, Resources>, D::Error> {
    let mut all = default_sizes();
    all.extend(BTreeMap::<Name, Resources>::deserialize(d)?);
    Ok(all)
}

/// A tier's number as the key of a table.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct TierKey(u8);

impl<'de> Deserialize<'de> for TierKey {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = source_text(d)?;
        match text.as_bytes() {
            [digit @ b'1'..=b'4'] => Ok(Self(digit - b'0')),
            _ => Err(serde::de::Error::custom(format!("{text:?} is no tier: there are 1, 2, 3 and 4"))),
        }
    }
}

pub(super) fn tiers<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<u8, Tier>, D::Error> {
    let mut all = default_tiers();
    all.extend(BTreeMap::<TierKey, Tier>::deserialize(d)?.into_iter().map(|(key, tier)| (key.0, tier)));
    Ok(all)
}

pub(super) fn tiers_schema(generator: &mut SchemaGenerator) -> Schema {
    let tier = generator.subschema_for::<Tier>();
    json_schema!({
        "type": "object",
        "patternProperties": {"^[1-4]$": tier},
        "additionalProperties": false
    })
}
