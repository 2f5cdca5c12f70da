//! The example of the module's documentation, as code that compiles and runs.
#![allow(clippy::unwrap_used)]

use kiban_base::clock::Clock;

use super::*;
use crate::clock::SystemClock;
use crate::cpu::Pool;
use crate::readiness::State;
use crate::route::{Answer, Answers, Asked, Class};
use crate::router::{Found, Router};
use crate::shutdown;

// As it stands in the documentation.
#[rustfmt::skip]
mod example {
    use super::*;

    pub(super) struct Hello { pub(super) greeting: String }                        // its section of kiban.yaml, and what it works on

    impl Component for Hello {
        fn name(&self) -> &'static str { "hello" }
        fn about(&self) -> &'static str { "says hello" }
        fn settings(&self) -> String { self.greeting.clone() } // another text: a reload starts it anew
        fn permissions(&self) -> Vec<Permission> {
            vec![Permission::new("", &["pods"], &["list", "watch"], "counts whom to greet")]
        }
        fn routes(&self) -> Vec<Route> {
            vec![Route::get("/hello", Class::Read, "a greeting")]
        }
        fn metrics(&self) -> &'static [&'static str] { &["kiban_hello_greetings_total"] }
        fn build<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Built, Failure>> {
            Box::pin(async move {
                let count = context.metrics.counter("kiban_hello_greetings_total", "Greetings.");
                let greeting = self.greeting.clone();
                let greet = move |_: Asked| { count.inc(); Answer::text(greeting.clone()) };
                let ready = context.readiness.clone();
                let run = move |mut shutdown: Shutdown| async move {
                    ready.set();                             // until then /readyz says that it is not
                    shutdown.fired().await;                  // real ones select over their work and this
                    Ok(())
                };
                Ok(Built::new(run).route("/hello", greet))
            })
        }
    }
}

fn dense(text: &str) -> String {
    text.lines().map(|line| line.trim_start_matches("//!")).collect::<String>().split_whitespace().collect()
}

#[test]
fn the_example_of_the_documentation_is_the_one_that_runs_here() {
    let page = dense(include_str!("../component.rs"));
    let here = dense(include_str!("tests.rs")).replace("pub(super)", "");
    let begin = here.find("implComponentforHello").unwrap();
    let end = here[begin..].find("}fndense").unwrap() + begin;
    assert!(page.contains(&here[begin..end]), "{}", &here[begin..end]);
}

#[tokio::test]
async fn a_component_is_built_answers_and_ends() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let hello = example::Hello { greeting: "good day".into() };
    let context = Context::new("hello", clock, Pool::new(1, &Registry::new()).unwrap());
    let built = hello.build(&context).await.unwrap();
    let router = Router::new();
    router.install("hello", hello.routes()).unwrap();
    router.serve("hello", built.handlers).unwrap();
    let Found::Row { respond: Ok(respond), .. } = router.find(&http::Method::GET, "/hello", |_| true) else {
        panic!("nobody answers");
    };
    let asked = Asked::new(http::Method::GET, "/hello".parse().unwrap());
    assert_eq!(respond.respond(asked).await.status(), 200);
    assert!(context.metrics.text().contains("kiban_hello_greetings_total 1\n"));
    let (trigger, shutdown) = shutdown::channel();
    let running = tokio::spawn(built.run.run(shutdown));
    while context.readiness.state() != State::Ready {
        tokio::task::yield_now().await;
    }
    trigger.fire();
    assert_eq!(running.await.unwrap(), Ok(()));
}
