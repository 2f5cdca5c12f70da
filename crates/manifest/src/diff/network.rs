//! NetworkPolicies compared by what they let through, and other policies of the network by what they forbid.

use std::collections::BTreeSet;
use std::net::IpAddr;

use kiban_base::object::ObjectId;
use serde_json::Value;

use super::context::{Context, Side};
use super::fields::Step;
use super::{FieldChange, Reason, Risk};

/// More pairs of old and new rules than this are not compared: the change is taken for an opening.
const MAX_PAIRS: usize = 200_000;

/// A direction of traffic, as `policyTypes` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Direction {
    Ingress,
    Egress,
}

impl Direction {
    fn key(self) -> &'static str {
        if self == Self::Ingress { "ingress" } else { "egress" }
    }

    fn peers(self) -> &'static str {
        if self == Self::Ingress { "from" } else { "to" }
    }

    fn lets(self) -> &'static str {
        if self == Self::Ingress { "lets in" } else { "lets out" }
    }
}

/// The directions in which a policy cuts its pods off. Source: the API's description of `policyTypes`.
pub(super) fn directions(policy: &Value) -> BTreeSet<Direction> {
    let spec = &policy["spec"];
    match spec["policyTypes"].as_array().filter(|types| !types.is_empty()) {
        Some(types) => {
            let named = |name: &str| types.iter().any(|t| t == name);
            let all = [("Ingress", Direction::Ingress), ("Egress", Direction::Egress)];
            all.into_iter().filter(|(name, _)| named(name)).map(|(_, direction)| direction).collect()
        }
        None if spec["egress"].as_array().is_some_and(|rules| !rules.is_empty()) => {
            BTreeSet::from([Direction::Ingress, Direction::Egress])
        }
        None => BTreeSet::from([Direction::Ingress]),
    }
}

/// Whether `wide` takes everything that `narrow` takes: each of its demands is one of the other's too.
pub(super) fn selects_all(wide: &Value, narrow: &Value) -> bool {
    let labels = |of: &Value| of["matchLabels"].as_object().cloned().unwrap_or_default();
    let expressions = |of: &Value| of["matchExpressions"].as_array().cloned().unwrap_or_default();
    let narrow_labels = labels(narrow);
    let narrow_expressions = expressions(narrow);
    labels(wide).iter().all(|(key, value)| narrow_labels.get(key) == Some(value))
        && expressions(wide).iter().all(|demand| narrow_expressions.contains(demand))
}

/// One thing that a rule lets through: a peer at a port. `None`: all of them.
type Way<'a> = (Option<&'a Value>, Option<&'a Value>);

fn ways(policy: &Value, direction: Direction) -> Vec<Way<'_>> {
    let rules = policy["spec"][direction.key()].as_array().map_or(&[][..], Vec::as_slice);
    let mut ways = Vec::new();
    for rule in rules {
        let list = |key: &str| match rule[key].as_array().filter(|items| !items.is_empty()) {
            Some(items) => items.iter().map(Some).collect(),
            None => vec![None],
        };
        let ports = list("ports");
        for peer in list(direction.peers()) {
            ways.extend(ports.iter().map(|port| (peer, *port)));
        }
    }
    ways
}

fn covers(old: &Way<'_>, new: &Way<'_>) -> bool {
    let peer = match (old.0, new.0) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(old), Some(new)) => covers_peer(old, new),
    };
    peer && match (old.1, new.1) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(old), Some(new)) => covers_port(old, new),
    }
}

fn covers_peer(old: &Value, new: &Value) -> bool {
    if old == new {
        return true;
    }
    match (old.get("ipBlock"), new.get("ipBlock")) {
        (Some(old), Some(new)) => covers_block(old, new),
        (None, None) => {
            // Without a namespaceSelector it is the policy's own namespace, which is no part of another one's
            // selector as far as the manifests say.
            let namespaces = match (old.get("namespaceSelector"), new.get("namespaceSelector")) {
                (None, None) => true,
                (Some(old), Some(new)) => selects_all(old, new),
                (Some(old), None) => selects_all(old, &Value::Null),
                (None, Some(_)) => false,
            };
            namespaces
                && match (old.get("podSelector"), new.get("podSelector")) {
                    (None, _) => true,
                    (Some(old), Some(new)) => selects_all(old, new),
                    (Some(old), None) => selects_all(old, &Value::Null),
                }
        }
        _ => false,
    }
}

