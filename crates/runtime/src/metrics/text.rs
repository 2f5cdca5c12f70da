//! Prometheus' text format, version 0.0.4.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use super::{Histogram, Kind, Metric, Values};

/// Whether it is a name of a metric.
pub(super) fn is_name(name: &str) -> bool {
    is_label(&name.replace(':', "_"))
}

/// Whether it is a name of a label.
pub(super) fn is_label(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

pub(super) fn write(out: &mut String, name: &str, metric: &Metric) {
    let (kind, _, labels) = metric.values.shape();
    let word = match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let help = metric.help.replace('\\', r"\\").replace('\n', r"\n");
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {word}\n");
    match &metric.values {
        Values::Counters(family) => {
            for (values, counter) in family.sorted() {
                let _ = writeln!(out, "{name}{} {}", pairs(labels, &values, None), counter.get());
            }
        }
        Values::Gauges(family) => {
            for (values, gauge) in family.sorted() {
                let _ = writeln!(out, "{name}{} {}", pairs(labels, &values, None), number(gauge.get()));
            }
        }
        Values::Histograms(family) => {
            for (values, histogram) in family.sorted() {
                buckets(out, name, labels, &values, &histogram);
            }
        }
        Values::Collected(collected) => {
            for (values, value) in (collected.2)() {
                let _ = writeln!(out, "{name}{} {}", pairs(labels, &values, None), number(value));
            }
        }
    }
}

fn buckets(out: &mut String, name: &str, labels: &[&str], values: &[String], histogram: &Histogram) {
    let mut total = 0;
    let bounds = histogram.0.bounds.iter().copied().chain([f64::INFINITY]);
    for (bound, count) in bounds.zip(&histogram.0.counts) {
        total += count.load(Ordering::Relaxed);
        let pairs = pairs(labels, values, Some(&number(bound)));
        let _ = writeln!(out, "{name}_bucket{pairs} {total}");
    }
    let pairs = pairs(labels, values, None);
    // The count is what was added up, so that it equals the last bucket whatever happens meanwhile.
    let _ = write!(out, "{name}_sum{pairs} {}\n{name}_count{pairs} {total}\n", number(histogram.sum()));
}

/// `{a="b",le="1"}`; nothing without labels.
fn pairs(labels: &[&str], values: &[String], le: Option<&str>) -> String {
    let mut out = String::new();
    let own = labels.iter().zip(values).map(|(label, value)| (*label, value.as_str()));
    for (label, value) in own.chain(le.map(|le| ("le", le))) {
        out.push(if out.is_empty() { '{' } else { ',' });
        let _ = write!(out, "{label}=\"");
        for c in value.chars() {
            match c {
                '\\' => out.push_str(r"\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str(r"\n"),
                c => out.push(c),
            }
        }
        out.push('"');
    }
    if !out.is_empty() {
        out.push('}');
    }
    out
}

fn number(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".into()
    } else if value == f64::NEG_INFINITY {
        "-Inf".into()
    } else if value.is_nan() {
        "NaN".into()
    } else if value != 0.0 && !(1e-6..1e21).contains(&value.abs()) {
        format!("{value:e}")
    } else {
        format!("{value}")
    }
}
