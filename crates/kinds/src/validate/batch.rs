//! Checks of Jobs and CronJobs.

use std::collections::BTreeSet;

use kiban_base::cron::{CronError, Schedule, check_time_zone};
use kiban_base::names;
use serde_json::Value;

use super::at::{At, dig, field, list, text};
use super::cause::{Causes, quote, selector_text};
use super::meta::{immutable, immutable_paths, label_selector, selector_matches};
use super::net::domain_path;
use super::pod::template;
use super::rule::{self, Check, Rule, rule as r, run};
use super::same::same;

const INDEXED_MAX: i64 = 100_000;
const HIGH_COMPLETIONS_MAX: i64 = 10_000;
const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const MANAGED_BY_MAX: usize = 63;
const INDEXES_MAX: usize = 64 * 1024;
const NEEDS_INDEXED: &str = "requires indexed completion mode";
const ACTIONS: &[&str] = &["Count", "FailIndex", "FailJob", "Ignore"];
const STATUSES: &[&str] = &["False", "True", "Unknown"];
/// A CronJob's name gets eleven more characters in its Jobs', which have 63 at most.
const CRON_JOB_NAME_MAX: usize = 52;

const COUNTS: &[Rule] = &[
    r("parallelism", Check::NotNegative),
    r("completions", Check::NotNegative),
    r("activeDeadlineSeconds", Check::NotNegative),
    r("backoffLimit", Check::NotNegative),
    r("ttlSecondsAfterFinished", Check::NotNegative),
    r("backoffLimitPerIndex", Check::NotNegative),
    r("maxFailedIndexes", Check::NotNegative),
];

/// A Job with the selector that the API server made for it.
pub(crate) fn job(at: &At<'_, '_>, out: &mut Causes) {
    generated_selector(at, out);
    let spec = at.get("spec");
    selected_spec(&spec, out);
    indexed_name(at, &spec, out);
}

fn selected_spec(spec: &At<'_, '_>, out: &mut Causes) {
    job_spec(spec, out);
    let selector = spec.get("selector");
    if !selector.is_set() {
        out.required(selector, "");
    }
    label_selector(&selector, out);
    let template = spec.get("template");
    let meta = template.get("metadata");
    let labels = meta.get("labels");
    if selector_matches(selector.value, labels.value) == Some(false) {
        out.invalid(labels, &labels, "`selector` does not match template `labels`");
    }
}

fn indexed_name(at: &At<'_, '_>, spec: &At<'_, '_>, out: &mut Causes) {
    let completions = spec.get("completions").int_or_zero();
    if spec.get("completionMode").str() != "Indexed" || completions <= 0 {
        return;
    }
    let meta = at.get("metadata");
    let name = meta.get("name");
    let host = format!("{}-{}", name.str(), completions - 1);
    if !names::is_dns1123_label(&host) {
        let detail = format!("will not able to create pod with invalid DNS label: {host}");
        out.invalid(name, name.str(), &detail);
    }
}

