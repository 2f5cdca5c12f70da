//! Schedules of CronJobs: five fields or a descriptor, in a time zone, with the API server's errors.
//!
//! Meaning and sentences follow the parser that Kubernetes uses (robfig/cron, standard form): a day matches
//! if both day fields do, or either where both are restricted. A time that a zone's clock leaves out does
//! not occur; one that the clock shows twice occurs twice.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{ToSpan, ZonedDateTime};

use crate::clock::Timestamp;
use crate::duration;

/// Why a schedule or a time zone is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// The schedule names a zone where Kubernetes demands the field for it.
    #[error("cannot use TZ or CRON_TZ in schedule, use timeZone field instead")]
    ZoneInSchedule,
    /// A zone that the time zone database does not hold.
    #[error("unknown time zone {0}")]
    UnknownZone(String),
    /// The parser's sentence.
    #[error("{0}")]
    Syntax(String),
}

/// Set where a field was a star: then it does not restrict the day.
const STAR: u64 = 1 << 63;
/// Schedules that find no time within this many years have none.
const YEARS: i16 = 5;

/// When something happens again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    rule: Rule,
    /// The zone that the schedule itself names.
    zone: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    /// A fixed delay: `@every 5m`.
    Every(Duration),
    /// Bit sets of the values at which the schedule fires.
    Fields { minute: u64, hour: u64, day: u64, month: u64, weekday: u64 },
}

struct Bounds {
    min: u32,
    max: u32,
    names: &'static [&'static str],
    /// The value of the first name.
    first: u32,
}

const MINUTES: Bounds = Bounds { min: 0, max: 59, names: &[], first: 0 };
const HOURS: Bounds = Bounds { min: 0, max: 23, names: &[], first: 0 };
const DAYS: Bounds = Bounds { min: 1, max: 31, names: &[], first: 0 };
const MONTHS: Bounds = Bounds {
    min: 1,
    max: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    first: 1,
};
const WEEKDAYS: Bounds =
    Bounds { min: 0, max: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"], first: 0 };

impl Schedule {
    /// Reads the `schedule` of a CronJob; a zone inside it is refused, as the API server refuses it.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let schedule = Self::parse_with_zone(text)?;
        if text.contains("TZ") { Err(CronError::ZoneInSchedule) } else { Ok(schedule) }
    }

    /// Reads a schedule that may start with `TZ=` or `CRON_TZ=`, as old CronJobs may carry it.
    pub fn parse_with_zone(text: &str) -> Result<Self, CronError> {
        if text.is_empty() {
            return Err(CronError::Syntax("empty spec string".to_string()));
        }
        let (zone, rest) = match text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ=")) {
            Some(rest) => {
                // Upstream panics without a space after the zone; here the fields are missing.
                let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                if find_zone(name).is_none() {
                    let message = format!("provided bad location {name}: unknown time zone {name}");
                    return Err(CronError::Syntax(message));
                }
                (Some(name.to_string()), rest.trim())
            }
            None => (None, text),
        };
        let rule = if rest.starts_with('@') { descriptor(rest)? } else { fields(rest)? };
        Ok(Self { rule, zone })
    }

    /// The first time after `time` at which the schedule fires: in the zone that it names, else in `zone`,
    /// else in UTC. None where there is no such time within five years (31 February) or the zone is unknown.
    pub fn next_after(&self, time: Timestamp, zone: Option<&str>) -> Option<Timestamp> {
        match &self.rule {
            Rule::Every(delay) => Some(Timestamp::from_secs(time.secs()) + *delay),
            Rule::Fields { .. } => {
                let zone = match self.zone.as_deref().or(zone) {
                    Some(name) => find_zone(name)?,
                    None => TimeZone::UTC,
                };
                let next =
                    self.search(jiff::Timestamp::from_microsecond(time.0).ok()?.to_zoned_datetime(zone))?;
                Some(Timestamp(next.timestamp().as_microsecond()))
            }
        }
    }

    /// Walks forward in real time, so that gaps and repetitions of the local clock need no rule of their own.
    fn search(&self, start: ZonedDateTime) -> Option<ZonedDateTime> {
        let Rule::Fields { minute, hour, month, .. } = self.rule else { return None };
        let last_year = start.year().checked_add(YEARS)?;
        let at_minute = start.timestamp().as_second().div_euclid(60) * 60 + 60;
        let mut now =
            jiff::Timestamp::from_second(at_minute).ok()?.to_zoned_datetime(start.time_zone().clone());
        while now.year() <= last_year {
            now = if month & bit(now.month()) == 0 {
                now.first_of_month().ok()?.checked_add(1.month()).ok()?.start_of_day().ok()?
            } else if !self.day_matches(&now) {
                now.tomorrow().ok()?.start_of_day().ok()?
            } else if hour & bit(now.hour()) == 0 {
                now.checked_add((60 - i64::from(now.minute())).minutes()).ok()?
            } else if minute & bit(now.minute()) == 0 {
                now.checked_add(1.minute()).ok()?
            } else {
                return Some(now);
            };
        }
        None
    }

    fn day_matches(&self, time: &ZonedDateTime) -> bool {
        let Rule::Fields { day, weekday, .. } = self.rule else { return false };
        let by_day = day & bit(time.day()) != 0;
        let by_weekday = weekday & bit(time.weekday().to_sunday_zero_offset()) != 0;
        if (day | weekday) & STAR != 0 { by_day && by_weekday } else { by_day || by_weekday }
    }
}

