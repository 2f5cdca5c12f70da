//! What commits ask for, and what they may not.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::content::MemoryContent;

const PROFILE: &str = "apiVersion: kiban.dev/v1\nkind: Platform\nenvironments:\n  dev: { delivery: direct, watch: 1m, drift: correct, production: false }\n  prod: {}\n";
const APP: &str =
    "apiVersion: kiban.dev/v1\nkind: App\nname: orders\nteam: checkout\nimage: r.example/orders\n";

fn map(name: &str, namespace: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name}, namespace: {namespace} }}\n")
}

fn repository(extra: &[(&str, &str)]) -> MemoryContent {
    let config = map("orders", "checkout-dev");
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: { name: checkout-dev }\n";
    let mut files = vec![
        ("platform.yaml", PROFILE),
        ("orders/app.yaml", APP),
        ("rendered/dev/orders/configmap-orders.yaml", config.as_str()),
        ("rendered/dev/platform/namespace-checkout-dev.yaml", namespace),
        ("rendered/dev/README.md", "not a unit"),
    ];
    files.extend(extra);
    MemoryContent::new("c1", files)
}

fn unit<'a>(units: &'a [Unit], app: &str) -> &'a Unit {
    units.iter().find(|u| u.app == app).unwrap()
}

#[test]
fn the_platform_comes_first_and_each_app_lies_in_its_teams_namespace() {
    let content = repository(&[]);
    let settings = settings(&content, "dev").unwrap();
    let units = units(&content, "dev", &[]).unwrap();
    assert_eq!(units.iter().map(|u| u.app.as_str()).collect::<Vec<_>>(), ["platform", "orders"]);
    let orders = load(&content, &units[1], &settings).unwrap();
    assert_eq!(orders.namespace, "checkout-dev");
    assert_eq!(orders.scope, Scope::Namespaces(BTreeSet::from(["checkout-dev".into()])));
    assert_eq!(orders.files.values().collect::<Vec<_>>(), ["rendered/dev/orders/configmap-orders.yaml"]);
    let platform = load(&content, &units[0], &settings).unwrap();
    assert_eq!((platform.namespace.as_str(), platform.scope), (PLATFORM_NAMESPACE, Scope::Cluster));
}

#[test]
fn what_an_object_says_moves_no_app_into_another_namespace() {
    let foreign = map("x", "payments-dev");
    let content = repository(&[("rendered/dev/orders/configmap-x.yaml", &foreign)]);
    let settings = settings(&content, "dev").unwrap();
    let units = units(&content, "dev", &[]).unwrap();
    let orders = load(&content, unit(&units, "orders"), &settings).unwrap();
    assert_eq!(orders.scope, Scope::Namespaces(BTreeSet::from(["checkout-dev".into()])));
}

#[test]
fn fingerprints_follow_what_matters_to_an_app_and_nothing_else() {
    let fingerprint = |extra: &[(&str, &str)]| {
        unit(&units(&repository(extra), "dev", &[]).unwrap(), "orders").fingerprint.clone()
    };
    let before = fingerprint(&[]);
    assert_eq!(before, fingerprint(&[("rendered/prod/orders/a.yaml", "x"), ("stock/app.yaml", "y")]));
    for changed in ["rendered/dev/orders/new.yaml", "orders/app.yaml", "platform.yaml"] {
        assert_ne!(before, fingerprint(&[(changed, "z")]), "{changed}");
    }
}

#[test]
fn plain_folders_are_deployed_under_the_name_and_namespace_of_the_configuration() {
    let manifest = map("legacy", "legacy");
    let content = repository(&[("k8s/legacy/all.yaml", &manifest)]);
    let plain = PlainFolder { path: "k8s/legacy".into(), app: "legacy".into(), namespace: "legacy".into() };
    let units = units(&content, "dev", &[plain]).unwrap();
    let loaded = load(&content, unit(&units, "legacy"), &settings(&content, "dev").unwrap()).unwrap();
    assert_eq!((loaded.namespace.as_str(), loaded.objects.len()), ("legacy", 1));
}

#[test]
fn what_cannot_be_deployed_is_said_with_its_place() {
    let twice = map("orders", "checkout-dev");
    for (path, text, said) in [
        ("rendered/dev/orders/bad.yaml", "a: [", "rendered/dev/orders/bad.yaml:2:1: no valid YAML"),
        ("rendered/dev/orders/nameless.yaml", "apiVersion: v1\nkind: Service\n", "metadata.name is missing"),
        ("rendered/dev/orders/twice.yaml", &twice, "is in rendered/dev/orders/configmap-orders.yaml too"),
        ("orders/app.yaml", "name: orders\n", "orders/app.yaml: it names no team"),
    ] {
        let content = repository(&[(path, text)]);
        let units = units(&content, "dev", &[]).unwrap();
        let error = load(&content, unit(&units, "orders"), &settings(&content, "dev").unwrap()).unwrap_err();
        assert!(error.to_string().contains(said), "{path}: {error}");
    }
    let orphan = repository(&[("rendered/dev/gone/a.yaml", "a: b")]);
    let all = units(&orphan, "dev", &[]).unwrap();
    let error = load(&orphan, unit(&all, "gone"), &settings(&orphan, "dev").unwrap()).unwrap_err();
    assert!(
        error.to_string().contains("nothing says whose app this is: gone/app.yaml is missing"),
        "{error}"
    );
    let error = settings(&orphan, "pord").unwrap_err().to_string();
    assert!(error.contains("no environment is called \"pord\"; did you mean \"prod\"?"), "{error}");
    let none = MemoryContent::new("c", [("a", "b")]);
    assert!(settings(&none, "dev").unwrap_err().to_string().starts_with("platform.yaml: there is none"));
}
