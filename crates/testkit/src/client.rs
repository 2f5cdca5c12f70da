//! Real programs, run to their end with what they said.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A program brought by `make tools`, or `None` with a note where it is not there.
pub fn tool(test: &str, name: &str) -> Option<PathBuf> {
    let path = crate::root().join(".tools").join(name);
    if path.exists() {
        return Some(path);
    }
    crate::skip(test, &format!("no {name} in .tools (make tools)"));
    None
}

/// The Python with the packages that tests use.
pub fn python(test: &str) -> Option<PathBuf> {
    tool(test, "venv/bin/python")
}

/// What a program said.
#[derive(Debug, Clone)]
pub struct Said {
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Standard output, with the demand that it went well.
    ///
    /// # Panics
    /// Where the exit code is not 0.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.out, self.err);
        self.out
    }

    /// Standard error, with the demand that it failed with `code`.
    ///
    /// # Panics
    /// Where it ended otherwise.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self.err
    }
}

/// kubectl or helm against one cluster.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    cache: PathBuf,
}

impl Kubectl {
    pub(crate) fn new(program: PathBuf, kubeconfig: PathBuf, cache: PathBuf) -> Self {
        Self { program, kubeconfig, cache }
    }

    /// The command, for tests that want more of it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", &self.cache)
            .env("HOME", &self.cache)
            .env("HELM_CACHE_HOME", self.cache.join("helm-cache"))
            .env("HELM_CONFIG_HOME", self.cache.join("helm-config"))
            .env("HELM_DATA_HOME", self.cache.join("helm-data"))
            .stdin(Stdio::null());
        command
    }

    /// Runs with arguments separated by spaces; quotes are not read.
    pub fn run(&self, line: &str) -> Said {
        self.args(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs with these arguments.
    ///
    /// # Panics
    /// Where the program cannot be run.
    pub fn args(&self, arguments: &[&str]) -> Said {
        said(&mut self.command(arguments))
    }
}

/// Runs a command to its end.
///
/// # Panics
/// Where it cannot be run.
pub fn said(command: &mut Command) -> Said {
    let output = command.output().expect("the program can be run");
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
