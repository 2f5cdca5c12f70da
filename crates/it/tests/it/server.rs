//! The server as a process: only a kubeconfig, its routes, a changed configuration, its data folder, its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use kiban_testkit::{Said, Sim, kiban, said};

struct Server {
    child: Child,
    address: String,
    err: Option<BufReader<ChildStderr>>,
}

impl Server {
    /// Starts it on port 0 and waits for its `ready` line.
    fn start(sim: &Sim, more: &[&str]) -> Self {
        let mut child = command(sim, more).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let Some(address) = line.trim_end().strip_prefix("ready http://").map(ToOwned::to_owned) else {
            let mut log = String::new();
            let _ = err.read_to_string(&mut log);
            panic!("not ready: {line:?} {log}");
        };
        Self { child, address, err: Some(err) }
    }

    /// One request: its status and body.
    fn get(&self, path: &str, host: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let status = text.split(' ').nth(1).and_then(|code| code.parse().ok());
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        (status.unwrap_or_else(|| panic!("no answer: {text:?}")), body.unwrap_or_default())
    }

    fn signal(&self, name: &str) {
        said(Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string())).ok();
    }

    /// Asks it to end and gives back its exit code and its log.
    fn end(mut self) -> (Option<i32>, String) {
        self.signal("TERM");
        let mut log = String::new();
        self.err.take().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(sim: &Sim, more: &[&str]) -> Command {
    let mut command = Command::new(kiban());
    command.args(["server", "--listen", "127.0.0.1:0"]).args(more);
    command.env_remove("KUBECONFIG").arg("--kubeconfig").arg(sim.kubeconfig());
    command
}

fn run(sim: &Sim, more: &[&str]) -> Said {
    said(&mut command(sim, more))
}

#[test]
fn a_kubeconfig_is_all_it_needs_and_it_ends_in_order() {
    let sim = Sim::start(1);
    let server = Server::start(&sim, &[]);
    assert_eq!(server.get("/livez", "localhost"), (200, "ok".to_owned()));
    sim.wait("the server is ready", || server.get("/readyz", "localhost").0 == 200);
    let (_, checks) = server.get("/readyz?verbose", &server.address);
    assert!(checks.contains("[+]cluster ok\n"), "{checks}");
    let (code, words) = server.get("/livez", "evil.example");
    assert_eq!(code, 421, "{words}");
    let (_, metrics) = server.get("/metrics", "localhost");
    for row in ["kiban_cluster_up 1", "kiban_component_up{component=\"cluster\"} 1", "process_open_fds "] {
        assert!(metrics.contains(row), "{row} is not in: {metrics}");
    }
    check_metrics(&sim, &metrics);
    let (code, log) = server.end();
    assert_eq!(code, Some(0), "{log}");
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(line["message"].is_string() && line["level"].is_string(), "{line}");
    }
    assert!(log.contains("\"the cluster answers\"") && log.contains("\"ended\""), "{log}");
}

/// Asks promtool what it thinks of the metrics' names and text.
fn check_metrics(sim: &Sim, metrics: &str) {
    let Some(promtool) = kiban_testkit::tool("server::check_metrics", "promtool") else { return };
    let file = sim.file("metrics", metrics);
    let input = std::fs::File::open(file).unwrap();
    let judged = said(Command::new(promtool).args(["check", "metrics"]).stdin(input));
    assert_eq!(judged.code, 0, "{}{}", judged.out, judged.err);
}

#[test]
fn a_component_is_switched_off_and_on_while_it_runs() {
    let sim = Sim::start(1);
    let write =
        |more: &str| sim.file("kiban.yaml", &format!("apiVersion: kiban.dev/v1\nkind: Server\n{more}"));
    let path = write("");
    let server = Server::start(&sim, &["--config", &path]);
    let up = || server.get("/metrics", "localhost").1.contains("\nkiban_cluster_up 1\n");
    sim.wait("the component works", up);
    write("off: [cluster]\n");
    server.signal("HUP");
    sim.wait("it is off, and its metrics with it", || {
        let (_, metrics) = server.get("/metrics", "localhost");
        server.get("/readyz/cluster", "localhost").0 == 404 && !metrics.contains("kiban_cluster_up")
    });
    assert_eq!(server.get("/readyz", "localhost").0, 200);
    write("of: []\n");
    server.signal("HUP");
    sim.wait("what is wrong is told", || {
        server.get("/metrics", "localhost").1.contains("\nkiban_config_last_reload_successful 0\n")
    });
    assert_eq!(server.get("/readyz/cluster", "localhost").0, 404, "the configuration before stays");
    // Without a signal: the file is looked at.
    write("");
    sim.wait("it is on again", up);
    let (code, log) = server.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("unknown key \\\"of\\\" in Server; did you mean \\\"off\\\"?"), "{log}");
}

#[test]
fn a_data_folder_is_held_by_one_process_and_let_go_whatever_ends_it() {
    let sim = Sim::start(1);
    let data = sim.folder().join("data");
    let flags = ["--data", data.to_str().unwrap()];
    let mut server = Server::start(&sim, &flags);
    let second = run(&sim, &flags);
    let pid = server.child.id();
    let words = format!("is in use by another kiban (process {pid}); one process at a time may use it");
    assert!(second.code == 3 && second.err.contains(&words), "{}", second.err);
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let server = Server::start(&sim, &flags);
    let (code, log) = server.end();
    assert_eq!(code, Some(0), "{log}");
    std::fs::write(data.join("VERSION"), "99\n").unwrap();
    let before = names(&data);
    let newer = run(&sim, &flags);
    assert!(
        newer.code == 3 && newer.err.contains("has version 99, and this kiban knows up to 1"),
        "{}",
        newer.err
    );
    assert_eq!(names(&data), before);
}

fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

#[test]
fn its_manifests_are_taken_by_kubectl_and_grant_what_its_components_need() {
    let sim = Sim::start(1);
    let Some(kubectl) = sim.kubectl("server::its_manifests_are_taken_by_kubectl") else { return };
    let print = |more: &[&str]| said(Command::new(kiban()).arg("components").args(more)).ok();
    let list = print(&[]);
    assert!(list.contains("route       GET /metrics (read)"), "{list}");
    let state = |list: &str| {
        let row = list.lines().find(|line| line.starts_with("cluster ")).unwrap();
        row.split_whitespace().nth(1).unwrap().to_owned()
    };
    let off = sim.file("off.yaml", "apiVersion: kiban.dev/v1\nkind: Server\noff: [cluster]\n");
    assert_eq!((state(&list), state(&print(&["--config", &off]))), ("on".to_owned(), "off".to_owned()));
    let reason = "# cluster: the UID of kube-system names the cluster\n";
    assert!(print(&["--rbac"]).contains(reason));
    assert!(!print(&["--rbac", "--config", &off]).contains(reason), "permissions go with the component");
    let file = sim.file("rbac.yaml", &print(&["--rbac", "--namespace", "default"]));
    kubectl.run(&format!("apply -f {file}")).ok();
    let role = kubectl.run("get clusterrole kiban -o json").ok();
    assert!(role.contains("kube-system"), "{role}");
    let subject = kubectl.run("get clusterrolebinding kiban -o jsonpath={.subjects[0].namespace}").ok();
    assert_eq!(subject, "default");
}

#[test]
fn its_configuration_says_where_each_value_comes_from() {
    let sim = Sim::start(1);
    let path = sim.file("kiban.yaml", "apiVersion: kiban.dev/v1\nkind: Server\nlog: { level: debug }\n");
    let show = |more: &[&str]| {
        let mut command = Command::new(kiban());
        said(command.args(["config", "show", "--config", &path, "--listen", ":9090"]).args(more)).ok()
    };
    let set = show(&[]);
    let lines: Vec<Vec<&str>> = set.lines().map(|line| line.split("  # ").map(str::trim).collect()).collect();
    let row = |path: &str| lines.iter().find(|line| line[0].starts_with(path)).unwrap().clone();
    let level = format!("{path}:3; in place of prometheus --log.level, flux --log-level, argocd --loglevel");
    assert_eq!(row("log.level"), ["log.level: \"debug\"", &level]);
    assert!(
        row("server.listen")[1].starts_with("--listen; in place of prometheus --web.listen-address"),
        "{set}"
    );
    assert!(!set.contains("server.drain"), "{set}");
    assert!(
        show(&["--effective"])
            .lines()
            .any(|line| line.starts_with("server.drain: \"25s\" ") && line.ends_with("# default"))
    );
    let schema = said(Command::new(kiban()).args(["config", "schema"])).ok();
    let committed =
        std::fs::read_to_string(kiban_testkit::root().join("crates/app/schemas/kiban.json")).unwrap();
    assert!(schema.trim_end() == committed.trim_end(), "crates/app/schemas/kiban.json is another one");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let sim = Sim::start(1);
    let mut server = Server::start(&sim, &[]);
    // A request whose body does not come: the end in order waits for it a while.
    let mut stream = TcpStream::connect(&server.address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx").unwrap();
    assert_eq!(server.get("/livez", "localhost").0, 200);
    server.signal("TERM");
    let mut log = server.err.take().unwrap();
    let mut line = String::new();
    while !line.contains("a second signal ends at once") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "the log ends without a word");
    }
    server.signal("INT");
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert_eq!(server.child.wait().unwrap().code(), Some(3), "{rest}");
    assert!(rest.contains("kiban: ended at once, by a second signal"), "{rest}");
}

#[test]
fn what_keeps_it_from_starting_is_said_and_nothing_is_served() {
    let sim = Sim::start(1);
    let exposed = run(&sim, &["--listen", "0.0.0.0:0"]);
    assert!(
        exposed.out.is_empty() && exposed.err.contains("cannot be used multiple times"),
        "{}",
        exposed.err
    );
    let bad = sim.file("bad.yaml", "apiVersion: kiban.dev/v1\nkind: Server\nserver:\n  lsten: x\n");
    let wrong = run(&sim, &["--config", &bad]);
    assert!(
        wrong.code == 2 && wrong.err.contains("bad.yaml:4:3: unknown key \"lsten\" in server"),
        "{}",
        wrong.err
    );
    let open = sim.file(
        "open.yaml",
        "apiVersion: kiban.dev/v1\nkind: Server\nserver:\n  webhooks: { listen: \":0\" }\n",
    );
    let wrong = run(&sim, &["--config", &open]);
    assert!(wrong.code == 2 && wrong.err.contains("can be reached from other machines"), "{}", wrong.err);
    let nowhere = said(Command::new(kiban()).args([
        "server",
        "--kubeconfig",
        "/nowhere/config",
        "--listen",
        "127.0.0.1:0",
    ]));
    assert!(nowhere.code == 3 && nowhere.err.contains("/nowhere/config"), "{}", nowhere.err);
}
