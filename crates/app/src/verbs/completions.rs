//! `kiban completions`: what shells complete.

use clap_complete::{Shell, generate};

use crate::Exit;

/// Arguments of `kiban completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  kiban completions bash > /etc/bash_completion.d/kiban")]
pub struct Arguments {
    /// The shell
    shell: Shell,
}

/// Prints the completions of `command`.
pub fn run(arguments: &Arguments, command: &mut clap::Command) -> Exit {
    let mut text = Vec::new();
    generate(arguments.shell, command, "kiban", &mut text);
    crate::terminal::line(String::from_utf8_lossy(&text).trim_end());
    Exit::Done
}
