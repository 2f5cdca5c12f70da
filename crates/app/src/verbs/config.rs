//! `kiban config`: what the server's configuration is, where each value comes from, and its JSON Schema.

use std::path::PathBuf;

use kiban_runtime::config::{self, Effective, Flag, Loaded};

use crate::note;
use crate::server::Config;
use crate::{Exit, terminal};

/// The flags that lie over `kiban.yaml`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Flags {
    /// The configuration; without, what the flags say and defaults
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Folder for what must not be lost; without, nothing is kept
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// The kubeconfig; without, what kubectl would use, or the cluster that this runs in
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<String>,
    /// The context of the kubeconfig; without, its current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Classes of routes that are off otherwise: ingest, admin
    #[arg(long, value_name = "CLASS", value_delimiter = ',')]
    enable: Vec<String>,
    /// From which level on is logged: error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// How lines of the log look: auto, human, json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl Flags {
    /// Those that were given, as values.
    fn given(&self) -> Vec<Flag> {
        let one =
            |name, path, value: &Option<String>| value.clone().map(|value| Flag::one(name, path, value));
        let list = (!self.enable.is_empty())
            .then(|| Flag::list("--enable", &["server", "enable"], self.enable.clone()));
        [
            one("--listen", &["server", "listen"], &self.listen),
            one("--data", &["server", "data"], &self.data),
            one("--kubeconfig", &["cluster", "kubeconfig"], &self.kubeconfig),
            one("--context", &["cluster", "context"], &self.context),
            list,
            one("--log-level", &["log", "level"], &self.log_level),
            one("--log-format", &["log", "format"], &self.log_format),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(&self) -> Result<Loaded<Config>, config::Problems> {
        config::load(self.config.as_deref(), &self.given())
    }

    /// As [`Flags::load`]; what is wrong goes to stderr.
    ///
    /// # Errors
    /// Wrong usage.
    pub fn load_or_say(&self) -> Result<Loaded<Config>, Exit> {
        self.load().map_err(|problems| {
            note!("{problems}");
            let count = problems.0.len();
            let things = if count == 1 { "thing" } else { "things" };
            Exit::Usage(anyhow::anyhow!("{count} {things} wrong in the configuration"))
        })
    }
}

/// Arguments of `kiban config`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  kiban config show --effective --config kiban.yaml\n  kiban config schema > kiban.json"
)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print the values that are set, and where each comes from
    Show {
        #[command(flatten)]
        flags: Flags,
        /// Defaults too
        #[arg(long)]
        effective: bool,
    },
    /// Print the JSON Schema of kiban.yaml
    Schema,
}

/// Prints what was asked for.
pub fn run(arguments: &Arguments) -> Exit {
    match &arguments.what {
        What::Schema => {
            terminal::line(config::schema::<Config>().trim_end());
            Exit::Done
        }
        What::Show { flags, effective } => match flags.load_or_say() {
            Ok(loaded) => {
                for line in show(&loaded.effective(), *effective) {
                    terminal::line(&line);
                }
                Exit::Done
            }
            Err(exit) => exit,
        },
    }
}

/// A line a value: `path: value  # where it comes from; in place of …`.
fn show(rows: &[Effective], all: bool) -> Vec<String> {
    let rows: Vec<&Effective> = rows.iter().filter(|row| all || !row.from.starts_with("default")).collect();
    let text = |row: &Effective| format!("{}: {}", row.path, row.value);
    let width =
        rows.iter().map(|row| text(row).chars().count()).filter(|width| *width <= 60).max().unwrap_or(0);
    rows.iter()
        .map(|row| {
            let from = row.from.split(':').next().filter(|from| *from == "default").unwrap_or(&row.from);
            let place = match row.replaces.is_empty() {
                true => String::new(),
                false => format!("; in place of {}", row.replaces.join(", ")),
            };
            format!("{:width$}  # {from}{place}", text(row))
        })
        .collect()
}
