//! Whether the process works: `/livez`, `/healthz`, `/readyz`, and its metrics at `/metrics`.
//!
//! Ready is the process when its listeners are bound, each component that is on was ready once, and it is
//! not ending. A component that fails later does not take the others' traffic away: it is told in
//! `/readyz?verbose`, in `/readyz/NAME` and in `kiban_component_up`.

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
    fn checks(&self, states: &[State]) -> Vec<(bool, String, String)> {
        let bound = self.0.bound.load(Ordering::Relaxed);
        let ending = self.0.ending.load(Ordering::Relaxed);
        let why = |good: bool, why: &str| if good { String::new() } else { why.to_owned() };
        let mut checks = vec![
            (bound, "listeners".to_owned(), why(bound, "not all are bound")),
            (!ending, "shutdown".to_owned(), why(!ending, "the process ends")),
        ];
        checks.extend(states.iter().map(|state| {
            let (good, why) = verdict(state);
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

/// Puts the server's own routes into the table, and says who answers them.
///
/// # Errors
/// Where another one has one of them.
pub fn install(
    router: &Router,
    process: Process,
    supervisor: &Arc<Supervisor>,
    metrics: Registry,
) -> Result<(), String> {
    router.install(SERVER, routes())?;
    let ok: Arc<dyn Respond> = Arc::new(|_: Asked| Answer::text("ok"));
    let states = supervisor.clone();
    let readyz = move |asked: Asked| ready(&process, &states.states(), asked.query("verbose").is_some());
    let states = supervisor.clone();
    let one = move |asked: Asked| component(&states.states(), asked.param("component"));
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
fn ready(process: &Process, states: &[State], verbose: bool) -> Answer {
    let checks = process.checks(states);
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

fn component(states: &[State], name: &str) -> Answer {
    match states.iter().find(|state| state.name == name).map(verdict) {
        Some((true, _)) => Answer::text("ok"),
        Some((false, why)) => Answer::error(StatusCode::SERVICE_UNAVAILABLE, &why),
        None => {
            let names: Vec<&str> = states.iter().map(|state| state.name).collect();
            let words = format!("no component of this name is on; on are: {}", names.join(", "));
            Answer::error(StatusCode::NOT_FOUND, &words)
        }
    }
}
