//! Tests from files to apps in an environment.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;

use crate::app::{App, Scale};
use crate::origin::Layer;
use crate::repo::{DirFiles, Files, MemoryFiles, Repo};
use crate::yaml::{Node, parse_one};

mod bad;
mod mutate;

/// The example in which every key of every file is set.
pub(crate) fn full() -> MemoryFiles {
    let folder = DirFiles::new(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/full"));
    let paths = folder.list().unwrap();
    MemoryFiles(paths.into_iter().map(|path| (path.clone(), folder.read(&path).unwrap())).collect())
}

pub(super) fn problems_of(files: &MemoryFiles) -> Vec<String> {
    Repo::load(files).check().iter().map(ToString::to_string).collect()
}

#[test]
fn the_full_example_is_good_in_all_environments() {
    assert_eq!(problems_of(&full()), Vec::<String>::new());
}

#[test]
fn layers_are_laid_upon_each_other_and_every_value_knows_who_set_it() {
    let repo = Repo::load(&full());
    let dev = repo.resolve("dev").into_result().unwrap();
    let orders = dev.app("orders").unwrap();
    assert_eq!(orders.namespace(), "checkout-dev");
    assert_eq!(orders.resources.cpu.as_str(), "50m");
    assert_eq!(orders.least_replicas(), 1);
    let scale = orders.app.scale.clone().unwrap();
    assert_eq!(
        serde_json::to_value(&scale).unwrap(),
        json!({"from": 1, "to": 1, "cpu": "60%", "memory": "80%"})
    );
    let env = serde_json::to_value(&orders.app.env).unwrap();
    assert_eq!(
        env,
        json!({
            "DEBUG": "yes", "EXTRA": "1", "LOG_LEVEL": "info",
            "NODE": {"field": "spec.nodeName"}, "PASSWORD": {"secret": "orders-db", "key": "password"}
        })
    );
    for (path, place, layer) in [
        ("scale.from", "orders/env/dev.yaml:2:8", Layer::Env),
        ("scale.cpu", "orders/app.yaml:23:32", Layer::App),
        ("size", "orders/env/dev.yaml:3:7", Layer::Env),
        ("ports.http.nodePort", "orders/env/dev.yaml:8:21", Layer::Env),
        ("ports.http.port", "orders/app.yaml:11:9", Layer::App),
        ("ports.metrics.port", "orders/app.yaml:13:12", Layer::App),
        ("env.LOG_LEVEL", "orders/app.yaml:34:14", Layer::App),
        ("env.EXTRA", "orders/env/dev.yaml:6:10", Layer::Env),
        ("health.startup", "orders/app.yaml:22:12", Layer::App),
        ("calls.stock.perTry", "orders/app.yaml:27:48", Layer::App),
        ("public[0].host", "orders/env/dev.yaml:9:9", Layer::Env),
        ("override[\"Deployment.spec.revisionHistoryLimit\"]", "orders/app.yaml:66:41", Layer::App),
    ] {
        let origin = orders.origin(path).unwrap();
        assert_eq!((origin.to_string().as_str(), origin.layer), (place, layer), "{path}");
    }
    let stock = dev.app("stock").unwrap();
    assert_eq!(stock.origin("health.startup").unwrap().to_string(), "platform.yaml:27:14");
    assert_eq!(stock.origin("env.LOG_LEVEL").unwrap().to_string(), "platform.yaml:16:25");
    assert_eq!(stock.origin("slo").unwrap().to_string(), "stock/app.yaml:1:1");
    assert_eq!(stock.origins.get("slo"), None);
}

#[test]
fn an_environment_may_differ_from_the_profile_and_pins_its_images() {
    let repo = Repo::load(&full());
    let (dev, prod) =
        (repo.resolve("dev").into_result().unwrap(), repo.resolve("prod").into_result().unwrap());
    let kinds =
        |r: &super::Resolution| serde_json::to_value((r.platform.entry.kind, r.platform.mesh.kind)).unwrap();
    assert_eq!(kinds(&dev), json!(["nodeport", "none"]));
    assert_eq!(kinds(&prod), json!(["gateway", "istio"]));
    assert_eq!(dev.platform_origins.get("mesh.kind").unwrap().to_string(), "platform.yaml:18:13");
    assert_eq!(prod.platform_origins.get("mesh.timeout").unwrap().to_string(), "platform.yaml:42:12");
    // The other details of the profile's entry stay.
    assert_eq!(dev.platform.entry.class.as_ref().unwrap().as_str(), "nginx");
    assert!(dev.app("orders").unwrap().image.is_none());
    let orders = prod.app("orders").unwrap();
    assert_eq!(
        orders.image.as_ref().unwrap().to_string(),
        "registry.example.com/checkout/orders:v1.20@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    );
    assert_eq!(orders.origin("pin").unwrap().to_string(), "orders/env/prod.pin.yaml:5:3");
    assert_eq!(orders.least_replicas(), 3);
    assert_eq!(
        serde_json::to_value(&orders.secret_files).unwrap(),
        json!({
            "orders-db": "orders/secrets/prod/orders-db.enc.yaml", "tls": "orders/secrets/prod/tls.enc.yaml"
        })
    );
    assert_eq!(orders.files.values().collect::<Vec<_>>(), ["max = 10\n", "{\"max\": 10}"]);
    assert_eq!(orders.extra.len(), 1);
    assert_eq!(orders.extra[0].origin.to_string(), "orders/extra/configmap.yaml:1:1");
    assert_eq!(prod.platform_objects.len(), 1);
}

#[test]
fn an_empty_profile_and_a_short_app_are_enough() {
    let files = MemoryFiles::of([
        ("platform.yaml", "apiVersion: kiban.dev/v1\nkind: Platform\nenvironments: { prod: {} }\n"),
        (
            "hello/app.yaml",
            "apiVersion: kiban.dev/v1\nkind: App\nname: hello\nteam: web\ntier: 3\nimage: hello\nports: { http: 8080 }\n",
        ),
    ]);
    let prod = Repo::load(&files).resolve("prod").into_result().unwrap();
    let hello = prod.app("hello").unwrap();
    assert!(prod.environment.production);
    assert_eq!((hello.namespace().as_str(), hello.resources.memory.as_str()), ("web-prod", "256Mi"));
    assert_eq!(hello.app.main_port().map(|(_, port)| port.port), Some(8080));
}

#[test]
fn a_resolved_app_survives_the_way_through_json() {
    let repo = Repo::load(&full());
    for env in ["dev", "prod"] {
        for resolved in repo.resolve(env).into_result().unwrap().apps {
            let text = serde_json::to_string(&resolved.app).unwrap();
            assert_eq!(serde_json::from_str::<App>(&text).unwrap(), resolved.app, "{text}");
        }
        let platform = repo.resolve(env).into_result().unwrap().platform;
        let text = serde_json::to_string(&*platform).unwrap();
        assert_eq!(serde_json::from_str::<crate::profile::Platform>(&text).unwrap(), *platform);
    }
    assert!(serde_json::from_str::<Scale>("{\"from\": 3, \"to\": 2}").is_err());
}

const HELLO: &str = "apiVersion: kiban.dev/v1\nkind: App\nname: hello\nteam: web\ntier: 3\nimage: hello\n";

/// The app `hello` with these lines, in an environment with those.
fn hello(app: &str, env: &str) -> Result<serde_json::Value, Vec<String>> {
    let app = format!("{HELLO}{app}");
    let files = MemoryFiles::of([
        ("platform.yaml", "apiVersion: kiban.dev/v1\nkind: Platform\nenvironments: { prod: {} }\n"),
        ("hello/app.yaml", app.as_str()),
        ("hello/env/prod.yaml", env),
    ]);
    match Repo::load(&files).resolve("prod").into_result() {
        Ok(prod) => Ok(serde_json::to_value(&prod.apps[0].app).unwrap()),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    }
}

#[test]
fn layers_merge_whatever_form_they_are_written_in() {
    for (app, env, path, expected) in [
        ("scale: 3", "scale: { cpu: 50% }", "/scale", json!({"from": 3, "to": 3, "cpu": "50%"})),
        (
            "scale: { from: 2, to: 9, cpu: 50% }",
            "scale: 4",
            "/scale",
            json!({"from": 4, "to": 4, "cpu": "50%"}),
        ),
        (
            "ports: { http: 80 }",
            "ports: { http: { nodePort: 30000 } }",
            "/ports/http",
            json!({"port": 80, "nodePort": 30000}),
        ),
        ("ports: { http: 80, x: 1 }", "ports: { x: null }", "/ports", json!({"http": {"port": 80}})),
        ("shutdown: 9s", "shutdown: { delay: 1s }", "/shutdown", json!({"drain": "9s", "delay": "1s"})),
        ("size: m", "size: { cpu: 1, memory: 1Gi }", "/size", json!({"cpu": "1", "memory": "1Gi"})),
        ("size: { cpu: 1, memory: 1Gi }", "size: l", "/size", json!("l")),
        ("run: [a]", "run: [b, c]", "/run", json!({"command": ["b", "c"]})),
        ("env: { A: 1, B: 0x10 }", "env: { A: null, C: 'c' }", "/env", json!({"B": "0x10", "C": "c"})),
        (
            "env: { A: 1 }",
            "env: { A: { field: metadata.name } }",
            "/env/A",
            json!({"field": "metadata.name"}),
        ),
        (
            "override: { Deployment.spec.a: null }",
            "override: {}",
            "/override",
            json!({"Deployment.spec.a": null}),
        ),
        (
            "override: { Deployment.spec.a: { x: 1, y: 2 } }",
            "override: { Deployment.spec.a: { x: null }, Deployment.spec.b: null }",
            "/override",
            json!({"Deployment.spec.a": {"x": null}, "Deployment.spec.b": null}),
        ),
        (
            "slo: { availability: 99% }",
            "apiVersion: kiban.dev/v1\nkind: App\nname: hello\nslo: null",
            "/slo",
            json!(null),
        ),
    ] {
        let found = hello(app, env).unwrap_or_else(|problems| panic!("{app} < {env}: {problems:#?}"));
        assert_eq!(found.pointer(path).unwrap_or(&json!(null)), &expected, "{app} < {env}");
    }
    let problems = hello("slo: null", "scale: 1").unwrap_err();
    assert_eq!(
        problems,
        [
            "hello/app.yaml:7:1: slo is empty, and no file below this one sets it; write its value, or {} for none"
        ]
    );
}

#[test]
fn an_unknown_environment_is_named_with_those_that_exist() {
    let outcome = Repo::load(&full()).resolve("prd");
    let found: Vec<String> = outcome.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        ["platform.yaml: no environment \"prd\"; did you mean \"prod\"? (there are: dev, prod)"]
    );
    assert!(outcome.resolution.is_none());
}

/// What stands in `app.yaml`, what every environment sets instead, and what is said all the same.
#[test]
fn a_value_that_an_environment_overrides_is_judged_all_the_same() {
    for (app, env, expected) in [
        (
            "env: { LOG_LEVEL: [1] }",
            "env: { LOG_LEVEL: info }",
            "7:19: env.LOG_LEVEL: expected a text or a map with secret and key, or field, found a list",
        ),
        (
            "scale: { from: 5, to: 2 }",
            "scale: { from: 1, to: 2 }",
            "7:8: scale: from 5 to 2: from must not exceed to",
        ),
        ("scale: { from: 0 }", "scale: { from: 1, to: 2 }", "7:16: scale.from: 0 is out of range: 1 to 5000"),
        ("size: tinny", "size: s", "7:7: no size \"tinny\" (there are: l, m, s, xl)"),
        (
            "ports: { a: 80, b: 80 }",
            "ports: { b: 81 }",
            "7:20: ports \"a\" and \"b\" have the same number 80",
        ),
        (
            "env: { A: }",
            "env: { A: b }",
            "7:8: env.A is empty, and no file below this one sets it; write its value, or {} for none",
        ),
        (
            "override: { Deployment: 1 }",
            "override: {}",
            "7:13: \"Deployment\" is no path of a field: Kind.path or Kind/name.path is needed",
        ),
        ("callers: [x/a, x/a]\nports: { http: 80 }", "callers: []", "7:16: x/a is listed twice"),
        ("identity: admin", "identity: null", "7:11: platform.yaml has no identity \"admin\""),
    ] {
        let found = hello(app, env).unwrap_err();
        assert_eq!(found, [format!("hello/app.yaml:{expected}")], "{app}");
    }
    // What a file lacks another one may bring.
    for (app, env) in [
        ("scale: { from: 3 }", "scale: { to: 5 }"),
        ("ports: { http: 80 }\nhealth: { ready: { every: 5s } }", "health: { ready: { path: /ready } }"),
        ("env: { A: { secret: a } }\nsecrets: [a]", "env: { A: { key: b } }"),
        ("writable: { /a: { memory: true } }", "writable: { /a: { size: 1Mi } }"),
    ] {
        assert!(hello(app, env).is_ok(), "{app}: {:?}", hello(app, env));
    }
}

#[test]
fn a_profile_is_judged_by_itself_and_in_every_environment() {
    let profile = "apiVersion: kiban.dev/v1\nkind: Platform\nenvironments:\n  \
        dev: { profile: { mesh: none, accessLog: { drop: [] } } }\n  prod: {}\n";
    for (line, expected) in [
        (
            "mesh: { kind: istoi }",
            "6:15: mesh.kind: \"istoi\" is none of none, istio; did you mean \"istio\"?",
        ),
        (
            "accessLog: { drop: [clent] }",
            "6:21: \"clent\" is no field of the access log; did you mean \"client\"?",
        ),
    ] {
        let profile = format!("{profile}{line}\n");
        let repo = Repo::load(&MemoryFiles::of([("platform.yaml", profile.as_str())]));
        let found: Vec<String> = repo.resolve("dev").problems.iter().map(ToString::to_string).collect();
        assert_eq!(found, [format!("platform.yaml:{expected}")]);
    }
}

/// What is put into `stock`'s file, which file that is, and whether `hello` can be had without it.
#[test]
fn one_apps_mistakes_are_not_in_the_way_of_another_that_is_named() {
    let head = |name: &str| HELLO.replace("hello", name);
    for (file, text, free) in [
        ("stock/app.yaml", format!("{}sice: s\n", head("stock")), true),
        ("stock/app.yaml", format!("{}scale: many\n", head("stock")), true),
        ("stock/env/dev.yaml", "scale: [".to_owned(), true),
        ("stock/env/dev.yaml", "scale: many\n".to_owned(), true),
        // It might call hello.
        ("stock/app.yaml", format!("{}sice: s\ncalls: {{ hello: {{}} }}\n", head("stock")), false),
        ("stock/env/prod.yaml", "scale: [".to_owned(), false),
        ("stock/app.yaml", "scale: [".to_owned(), false),
        // Its namespace is not known.
        ("stock/app.yaml", head("stock").replace("team: web\n", ""), false),
        ("stock/app.yaml", head("stock").replace("tier: 3", "tier: 9"), false),
        ("hello/env/dev.yaml", "scale: many\n".to_owned(), false),
        (
            "platform.yaml",
            "apiVersion: kiban.dev/v1\nkind: Platform\nenvironments: { prod: {} }\nx: 1\n".to_owned(),
            false,
        ),
    ] {
        let mut files = MemoryFiles::of([
            (
                "platform.yaml",
                "apiVersion: kiban.dev/v1\nkind: Platform\nenvironments: { dev: {}, prod: {} }\n",
            ),
            ("hello/app.yaml", HELLO),
            ("stock/app.yaml", &head("stock")),
        ]);
        files.0.insert(file.to_owned(), text.clone().into_bytes());
        let repo = Repo::load(&files);
        let named = repo.resolve("prod").for_apps(&repo, &["hello".to_owned()]);
        assert_eq!(named.is_ok(), free, "{file}: {text}");
        assert!(named.is_err() || !named.unwrap().1.is_empty(), "{file}: {text}");
        assert!(repo.resolve("prod").for_apps(&repo, &[]).is_err(), "{file}: {text}");
    }
}

#[test]
fn a_mistake_in_the_file_of_another_environment_is_an_error_too() {
    let mut files = full();
    files.0.insert("orders/env/prod.yaml".to_owned(), b"scale: { from: three }\n".to_vec());
    let found: Vec<String> =
        Repo::load(&files).resolve("dev").problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "orders/env/prod.yaml:1:16: scale.from: expected a whole number from 1 to 5000, found text \"three\""
        ]
    );
}

