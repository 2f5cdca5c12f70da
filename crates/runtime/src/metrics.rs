//! Metrics of the process: counters, gauges and histograms with labels, and their text for Prometheus.
//!
//! A [`Registry`] is an argument like a clock: nothing here is global, and two of them live in one process.
//! Registering the same name twice gives the same metric, so that a component that is restarted counts on.
//! A [`scope`](Registry::scope) is a view of a registry whose metrics go with it.

mod process;
mod text;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub use process::register as register_process;

/// Bounds of histograms of how long requests take, in seconds.
pub const SECONDS: [f64; 12] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The type of the text that [`Registry::text`] gives.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Series that one metric may have; what comes beyond is counted in one series whose labels say `other`.
pub const MAX_SERIES: usize = 2_000;

/// The value of all labels of what came beyond [`MAX_SERIES`].
const OTHER: &str = "other";

/// The longest value of a label, in bytes; longer ones are cut.
const MAX_LABEL: usize = 256;

/// What kind of metric it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts observations by size.
    Histogram,
}

/// A number that only grows.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Adds to it; negative takes away.
    pub fn add(&self, value: f64) {
        add_float(&self.0, value);
    }

    /// What it is.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    /// One more until the guard is dropped.
    pub fn hold(&self) -> Held {
        self.add(1.0);
        Held(self.clone())
    }
}

/// Takes one from a gauge when it goes.
#[derive(Debug)]
pub struct Held(Gauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.add(-1.0);
    }
}

fn add_float(bits: &AtomicU64, value: f64) {
    let add = |old: u64| Some((f64::from_bits(old) + value).to_bits());
    let _ = bits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
}

/// Observations, counted by their size.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    /// Upper bounds, without infinity.
    bounds: Arc<[f64]>,
    /// How many observations lie in each bucket alone; the last one's bound is infinite.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    fn new(bounds: &Arc<[f64]>) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Buckets { bounds: bounds.clone(), counts, sum: AtomicU64::new(0) }))
    }

    /// Counts one observation.
    pub fn observe(&self, value: f64) {
        let index = self.0.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.0.counts.get(index) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        add_float(&self.0.sum, value);
    }

    /// How many observations there were.
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Their sum.
    pub fn sum(&self) -> f64 {
        f64::from_bits(self.0.sum.load(Ordering::Relaxed))
    }
}

/// A metric with labels: `T` for each combination of their values.
#[derive(Debug)]
pub struct Family<T>(Arc<Series<T>>);

impl<T> Clone for Family<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Counters by labels.
pub type CounterVec = Family<Counter>;
/// Gauges by labels.
pub type GaugeVec = Family<Gauge>;
/// Histograms by labels.
pub type HistogramVec = Family<Histogram>;

struct Series<T> {
    name: String,
    labels: Vec<&'static str>,
    make: Box<dyn Fn() -> T + Send + Sync>,
    values: RwLock<HashMap<Vec<String>, T>>,
    max: usize,
    said: AtomicBool,
    refused: Option<CounterVec>,
}

impl<T> fmt::Debug for Series<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Series").field("name", &self.name).field("labels", &self.labels).finish()
    }
}

impl<T: Clone> Family<T> {
    /// The one with these values of the labels, in the labels' order. Where there are too many already,
    /// the one whose labels say `other`.
    pub fn with(&self, values: &[&str]) -> T {
        let series = &*self.0;
        debug_assert_eq!(values.len(), series.labels.len(), "{}: one value for each label", series.name);
        let key: Vec<String> =
            (0..series.labels.len()).map(|i| cut(values.get(i).copied().unwrap_or_default())).collect();
        if let Some(found) = series.values.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return found.clone();
        }
        let mut all = series.values.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() < series.max || all.contains_key(&key) {
            return all.entry(key).or_insert_with(|| (series.make)()).clone();
        }
        if let Some(refused) = &series.refused {
            refused.with(&[&series.name]).inc();
        }
        if !series.said.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                metric = series.name,
                max = series.max,
                "a metric has too many series; further ones are counted as \"other\""
            );
        }
        let other = vec![OTHER.to_owned(); series.labels.len()];
        all.entry(other).or_insert_with(|| (series.make)()).clone()
    }

    /// Takes away the one with these values: what it was about is gone.
    pub fn remove(&self, values: &[&str]) {
        let key: Vec<String> = values.iter().map(|value| cut(value)).collect();
        self.0.values.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }

    /// Takes all away for which `keep` does not hold, by their labels' values.
    pub fn retain(&self, mut keep: impl FnMut(&[String]) -> bool) {
        self.0.values.write().unwrap_or_else(PoisonError::into_inner).retain(|key, _| keep(key));
    }

    /// All of them, by their labels' values, in order.
    fn sorted(&self) -> Vec<(Vec<String>, T)> {
        let values = self.0.values.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = values.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }
}

