//! How a verb ends: the exit codes of all verbs.

use crate::note;
use std::process::ExitCode;

/// The end of a verb.
#[derive(Debug)]
pub enum Exit {
    /// Done: 0.
    Done,
    /// Something was found (a difference, a finding, a failed rollout), which was printed: 1.
    Found,
    /// The command line or the input files are wrong: 2.
    Usage(anyhow::Error),
    /// It could not be done: 3.
    Failed(anyhow::Error),
}

impl Exit {
    /// Says on stderr what went wrong, and gives the process' code.
    pub fn report(self) -> ExitCode {
        let code = match &self {
            Self::Done => 0,
            Self::Found => 1,
            Self::Usage(_) => 2,
            Self::Failed(_) => 3,
        };
        if let Self::Usage(error) | Self::Failed(error) = self {
            note!("kiban: {error:#}");
        }
        ExitCode::from(code)
    }
}

/// `?` in a verb means that it could not be done.
impl From<anyhow::Error> for Exit {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Result<Self, anyhow::Error>> for Exit {
    fn from(result: Result<Self, anyhow::Error>) -> Self {
        result.unwrap_or_else(Self::Failed)
    }
}
