//! Checks of probes, of lifecycle hooks and of the handlers that both share.

use kiban_base::names;

use super::at::At;
use super::cause::Causes;
use super::rule::{self, Check, Rule, range_error, rule as r, run};

const NUMBERS: &[Rule] = &[
    r("initialDelaySeconds", Check::NotNegative),
    r("timeoutSeconds", Check::NotNegative),
    r("periodSeconds", Check::NotNegative),
    r("successThreshold", Check::NotNegative),
    r("failureThreshold", Check::NotNegative),
];
const PROBES: &[&str] = &["exec", "httpGet", "tcpSocket", "grpc"];
const HOOKS: &[&str] = &["exec", "httpGet", "tcpSocket", "sleep"];

/// A liveness or startup probe, which one success has to satisfy.
pub(crate) fn liveness(at: &At<'_, '_>, grace: Option<i64>, out: &mut Causes) {
    if !at.is_set() {
        return;
    }
    probe(at, grace, out);
    let threshold = at.get("successThreshold");
    if threshold.int_or_zero() != 1 {
        out.invalid(threshold, threshold.int_or_zero(), "must be 1");
    }
}

/// A readiness probe, which ends nothing and so has no grace period.
pub(crate) fn readiness(at: &At<'_, '_>, grace: Option<i64>, out: &mut Causes) {
    if !at.is_set() {
        return;
    }
    probe(at, grace, out);
    let own = at.get("terminationGracePeriodSeconds");
    if own.is_set() {
        out.invalid(own, &own, "must not be set for readinessProbes");
    }
}

fn probe(at: &At<'_, '_>, grace: Option<i64>, out: &mut Causes) {
    handler(at, PROBES, grace, out);
    run(NUMBERS, at, out);
    let own = at.get("terminationGracePeriodSeconds");
    if let Some(seconds) = own.int()
        && seconds <= 0
    {
        out.invalid(own, seconds, "must be greater than 0");
    }
}

/// The hooks after a container's start and before its end.
pub(crate) fn lifecycle(at: &At<'_, '_>, grace: Option<i64>, out: &mut Causes) {
    for name in ["postStart", "preStop"] {
        let hook = at.get(name);
        if hook.is_set() {
            handler(&hook, HOOKS, grace, out);
        }
    }
}

fn handler(at: &At<'_, '_>, types: &[&str], grace: Option<i64>, out: &mut Causes) {
    let mut found = false;
    for name in types {
        let place = at.get(name);
        if !place.is_set() {
            continue;
        }
        if found {
            out.forbidden(place, "may not specify more than 1 handler type");
            continue;
        }
        found = true;
        match *name {
            "exec" => {
                if place.get("command").is_empty() {
                    out.required(place.get("command"), "");
                }
            }
            "httpGet" => http_get(&place, out),
            "tcpSocket" => port_or_name(&place.get("port"), out),
            "grpc" => port_number(&place.get("port"), out),
            _ => sleep(&place, grace, out),
        }
    }
    if !found {
        out.required(at, "must specify a handler type");
    }
}

fn http_get(at: &At<'_, '_>, out: &mut Causes) {
    let path = at.get("path");
    if path.is_empty() {
        out.required(path, "");
    }
    port_or_name(&at.get("port"), out);
    rule::one_of(&at.get("scheme"), &["HTTP", "HTTPS"], out);
    let headers = at.get("httpHeaders");
    for header in headers.items() {
        let name = header.get("name").str();
        if name.is_empty() || !name.bytes().all(|b| b == b'-' || b.is_ascii_alphanumeric()) {
            let message = "a valid HTTP header must consist of alphanumeric characters or '-'";
            let detail = names::regex_error(message, "[-A-Za-z0-9]+", &["X-Header-Name"]);
            out.invalid(headers, name, &detail);
        }
    }
}

fn sleep(at: &At<'_, '_>, grace: Option<i64>, out: &mut Causes) {
    let seconds = at.get("seconds").int_or_zero();
    if let Some(grace) = grace
        && !(0..=grace).contains(&seconds)
    {
        let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        out.invalid(at, seconds, &detail);
    }
}

/// A port by number or by the name that a container gave it.
pub(crate) fn port_or_name(at: &At<'_, '_>, out: &mut Causes) {
    if at.value.is_string() {
        out.invalid_each(at, at.str(), names::check_port_name(at.str()));
    } else {
        port_number(at, out);
    }
}

/// A port's number, where an absent one is zero.
pub(crate) fn port_number(at: &At<'_, '_>, out: &mut Causes) {
    let number = at.int_or_zero();
    if !names::is_port_number(number) {
        out.invalid(at, number, &range_error(1, 65535));
    }
}
