//! The CPU pool: a fixed number of threads for work that would hold an async thread too long.
//!
//! Work is queued by [`Priority`], within bounds, and can be cancelled: before it begins by dropping the
//! [`Job`] that stands for it, later by looking at its [`Cancel`]. A panic in it is its caller's error, and
//! ends no thread.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::metrics::{Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, Registry};

/// What goes first. Where something of a higher priority waits, nothing of a lower one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Scraping, rules, and the metrics APIs that autoscalers ask.
    Rules,
    /// Planning and applying: what changes the cluster.
    Plan,
    /// Queries that a person waits for.
    Query,
    /// Compaction, and what else can wait.
    Compaction,
}

impl Priority {
    /// All of them, the first first.
    pub const ALL: [Self; 4] = [Self::Rules, Self::Plan, Self::Query, Self::Compaction];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Plan => "plan",
            Self::Query => "query",
            Self::Compaction => "compaction",
        }
    }
}

/// Pieces of work of one priority that may wait.
const MAX_QUEUE: usize = 1_024;

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CpuError {
    /// Too much waits already.
    #[error("too much work waits ({waiting} pieces of {priority}); try again later", priority = .priority.as_str())]
    Full {
        /// Of which priority.
        priority: Priority,
        /// How much waits.
        waiting: usize,
    },
    /// It was cancelled, or the pool is gone.
    #[error("the work was cancelled")]
    Cancelled,
    /// It panicked.
    #[error("the work failed by a fault in the program: {0}")]
    Panicked(String),
}

/// Tells work that nobody waits for its result any more. Long work looks at it now and then.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Whether nobody waits any more.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Ends work that nobody waits for, with `?`.
    ///
    /// # Errors
    /// Where it was cancelled.
    pub fn check(&self) -> Result<(), CpuError> {
        if self.is_cancelled() { Err(CpuError::Cancelled) } else { Ok(()) }
    }
}

/// Work under way: a future of its result. Dropping it cancels the work.
#[derive(Debug)]
pub struct Job<T> {
    result: oneshot::Receiver<Result<T, CpuError>>,
    cancel: Cancel,
}

impl<T> Future for Job<T> {
    type Output = Result<T, CpuError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.result).poll(cx).map(|result| result.unwrap_or(Err(CpuError::Cancelled)))
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        self.cancel.0.store(true, Ordering::Relaxed);
    }
}

struct Work {
    cancel: Cancel,
    queued: Instant,
    run: Box<dyn FnOnce() + Send>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    metrics: Metrics,
}

struct State {
    queues: [VecDeque<Work>; Priority::ALL.len()],
    closed: bool,
}

struct Metrics {
    waiting: [Gauge; Priority::ALL.len()],
    done: CounterVec,
    wait: [Histogram; Priority::ALL.len()],
    busy: Gauge,
    panics: Counter,
}

impl Metrics {
    fn of(registry: &Registry, threads: usize) -> Self {
        let waiting: GaugeVec = registry.gauge_vec(
            "kiban_cpu_pool_waiting",
            "Pieces of work that wait for a thread of the CPU pool.",
            &["priority"],
        );
        let wait: HistogramVec = registry.histogram_vec(
            "kiban_cpu_pool_wait_seconds",
            "How long work waited for a thread of the CPU pool.",
            &["priority"],
            &crate::metrics::SECONDS,
        );
        registry
            .gauge("kiban_cpu_pool_threads", "Threads of the CPU pool.")
            .set(u32::try_from(threads).map_or(f64::NAN, f64::from));
        Self {
            waiting: Priority::ALL.map(|p| waiting.with(&[p.as_str()])),
            wait: Priority::ALL.map(|p| wait.with(&[p.as_str()])),
            done: registry.counter_vec(
                "kiban_cpu_pool_jobs_total",
                "Pieces of work that left the CPU pool, by what became of them.",
                &["priority", "outcome"],
            ),
            busy: registry.gauge("kiban_cpu_pool_busy", "Threads of the CPU pool that work."),
            panics: registry
                .counter("kiban_cpu_pool_panics_total", "Pieces of work in the CPU pool that panicked."),
        }
    }
}

/// The pool. Clones are the same one; it ends with the last of them, after what is under way.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pool")
    }
}

