//! From a push to a verdict: a git remote behind git's own http-backend, the embedded cluster with its roles
//! enforced, the server as a process.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kiban_simcluster::nodes::StandIn;
use kiban_simcluster::server::Config;
use kiban_testkit::{Kubectl, Sim, kiban, said};

/// What the tests of kiban-git run against: repositories made by git, behind its own http-backend.
#[allow(dead_code)]
#[path = "../../../git/tests/real/support.rs"]
mod git;

use git::{Repo, Web};

/// How often something is looked at, a tenth of a second apart, before the test says what it waited for.
const LOOKS: u32 = 1_200;

fn pause(sim: &Sim, milliseconds: u64) {
    sim.block_on(async { tokio::time::sleep(Duration::from_millis(milliseconds)).await });
}

/// A shop in a repository that a web server offers, and a cluster.
struct Shop {
    repo: Repo,
    web: Web,
    sim: Sim,
    kubectl: Kubectl,
    folder: tempfile::TempDir,
}

impl Shop {
    fn new(test: &str) -> Option<Self> {
        if !git::has_git(test) {
            return None;
        }
        let secrets =
            StandIn { kind: "Secret".into(), namespace: "*".into(), name: "*".into(), data: Vec::new() };
        let sim = Sim::with(Config {
            nodes: 3,
            fast: true,
            rbac: true,
            stand_ins: vec![secrets],
            ..Config::default()
        });
        let kubectl = sim.kubectl(test)?;
        let repo = Repo::new();
        copy(&kiban_testkit::root().join("examples/shop"), &repo.work);
        let profile = repo.work.join("platform.yaml");
        let text = std::fs::read_to_string(&profile).unwrap();
        std::fs::write(&profile, text.replace("watch: 2m", "watch: 3s")).unwrap();
        let web = Web::new(repo.root.path());
        let shop = Self { repo, web, sim, kubectl, folder: tempfile::tempdir().unwrap() };
        shop.render();
        shop.repo.commit(&[]);
        Some(shop)
    }

    fn render(&self) {
        let said = said(
            Command::new(kiban())
                .args(["render", "-e", "dev", "--out"])
                .args([self.repo.work.join("rendered"), self.repo.work.clone()]),
        );
        assert_eq!(said.code, 0, "{}", said.err);
    }