fn covers_block(old: &Value, new: &Value) -> bool {
    let cidr = |of: &Value| of["cidr"].as_str().map(str::to_owned);
    let excepts = |of: &Value| -> Vec<String> {
        let list = of["except"].as_array().map_or(&[][..], Vec::as_slice);
        list.iter().filter_map(|e| e.as_str().map(str::to_owned)).collect()
    };
    let (Some(outer), Some(inner)) = (cidr(old), cidr(new)) else { return false };
    let still = excepts(new);
    // What the old block left out must be left out still, unless the new block has nothing of it.
    within(&inner, &outer)
        && excepts(old).iter().all(|hole| {
            still.iter().any(|new| within(hole, new)) || (!within(hole, &inner) && !within(&inner, hole))
        })
}

/// Whether a block of addresses lies in another.
pub(super) fn within(inner: &str, outer: &str) -> bool {
    if inner == outer {
        return true;
    }
    let (Some(inner), Some(outer)) = (block(inner), block(outer)) else { return false };
    let (bits, full): (fn(IpAddr) -> u128, u32) = match (inner.0, outer.0) {
        (IpAddr::V4(_), IpAddr::V4(_)) => (as_bits, 32),
        (IpAddr::V6(_), IpAddr::V6(_)) => (as_bits, 128),
        _ => return false,
    };
    let shift = full.saturating_sub(outer.1);
    let head = |address: IpAddr| bits(address).checked_shr(shift).unwrap_or(0);
    inner.1 >= outer.1 && head(inner.0) == head(outer.0)
}

fn as_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn block(text: &str) -> Option<(IpAddr, u32)> {
    let (address, length) = text.split_once('/')?;
    let (address, length): (IpAddr, u32) = (address.parse().ok()?, length.parse().ok()?);
    (length <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, length))
}

fn covers_port(old: &Value, new: &Value) -> bool {
    let protocol = |of: &Value| of["protocol"].as_str().unwrap_or("TCP").to_owned();
    if protocol(old) != protocol(new) {
        return false;
    }
    let range = |of: &Value| {
        let first = of["port"].as_u64()?;
        Some((first, of["endPort"].as_u64().unwrap_or(first)))
    };
    match (old.get("port"), range(old), range(new)) {
        (None, _, _) => true,
        (_, Some(old), Some(new)) => old.0 <= new.0 && new.1 <= old.1,
        (Some(old), _, _) => new.get("port") == Some(old),
    }
}

fn describe(way: &Way<'_>) -> String {
    let peer = match way.0 {
        None => "everyone".to_owned(),
        Some(peer) if peer.get("ipBlock").is_some() => {
            let block = &peer["ipBlock"];
            let holes = block["except"].as_array().map_or(0, Vec::len);
            let cidr = block["cidr"].as_str().unwrap_or("?");
            if holes == 0 { cidr.to_owned() } else { format!("{cidr} but for {holes} blocks") }
        }
        Some(peer) => match (peer.get("namespaceSelector"), peer.get("podSelector")) {
            (None, pods) => format!("pods {}", selector(pods)),
            (Some(spaces), pods) => {
                format!("pods {} of namespaces {}", selector(pods), selector(Some(spaces)))
            }
        },
    };
    match way.1 {
        None => format!("{peer} on every port"),
        Some(port) => {
            let protocol = port["protocol"].as_str().unwrap_or("TCP");
            let number = match &port["port"] {
                Value::String(name) => name.clone(),
                Value::Null => "any port".to_owned(),
                number => number.to_string(),
            };
            let end = port["endPort"].as_u64().map_or_else(String::new, |end| format!("-{end}"));
            format!("{peer} on {protocol} {number}{end}")
        }
    }
}

/// `app=web`, `any`.
pub(super) fn selector(of: Option<&Value>) -> String {
    let Some(of) = of else { return "any".to_owned() };
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let labels = of["matchLabels"].as_object();
    let mut parts: Vec<String> =
        labels.into_iter().flatten().map(|(key, value)| format!("{key}={}", text(value))).collect();
    for demand in of["matchExpressions"].as_array().into_iter().flatten() {
        let values: Vec<String> = demand["values"].as_array().into_iter().flatten().map(text).collect();
        let (key, operator) = (text(&demand["key"]), text(&demand["operator"]));
        parts.push(format!("{key} {operator} ({})", values.join(" ")).replace(" ()", ""));
    }
    if parts.is_empty() { "any".to_owned() } else { parts.join(",") }
}

