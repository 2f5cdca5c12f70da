//! Tests of the CPU pool: order, bounds, cancellation, panics.
#![allow(clippy::unwrap_used)]

use std::sync::mpsc::sync_channel;

use super::*;

/// A pool of one thread that is busy until the sender is dropped.
async fn busy(registry: &Registry) -> (Pool, std::sync::mpsc::SyncSender<()>, Job<()>) {
    let pool = Pool::new(1, registry).unwrap();
    let (hold, held) = sync_channel::<()>(0);
    let (begun, begin) = oneshot::channel();
    let job = pool
        .run(Priority::Query, move |_| {
            let _ = begun.send(());
            let _ = held.recv();
        })
        .unwrap();
    begin.await.unwrap();
    (pool, hold, job)
}

#[tokio::test]
async fn work_is_done_by_priority_and_in_order_within_one() {
    let (pool, hold, _job) = busy(&Registry::new()).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut jobs = Vec::new();
    for (priority, name) in [
        (Priority::Compaction, "c1"),
        (Priority::Query, "q1"),
        (Priority::Rules, "r1"),
        (Priority::Query, "q2"),
        (Priority::Plan, "p1"),
        (Priority::Rules, "r2"),
    ] {
        let order = order.clone();
        jobs.push(pool.run(priority, move |_| order.lock().unwrap().push(name)).unwrap());
    }
    drop(hold);
    for job in jobs {
        job.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), ["r1", "r2", "p1", "q1", "q2", "c1"]);
}

#[tokio::test]
async fn a_full_queue_says_so_and_work_that_nobody_waits_for_makes_room() {
    let registry = Registry::new();
    let (pool, _hold, _job) = busy(&registry).await;
    let mut jobs: Vec<_> = (0..MAX_QUEUE).map(|_| pool.run(Priority::Query, |_| ()).unwrap()).collect();
    let error = pool.run(Priority::Query, |_| ()).unwrap_err();
    assert_eq!(error.to_string(), "too much work waits (1024 pieces of query); try again later");
    assert!(pool.run(Priority::Rules, |_| ()).is_ok(), "each priority has a bound of its own");
    drop(jobs.pop());
    jobs.push(pool.run(Priority::Query, |_| ()).unwrap());
    let text = registry.text();
    for row in [
        "kiban_cpu_pool_jobs_total{priority=\"query\",outcome=\"refused\"} 1",
        "kiban_cpu_pool_jobs_total{priority=\"query\",outcome=\"cancelled\"} 1",
        "kiban_cpu_pool_waiting{priority=\"query\"} 1024",
        "kiban_cpu_pool_busy 1",
    ] {
        assert!(text.contains(row), "{row} is not in: {text}");
    }
}

#[tokio::test]
async fn a_panic_is_its_callers_error_and_ends_no_thread() {
    let registry = Registry::new();
    let pool = Pool::new(1, &registry).unwrap();
    let job = pool
        .run(Priority::Query, |_| {
            if registry_is_odd() {
                panic!("odd object {}", 7)
            }
        })
        .unwrap();
    let error = job.await.unwrap_err();
    assert_eq!(error.to_string(), "the work failed by a fault in the program: odd object 7");
    assert_eq!(pool.run(Priority::Query, |_| 1 + 1).unwrap().await, Ok(2));
    assert!(registry.text().contains("kiban_cpu_pool_panics_total 1\n"));
}

fn registry_is_odd() -> bool {
    true
}

#[tokio::test]
async fn dropping_a_job_cancels_it_before_and_while_it_runs() {
    let (pool, hold, first) = busy(&Registry::new()).await;
    let ran = Arc::new(AtomicBool::new(false));
    let inner = ran.clone();
    drop(pool.run(Priority::Query, move |_| inner.store(true, Ordering::SeqCst)).unwrap());
    drop(hold);
    first.await.unwrap();

    let (begun, begin) = oneshot::channel();
    let (told, ended) = oneshot::channel();
    let job = pool.run(Priority::Query, move |cancel| {
        let _ = begun.send(());
        while cancel.check().is_ok() {
            std::thread::yield_now();
        }
        let _ = told.send(());
    });
    begin.await.unwrap();
    drop(job);
    ended.await.unwrap();
    assert!(!ran.load(Ordering::SeqCst));
}

#[tokio::test]
async fn the_end_of_the_pool_tells_those_who_wait() {
    let (pool, hold, first) = busy(&Registry::new()).await;
    let job = pool.run(Priority::Query, |_| ()).unwrap();
    drop(pool);
    assert_eq!(job.await, Err(CpuError::Cancelled));
    drop(hold);
    assert_eq!(first.await, Ok(()), "what was under way ends");
}
