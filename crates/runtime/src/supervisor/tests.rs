//! Tests of the supervisor, in virtual time: components that fail in every way, and their end in order.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU32, Ordering};

use http::Method;

use super::*;
use crate::BoxFuture;
use crate::clock::SystemClock;
use crate::component::Built;
use crate::route::{Answer, Answers, Asked, Class, Route};
use crate::router::Found;
use crate::shutdown::Shutdown;

/// What a component of a test does in its n-th life.
type Script = Arc<dyn Fn(u32, Context) -> Act + Send + Sync>;

enum Act {
    PanicInBuild,
    HangInBuild,
    FailToBuild(&'static str),
    Work(BoxFuture<'static, Result<(), Failure>>),
    /// Ready until told to end; then this takes so long.
    Serve(Duration),
    /// As that, and panics when it is told to end.
    PanicAtEnd,
}

struct Scripted {
    name: &'static str,
    settings: &'static str,
    drain: Duration,
    lives: AtomicU32,
    log: Log,
    script: Script,
}

type Log = Arc<Mutex<Vec<String>>>;

impl Component for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }
    fn about(&self) -> &'static str {
        "does what a test says"
    }
    fn settings(&self) -> String {
        self.settings.to_owned()
    }
    fn drain(&self) -> Duration {
        self.drain
    }
    fn routes(&self) -> Vec<Route> {
        // Each of its own, so that two of them can run.
        let path: &'static str = if self.name == "a" { "/a" } else { "/other" };
        if self.name == "a" { vec![Route::get(path, Class::Read, "says its life")] } else { Vec::new() }
    }
    fn build<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Built, Failure>> {
        Box::pin(async move {
            let life = self.lives.fetch_add(1, Ordering::SeqCst);
            let (log, name) = (self.log.clone(), self.name);
            log.lock().unwrap().push(format!("{name} begins"));
            let (ready, act) = (context.readiness.clone(), (self.script)(life, context.clone()));
            let run: BoxFuture<'static, Result<(), Failure>> = match act {
                Act::PanicInBuild => panic!("in build"),
                Act::HangInBuild => std::future::pending().await,
                Act::FailToBuild(why) => return Err(Failure::new(why)),
                Act::Work(work) => work,
                Act::Serve(_) | Act::PanicAtEnd => Box::pin(std::future::pending()),
            };
            let slow = match (self.script)(life, context.clone()) {
                Act::Serve(slow) => Some(slow),
                _ => None,
            };
            let panics = matches!((self.script)(life, context.clone()), Act::PanicAtEnd);
            let run = move |mut shutdown: Shutdown| async move {
                ready.set();
                tokio::select! {
                    ended = run => return ended,
                    () = shutdown.fired() => {}
                }
                assert!(!panics, "at the end");
                tokio::time::sleep(slow.unwrap_or_default()).await;
                log.lock().unwrap().push(format!("{name} ends"));
                Ok(())
            };
            let built = Built::new(run);
            Ok(if self.name == "a" {
                built.route("/a", move |_: Asked| Answer::text(life.to_string()))
            } else {
                built
            })
        })
    }
}

struct World {
    registry: Registry,
    router: Router,
    supervisor: Supervisor,
    log: Log,
}

impl World {
    fn new() -> Self {
        let registry = Registry::new();
        let cpu = Pool::new(1, &registry).unwrap();
        let base = Base { metrics: registry.clone(), clock: Arc::new(SystemClock), seed: 7, data: None, cpu };
        let router = Router::new();
        let supervisor = Supervisor::new(base, router.clone());
        Self { registry, router, supervisor, log: Log::default() }
    }

    fn component(
        &self,
        name: &'static str,
        settings: &'static str,
        script: impl Fn(u32, Context) -> Act + Send + Sync + 'static,
    ) -> Arc<dyn Component> {
        Arc::new(Scripted {
            name,
            settings,
            drain: Duration::from_secs(5),
            lives: AtomicU32::new(0),
            log: self.log.clone(),
            script: Arc::new(script),
        })
    }

    fn state(&self, name: &str) -> State {
        self.supervisor.states().into_iter().find(|state| state.name == name).unwrap()
    }