/// At most [`MAX_LABEL`] bytes of a label's value.
fn cut(value: &str) -> String {
    let mut end = value.len().min(MAX_LABEL);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    value.get(..end).unwrap_or_default().to_owned()
}

/// A sample that a collector gives: its labels' values, in order, and what it is.
pub type Sample = (Vec<String>, f64);

type Collect = Box<dyn Fn() -> Vec<Sample> + Send + Sync>;

#[derive(Clone)]
enum Values {
    Counters(CounterVec),
    Gauges(GaugeVec),
    Histograms(HistogramVec),
    /// Asked when they are read.
    Collected(Arc<(Kind, Vec<&'static str>, Collect)>),
}

#[derive(Clone)]
struct Metric {
    help: String,
    values: Values,
    /// Who registered it: it goes with the last of them.
    scopes: BTreeSet<u64>,
}

#[derive(Default)]
struct Shared {
    metrics: Mutex<BTreeMap<String, Metric>>,
    scopes: AtomicU64,
    refused: Mutex<Option<CounterVec>>,
}

/// Where metrics are registered and read. Clones are the same registry.
#[derive(Clone)]
pub struct Registry {
    shared: Arc<Shared>,
    scope: Arc<Scope>,
}

struct Scope {
    id: u64,
    shared: Arc<Shared>,
}

impl Drop for Scope {
    fn drop(&mut self) {
        let mut metrics = self.shared.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        metrics.retain(|_, metric| !(metric.scopes.remove(&self.id) && metric.scopes.is_empty()));
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registry(scope {})", self.scope.id)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// An empty one.
    pub fn new() -> Self {
        let shared = Arc::new(Shared::default());
        let registry = Self { scope: Arc::new(Scope { id: 0, shared: shared.clone() }), shared };
        let refused = registry.counter_vec(
            "kiban_metrics_refused_series_total",
            "Times that a metric had too many series for one more, which was counted as \"other\".",
            &["metric"],
        );
        *registry.shared.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused);
        registry
    }

    /// A view of it: what is registered through that (and its clones) goes when the last of them is dropped.
    pub fn scope(&self) -> Self {
        let id = self.shared.scopes.fetch_add(1, Ordering::Relaxed) + 1;
        Self { shared: self.shared.clone(), scope: Arc::new(Scope { id, shared: self.shared.clone() }) }
    }

    /// A counter. Its name ends with `_total`.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.counter_vec(name, help, &[]).with(&[])
    }

    /// Counters by labels. Their name ends with `_total`.
    pub fn counter_vec(&self, name: &str, help: &str, labels: &[&'static str]) -> CounterVec {
        debug_assert!(name.ends_with("_total"), "{name}: a counter's name ends with _total");
        let family = self.family(name, labels, Counter::default);
        match self.register(name, help, Values::Counters(family.clone())) {
            Values::Counters(family) => family,
            _ => family,
        }
    }

    /// A gauge.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.gauge_vec(name, help, &[]).with(&[])
    }

    /// Gauges by labels.
    pub fn gauge_vec(&self, name: &str, help: &str, labels: &[&'static str]) -> GaugeVec {
        let family = self.family(name, labels, Gauge::default);
        match self.register(name, help, Values::Gauges(family.clone())) {
            Values::Gauges(family) => family,
            _ => family,
        }
    }

    /// A histogram with these upper bounds, in order.
    pub fn histogram(&self, name: &str, help: &str, bounds: &[f64]) -> Histogram {
        self.histogram_vec(name, help, &[], bounds).with(&[])
    }

    /// Histograms by labels, with these upper bounds, in order.
    pub fn histogram_vec(
        &self,
        name: &str,
        help: &str,
        labels: &[&'static str],
        bounds: &[f64],
    ) -> HistogramVec {
        debug_assert!(bounds.is_sorted(), "{name}: bounds are in order");
        let bounds: Arc<[f64]> = bounds.into();
        let family = self.family(name, labels, move || Histogram::new(&bounds));
        match self.register(name, help, Values::Histograms(family.clone())) {
            Values::Histograms(family) => family,
            _ => family,
        }
    }

    /// A counter or gauge whose values are asked for when they are read; `collect` is quick and blocks on
    /// nothing.
    pub fn collect(
        &self,
        kind: Kind,
        name: &str,
        help: &str,
        labels: &[&'static str],
        collect: impl Fn() -> Vec<Sample> + Send + Sync + 'static,
    ) {
        debug_assert!(kind != Kind::Histogram, "{name}: histograms are observed");
        self.register(name, help, Values::Collected(Arc::new((kind, labels.to_vec(), Box::new(collect)))));
    }

    /// All of it, as Prometheus reads it: type [`CONTENT_TYPE`].
    pub fn text(&self) -> String {
        let all: Vec<(String, Metric)> = {
            let metrics = self.shared.metrics.lock().unwrap_or_else(PoisonError::into_inner);
            metrics.iter().map(|(name, metric)| (name.clone(), metric.clone())).collect()
        };
        let mut out = String::new();
        for (name, metric) in &all {
            text::write(&mut out, name, metric);
        }
        out
    }

    /// Names of all metrics.
    pub fn names(&self) -> Vec<String> {
        self.shared.metrics.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    fn family<T>(
        &self,
        name: &str,
        labels: &[&'static str],
        make: impl Fn() -> T + Send + Sync + 'static,
    ) -> Family<T> {
        debug_assert!(text::is_name(name), "{name} is no name of a metric");
        debug_assert!(labels.iter().all(|l| text::is_label(l)), "{name}: {labels:?} are no labels");
        let refused = self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner);
        Family(Arc::new(Series {
            name: name.to_owned(),
            labels: labels.to_vec(),
            make: Box::new(make),
            values: RwLock::default(),
            max: MAX_SERIES,
            said: AtomicBool::new(false),
            refused: refused.clone(),
        }))
    }

    /// Puts a metric in; where there is one of the same shape, gives that back.
    fn register(&self, name: &str, help: &str, values: Values) -> Values {
        let mut metrics = self.shared.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        match metrics.get_mut(name) {
            None => {
                let scopes = BTreeSet::from([self.scope.id]);
                let metric = Metric { help: help.to_owned(), values: values.clone(), scopes };
                metrics.insert(name.to_owned(), metric);
                values
            }
            Some(metric) if metric.values.shape() == values.shape() => {
                metric.scopes.insert(self.scope.id);
                // What is asked when it is read is asked of whom registered last.
                if let Values::Collected(_) = values {
                    metric.values = values.clone();
                }
                metric.values.clone()
            }
            Some(_) => {
                drop(metrics);
                debug_assert!(false, "{name} is registered with another kind or other labels");
                tracing::error!(
                    metric = name,
                    "a metric is registered twice in different shapes; the second is not shown"
                );
                values
            }
        }
    }
}

impl Values {
    fn shape(&self) -> (Kind, bool, &[&'static str]) {
        match self {
            Self::Counters(f) => (Kind::Counter, false, &f.0.labels),
            Self::Gauges(f) => (Kind::Gauge, false, &f.0.labels),
            Self::Histograms(f) => (Kind::Histogram, false, &f.0.labels),
            Self::Collected(c) => (c.0, true, &c.1),
        }
    }
}

#[cfg(test)]
mod tests;
