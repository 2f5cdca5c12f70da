//! `jobs` and `run`: what a container runs, once or on a schedule.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::{EnvValue, Size};
use crate::short::{Short, short_form};
use crate::text::{Duration, Schedule, TimeZone, VarName};

/// A batch job on a schedule. Two runs of one job never overlap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// When it runs, as cron writes it.
    pub schedule: Schedule,
    /// What it runs: a command with its arguments, or `{ command, args }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// The time zone of the schedule; the platform's unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<TimeZone>,
    /// How late a run may still start; the platform's unless said.
    #[serde(
        default,
        deserialize_with = "crate::range::opt_span::<_, 1000, { 31 * crate::range::DAY }>",
        skip_serializing_if = "Option::is_none"
    )]
    pub deadline: Option<Duration>,
    /// How long a run may take, its retries included; the platform's unless said.
    #[serde(
        default,
        deserialize_with = "crate::range::opt_span::<_, 1000, { 31 * crate::range::DAY }>",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout: Option<Duration>,
    /// How often a failed run is tried again; the platform's unless said.
    #[serde(
        default,
        deserialize_with = "crate::range::opt::<_, _, 0, 20>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(max = 20))]
    pub retries: Option<u32>,
    /// CPU, memory and disk; the app's unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Environment variables beside the app's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<VarName, EnvValue>,
    /// Whether it is kept from running.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
}

/// What a container runs: a command with its arguments, or `{ command, args }`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Takes the place of the image's entrypoint; empty: the image's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The arguments; empty: the image's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
}

/// What a container runs.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunLong {
    /// Takes the place of the image's entrypoint.
    #[serde(default)]
    command: Vec<String>,
    /// The arguments.
    #[serde(default)]
    args: Vec<String>,
}

const NOTHING: &str = "give a command or args";

impl Short for Run {
    type Long = RunLong;
    type Item = String;
    const HAS_LIST: bool = true;
    const EXPECTING: &'static str = "a list of a command and its arguments, or a map with command and args";

    fn lacks(long: &RunLong) -> Option<&'static str> {
        (long.command.is_empty() && long.args.is_empty()).then_some(NOTHING)
    }
    fn from_long(long: RunLong) -> Result<Self, String> {
        if long.command.is_empty() && long.args.is_empty() {
            return Err(NOTHING.into());
        }
        Ok(Self { command: long.command, args: long.args })
    }
    fn from_list(items: Vec<String>) -> Option<Result<Self, String>> {
        Some(Self::from_long(RunLong { command: items, args: Vec::new() }))
    }
    fn short_schemas(_: &mut SchemaGenerator) -> Vec<Schema> {
        Vec::new()
    }
}
short_form!(Run);