/// The example's files that have a schema.
pub(crate) const FILES: [&str; 5] =
    ["platform.yaml", "orders/app.yaml", "orders/env/dev.yaml", "orders/env/prod.pin.yaml", "stock/app.yaml"];

/// Maps whose keys are names that people choose: a typo there is another name.
const FREE: [&str; 27] = [
    "ports",
    "calls",
    "env",
    "files",
    "jobs",
    "jobs.cleanup.env",
    "writable",
    "labels",
    "annotations",
    "override",
    "sizes",
    "externals",
    "identities",
    "identities.orders.annotations",
    "identities.orders.podLabels",
    "namespaceLabels",
    "environments",
    "environments.dev.defaults.env",
    "entry.annotations",
    "accessLog.fields",
    "network.dns[0].namespace",
    "network.dns[0].pods",
    "network.entry[0].namespace",
    "network.monitoring[0].namespace",
    "nodes.selector",
    "images",
    "tiers",
];

/// Every key of a file that no person chose, with its path and place.
pub(crate) fn fixed_keys(node: &Node, path: &str, found: &mut Vec<(String, u32, u32)>) {
    for entry in node.entries() {
        let here = crate::origin::child(path, entry.name());
        if !FREE.contains(&path) {
            found.push((entry.name().to_owned(), entry.key.mark.line, entry.key.mark.column));
        }
        fixed_keys(&entry.value, &here, found);
    }
    for (index, item) in node.items().iter().enumerate() {
        fixed_keys(item, &format!("{path}[{index}]"), found);
    }
}