/// The sentence for the `timeZone` of a CronJob that the API server would refuse.
pub fn check_time_zone(name: &str) -> Result<(), CronError> {
    if name.is_empty() {
        return Err(CronError::Syntax("timeZone must be nil or non-empty string".to_string()));
    }
    if name.eq_ignore_ascii_case("local") {
        let message = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        return Err(CronError::Syntax(message.to_string()));
    }
    match find_zone(name) {
        Some(_) => Ok(()),
        None => Err(CronError::UnknownZone(name.to_string())),
    }
}

fn find_zone(name: &str) -> Option<TimeZone> {
    match name {
        "" | "UTC" => Some(TimeZone::UTC),
        // The database answers in any case of letters; Go, and so Kubernetes, does not.
        _ => TimeZone::get(name).ok().filter(|zone| zone.iana_name() == Some(name)),
    }
}

fn bit(value: i8) -> u64 {
    1_u64.checked_shl(u32::try_from(value).unwrap_or(0)).unwrap_or(0)
}

fn descriptor(text: &str) -> Result<Rule, CronError> {
    let expanded = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => {
            let Some(delay) = text.strip_prefix("@every ") else {
                return Err(CronError::Syntax(format!("unrecognized descriptor: {text}")));
            };
            let nanos = duration::parse_go_nanos(delay)
                .map_err(|e| CronError::Syntax(format!("failed to parse duration {text}: {e}")))?;
            let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(0).max(1);
            return Ok(Rule::Every(Duration::from_secs(seconds)));
        }
    };
    fields(expanded)
}

fn fields(text: &str) -> Result<Rule, CronError> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = parts.as_slice() else {
        let (count, list) = (parts.len(), parts.join(" "));
        return Err(CronError::Syntax(format!("expected exactly 5 fields, found {count}: [{list}]")));
    };
    Ok(Rule::Fields {
        minute: field(minute, &MINUTES)?,
        hour: field(hour, &HOURS)?,
        day: field(day, &DAYS)?,
        month: field(month, &MONTHS)?,
        weekday: field(weekday, &WEEKDAYS)?,
    })
}

fn field(text: &str, bounds: &Bounds) -> Result<u64, CronError> {
    let mut bits = 0;
    for part in text.split(',').filter(|p| !p.is_empty()) {
        bits |= range(part, bounds).map_err(CronError::Syntax)?;
    }
    Ok(bits)
}

/// `number | number "-" number`, each with an optional `"/" step`; `*` and `?` stand for the whole range.
fn range(text: &str, bounds: &Bounds) -> Result<u64, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let ends: Vec<&str> = parts.first().map(|p| p.split('-').collect()).unwrap_or_default();
    let star = matches!(ends.first(), Some(&("*" | "?")));
    let (start, mut end) = match ends.as_slice() {
        _ if star => (bounds.min, bounds.max),
        [one] => (number(one, bounds)?, number(one, bounds)?),
        [low, high] => (number(low, bounds)?, number(high, bounds)?),
        _ => return Err(format!("too many hyphens: {text}")),
    };
    let step = match parts.as_slice() {
        [_] => 1,
        [_, step] => {
            let step = plain_number(step)?;
            // `N/step` runs to the end of the range.
            if ends.len() == 1 {
                end = bounds.max;
            }
            step
        }
        _ => return Err(format!("too many slashes: {text}")),
    };
    if start < bounds.min {
        return Err(format!("beginning of range ({start}) below minimum ({}): {text}", bounds.min));
    }
    if end > bounds.max {
        return Err(format!("end of range ({end}) above maximum ({}): {text}", bounds.max));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    let bits = (start..=end).step_by(step as usize).fold(0, |bits, n| bits | (1_u64 << n));
    Ok(bits | if star && step == 1 { STAR } else { 0 })
}

fn number(text: &str, bounds: &Bounds) -> Result<u32, String> {
    let lower = text.to_lowercase();
    match bounds.names.iter().position(|n| *n == lower) {
        Some(at) => Ok(bounds.first + at as u32),
        None => plain_number(text),
    }
}

fn plain_number(text: &str) -> Result<u32, String> {
    match text.parse::<i64>() {
        Ok(n) if n < 0 => Err(format!("negative number ({n}) not allowed: {text}")),
        Ok(n) => Ok(u32::try_from(n).unwrap_or(u32::MAX)),
        Err(e) => {
            let out_of_range =
                matches!(e.kind(), std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow);
            let reason = if out_of_range { "value out of range" } else { "invalid syntax" };
            Err(format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: {reason}"))
        }
    }
}

#[cfg(test)]
mod tests;
