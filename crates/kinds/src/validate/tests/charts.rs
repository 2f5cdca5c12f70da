//! What real tools write passes: charts of others, and what kubectl makes from its flags.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::super::create;
use crate::{defaults, prepare};

/// A client: where `KIBAN_HELM` or `KIBAN_KUBECTL` says, else on the search path.
fn tool(name: &str) -> Option<PathBuf> {
    let named = std::env::var_os(format!("KIBAN_{}", name.to_uppercase())).map(PathBuf::from);
    let on_path = || {
        let paths = std::env::var_os("PATH")?;
        std::env::split_paths(&paths).map(|folder| folder.join(name)).find(|file| file.is_file())
    };
    let found = named.or_else(on_path).filter(|file| file.is_file());
    if found.is_none() {
        println!("skipped: no {name} at hand");
    }
    found
}

fn charts() -> Option<Vec<PathBuf>> {
    let root = std::env::var_os("KIBAN_TESTDATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")),
        PathBuf::from,
    );
    let Ok(entries) = std::fs::read_dir(root.join("helm-charts")) else {
        println!("skipped: no charts below {}", root.display());
        return None;
    };
    let mut charts: Vec<PathBuf> =
        entries.filter_map(Result::ok).map(|e| e.path()).filter(|p| p.join("Chart.yaml").is_file()).collect();
    charts.sort();
    Some(charts)
}

fn output(command: &mut Command) -> String {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn objects(json: &str) -> Vec<Value> {
    let values = serde_json::Deserializer::from_str(json).into_iter::<Value>().map(Result::unwrap);
    values
        .flat_map(|value| match value.get("items").and_then(Value::as_array) {
            Some(items) => items.clone(),
            None => vec![value],
        })
        .collect()
}

/// Takes an object the whole way of a create and gives what is said against it.
fn complaints(mut object: Value) -> Vec<String> {
    let version = object["apiVersion"].as_str().unwrap_or("").to_string();
    let group = version.split_once('/').map_or("", |(group, _)| group).to_string();
    let kind = object["kind"].as_str().unwrap_or("").to_string();
    let namespaced = super::super::is_namespaced(&group, &kind) == Some(true);
    let meta = object["metadata"].as_object_mut().unwrap();
    meta.insert("uid".to_string(), json!("u"));
    if namespaced {
        meta.entry("namespace").or_insert_with(|| json!("default"));
    } else {
        meta.remove("namespace");
    }
    let name = meta["name"].as_str().unwrap_or("").to_string();
    defaults::apply(&group, &kind, &mut object);
    prepare::create(&group, &kind, &mut object);
    let again = {
        let mut copy = object.clone();
        defaults::apply(&group, &kind, &mut copy);
        copy
    };
    assert_eq!(object, again, "{kind} {name}: defaults are not idempotent");
    create(&group, &kind, &object).iter().map(|cause| format!("{kind} {name}: {cause}")).collect()
}

#[test]
fn charts_of_others_pass() {
    let (Some(helm), Some(kubectl), Some(charts)) = (tool("helm"), tool("kubectl"), charts()) else { return };
    let folder = std::env::temp_dir().join(format!("kiban-kinds-charts-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut seen = 0;
    for chart in charts {
        let yaml =
            output(Command::new(&helm).args(["template", "web", "--kube-version", "1.37.0"]).arg(&chart));
        let file = folder.join("chart.yaml");
        std::fs::write(&file, &yaml).unwrap();
        let args = ["patch", "--local", "--type=merge", "-p", "{}", "-o", "json", "-f"];
        let json = output(Command::new(&kubectl).args(args).arg(&file));
        for object in objects(&json) {
            seen += 1;
            assert_eq!(complaints(object), Vec::<String>::new(), "{}", chart.display());
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
    println!("{seen} objects of charts passed");
    assert!(seen > 30, "only {seen} objects");
}

const CREATES: &[&str] = &[
    "create deployment web --image=nginx:1.27 --replicas=3 --port=80",
    "create namespace web",
    "create configmap web --from-literal=a=1",
    "create secret generic web --from-literal=a=1",
    "create secret docker-registry web --docker-username=a --docker-password=b --docker-server=r.example.com",
    "create service clusterip web --tcp=80:8080",
    "create service nodeport web --tcp=80:8080",
    "create service loadbalancer web --tcp=80:8080",
    "create service externalname web --external-name=a.example.com",
    "create serviceaccount web",
    "create job web --image=busybox:1 -- date",
    "create cronjob web --image=busybox:1 --schedule=*/5 -- date",
    "create clusterrole web --verb=get --non-resource-url=/metrics",
    "create rolebinding web --clusterrole=view --user=ann",
    "create clusterrolebinding web --clusterrole=view --group=devs",
    "create quota web --hard=pods=3,requests.cpu=1",
    "create poddisruptionbudget web --selector=app=web --min-available=1",
    "create priorityclass web --value=1000",
    "create ingress web --rule=a.example.com/*=web:80,tls=web-tls",
];

#[test]
fn what_kubectl_creates_passes() {
    let Some(kubectl) = tool("kubectl") else { return };
    for line in CREATES {
        let (line, command) = line.split_once(" -- ").map_or((*line, None), |(l, c)| (l, Some(c)));
        let mut args: Vec<String> = line.split(' ').map(|a| a.replace("*/5", "*/5 * * * *")).collect();
        args.extend(["--dry-run=client", "-o", "json"].map(str::to_string));
        args.extend(command.into_iter().flat_map(|c| ["--".to_string(), c.to_string()]));
        let json = output(Command::new(&kubectl).args(&args).env("KUBECONFIG", "/dev/null"));
        for object in objects(&json) {
            assert_eq!(complaints(object), Vec::<String>::new(), "kubectl {line}");
        }
    }
}
