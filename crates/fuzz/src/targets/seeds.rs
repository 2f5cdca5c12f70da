//! What mutation starts from: well-formed inputs of every kind.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kiban_manifest::render_repo;
use kiban_model::repo::{DirFiles, Files, Repo};
use kiban_schema::table::Schema;
use serde_json::Value;

/// Objects of every built-in kind, as protobuf and as JSON.
const EVERY_KIND: &str = include_str!("../../../schema/tests/golden/proto.jsonl");
/// The sample shop.
const SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop");

fn texts(all: &[&str]) -> Vec<Vec<u8>> {
    all.iter().map(|t| t.as_bytes().to_vec()).collect()
}

fn golden() -> impl Iterator<Item = Value> {
    EVERY_KIND.lines().filter_map(|line| serde_json::from_str(line).ok())
}

fn shop() -> Vec<Value> {
    let repo = Repo::load(&DirFiles::new(SHOP));
    let rendered = repo.environments().into_iter().filter_map(|env| render_repo(&repo, &env).ok());
    rendered.flat_map(|r| r.objects.iter().map(|o| o.value()).collect::<Vec<_>>()).collect()
}

pub(super) fn objects() -> Vec<Vec<u8>> {
    let goldens = golden().filter_map(|line| line.get("out").map(Value::to_string));
    goldens.chain(shop().iter().map(Value::to_string)).map(String::into_bytes).collect()
}

pub(super) fn proto() -> Vec<Vec<u8>> {
    golden().filter_map(|line| STANDARD.decode(line.get("proto")?.as_str()?).ok()).collect()
}

fn pair(first: &Value, second: &Value) -> Vec<u8> {
    format!("{first}\n{second}").into_bytes()
}

/// An object beside itself: the mutator changes one of them.
pub(super) fn pairs() -> Vec<Vec<u8>> {
    shop().iter().map(|object| pair(object, object)).chain(merge_patches()).collect()
}

/// Objects, and patches that say something about their fields.
pub(super) fn merge_patches() -> Vec<Vec<u8>> {
    let mut all: Vec<_> = golden().filter_map(|line| line.get("out").map(|o| pair(o, o))).collect();
    for object in shop() {
        let (api, kind) = (&object["apiVersion"], &object["kind"]);
        let patch = serde_json::json!({
            "apiVersion": api, "kind": kind, "metadata": {"name": object["metadata"]["name"],
            "labels": {"a": "b", "c": null}, "finalizers": ["x.example/y"], "$patch": "merge"},
            "spec": {"replicas": 3, "$retainKeys": ["replicas", "template"], "template": {"spec": {
                "containers": [{"name": "orders", "image": "a:1", "ports": [{"containerPort": 80}]},
                    {"name": "old", "$patch": "delete"}],
                "$setElementOrder/containers": [{"name": "orders"}],
                "tolerations": [{"key": "a", "operator": "Exists"}]}}},
        });
        all.push(pair(&object, &patch));
        all.push(pair(&object, &object));
    }
    all
}

pub(super) fn json_patches() -> Vec<Vec<u8>> {
    let patch = serde_json::json!([
        {"op": "test", "path": "/metadata/name", "value": "orders"},
        {"op": "add", "path": "/metadata/labels/a~1b", "value": "c"},
        {"op": "replace", "path": "/kind", "value": "Pod"},
        {"op": "add", "path": "/metadata/finalizers", "value": []},
        {"op": "add", "path": "/metadata/finalizers/-", "value": "x"},
        {"op": "copy", "from": "/metadata", "path": "/other"},
        {"op": "move", "from": "/other", "path": "/metadata"},
        {"op": "remove", "path": "/apiVersion"},
    ]);
    let single = patch.as_array().into_iter().flatten().map(|one| serde_json::json!([one]));
    let patches: Vec<_> = single.chain([patch.clone()]).collect();
    shop()
        .iter()
        .take(12)
        .flat_map(|object| patches.iter().map(|p| pair(object, p)).collect::<Vec<_>>())
        .collect()
}

pub(super) fn fields() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:replicas":{}}}"#,
        r#"{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:image":{},"f:name":{}}}}}"#,
        r#"{"f:metadata":{"f:finalizers":{".":{},"v:\"x.example/y\"":{}}}}"#,
        r#"{"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{}},"i:0":{}}}}"#,
    ])
}

