//! `slo`: what users can count on.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::text::{Duration, Percent, source_text};

/// What users can count on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slo {
    /// The share of requests that succeed: `99.9%`.
    #[serde(default, deserialize_with = "objective", skip_serializing_if = "Option::is_none")]
    pub availability: Option<Percent>,
    /// The share of requests that are answered in time: `95% < 300ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyObjective>,
    /// The span over which the objectives hold; 30 days unless said.
    #[serde(
        default,
        deserialize_with = "crate::range::opt_span::<_, { crate::range::HOUR }, { 366 * crate::range::DAY }>",
        skip_serializing_if = "Option::is_none"
    )]
    pub window: Option<Duration>,
}

/// `95% < 300ms`: the share of requests that are answered within a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencyObjective {
    /// The share of requests.
    pub share: Percent,
    /// The time within which they are answered.
    pub within: Duration,
}

impl LatencyObjective {
    /// Parses `95% < 300ms`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub fn new(text: &str) -> Result<Self, String> {
        let (share, within) = text
            .split_once('<')
            .ok_or_else(|| format!("{text:?} is no latency objective such as 95% < 300ms"))?;
        let share = Percent::new(share.trim())?;
        if share.ppm() == 0 || share.ppm() >= 1_000_000 {
            return Err(format!("{share}: an objective lies between 0% and 100%"));
        }
        let within = Duration::new(within.trim())?;
        if within.as_millis() == 0 {
            return Err("nothing is answered in 0s".into());
        }
        Ok(Self { share, within })
    }
}

impl std::fmt::Display for LatencyObjective {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} < {}", self.share, self.within)
    }
}

impl Serialize for LatencyObjective {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LatencyObjective {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(&source_text(d)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for LatencyObjective {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LatencyObjective".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]{1,2}(\\.[0-9]{1,4})?% *< *([0-9]+(ms|s|m|h|d|w))+$",
            "description": "Share of requests and time: 95% < 300ms"
        })
    }
}

/// A share between nothing and everything.
pub(crate) fn objective<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Percent>, D::Error> {
    let share = Option::<Percent>::deserialize(d)?;
    if let Some(share) = share.filter(|s| s.ppm() == 0 || s.ppm() >= 1_000_000) {
        return Err(serde::de::Error::custom(format!("{share}: an objective lies between 0% and 100%")));
    }
    Ok(share)
}
