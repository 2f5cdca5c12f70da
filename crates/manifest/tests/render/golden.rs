//! The shop, byte for byte; and what holds for every object of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use kiban_manifest::node::Source;
use kiban_manifest::{against_schema, practices};
use serde_json::Value;

use crate::support::{ENVS, blessing, root, shop};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn files_below(folder: &Path, prefix: &str, out: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            files_below(&entry.path(), &format!("{name}/"), out);
        } else {
            out.insert(name, fs::read_to_string(entry.path()).unwrap());
        }
    }
}

#[test]
fn the_shop_renders_to_the_committed_files() {
    for env in ENVS {
        let files = shop(env).files();
        let folder = golden().join(env);
        if blessing() {
            let _ = fs::remove_dir_all(&folder);
            for (path, text) in &files {
                let file = golden().join(path);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, text).unwrap();
            }
        }
        let mut committed = BTreeMap::new();
        files_below(&folder, &format!("{env}/"), &mut committed);
        let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&files), names(&committed), "KIBAN_BLESS=1 rewrites tests/golden");
        for (path, text) in &files {
            similar_or_panic(path, &committed[path], text);
        }
    }
}

fn similar_or_panic(path: &str, old: &str, new: &str) {
    if old != new {
        let diff = similar::TextDiff::from_lines(old, new)
            .unified_diff()
            .header("committed", "rendered")
            .to_string();
        panic!("{path} (KIBAN_BLESS=1 rewrites it)\n{diff}");
    }
}

#[test]
fn two_runs_give_the_same_bytes() {
    for env in ENVS {
        assert_eq!(shop(env).files(), shop(env).files());
        assert_eq!(shop(env).stream(), shop(env).stream());
    }
}

#[test]
fn the_shop_keeps_every_law_and_lacks_only_its_secrets() {
    for env in ENVS {
        let rendered = shop(env);
        let others: Vec<String> =
            rendered.findings.iter().filter(|f| f.law != "secret-file").map(ToString::to_string).collect();
        assert!(others.is_empty(), "{env}: {others:#?}");
        assert_eq!(rendered.findings.len(), 4);
    }
}

#[test]
fn every_leaf_has_a_rule_and_the_rules_are_in_the_table() {
    for env in ENVS {
        for object in shop(env).objects {
            let mut leaves = 0;
            object.node.leaves(&mut |path, _: &Value, source: &Source| {
                leaves += 1;
                let known = kiban_manifest::rules::by_id(source.rule.id);
                assert_eq!(known, Some(source.rule), "{} {path}", object.id());
            });
            assert!(leaves > 3, "{}", object.id());
        }
    }
}

#[test]
fn every_object_is_strictly_valid_for_kubernetes() {
    let mut checked = BTreeSet::new();
    for env in ENVS {
        for object in shop(env).objects {
            assert_eq!(against_schema(&object.value()), Vec::new(), "{}", object.id());
            checked.insert(object.kind().to_owned());
        }
    }
    for kind in ["Deployment", "CronJob", "NetworkPolicy", "HorizontalPodAutoscaler", "ConfigMap"] {
        assert!(checked.contains(kind), "{kind}");
    }
}

#[test]
fn the_stream_and_the_files_read_back_as_the_same_objects() {
    let rendered = shop("prod");
    let stream = kiban_model::yaml::manifests("stream", rendered.stream().as_bytes()).unwrap();
    let read: Vec<Value> = stream.into_iter().map(|manifest| manifest.value).collect();
    assert_eq!(read, rendered.values());
    let files = rendered.files();
    let read = kiban_manifest::read_back(files.iter().map(|(path, text)| (path.as_str(), text.as_bytes())));
    let read = read.unwrap();
    assert_eq!(read.len(), files.len());
    assert_eq!(kiban_manifest::diff::objects(&read, &rendered.values()), Vec::new());
}

#[test]
fn a_difference_between_two_renders_of_the_shop_says_what_it_risks() {
    let (stg, prod) = (shop("stg"), shop("prod"));
    let values = |r: &kiban_manifest::Rendered| r.of_app("orders").map(|o| o.value()).collect::<Vec<_>>();
    // The same namespace for both, so that the objects pair off.
    let moved = |values: Vec<Value>| {
        let text = Value::Array(values).to_string().replace("-stg", "-prod");
        serde_json::from_str::<Vec<Value>>(&text).unwrap()
    };
    let changes = kiban_manifest::diff::objects(&moved(values(&prod)), &moved(values(&stg)));
    let text = kiban_manifest::diff::text(&changes);
    let blocks = [
        "~ horizontalpodautoscaler.autoscaling/orders in checkout-prod  [drops capacity]\n",
        "    spec.maxReplicas: 20 -> 4\n",
        "    metadata.annotations[\"kiban.dev/app\"].scale.to: 20 -> 4\n",
        "~ deployment.apps/orders in checkout-prod  [drops capacity, restarts pods]",
        "spec.template.spec.containers[orders].resources.limits.memory: 2Gi -> 512Mi",
        "~ configmap/orders-config-",
    ];
    for block in blocks {
        assert!(text.contains(block), "{block:?} in\n{text}");
    }
}

#[test]
fn no_prod_object_breaks_a_practice_that_is_kept() {
    let rendered = shop("prod");
    let values = rendered.values();
    let world = practices::World { objects: values.iter().collect(), unsorted: Vec::new() };
    assert_eq!(practices::judge(&world), Vec::new());
}

#[test]
fn the_page_of_practices_is_current() {
    let file = root().join("docs/practices.md");
    let page = practices::page();
    if blessing() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &page).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    similar_or_panic("docs/practices.md", &committed, &page);
}
