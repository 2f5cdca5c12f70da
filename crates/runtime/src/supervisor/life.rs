//! The life of one component that is switched on: built, run, and built anew when it failed.

use std::sync::Arc;
use std::time::Duration;

use kiban_base::rng::Rng;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;

use super::{BUILD, End, LONGEST_PAUSE, Metrics, PAUSE, Phase, STEADY, Status};
use crate::component::{Built, Component, Context, Failure, Run};
use crate::router::Router;
use crate::shutdown::{self, Shutdown};

/// What the task of a component holds.
pub(super) struct Life {
    pub(super) component: Arc<dyn Component>,
    pub(super) context: Context,
    pub(super) router: Router,
    pub(super) status: Status,
    pub(super) metrics: Metrics,
}

impl Life {
    /// Lives until `shutdown`.
    pub(super) async fn live(self, mut shutdown: Shutdown) {
        let name = self.component.name();
        let mut rng = Rng::named(self.context.seed, name);
        let mut pause = PAUSE;
        loop {
            self.status.phase(Phase::Starting);
            let began = Instant::now();
            let end = self.once(&mut shutdown).await;
            self.metrics.up.with(&[name]).set(0.0);
            let End::Failed(how, why) = end else { break };
            if shutdown.is_fired() {
                break;
            }
            if began.elapsed() >= STEADY {
                pause = PAUSE;
            }
            let wait = jittered(pause, &mut rng);
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
            self.metrics.failures.with(&[name, how]).inc();
            let again = kiban_base::duration::format(wait);
            tracing::error!(component = name, how, %why, again_in = again, "a component failed");
            self.status.phase(Phase::Waiting { why: why.to_string() });
            self.router.unserve(name, &format!("{name} failed and is started again soon: {why}"));
            tokio::select! {
                () = shutdown.fired() => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        tracing::info!(component = name, "switched off");
    }

    /// One life.
    async fn once(&self, shutdown: &mut Shutdown) -> End {
        let name = self.component.name();
        let rows = self.component.routes();
        if let Err(why) = self.router.install(name, rows) {
            return End::Failed("build", Failure::new(why));
        }
        let built = tokio::select! {
            built = self.build() => built,
            () = shutdown.fired() => return End::Told,
        };
        let run = match built {
            Ok(run) => run,
            Err(end) => return end,
        };
        let (trigger, own) = shutdown::channel();
        self.metrics.up.with(&[name]).set(1.0);
        self.status.phase(Phase::Running);
        tracing::info!(component = name, "running");
        let mut task = Guard(tokio::spawn(run.run(own)));
        tokio::select! {
            ended = &mut task.0 => return failed(ended),
            () = shutdown.fired() => {}
        }
        self.status.phase(Phase::Draining);
        trigger.fire();
        // Who waits for this task cuts it off when its time is over, and the guard the work with it.
        if let Err(error) = (&mut task.0).await
            && error.is_panic()
        {
            tracing::error!(component = name, why = %words(error), "a component failed while it ended");
        }
        End::Told
    }

    async fn build(&self) -> Result<Box<dyn Run>, End> {
        let name = self.component.name();
        let (component, context) = (self.component.clone(), self.context.clone());
        let building = async move {
            if let Some(data) = &context.data {
                tokio::fs::create_dir_all(data).await.map_err(|error| {
                    Failure::new(format!("cannot make its folder {}: {error}", data.display()))
                })?;
            }
            component.build(&context).await
        };
        let mut task = Guard(tokio::spawn(building));
        let built = match tokio::time::timeout(BUILD, &mut task.0).await {
            Err(_) => return Err(End::Failed("build", Failure::new("it was not built within a minute"))),
            Ok(Err(error)) => return Err(End::Failed("panic", words(error))),
            Ok(Ok(Err(why))) => return Err(End::Failed("build", why)),
            Ok(Ok(Ok(built))) => built,
        };
        let Built { handlers, run } = built;
        match self.router.serve(name, handlers) {
            Ok(()) => Ok(run),
            Err(why) => Err(End::Failed("build", Failure::new(why))),
        }
    }
}

/// A task that ends with whoever waits for it.
struct Guard<T>(JoinHandle<T>);

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn failed(ended: Result<Result<(), Failure>, JoinError>) -> End {
    match ended {
        Ok(Ok(())) => End::Failed("ended", Failure::new("its work ended by itself")),
        Ok(Err(why)) => End::Failed("error", why),
        Err(error) => End::Failed("panic", words(error)),
    }
}

fn words(error: JoinError) -> Failure {
    match error.try_into_panic() {
        Ok(panic) => Failure::new(format!("a fault in the program: {}", crate::panic_words(panic.as_ref()))),
        Err(_) => Failure::new("it was cut off"),
    }
}

/// Between a half and the whole of a pause.
fn jittered(pause: Duration, rng: &mut Rng) -> Duration {
    pause.mul_f64(0.5 + rng.f64() / 2.0)
}
