//! The command line as a stranger meets it: what is written, what is said, how it ends.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use super::*;

/// Runs a command in this process. `DIR` stands for `dir`.
fn kiban(dir: &Path, line: &str) -> Exit {
    let dir = dir.display().to_string();
    let words = line.split_whitespace().map(|word| word.replace("DIR", &dir));
    match Cli::try_parse_from(std::iter::once("kiban".to_owned()).chain(words)) {
        Ok(cli) => run(cli),
        Err(error) => Exit::Usage(anyhow::anyhow!("{error}")),
    }
}

#[track_caller]
fn done(exit: Exit) {
    assert!(matches!(exit, Exit::Done), "{exit:?}");
}

#[track_caller]
fn found(exit: Exit) {
    assert!(matches!(exit, Exit::Found), "{exit:?}");
}

/// The words of a usage error, whose code is 2.
#[track_caller]
fn usage(exit: Exit) -> String {
    match exit {
        Exit::Usage(error) => format!("{error:#}"),
        other => panic!("{other:?}"),
    }
}

/// The words of a failure, whose code is 3.
#[track_caller]
fn failed(exit: Exit) -> String {
    match exit {
        Exit::Failed(error) => format!("{error:#}"),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

/// A repository with one new app.
fn new_repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    done(kiban(folder.path(), "new orders --team checkout DIR"));
    folder
}

fn shop() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shop")
}

/// A kubeconfig for a server at `address`, in `dir`.
fn kubeconfig(dir: &Path, address: std::net::SocketAddr) {
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n\
         clusters: [{{name: x, cluster: {{server: 'http://{address}'}}}}]\n\
         contexts: [{{name: x, context: {{cluster: x, user: x}}}}]\n\
         users: [{{name: x, user: {{token: t}}}}]\n"
    );
    std::fs::write(dir.join("kubeconfig"), text).unwrap();
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn every_verb_has_help_with_an_example_that_it_takes() {
    for verb in Cli::command().get_subcommands() {
        let name = verb.get_name();
        assert!(verb.get_about().is_some(), "{name} does not say what it does");
        let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
        let own = format!("kiban {name}");
        let examples: Vec<&str> = help.lines().map(str::trim).filter(|l| l.starts_with(&own)).collect();
        assert!(!examples.is_empty(), "{name} has no example in its help");
        for example in examples {
            let line = example.split(['#', '>']).next().unwrap().replace('\'', "");
            let parsed = Cli::try_parse_from(line.split_whitespace());
            assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
        }
    }
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        done(kiban(Path::new("."), &format!("completions {shell}")));
    }
}

#[test]
fn a_new_app_renders_in_dev_at_once_and_says_what_prod_needs() {
    let folder = new_repository();
    done(kiban(folder.path(), "render -e dev --out DIR/rendered DIR"));
    let rendered = folder.path().join("rendered/dev/orders/deployment-orders.yaml");
    assert!(rendered.is_file());
    let exit = kiban(folder.path(), "render -e prod --out DIR/rendered DIR");
    says(&usage(exit), &["1 law broken in prod"]);
    assert!(!folder.path().join("rendered/prod").exists(), "nothing is written of what breaks a law");

    let digest = "0".repeat(64);
    let pin = format!(
        "apiVersion: kiban.dev/v1\nkind: Pin\n\
         images: {{ registry.example/checkout/orders: {{ digest: \"sha256:{digest}\", tag: 1.0.0 }} }}\n"
    );
    std::fs::write(folder.path().join("orders/env/prod.pin.yaml"), pin).unwrap();
    done(kiban(folder.path(), "render -e prod --out DIR/rendered DIR"));
}