impl Pool {
    /// A pool of `threads` threads (at least one).
    ///
    /// # Errors
    /// Where the system gives no threads.
    pub fn new(threads: usize, metrics: &Registry) -> std::io::Result<Self> {
        let threads = threads.max(1);
        let shared = Arc::new(Shared {
            state: Mutex::new(State { queues: Default::default(), closed: false }),
            wake: Condvar::new(),
            metrics: Metrics::of(metrics, threads),
        });
        let pool = Self(Arc::new(Inner { shared: shared.clone(), threads: Mutex::default() }));
        for index in 0..threads {
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name(format!("cpu-{index}"));
            let thread = thread.spawn(move || work(&shared))?;
            pool.0.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(pool)
    }

    /// Runs `work` when its turn comes.
    ///
    /// # Errors
    /// At once, where too much of that priority waits. Later, by the job: a panic, or the pool's end.
    pub fn run<T: Send + 'static>(
        &self,
        priority: Priority,
        work: impl FnOnce(&Cancel) -> T + Send + 'static,
    ) -> Result<Job<T>, CpuError> {
        let (sender, result) = oneshot::channel();
        let cancel = Cancel::default();
        let shared = &self.0.shared;
        let (inner, own) = (shared.clone(), cancel.clone());
        let run = Box::new(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| work(&own)));
            let word = match &outcome {
                Err(_) => "panicked",
                Ok(_) if own.is_cancelled() => "cancelled",
                Ok(_) => "done",
            };
            inner.metrics.done.with(&[priority.as_str(), word]).inc();
            let result = outcome.map_err(|panic| {
                inner.metrics.panics.inc();
                CpuError::Panicked(crate::panic_words(panic.as_ref()))
            });
            let _ = sender.send(result);
        });
        let index = priority as usize;
        let mut state = lock(&shared.state);
        let Some(queue) = state.queues.get_mut(index) else { return Err(CpuError::Cancelled) };
        // What nobody waits for any more makes room.
        if queue.len() >= MAX_QUEUE {
            let before = queue.len();
            queue.retain(|work| !work.cancel.is_cancelled());
            let gone = before - queue.len();
            shared.metrics.done.with(&[priority.as_str(), "cancelled"]).add(gone as u64);
        }
        if queue.len() >= MAX_QUEUE {
            let waiting = queue.len();
            drop(state);
            shared.metrics.done.with(&[priority.as_str(), "refused"]).inc();
            return Err(CpuError::Full { priority, waiting });
        }
        queue.push_back(Work { cancel: cancel.clone(), queued: Instant::now(), run });
        shared.metrics.show(index, queue.len());
        drop(state);
        shared.wake.notify_one();
        Ok(Job { result, cancel })
    }
}

impl Metrics {
    fn show(&self, index: usize, waiting: usize) {
        if let Some(gauge) = self.waiting.get(index) {
            gauge.set(u32::try_from(waiting).map_or(f64::NAN, f64::from));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        {
            let mut state = lock(&self.shared.state);
            state.closed = true;
            // Dropping what waits tells those who wait for it.
            state.queues = Default::default();
        }
        self.shared.wake.notify_all();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread's life.
fn work(shared: &Shared) {
    while let Some((index, work)) = next(shared) {
        if work.cancel.is_cancelled() {
            let word = Priority::ALL.get(index).map_or("", |p| p.as_str());
            shared.metrics.done.with(&[word, "cancelled"]).inc();
            continue;
        }
        if let Some(wait) = shared.metrics.wait.get(index) {
            wait.observe(work.queued.elapsed().as_secs_f64());
        }
        let _busy = shared.metrics.busy.hold();
        (work.run)();
    }
}

/// The next piece of work; waits for one. `None`: the pool ends.
fn next(shared: &Shared) -> Option<(usize, Work)> {
    let mut state = lock(&shared.state);
    loop {
        if state.closed {
            return None;
        }
        let found = state.queues.iter_mut().enumerate().find_map(|(i, q)| Some((i, q.pop_front()?, q.len())));
        if let Some((index, work, left)) = found {
            shared.metrics.show(index, left);
            return Some((index, work));
        }
        state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

#[cfg(test)]
mod tests;