pub(super) fn label_selectors() -> Vec<Vec<u8>> {
    texts(&[
        "app=web",
        "app in (web, api),tier!=3",
        "tier>2",
        "tier<9,!canary",
        "a.b/c notin (d,,e)",
        "app==x, app",
        "",
    ])
}

pub(super) fn field_selectors() -> Vec<Vec<u8>> {
    texts(&[
        "spec.nodeName=node-1,status.phase!=Running",
        "metadata.name==a\\,b",
        "involvedObject.name=x",
        "",
    ])
}

pub(super) fn quantities() -> Vec<Vec<u8>> {
    texts(&[
        "1",
        "100m",
        "1.5Gi",
        "1e3",
        "12E",
        "-0.5k",
        "+3Ki",
        "9223372036854775807",
        "0.000000001",
        "1e-9",
        "5n",
        "7u",
        "9223372036854775808 9223372036854775807",
        "-18446744073709551616.000000001k 3.3Ei",
        "1e40 99999999999999999999999999999999999999",
        "123456789012345678901234567890.5E -7Pi",
    ])
}

pub(super) fn durations() -> Vec<Vec<u8>> {
    texts(&[
        "1h2m3.5s",
        "-1.5h",
        "100ms",
        "1y2w3d",
        "90s",
        "0",
        "2562047h47m16.854775807s",
        "1us",
        "1µs",
        "5m",
    ])
}

pub(super) fn schedules() -> Vec<Vec<u8>> {
    texts(&[
        "15 3 * * *",
        "*/5 0-6,12 1,15 jan-mar mon-fri|Europe/Berlin",
        "@every 1h30m",
        "@hourly|Asia/Tokyo",
        "0 2 29 2 *",
        "TZ=America/New_York 30 2 * 3 sun",
        "0 0 31 2 ?",
    ])
}

pub(super) fn timestamps() -> Vec<Vec<u8>> {
    texts(&[
        "2026-11-24T06:37:21Z",
        "2026-11-24T06:37:21.123456Z",
        "0001-01-01T00:00:00+09:00",
        "9999-12-31T23:59:59-08:00",
    ])
}

pub(super) fn names() -> Vec<Vec<u8>> {
    texts(&[
        "web",
        "a.example.com/name",
        "*.example.com",
        "LOG_LEVEL",
        "http-1",
        "1-web",
        "a--b",
        "app.conf",
        "-a",
        "..",
        "é",
    ])
}

fn shop_files() -> Vec<(String, Vec<u8>)> {
    let files = DirFiles::new(SHOP);
    let list = files.list().unwrap_or_default();
    list.into_iter()
        .filter(|p| p.ends_with(".yaml"))
        .filter_map(|p| Some((p.clone(), files.read(&p).ok()?)))
        .collect()
}

pub(super) fn yaml() -> Vec<Vec<u8>> {
    let odd = texts(&[
        "a: &x {b: [1, 2.5, ~, 'it''s', \"\\u00e9\\n\"]}\nc: *x\n---\nd: |-\n  text\n  more\ne: >+\n  folded\n",
        "<<: {a: 1}\nb: 0x1f\nc: 1_000\nd: .inf\ne: yes\nf: 2001-01-01\n? [complex]\n: key\n",
        "{\"kind\": \"List\", \"items\": []}",
    ]);
    shop_files().into_iter().map(|(_, text)| text).chain(odd).collect()
}

pub(super) fn repositories() -> Vec<Vec<u8>> {
    let mut whole = Vec::new();
    let mut small = Vec::new();
    for (path, text) in shop_files() {
        let file = [b"=== ", path.as_bytes(), b"\n", &text].concat();
        if path == "platform.yaml" || path.starts_with("stock/") {
            small.extend_from_slice(&file);
        }
        whole.extend_from_slice(&file);
    }
    vec![small, whole]
}

pub(super) fn paths() -> Vec<Vec<u8>> {
    texts(&[
        "spec.template.spec.containers[orders].resources",
        "metadata.labels[app.kubernetes.io/name]",
        "spec.ports[0]",
        "a[b=c].d",
    ])
}

