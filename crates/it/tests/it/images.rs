//! Images set in files, beside the real kubectl; and looked up in a real registry, from the command line.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kiban_testkit::{Said, kiban, root, said, tool};
use serde_json::json;

/// Runs a program with `input` on its standard input.
fn feed(command: &mut Command, input: &str) -> Said {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.into()
}

fn set_local(program: &Path, verb: &[&str], asks: &[&str], input: &str) -> Said {
    let mut command = Command::new(program);
    command.args(verb).args(["--local", "-f", "-", "-o", "yaml"]).args(asks);
    feed(command.env("KUBECONFIG", "/nonexistent"), input)
}

fn ours(asks: &[&str], input: &str) -> Said {
    set_local(&kiban(), &["image", "set"], asks, input)
}

/// The containers of an object of a kind, between what stands around them.
fn object(kind: &str) -> String {
    let (version, path): (&str, &[&str]) = match kind {
        "Pod" => ("v1", &[]),
        "ReplicationController" => ("v1", &["template"]),
        "Job" => ("batch/v1", &["template"]),
        "CronJob" => ("batch/v1", &["jobTemplate", "spec", "template"]),
        _ => ("apps/v1", &["template"]),
    };
    let mut spec = json!({
        "initContainers": [{"name": "setup", "image": "r.example/setup:1"}],
        "containers": [
            {"name": "app", "image": "r.example/app:1", "env": [{"name": "image", "value": "app"}]},
            {"name": "log", "image": "r.example/log:1"},
        ],
    });
    for key in path.iter().rev() {
        spec = match *key {
            "spec" => spec,
            "template" => json!({"template": {"spec": spec}}),
            key => json!({key: {"spec": spec}}),
        };
    }
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": "web"}, "spec": spec}).to_string()
}

const KINDS: [&str; 8] = [
    "Pod",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "ReplicationController",
    "Job",
    "CronJob",
];

#[test]
fn values_words_and_codes_are_those_of_kubectl() {
    let Some(kubectl) = tool("values_words_and_codes", "kubectl") else { return };
    let theirs = |asks: &[&str], input: &str| set_local(&kubectl, &["set", "image"], asks, input);
    // The same objects in the same form, however they were written.
    let plain = |text: &str| set_local(&kubectl, &["set", "env"], &["COMPARED=yes"], text).ok();
    let asks: [&[&str]; 6] = [
        &["app=r.example/app:2"],
        &["app=r.example/app@sha256:a7af5bd5cdc5666f987d8876de5b76901734c0cbf35d28ba4e40ad9f313c1a8f"],
        &["app=localhost:5000/a/b:2", "log=x"],
        &["setup=r.example/setup:2"],
        &["*=r.example/one:2"],
        &["app=r.example/app:2", "app=r.example/app:3"],
    ];
    for kind in KINDS {
        let input = object(kind);
        for asks in asks {
            let (ours, theirs) = (ours(asks, &input), theirs(asks, &input));
            assert_eq!((ours.code, theirs.code), (0, 0), "{kind} {asks:?}: {} {}", ours.err, theirs.err);
            assert_eq!(plain(&ours.out), plain(&theirs.out), "{kind} {asks:?}");
        }
        for asks in
            [&["zzz=r.example/app:2"][..], &["zzz=x", "yyy=x"], &["*=r.example/one:2", "log=r.example/log:3"]]
        {
            let (ours, theirs) = (ours(asks, &input), theirs(asks, &input));
            let lines = |text: &str| {
                let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
                lines.sort();
                lines
            };
            assert_eq!((ours.code, theirs.code), (1, 1), "{kind} {asks:?}");
            assert_eq!(lines(&ours.err), lines(&theirs.err), "{kind} {asks:?}");
            assert_eq!((ours.out.as_str(), theirs.out.as_str()), ("", ""));
        }
    }
}