fn generated_selector(at: &At<'_, '_>, out: &mut Causes) {
    let (spec, meta) = (at.get("spec"), at.get("metadata"));
    let selector = spec.get("selector");
    if spec.get("manualSelector").is_true() || !selector.is_set() {
        return;
    }
    let (uid, name) = (meta.get("uid"), meta.get("name"));
    if uid.is_empty() {
        out.required(uid, "");
    }
    let template = spec.get("template");
    let template_meta = template.get("metadata");
    let labels = template_meta.get("labels");
    let expected = [
        ("controller-uid", uid.str()),
        ("job-name", name.str()),
        ("batch.kubernetes.io/controller-uid", uid.str()),
        ("batch.kubernetes.io/job-name", name.str()),
    ];
    for (key, wanted) in expected {
        let actual = field(labels.value, key);
        if actual.is_null() {
            out.required(labels.path.key(key), &format!("must be '{wanted}'"));
        } else if text(actual) != wanted {
            out.invalid(labels.path.key(key), &labels, &format!("must be '{wanted}'"));
        }
    }
    let own: Value = expected
        .iter()
        .map(|(k, v)| ((*k).to_string(), Value::from(*v)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    if selector_matches(selector.value, &own) == Some(false) {
        out.invalid(selector, selector_text(selector.value), "`selector` not auto-generated");
    }
}

fn job_spec(at: &At<'_, '_>, out: &mut Causes) {
    run(COUNTS, at, out);
    let (per_index, failed) = (at.get("backoffLimitPerIndex"), at.get("maxFailedIndexes"));
    if failed.is_set() && !per_index.is_set() {
        out.required(per_index, "when maxFailedIndexes is specified");
    }
    let manager = at.get("managedBy");
    if manager.is_set() {
        domain_path(&manager, out);
        if manager.len() > MANAGED_BY_MAX {
            out.too_long(manager, MANAGED_BY_MAX);
        }
    }
    let mode = at.get("completionMode");
    if mode.is_set() {
        rule::one_of(&mode, &["NonIndexed", "Indexed"], out);
    }
    match mode.str() {
        "Indexed" => indexed(at, out),
        "NonIndexed" | "" => {
            for place in [&per_index, &failed] {
                if let Some(number) = place.int() {
                    out.invalid(place, number, NEEDS_INDEXED);
                }
            }
        }
        _ => {}
    }
    pod_failure_policy(at, out);
    let success = at.get("successPolicy");
    if success.is_set() && mode.str() != "Indexed" {
        out.invalid(success, &success, NEEDS_INDEXED);
    } else if success.is_set() {
        success_policy(&success, at.get("completions").int_or_zero(), out);
    }
    replacement_policy(at, out);
    template(&at.get("template"), out);
    restart_policy(at, out);
}

fn replacement_policy(at: &At<'_, '_>, out: &mut Causes) {
    let policy = at.get("podReplacementPolicy");
    let allowed: &[&str] =
        if at.get("podFailurePolicy").is_set() { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    if policy.is_set() {
        rule::one_of(&policy, allowed, out);
    }
}

fn restart_policy(at: &At<'_, '_>, out: &mut Causes) {
    let template = at.get("template");
    let pod = template.get("spec");
    let policy = pod.get("restartPolicy");
    match policy.str() {
        "" | "Always" => out.required(policy, "valid values: \"OnFailure\", \"Never\""),
        "Never" => {}
        "OnFailure" if at.get("podFailurePolicy").is_set() => {
            out.invalid(
                policy,
                policy.str(),
                "only \"Never\" is supported when podFailurePolicy is specified",
            );
        }
        "OnFailure" => {}
        other => out.unsupported(policy, other, &["OnFailure", "Never"]),
    }
}

fn indexed(at: &At<'_, '_>, out: &mut Causes) {
    let (completions, parallelism) = (at.get("completions"), at.get("parallelism"));
    let failed = at.get("maxFailedIndexes");
    let above = |place: &At<'_, '_>, max: i64| place.int().filter(|n| *n > max);
    if !completions.is_set() {
        out.required(completions, "when completion mode is Indexed");
    }
    if let Some(number) = above(&parallelism, INDEXED_MAX) {
        let detail = format!("must be less than or equal to {INDEXED_MAX} when completion mode is Indexed");
        out.invalid(parallelism, number, &detail);
    }
    if let Some(total) = completions.int()
        && let Some(number) = above(&failed, total)
    {
        out.invalid(failed, number, "must be less than or equal to completions");
    }
    if let Some(number) = above(&failed, INDEXED_MAX) {
        out.invalid(failed, number, &format!("must be less than or equal to {INDEXED_MAX}"));
    }
    if completions.int_or_zero() <= INDEXED_MAX || !at.get("backoffLimitPerIndex").is_set() {
        return;
    }
    if !failed.is_set() {
        out.required(failed, &format!("must be specified when completions is above {INDEXED_MAX}"));
    }
    let detail = format!(
        "must be less than or equal to {HIGH_COMPLETIONS_MAX} when completions are above {INDEXED_MAX} and used with backoff limit per index"
    );
    for place in [&parallelism, &failed] {
        if let Some(number) = above(place, HIGH_COMPLETIONS_MAX) {
            out.invalid(place, number, &detail);
        }
    }
}

fn listed(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|v| quote(v)).collect();
    format!("valid values: [{}]", quoted.join(" "))
}

fn choice(at: &At<'_, '_>, allowed: &[&str], out: &mut Causes) {
    if at.is_empty() {
        out.required(at, &listed(allowed));
    } else {
        rule::one_of(at, allowed, out);
    }
}

fn pod_failure_policy(spec: &At<'_, '_>, out: &mut Causes) {
    let policy = spec.get("podFailurePolicy");
    let rules = policy.get("rules");
    if rules.len() > RULES_MAX {
        out.too_many(rules, rules.len(), RULES_MAX);
    }
    let pod = dig(spec.value, "template.spec");
    let containers: BTreeSet<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|l| list(field(pod, l)))
        .map(|c| text(field(c, "name")))
        .collect();
    for item in rules.items() {
        let action = item.get("action");
        choice(&action, ACTIONS, out);
        if action.str() == "FailIndex" && !spec.get("backoffLimitPerIndex").is_set() {
            out.invalid(action, action.str(), "requires the backoffLimitPerIndex to be set");
        }
        let (codes, conditions) = (item.get("onExitCodes"), item.get("onPodConditions"));
        if codes.is_set() {
            exit_codes(&codes, &containers, out);
        }
        pod_conditions(&conditions, out);
        match (codes.is_set(), !conditions.is_empty()) {
            (true, true) => {
                out.invalid_here(item, "specifying both OnExitCodes and OnPodConditions is not supported");
            }
            (false, false) => {
                out.invalid_here(item, "specifying one of OnExitCodes and OnPodConditions is required");
            }
            _ => {}
        }
    }
}

fn pod_conditions(at: &At<'_, '_>, out: &mut Causes) {
    if at.len() > RULES_MAX {
        out.too_many(at, at.len(), RULES_MAX);
    }
    for pattern in at.items() {
        rule::qualified_name(&pattern.get("type"), out);
        choice(&pattern.get("status"), STATUSES, out);
    }
}

fn exit_codes(at: &At<'_, '_>, containers: &BTreeSet<&str>, out: &mut Causes) {
    let (operator, container, values) = (at.get("operator"), at.get("containerName"), at.get("values"));
    choice(&operator, &["In", "NotIn"], out);
    if container.is_set() && !containers.contains(container.str()) {
        let detail = "must be one of the container or initContainer names in the pod template";
        out.invalid(container, container.str(), detail);
    }
    if values.is_empty() {
        out.invalid(values, &values, "at least one value is required");
    } else if values.len() > EXIT_CODES_MAX {
        out.too_many(values, values.len(), EXIT_CODES_MAX);
    }
    let (mut seen, mut ordered, mut last) = (BTreeSet::new(), true, i64::MIN);
    for value in values.items() {
        let code = value.int_or_zero();
        if code == 0 && operator.str() == "In" {
            out.invalid(value, code, "must not be 0 for the In operator");
        }
        if !seen.insert(code) {
            out.duplicate(value, code);
        }
        ordered &= last <= code;
        last = code;
    }
    if !ordered {
        out.invalid(values, &values, "must be ordered");
    }
}

fn success_policy(at: &At<'_, '_>, completions: i64, out: &mut Causes) {
    let rules = at.get("rules");
    if rules.is_empty() {
        out.required(rules, "at least one rules must be specified when the successPolicy is specified");
    }
    if rules.len() > RULES_MAX {
        out.too_many(rules, rules.len(), RULES_MAX);
    }
    for item in rules.items() {
        let (count, indexes) = (item.get("succeededCount"), item.get("succeededIndexes"));
        if !count.is_set() && !indexes.is_set() {
            out.required(item, "at least one of succeededCount or succeededIndexes must be specified");
        }
        let mut total = 0;
        if indexes.is_set() {
            if indexes.len() > INDEXES_MAX {
                out.too_long(indexes, INDEXES_MAX);
            }
            match count_indexes(indexes.str(), completions) {
                Ok(number) => total = number,
                Err(why) => {
                    out.invalid(indexes, indexes.str(), &format!("error parsing succeededIndexes: {why}"));
                }
            }
        }
        rule::not_negative(&count, out);
        let number = count.int_or_zero();
        let bounds = [
            (true, completions, "specified completions"),
            (indexes.is_set(), total, "indexes in the specified succeededIndexes field"),
        ];
        for (applies, max, what) in bounds {
            if applies && number > max {
                let detail = format!("must be less than or equal to {max} (the number of {what})");
                out.invalid(count, number, &detail);
            }
        }
    }
}

/// How many indexes `0-3,7` names.
fn count_indexes(text: &str, completions: i64) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let (mut total, mut last): (i64, Option<i64>) = (0, None);
    for part in text.split(',') {
        let (first, end) = interval(part, completions)?;
        if let Some(last) = last
            && last >= first
        {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

fn interval(part: &str, completions: i64) -> Result<(i64, i64), String> {
    let limits: Vec<&str> = part.split('-').collect();
    let number = |text: &str| -> Result<i64, String> {
        let number = text
            .parse::<i32>()
            .map_err(|_| format!("cannot convert string to integer for index: {}", quote(text)))?;
        let number = i64::from(number);
        if number >= completions { Err(format!("too large index: {}", quote(text))) } else { Ok(number) }
    };
    match limits.as_slice() {
        [one] => number(one).map(|n| (n, n)),
        [first, end] => {
            let (first, end) = (number(first)?, number(end)?);
            if first >= end {
                return Err(format!("non-increasing order, previous: {first}, current: {end}"));
            }
            Ok((first, end))
        }
        _ => Err(format!(
            "the fragment {} violates the requirement that an index interval can have at most two parts separated by '-'",
            quote(part)
        )),
    }
}

/// A Job in an old one's place. The template of a suspended Job that never started may still be moved.
pub(crate) fn job_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let (spec, before) = (at.get("spec"), field(old, "spec"));
    selected_spec(&spec, out);
    completions(before, &spec, out);
    let selector = spec.get("selector");
    if !same(field(before, "selector"), selector.value) {
        out.invalid(selector, selector_text(selector.value), "field is immutable");
    }
    let template = spec.get("template");
    let mut was = field(before, "template").clone();
    if field(before, "suspend").as_bool() == Some(true) && dig(old, "status.startTime").is_null() {
        movable(&mut was, template.value);
    }
    immutable(&was, &template, out);
    let rest = &[
        "spec.completionMode",
        "spec.podFailurePolicy",
        "spec.backoffLimitPerIndex",
        "spec.managedBy",
        "spec.successPolicy",
    ];
    immutable_paths(old, at, rest, out);
}

fn completions(before: &Value, spec: &At<'_, '_>, out: &mut Causes) {
    let completions = spec.get("completions");
    if spec.get("completionMode").str() != "Indexed" {
        return immutable(field(before, "completions"), &completions, out);
    }
    let changed = !same(field(before, "completions"), completions.value);
    if changed && completions.is_set() && completions.value != spec.get("parallelism").value {
        out.invalid(completions, &completions, "can only be modified in tandem with spec.parallelism");
    }
}

const MOVABLE: &[&str] = &["nodeSelector", "tolerations", "schedulingGates"];

fn movable(template: &mut Value, new: &Value) {
    let Some(template) = template.as_object_mut() else { return };
    for name in ["labels", "annotations"] {
        let value = field(field(new, "metadata"), name).clone();
        if let Some(meta) =
            template.entry("metadata").or_insert_with(|| serde_json::json!({})).as_object_mut()
        {
            meta.insert(name.to_string(), value);
        }
    }
    let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut) else { return };
    for name in MOVABLE {
        spec.insert((*name).to_string(), field(field(new, "spec"), name).clone());
    }
    let node = dig(new, "spec.affinity.nodeAffinity").clone();
    if let Some(affinity) = spec.entry("affinity").or_insert_with(|| serde_json::json!({})).as_object_mut() {
        affinity.insert("nodeAffinity".to_string(), node);
    }
}

/// The spec of a Job that a CronJob will make.
fn job_template(at: &At<'_, '_>, out: &mut Causes) {
    let spec = at.get("spec");
    job_spec(&spec, out);
    let selector = spec.get("selector");
    if selector.is_set() {
        out.invalid(selector, selector_text(selector.value), "`selector` will be auto-generated");
    }
    let manual = spec.get("manualSelector");
    if manual.is_true() {
        out.unsupported(manual, true, &["nil", "false"]);
    }
}

/// A new CronJob.
pub(crate) fn cron_job(at: &At<'_, '_>, out: &mut Causes) {
    cron_job_spec(&at.get("spec"), &Value::Null, out);
    let meta = at.get("metadata");
    let name = meta.get("name");
    if name.len() > CRON_JOB_NAME_MAX {
        out.invalid(name, name.str(), "must be no more than 52 characters");
    }
}

/// A CronJob in an old one's place.
pub(crate) fn cron_job_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    cron_job_spec(&at.get("spec"), field(old, "spec"), out);
}

