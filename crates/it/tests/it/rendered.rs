//! What `kiban render` writes, judged by the schemas of Kubernetes and of the kinds beside it.

use std::process::Command;

use kiban_testkit::{kiban, python, root, said, skip};

/// The environments of examples/shop.
const ENVIRONMENTS: [&str; 3] = ["dev", "stg", "prod"];

fn render(out: &std::path::Path) {
    let mut command = Command::new(kiban());
    command.arg("render").arg("--out").arg(out);
    for env in ENVIRONMENTS {
        command.args(["-e", env]);
    }
    said(command.arg(root().join("examples/shop"))).ok();
}

#[test]
fn the_shop_is_valid_in_every_environment() {
    let test = "rendered";
    let Some(python) = python(test) else { return };
    let folder = tempfile::tempdir().unwrap();
    render(folder.path());
    let mut command = Command::new(python);
    command.arg(root().join("tests/validate_rendered.py")).arg(folder.path());
    let crds = root().join(".tools/crds");
    if crds.is_dir() {
        command.arg("--crds").arg(crds).arg("--require-crds");
    } else {
        skip(test, "no schemas of Gateway API and Istio in .tools (make tools): their kinds are not judged");
    }
    let judged = said(&mut command).ok();
    let total = judged.lines().last().unwrap_or_default();
    assert!(total.contains(" 0 invalid"), "{judged}");
}

#[test]
fn rendering_twice_gives_the_same_bytes() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    render(one.path());
    render(two.path());
    let same = said(Command::new("diff").arg("-r").arg(one.path()).arg(two.path()));
    assert_eq!((same.code, same.out.as_str()), (0, ""));
    let files = said(Command::new("find").arg(one.path()).args(["-type", "f"])).ok();
    assert!(files.lines().count() > 50, "{files}");
}
