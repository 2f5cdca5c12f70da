//! Roles and wiring: the command line and what each verb does.
//!
//! Each verb is a module of [`verbs`]: its arguments, and `run`, which says how it ended.

mod exit;
mod server;
mod shop;
mod terminal;
mod verbs;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub use exit::Exit;

/// Kiban: from a few lines of intent to an app in production on Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "kiban", version, propagate_version = true, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 found something (a difference, a finding, a failed rollout); \
2 wrong usage or wrong input files; 3 could not do it.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start an app: app.yaml, environments, and a repository around it where there is none
    New(verbs::new::Arguments),
    /// Make the manifests of an environment
    Render(verbs::render::Arguments),
    /// Say what an apply would change
    Diff(verbs::diff::Arguments),
    /// Apply an environment to a cluster, and wait until it is ready
    Apply(verbs::apply::Arguments),
    /// Deploy what a commit asks for, watch it, and say whether it is good
    Deploy(verbs::deploy::Arguments),
    /// Set which image runs where, and say what an image is
    Image(verbs::image::Arguments),
    /// Ship an image that CI built: a commit where the environment takes direct changes, else a pull request
    Ship(Box<verbs::ship::Arguments>),
    /// Say which rule set a rendered value, why, and who may change it
    Explain(verbs::explain::Arguments),
    /// Run the components that serve a cluster: on it, or on a laptop with a kubeconfig
    Server(verbs::server::Arguments),
    /// List the server's components, with what each needs; or its RBAC manifests
    Components(verbs::components::Arguments),
    /// Print the server's configuration, where each value comes from, or its JSON Schema
    Config(verbs::config::Arguments),
    /// Run everything in one process: the embedded cluster with the sample shop
    Demo(verbs::demo::Arguments),
    /// Run the embedded cluster: a Kubernetes API with controllers and fake nodes, for any client
    Sim(verbs::sim::Arguments),
    /// Print shell completions
    Completions(verbs::completions::Arguments),
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap prints help and version to stdout with code 0, errors to stderr with code 2.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    run(cli).report()
}

fn run(cli: Cli) -> Exit {
    match cli.verb {
        Verb::New(arguments) => verbs::new::run(&arguments),
        Verb::Render(arguments) => verbs::render::run(&arguments),
        Verb::Diff(arguments) => verbs::diff::run(&arguments),
        Verb::Apply(arguments) => verbs::apply::run(&arguments),
        Verb::Deploy(arguments) => verbs::deploy::run(&arguments),
        Verb::Image(arguments) => verbs::image::run(&arguments),
        Verb::Ship(arguments) => verbs::ship::run(&arguments),
        Verb::Explain(arguments) => verbs::explain::run(&arguments),
        Verb::Server(arguments) => verbs::server::run(&arguments),
        Verb::Components(arguments) => verbs::components::run(&arguments),
        Verb::Config(arguments) => verbs::config::run(&arguments),
        Verb::Demo(arguments) => verbs::demo::run(&arguments),
        Verb::Sim(arguments) => verbs::sim::run(&arguments),
        Verb::Completions(arguments) => verbs::completions::run(&arguments, &mut Cli::command()),
    }
}

#[cfg(test)]
mod tests;