#[test]
fn where_kubectl_loses_something_nothing_is_lost() {
    let Some(kubectl) = tool("where_kubectl_loses_something", "kubectl") else { return };
    let theirs = |asks: &[&str], input: &str| set_local(&kubectl, &["set", "image"], asks, input);
    let deployment = "# ours\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  template:\n    spec:\n      containers:\n      - {name: app, image: \"r.example/app:1\"}   # pinned\n";
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n";
    let other = deployment.replace("name: app", "name: other");
    let both = format!("{deployment}---\n{service}");
    let two = format!("{deployment}---\n{other}");
    let set = |text: &str| text.replace("r.example/app:1\"}   # pinned\n", "r.example/app:2\"}   # pinned\n");
    // Input, ask, our code and output, kubectl's code.
    let rows: &[(&str, &str, i32, &str, i32)] = &[
        (deployment, "app=r.example/app:2", 0, &set(deployment), 0),
        // kubectl prints nothing at all of what is set already.
        (deployment, "app=r.example/app:1", 0, deployment, 0),
        (&both, "app=r.example/app:2", 0, &set(&both), 1),
        (&two, "app=r.example/app:2", 0, &format!("{}---\n{other}", set(deployment)), 1),
        (service, "*=r.example/app:2", 0, service, 1),
        (service, "app=r.example/app:2", 1, "", 1),
        (deployment, "app=Bad Image!", 1, "", 0),
        (deployment, "app=", 1, "", 0),
        (deployment, "app=https://r.example/app:2", 1, "", 0),
        ("", "*=r.example/app:2", 0, "", 0),
        ("{", "app=r.example/app:2", 1, "", 1),
    ];
    for (input, ask, code, out, of_kubectl) in rows {
        let (ours, theirs) = (ours(&[ask], input), theirs(&[ask], input));
        assert_eq!((ours.code, theirs.code), (*code, *of_kubectl), "{ask} {input}: {}", ours.err);
        assert_eq!(ours.out, *out, "{ask} {input}");
        assert_eq!(ours.err.is_empty(), *code == 0, "{ask}: {}", ours.err);
    }
    for (arguments, said) in [
        (&["-f", "nope.yaml", "app=x"][..], "error: the path \"nope.yaml\" does not exist\n"),
        (&["-f", "-"], "error: at least one image update is required\n"),
    ] {
        let mut command = Command::new(kiban());
        command.args(["image", "set", "--local"]).args(arguments);
        assert_eq!(feed(&mut command, deployment).fails(1), said);
        let mut command = Command::new(&kubectl);
        command.args(["set", "image", "--local"]).args(arguments).env("KUBECONFIG", "/nonexistent");
        assert_eq!(feed(&mut command, deployment).fails(1), said);
    }
}

#[test]
fn folders_are_changed_in_place_with_kustomize_and_marks_of_flux() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let pod = "kind: Pod\r\nspec:\r\n  containers:\r\n  - name: app # ours\r\n    image: r.example/app:1\r\n";
    put("base/pod.yaml", pod);
    put("base/kustomization.yaml", "resources: [pod.yaml]\nimages:\n- name: app\n  newTag: \"1\"\n");
    put("flux.yml", "image: r.example/app:1 # {\"$imagepolicy\": \"flux:app\"}\n");
    put(".git/config.yaml", pod);
    put("notes.txt", pod);
    let run = |asks: &[&str]| {
        let mut command = Command::new(kiban());
        said(command.args(["image", "set", "--local", "-f"]).arg(folder.path()).args(asks))
    };
    let out = run(&["app=app:2", "flux:app=r.example/app:3"]).ok();
    assert_eq!(read("base/pod.yaml"), pod.replace("r.example/app:1", "app:2"));
    assert_eq!(
        read("base/kustomization.yaml"),
        "resources: [pod.yaml]\nimages:\n- name: app\n  newTag: \"2\"\n"
    );
    assert_eq!(read("flux.yml"), "image: r.example/app:3 # {\"$imagepolicy\": \"flux:app\"}\n");
    assert_eq!((read(".git/config.yaml").as_str(), read("notes.txt").as_str()), (pod, pod));
    assert!(out.contains("base/pod.yaml:5: r.example/app:1 → app:2\n"), "{out}");
    assert_eq!(out.lines().count(), 3, "{out}");
    let before = read("flux.yml");
    assert_eq!(
        run(&["flux:app=r.example/app:4", "zzz=x"]).fails(1),
        "error: unable to find container named \"zzz\"\n"
    );
    assert_eq!(read("flux.yml"), before, "with an error nothing is written");
}

