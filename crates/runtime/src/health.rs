//! Whether the process works: `/livez`, `/healthz`, `/readyz`, and its metrics at `/metrics`.
//!
//! Ready is the process when its listeners are bound, each component that is on was ready once, and it is
//! not ending. A component that fails later does not take the others' traffic away: it is told in
//! `/readyz?verbose`, in `/readyz/NAME` and in `kiban_component_up`. Anyone may ask these; where callers must
//! prove who they are, why a component failed is told in the log alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};

use crate::metrics::{CONTENT_TYPE as METRICS, Registry};
use crate::readiness;
use crate::route::{Answer, Answers, Asked, Class, Respond, Route};
use crate::router::Router;
use crate::supervisor::{State, Supervisor};

/// The name under which the server's own routes stand in the table.
pub const SERVER: &str = "server";

/// Rows of the server's own routes.
pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/livez", Class::Health, "whether the process works"),
        Route::get("/healthz", Class::Health, "the same, under its older name"),
        Route::get("/readyz", Class::Health, "whether it takes requests; ?verbose lists the components"),
        Route::get("/readyz/{component}", Class::Health, "whether one component is ready now"),
        Route::get("/metrics", Class::Read, "the server's own metrics, in Prometheus' text format"),
    ]
}

/// What the process is doing. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Process(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    bound: AtomicBool,
    ending: AtomicBool,
}

impl Process {
    /// All listeners are bound.
    pub fn bound(&self) {
        self.0.bound.store(true, Ordering::Relaxed);
    }

    /// It ends.
    pub fn ending(&self) {
        self.0.ending.store(true, Ordering::Relaxed);
    }

    /// One line a check: whether it holds, its name, and why not.
    fn checks(&self, states: &[State], tell: bool) -> Vec<(bool, String, String)> {
        let bound = self.0.bound.load(Ordering::Relaxed);
        let ending = self.0.ending.load(Ordering::Relaxed);
        let why = |good: bool, why: &str| if good { String::new() } else { why.to_owned() };
        let mut checks = vec![
            (bound, "listeners".to_owned(), why(bound, "not all are bound")),
            (!ending, "shutdown".to_owned(), why(!ending, "the process ends")),
        ];
        checks.extend(states.iter().map(|state| {
            let (good, why) = told(state, tell);
            // It was ready once: its failure is its own.
            (good || state.came_up, state.name.to_owned(), why)
        }));
        checks
    }
}

/// Whether a component is ready now, and if not, why.
fn verdict(state: &State) -> (bool, String) {
    match &state.readiness {
        readiness::State::Ready => (true, String::new()),
        readiness::State::Not(why) => (false, why.clone()),
    }
}

/// What is said in place of a reason that not everyone may read.
const WITHHELD: &str = "reason withheld; the log says it";

/// Whether a component is ready now, and if not, why, for anyone or withheld.
fn told(state: &State, tell: bool) -> (bool, String) {
    let (good, why) = verdict(state);
    (good, if good || tell { why } else { WITHHELD.to_owned() })
}

/// Puts the server's own routes into the table, and says who answers them. `tell`: whether anyone may read why
/// a component failed.
///
/// # Errors
/// Where another one has one of them.
pub fn install(
    router: &Router,
    process: Process,
    supervisor: &Arc<Supervisor>,
    metrics: Registry,
    tell: bool,
) -> Result<(), String> {
    router.install(SERVER, routes())?;
    let ok: Arc<dyn Respond> = Arc::new(|_: Asked| Answer::text("ok"));
    let states = supervisor.clone();
    let readyz =
        move |asked: Asked| ready(&process, &states.states(), asked.query("verbose").is_some(), tell);
    let states = supervisor.clone();
    let one = move |asked: Asked| component(&states.states(), asked.param("component"), tell);
    let text = move |_: Asked| {
        let mut answer = Answer::text(metrics.text());
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(METRICS));
        answer
    };
    router.serve(
        SERVER,
        vec![
            ("/livez", ok.clone()),
            ("/healthz", ok),
            ("/readyz", Arc::new(readyz)),
            ("/readyz/{component}", Arc::new(one)),
            ("/metrics", Arc::new(text)),
        ],
    )
}

/// The answer of `/readyz`, in the form of Kubernetes' own servers.
fn ready(process: &Process, states: &[State], verbose: bool, tell: bool) -> Answer {
    let checks = process.checks(states, tell);
    let good = checks.iter().all(|(good, ..)| *good);
    if good && !verbose {
        return Answer::text("ok");
    }
    let lines = checks.iter().map(|(good, name, why)| match (good, why.as_str()) {
        (true, "") => format!("[+]{name} ok\n"),
        (true, why) => format!("[+]{name} ok once, not now: {why}\n"),
        (false, why) => format!("[-]{name} failed: {why}\n"),
    });
    let text: String = lines.collect();
    if good {
        Answer::text(format!("{text}readyz check passed\n"))
    } else {
        Answer::error(StatusCode::SERVICE_UNAVAILABLE, &format!("{text}readyz check failed"))
    }
}

fn component(states: &[State], name: &str, tell: bool) -> Answer {
    match states.iter().find(|state| state.name == name).map(|state| told(state, tell)) {
        Some((true, _)) => Answer::text("ok"),
        Some((false, why)) => Answer::error(StatusCode::SERVICE_UNAVAILABLE, &why),
        None => {
            let names: Vec<&str> = states.iter().map(|state| state.name).collect();
            let words = format!("no component of this name is on; on are: {}", names.join(", "));
            Answer::error(StatusCode::NOT_FOUND, &words)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::supervisor::Phase;

    fn state(name: &'static str, why: &str, came_up: bool) -> State {
        let (phase, readiness) = match why {
            "" => (Phase::Running, readiness::State::Ready),
            why => (Phase::Waiting { why: why.into() }, readiness::State::Not(why.into())),
        };
        State { name, phase, readiness, came_up, restarts: 0 }
    }

    fn said(answer: Answer) -> (u16, String) {
        let status = answer.status().as_u16();
        match answer.into_body() {
            crate::http::Body::Full(bytes) => (status, String::from_utf8(bytes.unwrap().to_vec()).unwrap()),
            crate::http::Body::Stream(_) => panic!("a stream"),
        }
    }

    #[test]
    fn a_process_is_ready_once_all_came_up_and_a_later_failure_is_its_component_s_own() {
        let process = Process::default();
        process.bound();
        let all = |why: &str, came_up| [state("a", "", true), state("b", why, came_up)];
        let ask = |why: &str, came_up, tell| said(ready(&process, &all(why, came_up), true, tell));
        let head = "[+]listeners ok\n[+]shutdown ok\n[+]a ok\n";
        assert_eq!(ask("", true, true), (200, format!("{head}[+]b ok\nreadyz check passed\n")));
        let once = format!("{head}[+]b ok once, not now: disk full\nreadyz check passed\n");
        assert_eq!(ask("disk full", true, true), (200, once));
        let never = format!("{head}[-]b failed: disk full\nreadyz check failed\n");
        assert_eq!(ask("disk full", false, true), (503, never));
        let withheld = format!("{head}[-]b failed: reason withheld; the log says it\nreadyz check failed\n");
        assert_eq!(ask("disk full", false, false), (503, withheld));
        let one = |tell| said(component(&all("disk full", true), "b", tell));
        assert_eq!(one(true), (503, "disk full\n".into()));
        assert_eq!(one(false), (503, "reason withheld; the log says it\n".into()));
        process.ending();
        assert_eq!(said(ready(&process, &all("", true), false, true)).0, 503);
    }
}
