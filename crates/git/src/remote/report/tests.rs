//! Reports of pushes.
#![allow(clippy::unwrap_used)]

use super::*;

fn report(lines: &[&str]) -> Result<Report, String> {
    let mut text = Vec::new();
    lines.iter().for_each(|line| pktline::put(&mut text, line.as_bytes()));
    pktline::flush(&mut text);
    read_report(&mut text.as_slice(), "https://git.example/m").map_err(|why| why.to_string())
}

#[test]
fn reports_are_read_line_by_line() {
    let name = || "refs/heads/main".to_owned();
    let done = Report { unpack: None, refs: vec![(name(), None)] };
    assert_eq!(report(&["unpack ok\n", "ok refs/heads/main\n"]), Ok(done.clone()));
    assert_eq!(report(&["unpack ok", "ok refs/heads/main", "option old-oid 12\n"]), Ok(done));
    let refused =
        Report { unpack: None, refs: vec![(name(), Some("protected branch hook declined".to_owned()))] };
    assert_eq!(report(&["unpack ok\n", "ng refs/heads/main protected branch hook declined\n"]), Ok(refused));
    let full = Report {
        unpack: Some("No space left on device".to_owned()),
        refs: vec![(name(), Some("unpacker error".to_owned()))],
    };
    assert_eq!(
        report(&["unpack No space left on device\n", "ng refs/heads/main unpacker error\n"]),
        Ok(full)
    );
    let table: [(&[&str], &str); 4] = [
        (&[], "is empty"),
        (&["ok refs/heads/main\n"], "does not begin with what became of the pack"),
        (&["unpack ok\n", "hello\n"], "has a line that is neither ok nor ng"),
        (&["unpack ok\n", ""], "has a line that is neither ok nor ng"),
    ];
    for (lines, words) in table {
        assert!(report(lines).unwrap_err().ends_with(words), "{lines:?}");
    }
    let cut = read_report(&mut &b"000eunpack ok\n"[..], "https://git.example/m").unwrap_err().to_string();
    assert!(cut.ends_with("is cut off"), "{cut}");
}