#[test]
fn new_writes_over_nothing() {
    let folder = new_repository();
    let before = std::fs::read_to_string(folder.path().join("platform.yaml")).unwrap();
    std::fs::write(folder.path().join("platform.yaml"), format!("# ours\n{before}")).unwrap();
    done(kiban(folder.path(), "new stock --team inventory DIR"));
    let after = std::fs::read_to_string(folder.path().join("platform.yaml")).unwrap();
    assert!(after.starts_with("# ours"));
    says(&usage(kiban(folder.path(), "new stock --team inventory DIR")), &["stock is there already"]);
    // An environment that the profile does not name gets no file.
    std::fs::write(folder.path().join("platform.yaml"), before.replace("  stg:", "  test:")).unwrap();
    done(kiban(folder.path(), "new other --team inventory DIR"));
    assert!(folder.path().join("other/env/dev.yaml").exists());
    assert!(!folder.path().join("other/env/stg.yaml").exists());
}

#[test]
fn names_that_kubernetes_refuses_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for line in [
        "new Orders --team checkout DIR",
        "new orders --team check_out DIR",
        "new -- --team a DIR",
        "new platform --team a DIR",
        "new 1st --team a DIR",
        "new orders --team a --image x/y:1 DIR",
    ] {
        usage(kiban(folder.path(), line));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn check_tells_rendered_files_that_are_not_current_and_out_mends_them() {
    let folder = new_repository();
    let check = "render -e dev --out DIR/rendered --check DIR";
    found(kiban(folder.path(), check));
    assert!(!folder.path().join("rendered").exists(), "--check writes nothing");
    done(kiban(folder.path(), "render -e dev --out DIR/rendered DIR"));
    done(kiban(folder.path(), check));

    let dev = folder.path().join("rendered/dev");
    let service = dev.join("orders/service-orders.yaml");
    let text = std::fs::read_to_string(&service).unwrap();
    std::fs::write(&service, format!("{text}# by hand\n")).unwrap();
    found(kiban(folder.path(), check));

    // What is no longer rendered goes; what is no manifest, and what belongs to others, stays.
    std::fs::write(dev.join("orders/deployment-old.yaml"), "kind: Deployment\n").unwrap();
    std::fs::write(dev.join("README.md"), "ours\n").unwrap();
    std::fs::create_dir_all(folder.path().join("rendered/stg/orders")).unwrap();
    std::fs::write(folder.path().join("rendered/stg/orders/x.yaml"), "").unwrap();
    done(kiban(folder.path(), "render -e dev --out DIR/rendered DIR"));
    assert_eq!(std::fs::read_to_string(&service).unwrap(), text);
    assert!(!dev.join("orders/deployment-old.yaml").exists());
    assert!(dev.join("README.md").exists());
    assert!(folder.path().join("rendered/stg/orders/x.yaml").exists());
    done(kiban(folder.path(), check));
}

#[test]
fn a_folder_that_is_no_repository_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    for line in ["render -e dev DIR", "diff -e dev DIR", "apply -e dev DIR", "explain orders pdb DIR"] {
        says(&usage(kiban(folder.path(), line)), &["platform.yaml", "kiban new"]);
    }
}

#[test]
fn an_environment_that_is_not_there_is_wrong_usage() {
    usage(kiban(&shop(), "render -e prd DIR"));
    usage(kiban(&shop(), "render DIR"));
}

#[test]
fn explain_takes_prod_by_default_and_says_what_there_is() {
    done(kiban(&shop(), "explain orders deployment.spec.template.spec.terminationGracePeriodSeconds DIR"));
    done(kiban(&shop(), "explain platform namespace/checkout-stg DIR -e stg"));
    for (line, parts) in [
        ("explain orders deployment.spec.replicaz DIR", &["replicaz", "there is", "selector"][..]),
        ("explain order deployment DIR", &["\"order\"", "did you mean \"orders\"?"]),
        (
            "explain platform namespace DIR -e stg",
            &["which namespace?", "checkout-stg", "write namespace/<name>"],
        ),
        ("explain orders widget DIR", &["widget", "deployment"]),
        ("explain orders deployment.spec[ DIR", &["is not closed"]),
        ("explain orders deployment DIR -e prd", &["prd"]),
    ] {
        says(&usage(kiban(&shop(), line)), parts);
    }
}

