//! Tests of metrics: their text, their bounds, what goes with a scope.
#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn the_text_is_prometheus_format() {
    let registry = Registry::new().scope();
    let requests = registry.counter_vec("a_requests_total", "Requests, \\ and\nlines.", &["path", "code"]);
    requests.with(&["/x\"y\\z\n", "200"]).add(3);
    requests.with(&["/", "404"]).inc();
    registry.gauge("b_level", "A level.").set(-1.5);
    let seconds = registry.histogram_vec("c_seconds", "Seconds.", &["op"], &[0.1, 1.0]);
    for value in [0.05, 0.1, 0.5, 7.0] {
        seconds.with(&["read"]).observe(value);
    }
    registry.collect(Kind::Gauge, "d_now", "Asked.", &["x"], || {
        vec![(vec!["1".into()], f64::INFINITY), (vec!["2".into()], 1e21), (vec!["3".into()], f64::NAN)]
    });
    let text = registry.text();
    let own: Vec<&str> = text.lines().filter(|line| !line.contains("kiban_metrics_")).collect();
    let expect = r#"# HELP a_requests_total Requests, \\ and\nlines.
# TYPE a_requests_total counter
a_requests_total{path="/",code="404"} 1
a_requests_total{path="/x\"y\\z\n",code="200"} 3
# HELP b_level A level.
# TYPE b_level gauge
b_level -1.5
# HELP c_seconds Seconds.
# TYPE c_seconds histogram
c_seconds_bucket{op="read",le="0.1"} 2
c_seconds_bucket{op="read",le="1"} 3
c_seconds_bucket{op="read",le="+Inf"} 4
c_seconds_sum{op="read"} 7.65
c_seconds_count{op="read"} 4
# HELP d_now Asked.
# TYPE d_now gauge
d_now{x="1"} +Inf
d_now{x="2"} 1e21
d_now{x="3"} NaN"#;
    assert_eq!(own.join("\n"), expect);
}

#[test]
fn registering_twice_counts_on() {
    let registry = Registry::new();
    registry.counter("a_total", "A.").add(2);
    registry.counter("a_total", "A.").inc();
    assert_eq!(registry.counter("a_total", "A.").get(), 3);
}

#[test]
fn what_a_scope_registered_goes_with_it_unless_another_one_did_too() {
    let registry = Registry::new();
    let (one, two) = (registry.scope(), registry.scope());
    one.counter("own_total", "Own.").inc();
    one.counter("both_total", "Both.").inc();
    two.counter("both_total", "Both.").inc();
    let copy = one.clone();
    drop(one);
    assert!(registry.names().contains(&"own_total".to_owned()));
    drop(copy);
    let names = registry.names();
    assert!(
        !names.contains(&"own_total".to_owned()) && names.contains(&"both_total".to_owned()),
        "{names:?}"
    );
    assert_eq!(two.counter("both_total", "Both.").get(), 2);
    drop(two);
    assert_eq!(registry.names(), ["kiban_metrics_refused_series_total"]);
}

#[test]
fn a_metric_with_too_many_series_counts_the_rest_as_other() {
    let registry = Registry::new();
    let family = registry.counter_vec("a_total", "A.", &["who", "what"]);
    for i in 0..MAX_SERIES + 10 {
        family.with(&[&i.to_string(), "x"]).inc();
    }
    family.with(&["0", "x"]).inc();
    let text = registry.text();
    assert!(text.contains("\na_total{who=\"other\",what=\"other\"} 10\n"), "{text}");
    assert!(text.contains("\na_total{who=\"0\",what=\"x\"} 2\n"), "{text}");
    assert!(text.contains("kiban_metrics_refused_series_total{metric=\"a_total\"} 10\n"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("a_total{")).count(), MAX_SERIES + 1);
    family.retain(|values| values[0] == "5");
    assert_eq!(registry.text().lines().filter(|line| line.starts_with("a_total{")).count(), 1);
}

#[test]
fn a_long_label_is_cut_between_characters() {
    let long = "ä".repeat(200);
    assert_eq!(cut(&long).len(), 256);
    assert_eq!(cut(&format!("a{long}")).len(), 255);
}

#[test]
fn a_gauge_is_held_as_long_as_its_guard() {
    let gauge = Registry::new().gauge("a", "A.");
    let (one, two) = (gauge.hold(), gauge.hold());
    assert!((gauge.get() - 2.0).abs() < f64::EPSILON);
    drop((one, two));
    assert!(gauge.get().abs() < f64::EPSILON);
}

#[test]
fn the_process_says_what_it_uses() {
    let registry = Registry::new();
    register_process(&registry, "1.2.3");
    let text = registry.text();
    assert!(text.contains("kiban_build_info{version=\"1.2.3\"} 1\n"), "{text}");
    if cfg!(target_os = "linux") {
        for name in
            ["cpu_seconds_total", "open_fds", "max_fds", "resident_memory_bytes", "start_time_seconds"]
        {
            let row = text.lines().find(|line| line.starts_with(&format!("process_{name} ")));
            let value: f64 = row.unwrap().split(' ').next_back().unwrap().parse().unwrap();
            assert!(value >= 0.0 && (name == "cpu_seconds_total" || value > 0.0), "{name} {value}");
        }
    }
}
