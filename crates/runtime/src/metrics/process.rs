//! What the system says of the process, under the names that Prometheus' client libraries use.

use std::path::Path;

use super::{Kind, Registry, Sample};

/// Ticks of the kernel's clock in a second, as it tells processes: 100 on every Linux.
const TICKS: f64 = 100.0;

/// What it is, its name, what it says, and how it is read from `/proc`.
type Row = (Kind, &'static str, &'static str, fn(&Path) -> Option<f64>);

/// Registers `process_*` and `kiban_build_info`.
pub fn register(registry: &Registry, version: &str) {
    registry
        .gauge_vec("kiban_build_info", "The version of Kiban that runs; its value is 1.", &["version"])
        .with(&[version])
        .set(1.0);
    let rows: [Row; 7] = [
        (
            Kind::Counter,
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
            cpu_seconds,
        ),
        (Kind::Gauge, "process_open_fds", "Number of open file descriptors.", open_fds),
        (Kind::Gauge, "process_max_fds", "Maximum number of open file descriptors.", max_fds),
        (Kind::Gauge, "process_resident_memory_bytes", "Resident memory size in bytes.", |proc| {
            status(proc, "VmRSS:")
        }),
        (Kind::Gauge, "process_virtual_memory_bytes", "Virtual memory size in bytes.", |proc| {
            status(proc, "VmSize:")
        }),
        (
            Kind::Gauge,
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            start_time,
        ),
        (Kind::Gauge, "process_threads", "Number of threads of the process.", |proc| stat(proc, 20)),
    ];
    if !Path::new("/proc/self/stat").exists() {
        return;
    }
    for (kind, name, help, read) in rows {
        registry.collect(kind, name, help, &[], move || sample(read(Path::new("/proc"))));
    }
}

fn sample(value: Option<f64>) -> Vec<Sample> {
    value.map(|value| (Vec::new(), value)).into_iter().collect()
}

/// A number of `/proc/self/stat`, counted from 1 as proc(5) does; the name in brackets may hold anything.
fn stat(proc: &Path, field: usize) -> Option<f64> {
    let text = std::fs::read_to_string(proc.join("self/stat")).ok()?;
    let after = text.rsplit_once(')')?.1;
    after.split_ascii_whitespace().nth(field.checked_sub(3)?)?.parse().ok()
}

fn cpu_seconds(proc: &Path) -> Option<f64> {
    Some((stat(proc, 14)? + stat(proc, 15)?) / TICKS)
}

fn start_time(proc: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(proc.join("stat")).ok()?;
    let boot: f64 = text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + stat(proc, 22)? / TICKS)
}

/// A row of `/proc/self/status`, which counts in kB, in bytes.
fn status(proc: &Path, key: &str) -> Option<f64> {
    let text = std::fs::read_to_string(proc.join("self/status")).ok()?;
    let row = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes: f64 = row.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024.0)
}

fn open_fds(proc: &Path) -> Option<f64> {
    // One of them is this folder, while it is read.
    Some(std::fs::read_dir(proc.join("self/fd")).ok()?.count().saturating_sub(1) as f64)
}

fn max_fds(proc: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(proc.join("self/limits")).ok()?;
    let row = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    row.split_ascii_whitespace().next()?.parse().ok()
}
