//! Writing for people: to a terminal or to a file, whole or not at all.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

/// Whether stdout is a terminal that a person looks at.
pub fn is_live() -> bool {
    io::stdout().is_terminal()
}

/// Prints one line to stdout. A reader that went away is no error of ours.
pub fn line(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Prints one line to stderr. That nobody reads it, or that its disk is full, ends nothing.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints a formatted line to stderr by [`note`]: what `eprintln!` does, without its panic.
#[macro_export]
macro_rules! note {
    ($($text:tt)*) => { $crate::terminal::note(&format!($($text)*)) };
}

/// Writes a file so that a reader sees the old or the new content, never a part.
///
/// # Errors
/// Where the file or its folder cannot be written.
pub fn write_whole(path: &Path, text: &str, private: bool) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = folder.join(format!(".{name}.{}.part", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.create(true).write(true).truncate(true);
    #[cfg(unix)]
    if private {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let written =
        options.open(&part).and_then(|mut f| f.write_all(text.as_bytes()).and_then(|()| f.sync_all()));
    let moved = written.and_then(|()| std::fs::rename(&part, path));
    if moved.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    moved
}