/// A definition with one of everything that its objects are held to.
const DEFINITION: &str = r#"{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"things.example.com"},"spec":{"group":"example.com","scope":"Namespaced","names":{"plural":"things","kind":"Thing"},"versions":[{"name":"v1","served":true,"storage":true,"subresources":{"status":{},"scale":{"specReplicasPath":".spec.n","statusReplicasPath":".status.n"}},"selectableFields":[{"jsonPath":".spec.n"}],"additionalPrinterColumns":[{"name":"N","type":"integer","jsonPath":".spec.n"}],"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","x-kubernetes-validations":[{"rule":"!has(self.n) || self.n < 9","messageExpression":"string(self.n)"}],"properties":{"n":{"type":"integer","minimum":0,"default":1},"s":{"type":"string","pattern":"^[a-z]+$","enum":["a"]},"free":{"type":"object","x-kubernetes-preserve-unknown-fields":true},"list":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"],"items":{"type":"object","required":["k"],"properties":{"k":{"type":"string"}}}}}},"status":{"type":"object","properties":{"n":{"type":"integer"}}}}}}}]}}"#;

/// Requests: a line with method, path and media type, then the body.
pub(super) fn requests() -> Vec<Vec<u8>> {
    let pods = "/api/v1/namespaces/default/pods";
    let heads = [
        format!("GET {pods}?labelSelector=app%3Dweb&fieldSelector=status.phase%3DRunning&limit=5 -"),
        format!("GET {pods}?watch=1&allowWatchBookmarks=true&resourceVersion=0&timeoutSeconds=1 -"),
        "GET /api/v1/nodes?resourceVersionMatch=Exact&resourceVersion=1 -".into(),
        "GET /apis/apps/v1/deployments?continue=abc&limit=1 -".into(),
        "GET /openapi/v3/apis/apps/v1?hash=0 -".into(),
        "GET /apis -".into(),
        "GET /api/v1/namespaces/default/pods/web/log?tailLines=3&follow=true&sinceSeconds=4 -".into(),
        "DELETE /api/v1/namespaces/default/configmaps/web?propagationPolicy=Foreground&dryRun=All application/json".into(),
        "GET /apis/apps/v1/namespaces/default/deployments/web/scale -".into(),
        "POST /api/v1/namespaces/default/serviceaccounts/default/token application/json\n{\"spec\":{\"audiences\":[\"a\"]}}".into(),
        "POST /apis/authorization.k8s.io/v1/selfsubjectrulesreviews application/json\n{\"spec\":{\"namespace\":\"default\"}}".into(),
        format!("POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions application/json\n{DEFINITION}"),
        "POST /apis/example.com/v1/namespaces/default/things?fieldValidation=Strict application/json\n{\"apiVersion\":\"example.com/v1\",\"kind\":\"Thing\",\"metadata\":{\"name\":\"a\"},\"spec\":{\"n\":1,\"list\":[{\"k\":\"x\"}]}}".into(),
        "PATCH /apis/example.com/v1/namespaces/default/things/a?fieldManager=f application/apply-patch+yaml\n{\"apiVersion\":\"example.com/v1\",\"kind\":\"Thing\",\"spec\":{\"list\":[{\"k\":\"y\"}]}}".into(),
        "GET /apis/example.com/v1/things?fieldSelector=spec.n=1 -".into(),
        "GET /openapi/v3/apis/example.com/v1 -".into(),
    ];
    let mut all: Vec<Vec<u8>> = heads.iter().map(|head| [head.as_bytes(), b"\n"].concat()).collect();
    let objects = golden().filter_map(|line| line.get("out").cloned()).chain(shop());
    for object in objects.step_by(5) {
        let text = |at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or("x");
        let (group, version) = text("/apiVersion").split_once('/').unwrap_or(("", text("/apiVersion")));
        let Some(kind) = Schema::builtin().kind(group, version, text("/kind")) else { continue };
        let root = if group.is_empty() { "/api".to_owned() } else { format!("/apis/{group}") };
        let namespace = if kind.namespaced { "/namespaces/default" } else { "" };
        let path = format!("{root}/{version}{namespace}/{}", kind.plural);
        // A name and a namespace that the path has too.
        let mut object = object.clone();
        object["metadata"]["name"] = "web".into();
        if kind.namespaced {
            object["metadata"]["namespace"] = "default".into();
        }
        for head in [
            format!("POST {path}?fieldValidation=Strict application/json"),
            format!("PATCH {path}/web?fieldManager=f&force=true application/apply-patch+yaml"),
            format!("PATCH {path}/web application/strategic-merge-patch+json"),
            format!("PUT {path}/web application/json"),
            format!("GET {path} -"),
        ] {
            all.push(format!("{head}\n{object}").into_bytes());
        }
    }
    all
}
