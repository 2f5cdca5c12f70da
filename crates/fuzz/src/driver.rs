//! Runs one target for a while, and keeps what made it fail.

use std::collections::BTreeSet;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use kiban_base::clock::Clock;
use kiban_base::rng::Rng;

use crate::corpus::Corpus;
use crate::mutate::Mutator;
use crate::targets::Target;

/// Attempts to make a failing input smaller.
const SHRINK: usize = 2_000;
/// Different failures after which a target is left alone.
const ENOUGH: usize = 8;

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long.
    pub time: Duration,
    /// What all choices come from.
    pub seed: u64,
    /// Where failing inputs are written.
    pub failures: PathBuf,
    /// A file that holds each input while it runs, for runs that end the process.
    pub trace: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Inputs tried.
    pub runs: u64,
    /// Of these, the ones that were well-formed.
    pub accepted: u64,
    /// Where each different failure happened, and the file with its input.
    pub failures: Vec<(String, PathBuf)>,
}

static PANICS: AtomicU64 = AtomicU64::new(0);
static LAST: Mutex<String> = Mutex::new(String::new());

/// From now on panics, of any thread, are counted instead of printed.
pub fn count_panics() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(String::new, ToString::to_string);
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
        *LAST.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = format!("{place}: {text}");
        PANICS.fetch_add(1, Ordering::SeqCst);
    }));
}

/// Runs a target on one input: whether it was well-formed, or how it failed. Needs [`count_panics`].
///
/// # Errors
/// The place and the words of the panic.
pub fn once(target: &Target, input: &[u8]) -> Result<bool, String> {
    let before = PANICS.load(Ordering::SeqCst);
    let result = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    match result {
        Ok(accepted) if PANICS.load(Ordering::SeqCst) == before => Ok(accepted),
        _ => Err(LAST.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()),
    }
}

/// Runs a target on its seeds, then on changed ones, until the time is over.
///
/// # Errors
/// Where a failing input cannot be written.
pub fn run(target: &Target, options: &Options, clock: &dyn Clock) -> anyhow::Result<Summary> {
    count_panics();
    let mut corpus = Corpus::new((target.seeds)());
    let mut mutator = Mutator::new(Rng::named(options.seed, target.name), corpus.words());
    let mut summary = Summary::default();
    let mut seen = BTreeSet::new();
    let started = clock.now();
    let mut waiting = corpus.seeds().to_vec();
    waiting.reverse();
    while clock.now().since(started) < options.time && seen.len() < ENOUGH {
        let input = waiting.pop().unwrap_or_else(|| {
            let base = corpus.pick(mutator.rng()).to_vec();
            let other = corpus.pick(mutator.rng()).to_vec();
            mutator.mutate(&base, &other)
        });
        if let Some(path) = &options.trace {
            std::fs::write(path, &input).context("cannot write the trace")?;
        }
        summary.runs += 1;
        match once(target, &input) {
            Ok(false) => {}
            Ok(true) => {
                summary.accepted += 1;
                // One in four, so that the old ones have their turn.
                if mutator.rng().chance(0.25) {
                    corpus.keep(input, mutator.rng());
                }
            }
            Err(why) => {
                if seen.insert(place(&why).to_owned()) {
                    let small = shrink(target, input, place(&why));
                    summary.failures.push((why, keep(&options.failures, target.name, &small)?));
                }
            }
        }
    }
    Ok(summary)
}

/// `file:line:column` of a panic.
fn place(why: &str) -> &str {
    why.split_once(": ").map_or(why, |(place, _)| place)
}

/// A smaller input that fails at the same place, where one is found soon.
fn shrink(target: &Target, mut input: Vec<u8>, at: &str) -> Vec<u8> {
    let mut size = input.len() / 2;
    let mut tries = 0;
    while size > 0 && tries < SHRINK {
        let mut start = 0;
        while start < input.len() && tries < SHRINK {
            tries += 1;
            let end = (start + size).min(input.len());
            let smaller =
                [input.get(..start).unwrap_or_default(), input.get(end..).unwrap_or_default()].concat();
            if once(target, &smaller).is_err_and(|why| place(&why) == at) {
                input = smaller;
            } else {
                start = end;
            }
        }
        size /= 2;
    }
    input
}

/// Writes a failing input under a name that its content gives.
///
/// # Errors
/// Where it cannot be written.
pub fn keep(folder: &Path, target: &str, input: &[u8]) -> anyhow::Result<PathBuf> {
    let hash = input
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    let path = folder.join(format!("{target}-{hash:016x}"));
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    std::fs::write(&path, input).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds() -> Vec<Vec<u8>> {
        vec![b"hello world".to_vec()]
    }

    fn fails_on_x(data: &[u8]) -> bool {
        assert!(!data.contains(&b'x'), "an x");
        true
    }

    #[test]
    fn a_failure_is_found_made_small_and_kept() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let target = Target { name: "letters", seeds, run: fails_on_x };
        let time = Duration::from_secs(60);
        count_panics();
        let why = once(&target, b"a long text with an x in it").expect_err("it fails");
        assert!(why.ends_with("an x"), "{why}");
        assert_eq!(shrink(&target, b"a long text with an x in it".to_vec(), place(&why)), b"x");
        let options = Options { time, seed: 3, failures: folder.path().into(), trace: None };
        let path = keep(&options.failures, target.name, b"x").expect("it can be written");
        assert_eq!(std::fs::read(path).expect("it is there"), b"x");
    }

    #[test]
    fn every_target_takes_its_seeds_and_some_changes_of_them() {
        count_panics();
        let mut failures = Vec::new();
        for target in crate::targets::all() {
            let corpus = Corpus::new((target.seeds)());
            let mut mutator = Mutator::new(Rng::named(1, target.name), corpus.words());
            let step = corpus.seeds().len() / 20 + 1;
            let mut accepted = 0;
            for seed in corpus.seeds().iter().step_by(step) {
                for input in [seed.clone(), mutator.mutate(seed, b"")] {
                    match once(target, &input) {
                        Ok(good) => accepted += usize::from(good),
                        Err(why) => {
                            failures.push(format!("{}: {why}: {}", target.name, input.escape_ascii()))
                        }
                    }
                }
            }
            if accepted == 0 {
                failures.push(format!("{}: no seed is accepted", target.name));
            }
        }
        // Printed: the hook that counts panics keeps their words to itself.
        println!("{}", failures.join("\n"));
        assert!(failures.is_empty());
    }
}