/// A registry that serves; it ends with this value.
struct Registry {
    child: Child,
    host: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Registry {
    fn start(program: &Path, folder: &Path) -> Self {
        let config = folder.join("registry.yaml");
        let data = folder.join("data");
        let text = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:0'}}\n",
            data.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(program);
        command.arg("serve").arg(&config).env("OTEL_TRACES_EXPORTER", "none");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut registry = Self { child: command.spawn().unwrap(), host: String::new() };
        let mut lines = BufReader::new(registry.child.stderr.take().unwrap()).lines();
        for line in lines.by_ref().map_while(Result::ok) {
            if let Some((_, rest)) = line.split_once("listening on ") {
                registry.host = rest.split('"').next().unwrap().to_owned();
                break;
            }
        }
        assert!(!registry.host.is_empty(), "the registry does not serve");
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        registry
    }

    /// Asks; gives the head of the answer.
    fn ask(&self, method: &str, target: &str, kind: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 20"), "{method} {target}: {answer}");
        answer
    }

    fn header(answer: &str, name: &str) -> String {
        let line = answer.lines().find(|l| l.to_ascii_lowercase().starts_with(name)).unwrap();
        line.split_once(": ").unwrap().1.trim().to_owned()
    }

    /// Pushes bytes; gives their digest, as the registry says it.
    fn blob(&self, name: &str, bytes: &[u8]) -> String {
        let upload = self.ask("POST", &format!("/v2/{name}/blobs/uploads/"), "text/plain", b"");
        let location = Self::header(&upload, "location");
        let target = location.split_once(&self.host).unwrap().1;
        let digest = format!("sha256:{}", sha256(bytes));
        let put = self.ask("PUT", &format!("{target}&digest={digest}"), "application/octet-stream", bytes);
        assert_eq!(Self::header(&put, "docker-content-digest"), digest);
        digest
    }

    /// Pushes an image for one platform; gives its digest.
    fn image(&self, name: &str, tag: &str, architecture: &str) -> String {
        let config = json!({
            "os": "linux", "architecture": architecture,
            "config": {"Labels": {"org.opencontainers.image.revision": "4f2a9c1"}},
            "rootfs": {"type": "layers", "diff_ids": []},
        })
        .to_string();
        let digest = self.blob(name, config.as_bytes());
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2, "mediaType": kind, "layers": [],
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": config.len()},
        });
        let target = format!("/v2/{name}/manifests/{tag}");
        let put = self.ask("PUT", &target, kind, manifest.to_string().as_bytes());
        Self::header(&put, "docker-content-digest")
    }
}

/// By the system's own program: no crate here can.
fn sha256(bytes: &[u8]) -> String {
    let mut command = Command::new("sha256sum");
    let out = feed(&mut command, std::str::from_utf8(bytes).unwrap()).ok();
    out.split(' ').next().unwrap().to_owned()
}

/// A repository whose app `orders` has its image in a registry.
fn manifests(folder: &Path, repository: &str) -> PathBuf {
    let shop = folder.join("shop");
    said(Command::new("cp").arg("-r").arg(root().join("examples/shop")).arg(&shop)).ok();
    for file in ["app.yaml", "env/dev.pin.yaml", "env/stg.pin.yaml", "env/prod.pin.yaml"] {
        let path = shop.join("orders").join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("registry.shop.example/checkout/orders", repository)).unwrap();
    }
    shop
}

