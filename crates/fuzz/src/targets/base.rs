//! Small texts: selectors, quantities, durations, schedules, times, names.

use kiban_base::clock::Timestamp;
use kiban_base::cron::{self, Schedule};
use kiban_base::quantity::Quantity;
use kiban_base::selector::{FieldSelector, LabelSelector};
use kiban_base::{duration, names};
use serde_json::{Map, Value};

use super::decimal::Decimal;

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// A label selector: what it prints means the same.
pub(super) fn label_selector(data: &[u8]) -> bool {
    let Some(selector) = text(data).and_then(|t| LabelSelector::parse(t).ok()) else { return false };
    let mut labels = Map::new();
    labels.insert("app".into(), "web".into());
    labels.insert("tier".into(), "3".into());
    let printed = selector.to_string();
    let again = LabelSelector::parse(&printed);
    let again = again.unwrap_or_else(|e| panic!("{printed:?} was printed and cannot be read: {e}"));
    assert_eq!(selector.matches(&labels), again.matches(&labels), "{printed:?} matches something else");
    let _ = LabelSelector::from_object(&Value::Object(labels));
    true
}

/// A field selector, over the fields that kinds have.
pub(super) fn field_selector(data: &[u8]) -> bool {
    let Some(selector) = text(data).and_then(|t| FieldSelector::parse(t).ok()) else { return false };
    let printed = selector.to_string();
    assert_eq!(FieldSelector::parse(&printed).as_ref(), Ok(&selector), "{printed:?}");
    for (group, version, kind) in [("", "v1", "Pod"), ("", "v1", "Event"), ("apps", "v1", "Deployment")] {
        let _ = kiban_kinds::fields::supported(group, version, kind, &selector);
    }
    true
}

/// Two quantities, a space between them, or one: what they are worth, how they compare, and what they print
/// is what working them out digit by digit gives, however large they are. What Kubernetes makes of them is
/// in `crates/schema/tests/golden/merge/quantity.jsonl`.
pub(super) fn quantity(data: &[u8]) -> bool {
    let Some(text) = text(data) else { return false };
    let (first, second) = text.split_once(' ').unwrap_or((text, "1"));
    let _ = Quantity::stored_text(first);
    let Ok(quantity) = Quantity::parse(first) else { return false };
    let _ = (quantity.as_f64(), quantity.is_integer());
    let printed = quantity.to_string();
    let again = Quantity::parse(&printed);
    let again = again.unwrap_or_else(|e| panic!("{printed:?} was printed and cannot be read: {e}"));
    let Some(amount) = Decimal::of_quantity(first) else { return true };
    assert_eq!(Decimal::of_quantity(&printed).as_ref(), Some(&amount), "{first:?} prints {printed:?}");
    assert_eq!(again, quantity, "{first:?}");
    assert_eq!(again.to_string(), printed, "{first:?}");
    for scale in [0, -3, -9, 6] {
        assert_eq!(quantity.scaled(scale), amount.scaled(i64::from(scale)), "{first:?} in 10^{scale}");
    }
    if let Ok(other) = Quantity::parse(second)
        && let Some(amount_other) = Decimal::of_quantity(second)
    {
        assert_eq!(quantity.cmp(&other), amount.cmp(&amount_other), "{first:?} and {second:?}");
        let (sum, reversed) = (quantity + other, other + quantity);
        assert_eq!(sum, reversed, "{first:?} and {second:?} in turn");
    }
    true
}

/// Durations of Go and of Prometheus: what they print is as long.
pub(super) fn duration(data: &[u8]) -> bool {
    let Some(text) = text(data) else { return false };
    let go = duration::parse_go_nanos(text);
    if let Ok(nanos) = go {
        assert_eq!(duration::parse_go_nanos(&duration::format_go_nanos(nanos)), Ok(nanos), "{text:?}");
    }
    let own = duration::parse(text);
    if let Ok(length) = own {
        let _ = duration::human(length);
        assert_eq!(duration::parse(&duration::format(length)), Ok(length), "{text:?}");
    }
    go.is_ok() || own.is_ok()
}

/// A schedule and a zone: the next time is later, and the one after it later again.
pub(super) fn cron(data: &[u8]) -> bool {
    let Some(text) = text(data) else { return false };
    let (schedule, zone) = text.split_once('|').unwrap_or((text, ""));
    let zone = Some(zone).filter(|z| !z.is_empty() && cron::check_time_zone(z).is_ok());
    let _ = Schedule::parse_with_zone(schedule);
    let Ok(schedule) = Schedule::parse(schedule) else { return false };
    let mut at = Timestamp::parse("2026-03-01T00:00:00Z").unwrap_or_default();
    for _ in 0..3 {
        let Some(next) = schedule.next_after(at, zone) else { break };
        assert!(next > at, "{text:?}: after {at} comes {next}");
        at = next;
    }
    true
}

/// A time: what it prints is the same second.
pub(super) fn timestamp(data: &[u8]) -> bool {
    let Some(time) = text(data).and_then(Timestamp::parse) else { return false };
    let _ = (time.to_string(), time.rfc3339_micro());
    assert!(Timestamp::parse(&time.rfc3339()).is_some(), "{time} was printed and cannot be read");
    true
}

/// Every rule for names: `is_` and `check_` agree.
pub(super) fn names(data: &[u8]) -> bool {
    let Some(text) = text(data) else { return false };
    type Rule = (fn(&str) -> bool, fn(&str) -> Vec<String>);
    const RULES: &[Rule] = &[
        (names::is_dns1123_label, names::check_dns1123_label),
        (names::is_dns1123_subdomain, names::check_dns1123_subdomain),
        (names::is_dns1035_label, names::check_dns1035_label),
        (names::is_wildcard_subdomain, names::check_wildcard_subdomain),
        (names::is_qualified_name, names::check_qualified_name),
        (names::is_label_value, names::check_label_value),
        (names::is_port_name, names::check_port_name),
        (names::is_env_var_name, names::check_env_var_name),
        (names::is_strict_env_var_name, names::check_strict_env_var_name),
        (names::is_config_map_key, names::check_config_map_key),
    ];
    let _ = (names::check_path_segment(text), names::mask_generate_name(text));
    let mut any = false;
    for (number, (is, check)) in RULES.iter().enumerate() {
        assert_eq!(is(text), check(text).is_empty(), "rule {number} on {text:?}");
        any |= is(text);
    }
    any
}
