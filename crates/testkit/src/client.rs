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

    /// Runs a line as a shell would split it: by spaces, with `'…'` and `"…"` as they stand.
    pub fn run(&self, line: &str) -> Said {
        let words = words(line);
        self.args(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Runs a line with `input` on its standard input.
    ///
    /// # Panics
    /// Where the program cannot be run.
    pub fn feed(&self, line: &str, input: &str) -> Said {
        let mut command = self.command(&[]);
        command.args(words(line)).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program can be run");
        let mut stdin = child.stdin.take().expect("its input is a pipe");
        let input = input.to_owned();
        // On a thread of its own: a program that talks before it has read all must not block.
        let writer = std::thread::spawn(move || {
            use std::io::Write as _;
            // One that ends without reading everything has its reasons, and its exit code tells.
            let _ = stdin.write_all(input.as_bytes());
        });
        let output = child.wait_with_output().expect("the program ends");
        writer.join().expect("the input was handed over");
        output.into()
    }

    /// Starts a line that runs on, as `get --watch` does.
    ///
    /// # Panics
    /// Where the program cannot be run.
    pub fn start(&self, line: &str) -> Background {
        let (out, err) = (tempfile::NamedTempFile::new(), tempfile::NamedTempFile::new());
        let (out, err) =
            (out.expect("a temporary file can be made"), err.expect("a temporary file can be made"));
        let mut command = self.command(&[]);
        command
            .args(words(line))
            .stdout(out.reopen().expect("a file can be opened"))
            .stderr(err.reopen().expect("a file can be opened"));
        let child = command.spawn().expect("the program can be run");
        Background { child, out, err }
    }

    /// Runs with these arguments.
    ///
    /// # Panics
    /// Where the program cannot be run.
    pub fn args(&self, arguments: &[&str]) -> Said {
        said(&mut self.command(arguments))
    }
}

impl From<std::process::Output> for Said {
    fn from(output: std::process::Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A program that runs on; it is ended with this value.
#[derive(Debug)]
pub struct Background {
    child: std::process::Child,
    out: tempfile::NamedTempFile,
    err: tempfile::NamedTempFile,
}

impl Background {
    /// What it wrote to its standard output until now.
    pub fn out(&self) -> String {
        std::fs::read_to_string(self.out.path()).unwrap_or_default()
    }

    /// Waits for its own end.
    ///
    /// # Panics
    /// Where that cannot be waited for.
    pub fn end(mut self) -> Said {
        let code = self.child.wait().expect("a child can be waited for").code().unwrap_or(-1);
        let err = std::fs::read_to_string(self.err.path()).unwrap_or_default();
        Said { code, out: self.out(), err }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Splits a line into words, as a shell without variables or escapes does.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut inside, mut quote) = (String::new(), false, None);
    for c in line.chars() {
        match quote {
            Some(q) if c == q => quote = None,
            Some(_) => word.push(c),
            None if matches!(c, '\'' | '"') => (quote, inside) = (Some(c), true),
            None if c.is_whitespace() => {
                if std::mem::take(&mut inside) {
                    words.push(std::mem::take(&mut word));
                }
            }
            None => {
                word.push(c);
                inside = true;
            }
        }
    }
    if inside {
        words.push(word);
    }
    words
}

/// Runs a command to its end.
///
/// # Panics
/// Where it cannot be run.
pub fn said(command: &mut Command) -> Said {
    command.output().expect("the program can be run").into()
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn lines_are_split_as_a_shell_splits_them() {
        assert_eq!(
            words(" get  pods -l 'a in (b,c)' -o \"x='y'\" ''"),
            ["get", "pods", "-l", "a in (b,c)", "-o", "x='y'", ""]
        );
        assert!(words("  ").is_empty());
    }
}
