//! `make fuzz`: every target for its share of the time, each in a process of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use kiban_fuzz::driver::{self, Options, Summary};
use kiban_fuzz::targets::{self, Target};
use kiban_runtime::clock::SystemClock;

/// The stack that a target gets: what a thread of the server has.
const STACK: usize = 2 << 20;
/// What a process may take beyond its time before it counts as hanging.
const GRACE: Duration = Duration::from_secs(30);

/// Runs fuzz targets for a bounded time.
#[derive(Debug, Parser)]
#[command(
    after_help = "Examples:\n  kiban-fuzz --seconds 60\n  kiban-fuzz --seconds 600 --target apply\n  kiban-fuzz --target apply fuzz-failures/apply-0123456789abcdef"
)]
struct Arguments {
    /// How long in all; every target gets an equal share
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// This target only
    #[arg(long)]
    target: Option<String>,
    /// Where all choices come from; the same seed tries the same inputs in the same order
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where failing inputs are written
    #[arg(long, default_value = "fuzz-failures", value_name = "DIR")]
    failures: PathBuf,
    /// Names of the targets
    #[arg(long)]
    list: bool,
    /// Runs the target here, and prints a line for each failure and one for the end
    #[arg(long, hide = true)]
    child_ms: Option<u64>,
    /// Writes each input here before it runs
    #[arg(long, hide = true)]
    trace: Option<PathBuf>,
    /// Run these inputs once, instead of looking for new ones
    inputs: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("kiban-fuzz: {error:#}");
            ExitCode::from(3)
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let chosen: Vec<&Target> = targets::all()
        .iter()
        .filter(|t| arguments.target.as_deref().is_none_or(|name| name == t.name))
        .collect();
    if chosen.is_empty() {
        bail!("no such target; --list names them");
    }
    if arguments.list {
        chosen.iter().for_each(|t| println!("{}", t.name));
        return Ok(true);
    }
    if !arguments.inputs.is_empty() {
        return replay(&chosen, &arguments.inputs);
    }
    if let (Some(time), [target]) = (arguments.child_ms, chosen.as_slice()) {
        return child(target, arguments, Duration::from_millis(time));
    }
    let share = Duration::from_secs(arguments.seconds) / u32::try_from(chosen.len())?;
    let (mut runs, mut failures) = (0, 0);
    for target in &chosen {
        let summary = in_a_process(target, arguments, share)?;
        println!(
            "{:<18} {:>9} runs {:>9} well-formed {:>3} failures",
            target.name,
            summary.runs,
            summary.accepted,
            summary.failures.len()
        );
        for (why, path) in &summary.failures {
            println!("  {}: {why}", path.display());
        }
        runs += summary.runs;
        failures += summary.failures.len();
    }
    println!("{} targets, {runs} runs, {failures} failures", chosen.len());
    Ok(failures == 0)
}

fn replay(chosen: &[&Target], inputs: &[PathBuf]) -> anyhow::Result<bool> {
    let [target] = chosen else { bail!("--target says which target reads these inputs") };
    for path in inputs {
        let input = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        // A panic's own words, with its backtrace where that is asked for.
        println!("{}: well-formed: {}", path.display(), (target.run)(&input));
    }
    Ok(true)
}

/// Runs a target in this process, on a stack of the size that it will have.
fn child(target: &Target, arguments: &Arguments, time: Duration) -> anyhow::Result<bool> {
    let options = Options {
        time,
        seed: arguments.seed,
        failures: arguments.failures.clone(),
        trace: arguments.trace.clone(),
    };
    let target = *target;
    let work = move || driver::run(&target, &options, &SystemClock);
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(work)?;
    let summary = thread.join().map_err(|_| anyhow::anyhow!("the driver panicked"))??;
    for (why, path) in &summary.failures {
        println!("failed\t{}\t{}", path.display(), why.replace(['\n', '\t'], " "));
    }
    println!("done\t{}\t{}", summary.runs, summary.accepted);
    Ok(true)
}

/// Runs a target in a process of its own, so that an overflowing stack or a loop without end is found too.
fn in_a_process(target: &Target, arguments: &Arguments, time: Duration) -> anyhow::Result<Summary> {
    if let Some(summary) = spawn(target, arguments, time, None)? {
        return Ok(summary);
    }
    // It died or hangs. The same seed tries the same inputs: this time, each is written down before it runs.
    let folder = tempfile::tempdir()?;
    let trace = folder.path().join("input");
    let again = spawn(target, arguments, time * 4, Some(&trace))?;
    let input = std::fs::read(&trace).unwrap_or_default();
    let path = driver::keep(&arguments.failures, target.name, &input)?;
    let why = if again.is_none() {
        "the process died or did not come to an end".to_owned()
    } else {
        "the process died once, and not with the same inputs again; this is the last of them".to_owned()
    };
    Ok(Summary { failures: vec![(why, path)], ..Summary::default() })
}

/// `None` where the process did not come to its end.
fn spawn(
    target: &Target,
    arguments: &Arguments,
    time: Duration,
    trace: Option<&Path>,
) -> anyhow::Result<Option<Summary>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--target", target.name, "--seed", &arguments.seed.to_string()]);
    command.arg("--child-ms").arg(time.as_millis().to_string());
    command.arg("--failures").arg(&arguments.failures);
    if let Some(trace) = trace {
        command.arg("--trace").arg(trace);
    }
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let lines = lines_of(&mut process)?;
    let mut summary = Summary::default();
    let mut deadline = time + GRACE;
    let finished = loop {
        // Lines come at the end only, one after another.
        let Ok(line) = lines.recv_timeout(deadline) else { break false };
        deadline = GRACE;
        let parts: Vec<&str> = line.split('\t').collect();
        match parts.as_slice() {
            ["failed", path, why] => summary.failures.push(((*why).to_owned(), PathBuf::from(path))),
            ["done", runs, accepted] => {
                (summary.runs, summary.accepted) = (runs.parse()?, accepted.parse()?);
                break true;
            }
            _ => {}
        }
    };
    let _ = process.kill();
    process.wait()?;
    Ok(finished.then_some(summary))
}

fn lines_of(process: &mut Child) -> anyhow::Result<Receiver<String>> {
    let stdout = process.stdout.take().context("the process has no stdout")?;
    let (sender, receiver) = sync_channel(16);
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}
