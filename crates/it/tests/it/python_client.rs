//! The Python client's list and watch, as its users write them.

use kiban_testkit::{Sim, python, said};

#[test]
fn the_python_client_lists_and_watches() {
    let sim = Sim::start(2);
    let Some(python) = python("python client") else { return };
    let script = sim.file("client.py", include_str!("python_client/list_watch.py"));
    let mut command = std::process::Command::new(python);
    let said = said(command.arg(script).env("KUBECONFIG", sim.kubeconfig()));
    assert_eq!(said.ok().lines().last(), Some("done"));
}