fn cron_job_spec(at: &At<'_, '_>, before: &Value, out: &mut Causes) {
    let (expression, zone) = (at.get("schedule"), at.get("timeZone"));
    if expression.is_empty() {
        out.required(expression, "");
    } else {
        schedule(&expression, text(field(before, "schedule")).contains("TZ"), zone.is_set(), out);
    }
    run(&[r("startingDeadlineSeconds", Check::NotNegative)], at, out);
    if zone.is_set() && (before.is_null() || field(before, "timeZone") != zone.value) {
        time_zone(&zone, out);
    }
    rule::must_be(&at.get("concurrencyPolicy"), &["Allow", "Forbid", "Replace"], out);
    job_template(&at.get("jobTemplate"), out);
    run(
        &[
            r("successfulJobsHistoryLimit", Check::NotNegative),
            r("failedJobsHistoryLimit", Check::NotNegative),
        ],
        at,
        out,
    );
}

fn schedule(at: &At<'_, '_>, had_zone: bool, has_field: bool, out: &mut Causes) {
    if let Err(why) = Schedule::parse_with_zone(at.str()) {
        out.invalid(at, at.str(), &why.to_string());
    }
    if !at.str().contains("TZ") {
    } else if !had_zone {
        out.invalid(at, at.str(), &CronError::ZoneInSchedule.to_string());
    } else if has_field {
        out.invalid(at, at.str(), "cannot use both timeZone field and TZ or CRON_TZ in schedule");
    }
}