#[test]
fn explain_does_not_wait_for_every_law_to_hold() {
    let folder = new_repository();
    done(kiban(folder.path(), "explain orders deployment.spec.strategy DIR -e prod"));
}

#[test]
fn a_server_that_does_not_answer_ends_apply_and_diff_with_what_to_look_at() {
    let folder = new_repository();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    kubeconfig(folder.path(), address);
    for verb in ["apply", "diff"] {
        let exit = kiban(folder.path(), &format!("{verb} -e dev --kubeconfig DIR/kubeconfig DIR"));
        says(&failed(exit), &["cannot reach", &address.to_string(), "context"]);
    }
    let exit = kiban(folder.path(), "apply -e dev --kubeconfig DIR/kubeconfig --context y DIR");
    says(&failed(exit), &["no context \"y\"", "x"]);
    let exit = kiban(folder.path(), "apply -e dev --kubeconfig DIR/none DIR");
    says(&failed(exit), &["none"]);
    // An app that is not rendered may be on the cluster, which must be asked.
    let exit = kiban(folder.path(), "apply -e dev --app stock --kubeconfig DIR/kubeconfig DIR");
    says(&failed(exit), &["cannot reach"]);
    says(&usage(kiban(folder.path(), "apply -e dev --timeout 5 DIR")), &["'5'", "--timeout", "like 90s"]);
}

#[test]
fn the_embedded_cluster_serves_loopback_addresses_only() {
    let folder = tempfile::tempdir().unwrap();
    for wrong in ["6443", "somewhere:6443", "localhost"] {
        let exit = kiban(folder.path(), &format!("sim --listen {wrong} --kubeconfig DIR/kubeconfig"));
        says(&usage(exit), &[wrong, "like 127.0.0.1:6443"]);
    }
    for address in ["0.0.0.0:0", "192.0.2.1:6443", "[::]:0"] {
        let exit = kiban(folder.path(), &format!("sim --listen {address} --kubeconfig DIR/kubeconfig"));
        says(&usage(exit), &[address, "loopback"]);
    }
    assert!(!folder.path().join("kubeconfig").exists());
}

#[test]
fn a_port_that_is_taken_ends_sim_with_its_address() {
    let folder = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let exit = kiban(folder.path(), &format!("sim --listen {address} --kubeconfig DIR/kubeconfig"));
    says(&failed(exit), &["cannot listen on", &address.to_string()]);
    assert!(!folder.path().join("kubeconfig").exists(), "no kubeconfig for a cluster that is not there");
}

#[test]
fn stand_ins_that_cannot_be_read_are_said_by_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stand-ins"), "[[[").unwrap();
    for name in ["stand-ins", "none"] {
        let exit = kiban(folder.path(), &format!("sim --kubeconfig DIR/k --stand-ins DIR/{name}"));
        says(&usage(exit), &[name]);
    }
}

#[test]
fn the_demo_runs_the_shop_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    done(kiban(folder.path(), "demo --once --kubeconfig DIR/kubeconfig --repository DIR/shop.git"));
    assert!(!folder.path().join("kubeconfig").exists(), "the kubeconfig goes with its cluster");
    assert!(!folder.path().join("shop.git").exists(), "and so does the repository");
    usage(kiban(
        folder.path(),
        "demo --once -e nowhere --kubeconfig DIR/kubeconfig --repository DIR/shop.git",
    ));
    std::fs::create_dir(folder.path().join("shop.git")).unwrap();
    let exit = kiban(folder.path(), "demo --once --kubeconfig DIR/kubeconfig --repository DIR/shop.git");
    says(&failed(exit), &["shop.git is there already", "--repository"]);
    assert!(folder.path().join("shop.git").exists(), "what was there stays");
}