/// What a policy lets through that it did not before.
pub(super) fn changed(id: &ObjectId, before: &Value, after: &Value, context: &Context<'_>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let (was, is) = (&before["spec"]["podSelector"], &after["spec"]["podSelector"]);
    if was != is && !selects_all(is, was) {
        let about = [format!("{} before, {} now", selector(Some(was)), selector(Some(is)))];
        reasons.push(Reason::new(Risk::OpensNetwork, "no longer covers all the pods that it covered", about));
    }
    let (had, has) = (directions(before), directions(after));
    for direction in &had {
        if !has.contains(direction) && !context.cut_off(Side::After, id, was, *direction) {
            let about = [direction.key().to_owned()];
            reasons.push(Reason::new(Risk::OpensNetwork, "no longer restricts", about));
        }
    }
    for direction in has {
        // Where nothing was cut off before, the rules are the first restriction: they open nothing.
        let restricted = had.contains(&direction) || context.cut_off(Side::Before, id, is, direction);
        if restricted {
            reasons.extend(opened(before, after, direction));
        }
    }
    if was != is && selects_all(is, was) && reasons.is_empty() {
        // More pods are let through to, where others cut them off.
        reasons.extend(added(id, after, context));
    }
    reasons
}

fn opened(before: &Value, after: &Value, direction: Direction) -> Option<Reason> {
    let (old, new) = (ways(before, direction), ways(after, direction));
    let about: BTreeSet<String> = if old.len().saturating_mul(new.len()) > MAX_PAIRS {
        if before["spec"][direction.key()] == after["spec"][direction.key()] {
            return None;
        }
        BTreeSet::from([format!("{} ways, too many to compare", new.len())])
    } else {
        new.iter().filter(|new| !old.iter().any(|old| covers(old, new))).map(describe).collect()
    };
    Reason::of(Risk::OpensNetwork, direction.lets(), about)
}

/// What a new policy lets through to pods that others cut off already.
pub(super) fn added(id: &ObjectId, policy: &Value, context: &Context<'_>) -> Vec<Reason> {
    let selector = &policy["spec"]["podSelector"];
    let cut_off = |d: &Direction| context.cut_off(Side::Before, id, selector, *d);
    let opened =
        directions(policy).into_iter().filter(cut_off).filter_map(|d| opened(&Value::Null, policy, d));
    opened.collect()
}

/// What nothing restricts any more once a policy is gone.
pub(super) fn removed(id: &ObjectId, policy: &Value, context: &Context<'_>) -> Option<Reason> {
    let pods = &policy["spec"]["podSelector"];
    let about = directions(policy)
        .into_iter()
        .filter(|d| !context.cut_off(Side::After, id, pods, *d))
        .map(|d| format!("{} of pods {}", d.key(), selector(Some(pods))));
    Reason::of(Risk::OpensNetwork, "no longer restricts", about)
}

/// Policies of a mesh: Istio's.
pub(super) fn mesh(id: &ObjectId, before: &Value, after: &Value, fields: &[FieldChange]) -> Option<Reason> {
    let text =
        |of: &Value, path: &str| of.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    match id.kind.as_str() {
        "PeerAuthentication" => {
            let rank = |mode: String| match mode.as_str() {
                "STRICT" => 2,
                "DISABLE" => 0,
                _ => 1,
            };
            let (was, is) = (text(before, "/spec/mtls/mode"), text(after, "/spec/mtls/mode"));
            let about = format!("mtls {} -> {}", named(&was), named(&is));
            (rank(is) < rank(was)).then(|| Reason::new(Risk::OpensNetwork, "takes plain text", [about]))
        }
        "AuthorizationPolicy" => {
            let denies = |of: &Value| matches!(text(of, "/spec/action").as_str(), "DENY" | "CUSTOM");
            let opens = fields.iter().filter(|f| f.path.starts_with(&["spec"])).filter(|f| {
                // Items that an ALLOW loses and that a DENY gains let in nothing more; all else may.
                let item = matches!(f.path.0.last(), Some(Step::Item(_)));
                let inverse = f.path.0.iter().any(|s| matches!(s, Step::Key(key) if key.starts_with("not")));
                let harmless = if denies(after) { f.old.is_none() } else { f.new.is_none() };
                denies(before) != denies(after) || inverse || !item || !harmless
            });
            Reason::of(Risk::OpensNetwork, "may let in more", opens.map(|f| f.path.to_string()))
        }
        _ => None,
    }
}

fn named(mode: &str) -> &str {
    if mode.is_empty() { "unset" } else { mode }
}