#[test]
fn a_tag_is_pinned_by_the_digest_that_a_real_registry_proves() {
    let Some(program) = tool("a_tag_is_pinned", "docker-registry") else { return };
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start(&program, folder.path());
    let repository = format!("{}/checkout/orders", registry.host);
    let digest = registry.image("checkout/orders", "3.0", "amd64");
    let shop = manifests(folder.path(), &repository);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(kiban());
        let command = command.arg("image").args(arguments).env("DOCKER_CONFIG", folder.path());
        said(command)
    };
    let pin = |env: &str| std::fs::read_to_string(shop.join(format!("orders/env/{env}.pin.yaml"))).unwrap();
    let before = pin("dev");
    let (ask, at) = (format!("orders={repository}:3.0"), shop.display().to_string());
    let out = run(&["set", &ask, "-e", "dev", "--platform", "linux/amd64", "--render", &at]).ok();
    assert!(out.contains("orders/env/dev.pin.yaml") && out.ends_with("(3.0)\n"), "{out}");
    let changed: Vec<(String, String)> = before
        .lines()
        .zip(pin("dev").lines())
        .filter(|(a, b)| a != b)
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .collect();
    assert_eq!(changed.len(), 1, "one line changes");
    assert_eq!(changed[0].1, format!("  {repository}: {digest} # 3.0"));
    let deployment =
        std::fs::read_to_string(shop.join("rendered/dev/orders/deployment-orders.yaml")).unwrap();
    assert!(deployment.contains(&format!("image: {repository}@{digest}")), "{deployment}");
    assert!(!shop.join("rendered/stg").exists() && !shop.join("rendered/dev/web").exists());

    let shown = run(&["show", &format!("{repository}:3.0"), "--platform", "linux/amd64"]).ok();
    assert!(shown.contains(&digest) && shown.contains("linux/amd64"), "{shown}");
    assert!(shown.contains("org.opencontainers.image.revision=4f2a9c1"), "{shown}");

    // Nothing is written of what the registry does not prove.
    let stg = pin("stg");
    for (ask, more, code, words) in [
        (format!("orders={repository}:3.1"), &[][..], 1, "the repository has no such tag; it has 3.0"),
        (
            ask.clone(),
            &["--platform", "linux/arm64"],
            1,
            "does not run on linux/arm64: it was built for linux/amd64",
        ),
        (ask.clone(), &["--no-registry"], 2, "has no digest, and --no-registry asks nobody"),
        (format!("orders={}/checkout/payments:1", registry.host), &[], 2, "is no image of"),
        (format!("order={repository}:3.0"), &[], 2, "no app \"order\"; did you mean \"orders\"?"),
    ] {
        let mut arguments = vec!["set", ask.as_str(), "-e", "stg"];
        arguments.extend_from_slice(more);
        arguments.push(&at);
        let error = run(&arguments).fails(code);
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(pin("stg"), stg);

    // Without -e wherever it is pinned; Skaffold's word is as good as the command line's.
    let builds = folder.path().join("build.json");
    let build = json!({"builds": [
        {"imageName": "shop/orders", "tag": format!("{repository}:3.0@{digest}")},
        {"imageName": "shop/tools", "tag": "r.example/tools:1"},
    ]});
    std::fs::write(&builds, build.to_string()).unwrap();
    let out = run(&["set", "--build-output", &builds.display().to_string(), "--no-registry", &at]);
    assert!(out.err.contains("r.example/tools:1: no app here has it, left out"), "{}", out.err);
    assert_eq!(out.ok().lines().count(), 3);
    assert!([pin("dev"), pin("stg"), pin("prod")].iter().all(|p| p.contains(&digest)));

    drop(registry);
    let error = run(&["set", &ask, "-e", "dev", &at]).fails(3);
    assert!(error.contains("cannot connect to https://127.0.0.1"), "{error}");
}