    /// Writes a file of the repository, renders, commits and pushes.
    fn ship(&self, path: &str, text: &str) {
        std::fs::write(self.repo.work.join(path), text).unwrap();
        self.render();
        self.repo.commit(&[]);
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.repo.work.join(path)).unwrap()
    }

    fn server(&self) -> Server {
        let config = self.folder.path().join("kiban.yaml");
        std::fs::write(
            &config,
            format!(
                "apiVersion: kiban.dev/v1\nkind: Server\ndelivery:\n  deployer: kiban-deployer\n  skipMissingKinds: true\n  patience: 4s\n  repositories:\n    shop: {{ url: {}/m.git, poll: 1s, environments: [dev] }}\n",
                self.web.url
            ),
        )
        .unwrap();
        Server::start(&self.sim, &config, &self.folder.path().join("data"), self.folder.path())
    }

    /// Waits until something is so, and says what it was that was not.
    fn until(&self, server: &Server, what: &str, mut holds: impl FnMut() -> bool) {
        for _ in 0..LOOKS {
            if holds() {
                return;
            }
            pause(&self.sim, 100);
        }
        panic!("waited for {what}\nmetrics: {}\nlog: {}", server.metrics(), server.log());
    }

    fn deployment(&self, path: &str) -> String {
        self.kubectl.run(&format!("get deployment orders -n checkout-dev -o jsonpath={{{path}}}")).out
    }

    fn inventory(&self, key: &str) -> String {
        let line =
            format!("get configmap kiban-inventory-orders-dev -n checkout-dev -o jsonpath={{.data.{key}}}");
        self.kubectl.run(&line).out
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

struct Server {
    child: Child,
    address: String,
    log: PathBuf,
}

impl Server {
    fn start(sim: &Sim, config: &Path, data: &Path, folder: &Path) -> Self {
        let (out, log) = (folder.join("server.out"), folder.join("server.log"));
        let file = |path: &Path| std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        std::fs::write(&out, "").unwrap();
        let child = Command::new(kiban())
            .args(["server", "--listen", "127.0.0.1:0"])
            .arg("--config")
            .arg(config)
            .arg("--data")
            .arg(data)
            .arg("--kubeconfig")
            .arg(sim.kubeconfig())
            .stdout(Stdio::from(file(&out)))
            .stderr(Stdio::from(file(&log)))
            .spawn()
            .unwrap();
        let mut server = Self { child, address: String::new(), log };
        for _ in 0..LOOKS {
            let text = std::fs::read_to_string(&out).unwrap();
            if let Some(address) = text.trim_end().strip_prefix("ready http://") {
                address.clone_into(&mut server.address);
                return server;
            }
            pause(sim, 100);
        }
        panic!("not ready: {}", server.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn metrics(&self) -> String {
        let Ok(mut stream) = TcpStream::connect(&self.address) else { return String::new() };
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        let _ = stream.write_all(request.as_bytes());
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text.lines().filter(|line| line.starts_with("kiban_delivery")).collect::<Vec<_>>().join("\n")
    }

    fn apps(&self, state: &str) -> Option<u32> {
        let prefix = format!("kiban_delivery_apps{{env=\"dev\",state=\"{state}\"}} ");
        self.metrics().lines().find_map(|line| line.strip_prefix(&prefix)?.parse().ok())
    }

    /// Ends it at once, as a lost machine does.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_pushed_change_runs_and_a_bad_one_is_judged_taken_back_and_held() {
    let Some(shop) = Shop::new("ship") else { return };
    let server = shop.server();
    shop.until(&server, "the shop to be good", || server.apps("good") == Some(5));
    assert!(shop.inventory("revision").contains(&shop.repo.head().to_string()));

    // A good change: the new value is there, and nothing else was applied.
    let before = shop.inventory("revision");
    let louder = shop.read("orders/env/dev.yaml").replace("LOG_LEVEL: debug", "LOG_LEVEL: trace");
    shop.ship("orders/env/dev.yaml", &louder);
    let head = shop.repo.head().to_string();
    shop.until(&server, "the change to be good", || shop.inventory("good") == head);
    assert_ne!(before, shop.inventory("revision"));
    let web = shop
        .kubectl
        .run("get configmap kiban-inventory-web-dev -n storefront-dev -o jsonpath={.data.good}")
        .out;
    assert_ne!(web, head, "an app whose render did not change was not applied again");

    // A bad one: taken back on the cluster and in the repository, with its cause.
    let good = shop.read("orders/env/dev.yaml");
    let bad = format!(
        "{good}override:\n  Deployment.spec.template.metadata.annotations:\n    sim.kiban.dev/crash-loop: 2s\n"
    );
    shop.ship("orders/env/dev.yaml", &bad);
    let bad_head: kiban_git::Oid = shop.repo.head();
    shop.until(&server, "the bad change to be held", || {
        shop.inventory("held").contains(&bad_head.to_string())
    });
    shop.until(&server, "the revert on the branch", || {
        git::git(&shop.repo.bare, &["log", "-1", "--format=%an %s", "main"])
            .starts_with("Kiban orders: back to ")
    });
    assert_eq!(git::git(&shop.repo.bare, &["show", "main:orders/env/dev.yaml"]), good.trim_end());
    assert_eq!(shop.deployment(".spec.template.metadata.annotations.sim\\.kiban\\.dev/crash-loop"), "");
    shop.until(&server, "orders to be available", || shop.deployment(".status.availableReplicas") == "1");
    let log = server.log();
    for words in ["ended with exit code 1", "rolled back to", "its change was taken back by"] {
        assert!(log.contains(words), "{words}: {log}");
    }
    git::git(&shop.repo.bare, &["fsck", "--strict"]);
}

#[test]
fn a_teams_folder_reaches_nothing_beyond_its_namespace_and_blocks_no_other() {
    let Some(shop) = Shop::new("ship-scope") else { return };
    let server = shop.server();
    shop.until(&server, "the shop to be good", || server.apps("good") == Some(5));
    let role =
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: { name: mine }\nrules: []\n";
    let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: mine, namespace: payments-dev }\n";
    shop.repo.commit(&[("rendered/dev/orders/clusterrole-mine.yaml", role)]);
    shop.until(&server, "the object to be refused", || {
        server.log().contains("rendered/dev/orders/clusterrole-mine.yaml")
    });
    shop.repo.commit(&[
        ("rendered/dev/orders/clusterrole-mine.yaml", ""),
        ("rendered/dev/orders/configmap-mine.yaml", other),
        (
            "rendered/dev/web/configmap-fine.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: fine, namespace: storefront-dev }\n",
        ),
    ]);
    shop.until(&server, "the other object to be refused", || {
        server.log().contains("rendered/dev/orders/configmap-mine.yaml")
    });
    shop.until(&server, "another app's change", || {
        shop.kubectl.run("get configmap fine -n storefront-dev").code == 0
    });
    assert_ne!(shop.kubectl.run("get clusterrole mine").code, 0);
    assert_ne!(shop.kubectl.run("get configmap mine -n payments-dev").code, 0);
}

#[test]
fn a_server_that_is_killed_goes_on_from_where_it_was() {
    let Some(shop) = Shop::new("ship-kill") else { return };
    let mut server = shop.server();
    // At moments that differ: while it reads, applies, waits and watches.
    for moment in [50, 300, 900, 2_500] {
        pause(&shop.sim, moment);
        server.kill();
        server = shop.server();
    }
    shop.until(&server, "the shop to be good", || server.apps("good") == Some(5));
    assert_eq!(shop.deployment(".status.availableReplicas"), "1");
    assert_eq!(shop.inventory("applying"), "");
    assert_eq!(shop.inventory("good"), shop.repo.head().to_string());
}
