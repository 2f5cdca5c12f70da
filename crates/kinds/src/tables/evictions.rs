//! Evictions that several responders work on: the lifecycle group.

use kiban_base::clock::Timestamp;
use serde_json::Value;

use super::cell::{age, at, cells, condition, human_duration, items, number, or, since, some_of, text, time};
use super::{AGE, NAME, Printer, string};

pub(super) static PRINTERS: &[Printer] = &[
    Printer {
        group: "lifecycle.k8s.io",
        kind: "EvictionRequest",
        columns: &[
            NAME,
            TARGET,
            TARGET_TYPE,
            STATUS,
            string("Requester", "Who asks for the eviction."),
            string("Intent", "Whether it is still asked for."),
            AGE,
        ],
        cells: |o, now| {
            let (target, type_) = target(o);
            cells![
                text(o, "metadata.name"),
                target,
                type_,
                status(o),
                text(o, "spec.requester"),
                text(o, "spec.intent"),
                age(o, now),
            ]
        },
    },
    Printer {
        group: "lifecycle.k8s.io",
        kind: "Eviction",
        columns: &[
            NAME,
            TARGET,
            TARGET_TYPE,
            STATUS,
            string("Active Responder", "Who works on it, and how many have had their turn."),
            string("Responder Status", "What that responder is doing."),
            string("Responder Expected Finish", "When that responder means to be done."),
            string("Requesters", "Who asks for the eviction."),
            AGE,
            string("Responder Heartbeat", "Time since the responder was last heard of.").wide(),
            string("Responder Status Message", "What the responder says.").wide(),
        ],
        cells: eviction,
    },
];

const TARGET: super::Column = string("Target", "Name of what is evicted.");
const TARGET_TYPE: super::Column = string("Target Type", "Kind of what is evicted.");
const STATUS: super::Column = string("Status", "How far the eviction is.");

fn target(o: &Value) -> (&str, &'static str) {
    let pod = at(o, "spec.target.pod");
    if pod.is_object() { (text(pod, "name"), "Pod") } else { ("<unset>", "<unset>") }
}

fn status(o: &Value) -> String {
    for type_ in ["TargetEvicted", "Failed"] {
        if let Some(c) = condition(o, "status.conditions", type_)
            && text(c, "status") == "True"
        {
            return format!("{type_} ({})", text(c, "reason"));
        }
    }
    let seen = number(o, "status.observedGeneration") > 0;
    if seen { "Progressing".to_owned() } else { "Pending".to_owned() }
}

fn eviction(o: &Value, now: Timestamp) -> Vec<Value> {
    let (target, type_) = target(o);
    let turns = items(o, "status.targetResponders");
    let had_turn = |t: &&Value| text(t, "state") == "Active" || is_over(text(t, "state"));
    let done = turns.iter().filter(had_turn).count();
    let last_active = turns.iter().rfind(|t| text(t, "state") == "Active");
    // Once all have had their turn, the last of them stays on show.
    let turn = last_active.or_else(|| turns.iter().rfind(|t| is_over(text(t, "state"))));
    let responder = responder(o, turn, now);
    cells![
        text(o, "metadata.name"),
        target,
        type_,
        status(o),
        format!("{} ({done}/{})", turn.map_or("<unset>", |t| text(t, "name")), turns.len()),
        responder.status,
        responder.finish,
        requesters(o),
        age(o, now),
        responder.heartbeat,
        responder.message,
    ]
}

fn is_over(state: &str) -> bool {
    matches!(state, "Canceled" | "Interrupted" | "Completed")
}

/// The cells that describe the responder on show.
struct Responder {
    status: String,
    finish: String,
    heartbeat: String,
    message: String,
}

fn responder(o: &Value, turn: Option<&Value>, now: Timestamp) -> Responder {
    let unset = || "<unset>".to_owned();
    let mut out =
        Responder { status: unset(), finish: "<unknown>".to_owned(), heartbeat: unset(), message: unset() };
    let Some(turn) = turn else { return out };
    let name = text(turn, "name");
    let Some(responder) = items(o, "status.responders").iter().find(|r| text(r, "name") == name) else {
        return out;
    };
    let state = text(turn, "state");
    let ago = |key: &str| {
        let value = at(responder, key);
        value.is_string().then(|| format!("{} ago", since(value, now)))
    };
    out.status = state.to_owned();
    if state == "Active" {
        if let Some(started) = ago("startTime") {
            out.status = format!("Started ({started})");
            out.finish = finish(at(responder, "expectedCompletionTime"), now);
        }
    } else {
        out.finish = "-".to_owned();
        if let ("Completed", Some(completed)) = (state, ago("completionTime")) {
            out.status = format!("Completed ({completed})");
        }
    }
    out.heartbeat = ago("heartbeatTime").unwrap_or(out.heartbeat);
    out.message = or(text(responder, "message").trim(), "<unset>").to_owned();
    out
}

fn finish(expected: &Value, now: Timestamp) -> String {
    match time(expected) {
        None => "<unknown>".to_owned(),
        Some(t) if t > now => format!("in {}", human_duration(t.0.saturating_sub(now.0))),
        // The estimate was wrong, or nobody has written down that it is over.
        Some(t) => format!("{} ago", human_duration(now.0.saturating_sub(t.0))),
    }
}

fn requesters(o: &Value) -> String {
    let all = items(o, "status.requesters");
    let mut asking: Vec<&str> =
        all.iter().filter(|r| text(r, "intent") != "Withdrawn").map(|r| text(r, "name")).collect();
    asking.sort_unstable();
    match (all.is_empty(), asking.is_empty()) {
        (true, _) => "<none>".to_owned(),
        (false, true) => "<withdrawn>".to_owned(),
        (false, false) => some_of(asking, 1),
    }
}
