//! Tests of the server's list and configuration.
#![allow(clippy::unwrap_used)]

use kiban_model::yaml::manifests;
use kiban_runtime::component::Permission;
use kiban_runtime::config;
use serde_json::json;

use super::*;

fn read(text: &str) -> Result<Config, String> {
    let text = format!("apiVersion: kiban.dev/v1\nkind: Server\n{text}");
    config::read::<Config>(Some(("kiban.yaml", text.as_bytes())), &[])
        .map(|loaded| loaded.value)
        .map_err(|problems| problems.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

#[test]
fn the_committed_schema_is_current_and_every_key_is_described() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/kiban.json");
    let text = config::schema::<Config>();
    if std::env::var_os("KIBAN_BLESS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == text, "schemas/kiban.json is not current: run the tests with KIBAN_BLESS=1");
    let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
    let defs = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    for (key, value) in defs.filter_map(|def| def["properties"].as_object()).flatten() {
        assert!(value.get("description").is_some(), "{key} says nothing of itself");
    }
}

#[test]
fn components_can_be_switched_off_by_name_alone() {
    let names = |config: &Config| -> Vec<&'static str> {
        switched_on(config, &Wiring::default()).iter().map(|component| component.name()).collect()
    };
    assert_eq!(names(&read("").unwrap()), NAMES);
    assert_eq!(names(&read("off: [cluster]\n").unwrap()), ["delivery"]);
    assert_eq!(names(&read("off: [cluster, delivery]\n").unwrap()), [""; 0]);
    assert_eq!(
        read("off: [clutser]\n").unwrap_err(),
        "kiban.yaml:3:7: off[0]: \"clutser\" is no component; there are cluster, delivery; did you mean \"cluster\"?"
    );
    assert_eq!(
        read("kind: App\n").unwrap_err(),
        "kiban.yaml:3:1: key \"kind\" is given twice; first in line 2"
    );
}

#[test]
fn what_a_component_states_of_itself_is_whole() {
    for listed in components(&read("").unwrap(), &Wiring::default()) {
        let component = listed.component;
        let name = component.name();
        assert!(NAMES.contains(&name) && !component.about().is_empty(), "{name}");
        assert!(component.metrics().iter().all(|metric| metric.starts_with("kiban_")), "{name}");
        for permission in component.permissions() {
            assert!(!permission.why.is_empty() && !permission.verbs.is_empty(), "{name}: {permission:?}");
            assert!(!permission.verbs.contains(&"*".to_owned()), "{name}: {permission:?}");
            let lists_secrets = permission.resources.contains(&"secrets".to_owned())
                && permission.verbs.iter().any(|verb| verb == "list" || verb == "watch");
            assert!(!lists_secrets, "{name}: secrets are read by name, never listed");
        }
        for route in component.routes() {
            assert!(!route.about.is_empty(), "{name}: {}", route.path);
        }
    }
}

#[test]
fn manifests_grant_what_is_stated_and_say_why() {
    let watch = |why: &str| Permission::new("apps", &["deployments"], &["list", "watch"], why);
    let text = rbac::manifests(
        "kiban-system",
        &[
            ("a", watch("for its index")),
            ("b", watch("to see rollouts\nend")),
            ("b", Permission::new("", &["namespaces"], &["get"], "names").on(&["kube-system"])),
            ("b", Permission::new("coordination.k8s.io", &["leases"], &["get"], "turns").within("shop")),
        ],
    );
    assert!(
        text.contains("# a: for its index\n# b: to see rollouts end\n- apiGroups: [\"apps\"]\n"),
        "{text}"
    );
    let objects: Vec<_> =
        manifests("rbac.yaml", text.as_bytes()).unwrap().into_iter().map(|m| m.value).collect();
    let kinds: Vec<_> = objects.iter().map(|o| o["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]);
    assert_eq!(
        objects[1]["rules"],
        json!([
            {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
            {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list", "watch"]},
        ])
    );
    assert_eq!(objects[3]["metadata"]["namespace"], "shop");
    assert_eq!(objects[4]["subjects"][0]["namespace"], "kiban-system");
}

#[test]
fn the_page_names_every_component_route_and_class() {
    let page = include_str!("../../../../docs/server.md");
    let rows = kiban_runtime::health::routes();
    let list = components(&read("").unwrap(), &Wiring::default());
    let of_components = list.iter().flat_map(|listed| listed.component.routes());
    for route in rows.into_iter().chain(of_components) {
        assert!(page.contains(&format!("`{}`", route.path)), "docs/server.md does not name {}", route.path);
    }
    for name in NAMES {
        assert!(
            page.contains(&format!("| `{name}` |")),
            "docs/server.md has no row for the component {name}"
        );
    }
    for class in kiban_runtime::route::Class::ALL {
        assert!(page.contains(class.as_str()), "docs/server.md does not name {}", class.as_str());
    }
    let mut example = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap().to_owned();
    example.push('\n');
    config::read::<Config>(Some(("docs/server.md", example.as_bytes())), &[]).unwrap();
}
