//! The binary itself: exit codes, what goes to stdout, readers that go away.
#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::process::{Command, Stdio};

fn kiban(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_kiban")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn what_was_asked_for_is_output_and_ends_with_0() {
    for arguments in [&["--version"][..], &["--help"], &["apply", "--help"], &["completions", "bash"]] {
        let (code, out, err) = kiban(arguments);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(out.contains("kiban"), "{arguments:?}: {out}");
    }
}

#[test]
fn wrong_usage_is_said_on_stderr_and_ends_with_2() {
    for arguments in [&[][..], &["frobnicate"], &["render"], &["render", "-e", "dev", "/nowhere/at/all"]] {
        let (code, out, err) = kiban(arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {err}");
        assert!(!err.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure_of_ours() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kiban"))
        // More than a pipe holds.
        .args(["render", "-e", "prod", "-e", "stg"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0; 3];
    stdout.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"---");
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(!err.contains("panicked"), "{err}");
    assert_eq!(output.status.code(), Some(0), "{err}");
}

#[test]
fn a_full_disk_below_stderr_is_no_crash() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let folder = tempfile::tempdir().unwrap();
    let said = Command::new(env!("CARGO_BIN_EXE_kiban"))
        .args(["render", "-e", "dev", "--check", "--out"])
        .arg(folder.path().join("rendered"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop"))
        .stderr(Stdio::from(full))
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(1), "what is not current is told by the code");
}