    /// Lets time pass until it holds.
    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..100_000 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {what}; {:?}", self.supervisor.states());
    }

    fn metric(&self, row: &str) -> bool {
        self.registry.text().lines().any(|line| line == row)
    }

    /// Who answers /a: its life, or why nobody does.
    fn route(&self) -> String {
        match self.router.find(&Method::GET, "/a", |_| true) {
            Found::Row { respond: Ok(_), .. } => "served".into(),
            Found::Row { respond: Err(why), .. } => why.to_string(),
            _ => "404".into(),
        }
    }
}

fn serve() -> Act {
    Act::Serve(Duration::ZERO)
}

#[tokio::test(start_paused = true)]
async fn a_component_that_fails_is_built_anew_alone_however_it_fails() {
    for (how, why, first) in [
        (
            "panic",
            "a fault in the program: in build",
            Arc::new(|_| Act::PanicInBuild) as Arc<dyn Fn(Context) -> Act + Send + Sync>,
        ),
        ("build", "it was not built within a minute", Arc::new(|_| Act::HangInBuild)),
        ("build", "the port is taken", Arc::new(|_| Act::FailToBuild("the port is taken"))),
        (
            "panic",
            "a fault in the program: in run",
            Arc::new(|_| Act::Work(Box::pin(async { panic!("in run") }))),
        ),
        (
            "error",
            "the disk is full",
            Arc::new(|_| Act::Work(Box::pin(async { Err(Failure::new("the disk is full")) }))),
        ),
        ("ended", "its work ended by itself", Arc::new(|_| Act::Work(Box::pin(async { Ok(()) })))),
    ] {
        let world = World::new();
        let failing =
            world.component("a", "", move |life, context| if life < 3 { first(context) } else { serve() });
        let steady = world.component("b", "", |_, _| serve());
        world.supervisor.apply(vec![steady, failing]).await;
        world.until("it fails", |w| matches!(w.state("a").phase, Phase::Waiting { .. })).await;
        assert_eq!(world.state("a").phase, Phase::Waiting { why: why.to_owned() }, "{how}");
        assert_eq!(world.state("a").readiness, readiness::State::Not(format!("failed: {why}")));
        assert_eq!(world.route(), format!("a failed and is started again soon: {why}"));
        assert!(world.metric("kiban_component_up{component=\"a\"} 0"), "{how}");
        world.until("it works", |w| w.state("a").readiness == readiness::State::Ready).await;
        assert_eq!((world.state("a").restarts, world.state("b").restarts), (3, 0), "{how}");
        assert_eq!(world.route(), "served");
        let row = format!("kiban_component_failures_total{{component=\"a\",how=\"{how}\"}} 3");
        assert!(world.metric(&row) && world.metric("kiban_component_up{component=\"a\"} 1"), "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_between_failures_double_up_to_a_minute_and_begin_anew_after_steady_work() {
    let world = World::new();
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let noted = times.clone();
    let component = world.component("a", "", move |life, _| {
        let mut noted = noted.lock().unwrap();
        if noted.len() <= life as usize {
            noted.push(Instant::now());
        }
        match life {
            0..=9 => Act::FailToBuild("no"),
            10 => Act::Work(Box::pin(async {
                tokio::time::sleep(STEADY).await;
                Err(Failure::new("after long work"))
            })),
            _ => serve(),
        }
    });
    world.supervisor.apply(vec![component]).await;
    world.until("it works", |w| w.state("a").restarts == 11 && w.state("a").phase == Phase::Running).await;
    let times = times.lock().unwrap();
    let pauses: Vec<f64> = times.windows(2).map(|w| (w[1] - w[0]).as_secs_f64()).collect();
    for (index, pause) in pauses.iter().take(10).enumerate() {
        let whole = (0.5 * 2_f64.powi(i32::try_from(index).unwrap())).min(60.0);
        assert!(whole / 2.0 <= *pause && *pause <= whole + 0.1, "{index}: {pause} of {whole}");
    }
    let after_steady = pauses[10] - STEADY.as_secs_f64();
    assert!((0.25..0.6).contains(&after_steady), "{after_steady}");
}

#[tokio::test(start_paused = true)]
async fn the_end_is_in_reverse_order_and_whoever_hangs_is_cut_off() {
    let world = World::new();
    let list = vec![
        world.component("a", "", |_, _| serve()),
        world.component("hangs", "", |_, _| Act::Serve(Duration::from_secs(3_600))),
        world.component("panics", "", |_, _| Act::PanicAtEnd),
        world.component("slow", "", |_, _| Act::Serve(Duration::from_secs(4))),
        world.component("failing", "", |_, _| Act::FailToBuild("no")),
    ];
    world.supervisor.apply(list).await;
    world.until("they work", |w| w.state("slow").phase == Phase::Running).await;
    world.log.lock().unwrap().clear();
    let began = Instant::now();
    let forced = world.supervisor.drain(Instant::now() + Duration::from_secs(25)).await;
    assert_eq!(forced, ["hangs"]);
    let ends: Vec<String> =
        world.log.lock().unwrap().iter().filter(|l| l.ends_with("ends")).cloned().collect();
    assert_eq!(ends, ["slow ends", "a ends"]);
    let took = began.elapsed();
    assert!(
        took >= Duration::from_secs(9) && took < Duration::from_secs(10),
        "4 s of one, 5 of another: {took:?}"
    );
    assert!(world.metric("kiban_component_forced_ends_total{component=\"hangs\"} 1"));
    assert_eq!(world.route(), "404");
}

#[tokio::test(start_paused = true)]
async fn all_ends_before_the_time_is_over_even_if_each_would_take_its_own() {
    let world = World::new();
    let names = ["c1", "c2", "c3", "c4"];
    let slow = |name| world.component(name, "", |_, _| Act::Serve(Duration::from_secs(4)));
    world.supervisor.apply(names.map(slow).into()).await;
    world.until("they work", |w| w.supervisor.states().iter().all(|s| s.phase == Phase::Running)).await;
    let began = Instant::now();
    let forced = world.supervisor.drain(Instant::now() + Duration::from_secs(10)).await;
    assert_eq!(forced, ["c2", "c1"]);
    assert!(began.elapsed() <= Duration::from_secs(11));
}

#[tokio::test(start_paused = true)]
async fn a_component_is_switched_off_and_on_with_its_routes_and_metrics_and_nobody_else_notices() {
    let world = World::new();
    let with_metric = |_, context: Context| {
        context.metrics.counter("kiban_a_total", "A.").inc();
        serve()
    };
    let build = |settings| {
        vec![world.component("a", settings, with_metric), world.component("b", "", |_, _| serve())]
    };
    let changes = world.supervisor.apply(build("1")).await;
    assert_eq!(changes.on, ["a", "b"]);
    world.until("they work", |w| w.state("b").came_up && w.state("a").came_up).await;
    assert!(world.registry.names().contains(&"kiban_a_total".to_owned()));
    assert_eq!(world.supervisor.apply(build("1")).await, Changes::default(), "nothing differs");
    let changes = world.supervisor.apply(build("2")).await;
    assert_eq!(changes, Changes { anew: vec!["a"], ..Changes::default() });
    world.until("it works again", |w| w.state("a").phase == Phase::Running).await;
    let changes = world.supervisor.apply(vec![world.component("b", "", |_, _| serve())]).await;
    assert_eq!(changes, Changes { off: vec!["a"], ..Changes::default() });
    assert_eq!(world.route(), "404");
    assert!(!world.registry.text().contains("kiban_a_total"));
    assert!(!world.registry.text().contains("component=\"a\"} 1"));
    let log = world.log.lock().unwrap().clone();
    assert_eq!(log.iter().filter(|line| line.starts_with('b')).count(), 1, "{log:?}");
    assert_eq!(log.iter().filter(|line| *line == "a ends").count(), 2, "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_component_whose_route_is_taken_fails_in_words() {
    let world = World::new();
    world.router.install("server", vec![Route::get("/a", Class::Health, "")]).unwrap();
    world.supervisor.apply(vec![world.component("a", "", |_, _| serve())]).await;
    world.until("it fails", |w| matches!(w.state("a").phase, Phase::Waiting { .. })).await;
    assert_eq!(
        world.state("a").phase,
        Phase::Waiting { why: "its route /a is one of server already".to_owned() }
    );
}