#[test]
fn a_typo_of_any_key_of_any_file_is_found_at_its_place() {
    let mut seen = 0;
    for path in FILES {
        let files = full();
        let text = String::from_utf8(files.0[path].clone()).unwrap();
        let mut keys = Vec::new();
        fixed_keys(&parse_one(path, text.as_bytes(), Layer::App).unwrap(), "", &mut keys);
        for (key, line, column) in keys {
            for typo in [format!("{key}x"), format!("x{key}"), key.to_uppercase()] {
                if typo == key {
                    continue;
                }
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                let at = column as usize - 1;
                lines[line as usize - 1].replace_range(at..at + key.len(), &typo);
                let mut files = full();
                files.0.insert(path.to_owned(), lines.join("\n").into_bytes());
                let found = problems_of(&files);
                let expected = format!("{path}:{line}:{column}: ");
                assert!(found.iter().any(|p| p.starts_with(&expected)), "{typo} at {expected}: {found:#?}");
                seen += 1;
            }
        }
    }
    assert!(seen > 400, "{seen}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_in_any_file_make_it_panic(
        which in 0usize..4,
        at in 0.0..1.0_f64,
        cut in 0usize..40,
        bytes in prop_oneof![proptest::collection::vec(any::<u8>(), 0..20), "[a-z:{}\\[\\], \n\"'&*!|#0-9-]{0,20}".prop_map(String::into_bytes)],
    ) {
        let path = ["platform.yaml", "orders/app.yaml", "orders/env/dev.yaml", "orders/env/prod.pin.yaml"][which];
        let mut files = full();
        let text = files.0.get_mut(path).unwrap();
        let at = ((text.len() as f64) * at) as usize;
        let end = (at + cut).min(text.len());
        text.splice(at..end, bytes);
        let _ = Repo::load(&files).check();
    }
}
