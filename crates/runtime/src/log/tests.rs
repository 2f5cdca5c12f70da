//! Tests of the log's lines.
#![allow(clippy::unwrap_used)]

use super::*;

struct At;

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp::parse("2026-11-24T10:00:00.123456Z").unwrap()
    }
}

#[derive(Clone, Default)]
struct Out(Arc<Mutex<Vec<u8>>>);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn logged(level: Level, format: Format, work: impl FnOnce(&Handle)) -> String {
    let (out, handle) = (Out::default(), Handle(Arc::new(AtomicU8::new(level as u8))));
    let log = make(&handle, format, Arc::new(At), out.clone());
    tracing::subscriber::with_default(log, || work(&handle));
    let bytes = out.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_person_reads_lines() {
    let text = logged(Level::Info, Format::Human, |_| {
        tracing::info!(component = "delivery", count = 3, path = "/a b", "a rollout\u{1b}[31m begins");
        tracing::debug!("unseen");
    });
    assert_eq!(
        text,
        "10:00:00.123 info  a rollout\u{fffd}[31m begins component=delivery count=3 path=\"/a b\"\n"
    );
}

#[test]
fn a_collector_reads_json_with_the_fields_of_the_spans_around() {
    let text = logged(Level::Debug, Format::Json, |_| {
        let span = tracing::info_span!("outer", component = "delivery", app = tracing::field::Empty);
        let _outer = span.enter();
        span.record("app", "orders");
        let inner = tracing::info_span!("inner", n = 1_u64);
        inner.in_scope(|| tracing::warn!(time = 5.5, ok = false, "odd \"object\"\n"));
        tracing::debug!(secret = %crate::secret::Secret::new("hunter2"), "after");
    });
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines[0],
        serde_json::json!({
            "time": "2026-11-24T10:00:00.123456Z", "level": "warn", "target": "kiban_runtime::log::tests",
            "component": "delivery", "app": "orders", "n": 1, "_time": 5.5, "ok": false,
            "message": "odd \"object\"\n",
        })
    );
    assert_eq!(lines[1]["message"], "after");
    assert_eq!((lines[1]["secret"].as_str(), lines[1].get("n")), (Some("[redacted]"), None));
}

#[test]
fn the_level_can_change_and_libraries_are_quiet() {
    let text = logged(Level::Warn, Format::Human, |handle| {
        tracing::info!("one");
        handle.set(Level::Debug);
        tracing::debug!("two");
        tracing::info!(target: "hyper::proto", "three");
        tracing::warn!(target: "hyper::proto", "four");
    });
    let seen: Vec<&str> = text.lines().map(|line| line.split_at(19).1).collect();
    assert_eq!(seen, ["two", "four"]);
    assert_eq!(
        "inf".parse::<Level>().unwrap_err(),
        "\"inf\" is no level; there are error, warn, info, debug and trace"
    );
}

#[test]
fn spans_that_ended_leave_nothing() {
    let handle = Handle(Arc::new(AtomicU8::new(Level::Info as u8)));
    let log = Arc::new(make(&handle, Format::Human, Arc::new(At), Out::default()));
    tracing::subscriber::with_default(log.clone(), || {
        for _ in 0..10 {
            let outer = tracing::info_span!("outer");
            let inner = outer.in_scope(|| tracing::info_span!("inner"));
            drop(outer);
            inner.in_scope(|| tracing::info!("x"));
        }
    });
    assert!(log.spans().is_empty());
}