fn time_zone(at: &At<'_, '_>, out: &mut Causes) {
    let good_part = |part: &str| {
        (1..=14).contains(&part.len())
            && part != "."
            && part != ".."
            && !part.starts_with('-')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+".contains(&b))
    };
    if !at.is_empty() && !at.str().split('/').all(good_part) {
        return out.invalid(at, at.str(), &format!("unknown time zone {}", at.str()));
    }
    if let Err(why) = check_time_zone(at.str()) {
        out.invalid(at, at.str(), &why.to_string());
    }
}

/// The status of a Job.
pub(crate) fn job_status(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let status = at.get("status");
    run(
        &[
            r("active", Check::NotNegative),
            r("succeeded", Check::NotNegative),
            r("failed", Check::NotNegative),
            r("ready", Check::NotNegative),
            r("terminating", Check::NotNegative),
        ],
        &status,
        out,
    );
    let is_true = |object: &Value, kind: &str| {
        list(dig(object, "status.conditions"))
            .iter()
            .any(|c| text(field(c, "type")) == kind && text(field(c, "status")) == "True")
    };
    let conditions = status.get("conditions");
    if is_true(at.value, "Complete") && is_true(at.value, "Failed") {
        out.invalid_here(conditions, "cannot set Complete=True and Failed=true conditions");
    }
    let ended = is_true(at.value, "Complete") || is_true(at.value, "Failed");
    let (active, start, end) = (status.get("active"), status.get("startTime"), status.get("completionTime"));
    if end.is_set() && !is_true(at.value, "Complete") {
        out.invalid(end, &end, "cannot set completionTime when there is no Complete=True condition");
    }
    if !end.is_set() && is_true(at.value, "Complete") {
        out.required(end, "completionTime is required for Complete jobs");
    }
    if ended && active.int_or_zero() > 0 {
        out.invalid(active, active.int_or_zero(), "active>0 is invalid for finished job");
    }
    if ended && !start.is_set() {
        out.required(start, "startTime is required for finished job");
    }
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if is_true(old, kind) && !is_true(at.value, kind) {
            out.invalid_here(conditions, &format!("cannot disable the terminal {kind}=True condition"));
        }
    }
}
