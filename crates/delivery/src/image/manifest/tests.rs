//! Images are set where they are asked for, and nothing else changes.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const DIGEST: &str = "sha256:a7af5bd5cdc5666f987d8876de5b76901734c0cbf35d28ba4e40ad9f313c1a8f";

fn run(file: &str, text: &str, asks: &[&str]) -> Result<Outcome, Vec<Problem>> {
    let asks: Vec<Ask> = asks.iter().flat_map(|a| Ask::parse(a).unwrap()).collect();
    set(file, text, &asks)
}

fn changed(text: &str, asks: &[&str]) -> String {
    run("t.yaml", text, asks).unwrap().text
}

const DEPLOYMENT: &str = "# ours\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  template:\n    spec:\n      initContainers:\n      - {name: setup, image: r.example/setup:1}   # once\n      containers:\n      - name: app # the app\n        image: 'r.example/app:1'  # pinned\n      - image: \"r.example/log:1\"\n        name: log\n";

#[test]
fn containers_are_found_by_name_and_keep_quotes_and_comments() {
    let text = changed(DEPLOYMENT, &["app=r.example/app:2", "setup=r.example/setup:2"]);
    let expected = DEPLOYMENT.replace("app:1", "app:2").replace("setup:1", "setup:2");
    assert_eq!(text, expected);
    let all = changed(DEPLOYMENT, &["*=r.example/one:3"]);
    assert_eq!(all.matches("r.example/one:3").count(), 3);
    let outcome = run("t.yaml", DEPLOYMENT, &["app=r.example/app:2", "zzz=a:1"]).unwrap();
    assert_eq!(outcome.found.into_iter().collect::<Vec<_>>(), ["app"]);
    assert_eq!(
        outcome.changes,
        [Changed { line: 12, from: "r.example/app:1".into(), to: "r.example/app:2".into() }]
    );
}

#[test]
fn every_kind_of_pod_spec_is_found_and_nothing_that_only_looks_like_one() {
    for (kind, prefix) in [
        ("Pod", vec!["spec"]),
        ("StatefulSet", vec!["spec", "template", "spec"]),
        ("CronJob", vec!["spec", "jobTemplate", "spec", "template", "spec"]),
        ("Rollout", vec!["spec", "template", "spec"]),
    ] {
        let mut object = serde_json::json!({"containers": [{"name": "app", "image": "a:1"}]});
        for key in prefix.iter().rev() {
            object = serde_json::json!({ *key: object });
        }
        object["kind"] = kind.into();
        let json = serde_json::to_string_pretty(&object).unwrap();
        assert_eq!(changed(&json, &["app=a:2"]), json.replace("a:1", "a:2"), "{kind}");
        let list = serde_json::json!({"kind": "List", "items": [object]}).to_string();
        assert_eq!(changed(&list, &["app=a:2"]), list.replace("a:1", "a:2"), "{kind} in a list");
    }
    for other in [
        "data: {containers: [{name: app, image: a:1}]}\n",
        "spec: {template: {containers: [{name: app, image: a:1}]}}\n",
        "spec: {containers: {app: {name: app, image: a:1}}}\n",
        "kind: ConfigMap\ndata:\n  x: |\n    spec: {containers: [{name: app, image: a:1}]}\n",
        "# nothing but a comment\n",
        "",
    ] {
        assert_eq!(changed(other, &["app=a:2"]), other);
    }
}

#[test]
fn marks_of_flux_say_which_part_of_the_image_stands_there() {
    let text = "a: r.example/app:1 # {\"$imagepolicy\": \"flux:app\"}\nb:\n  tag: '1' # {\"$imagepolicy\": \"flux:app:tag\"}\n  name: r.example/app # {\"$imagepolicy\": \"flux:app:name\"}\n  other: r.example/x:1 # {\"$imagepolicy\": \"flux:x\"}\n";
    let new = changed(text, &["flux:app=new.example/app:2"]);
    let expected = text
        .replace("a: r.example/app:1", "a: new.example/app:2")
        .replace("tag: '1'", "tag: '2'")
        .replace("name: r.example/app ", "name: new.example/app ");
    assert_eq!(new, expected);
}

#[test]
fn kustomize_gets_the_keys_that_it_needs_and_keeps_the_rest() {
    let text =
        "kind: Kustomization\nimages:\n- name: app # ours\n  newTag: \"1\"\n- {name: other, newTag: '1'}\n";
    let new = changed(text, &["app=app:2", &format!("other=r.example/other@{DIGEST}")]);
    assert_eq!(
        new,
        format!(
            "kind: Kustomization\nimages:\n- name: app # ours\n  newTag: \"2\"\n- {{name: other, newName: r.example/other, digest: {DIGEST}, newTag: ''}}\n"
        )
    );
    let plain = "images:\n- name: app\n  newTag: \"1\"\n";
    assert_eq!(run("base/kustomization.yaml", plain, &["app=app:2"]).unwrap().text, plain.replace('1', "2"));
    assert_eq!(run("values.yaml", plain, &["app=app:2"]).unwrap().text, plain);
}

#[test]
fn anchors_are_followed_and_never_change_what_nobody_asks_for() {
    let both = "spec:\n  containers:\n  - {name: a, image: &i r.example/x:1}\n  - {name: b, image: *i}\n";
    assert_eq!(changed(both, &["*=r.example/x:2"]), both.replace(":1", ":2"));
    assert_eq!(
        changed(both, &["b=r.example/y:1"]),
        both.replace("*i", "r.example/y:1"),
        "an alias is replaced by itself"
    );
    let label = "spec:\n  containers:\n  - {name: a, image: &i r.example/x:1}\nother: *i\n";
    let problem = run("t.yaml", label, &["a=r.example/x:2"]).unwrap_err().remove(0).to_string();
    assert!(problem.starts_with("t.yaml:3:22: the value in line 4 is this one by its anchor"), "{problem}");
}

#[test]
fn blocks_and_empty_values_are_set_and_what_follows_them_stays() {
    let pod = |image: &str| {
        format!("kind: Pod\nspec:\n  containers:\n  - name: app\n    image:{image}    ports: []\n")
    };
    for (old, new) in [
        (" >-\n      a/b:1\n", " >-\n      n:2\n"),
        (" |+ # c\n      a/b:1\n\n", " |- # c\n      n:2\n\n"),
        ("\n", " n:2\n"),
        (" # none\n", " n:2 # none\n"),
    ] {
        assert_eq!(changed(&pod(old), &["app=n:2"]), pod(new));
    }
    let flow = "spec: {containers: [{name: app, image: }, {image: , name: app}]}\n";
    assert_eq!(changed(flow, &["app=n:2"]), flow.replace("image: ", "image: n:2 "));
    let bare = "spec: {containers: [{name: app, image}]}\n";
    let why = run("t.yaml", bare, &["app=n:2"]).unwrap_err().remove(0).to_string();
    assert!(why.starts_with("t.yaml:1:") && why.contains("without changing something else"), "{why}");
    let kustomize = "kind: Kustomization\nimages:\n- name: >-\n    app\n\n- name: b\n  newTag:\n";
    assert_eq!(
        changed(kustomize, &["app=app:v2", "b=b:v3"]),
        "kind: Kustomization\nimages:\n- name: >-\n    app\n\n  newTag: v2\n- name: b\n  newTag: v3\n"
    );
}

/// A container of a random document, in a random style: before, and with its image set.
fn container() -> impl Strategy<Value = (String, String)> {
    let name = select(vec!["app", "'app'", "\"app\"", "log", "other"]);
    let image = select(vec![
        ("r.example/a:1", "NEW"),
        ("'r.example/b:1'", "'NEW'"),
        ("\"r.example/c:1\"", "\"NEW\""),
        ("&x r.example/d:1", "&x NEW"),
        ("!!str r.example/e:1", "!!str NEW"),
        (">-\n          r.example/f:1", ">-\n          NEW"),
        ("|- # c\n         r.example/g:1\n         x", "|- # c\n         NEW"),
        ("&x |\n          r.example/h:1\n\n", "&x |-\n          NEW\n\n"),
        ("", "NEW "),
        ("&x", "&x NEW"),
    ]);
    let key = select(vec!["image", "'image'", "\"image\""]);
    let comment = select(vec!["", " # c", "   # image: x", " # {\"$imagepolicy\": \"f:p\"}"]);
    (name, key, image, comment, any::<bool>(), any::<bool>()).prop_map(
        |(name, key, (old, new), comment, flow, first)| {
            let is_block = old.contains('\n');
            // Behind a block a comment would be text.
            let behind = if is_block { "" } else { comment };
            let with = |image: &str| match (flow && !is_block, first) {
                (true, _) => format!("    - {{ name: {name}, {key}: {image} , tty: true}}{comment}\n"),
                (false, true) => format!("    - name: {name}{comment}\n      {key}: {image}{behind}\n"),
                (false, false) => format!("    -   {key}: {image}{behind}\n        name: {name}\n        env: [ {{name: E, value: 'ü, #'}} ]\n"),
            };
            (with(old), with(&new.replace("NEW", "new.example/app:9")))
        },
    )
}

proptest! {
    #[test]
    fn every_byte_but_the_values_is_kept(
        containers in prop::collection::vec(container(), 1..6),
        crlf: bool,
        bom: bool,
        tail in "(# é\n)?(---\nkind: X\n)?",
    ) {
        // An anchor may be set once only.
        let containers = containers.into_iter().enumerate();
        let unique = |text: String, at: usize| text.replace("&x", &format!("&x{at}"));
        let (old, new): (Vec<String>, Vec<String>) =
            containers.map(|(at, (old, new))| (unique(old, at), unique(new, at))).unzip();
        let document = |containers: &[String]| {
            let mut text = format!("# head: ü\nspec:\n  containers: # all\n{}{tail}", containers.concat());
            if crlf {
                text = text.replace('\n', "\r\n");
            }
            if bom {
                text.insert(0, '\u{feff}');
            }
            text
        };
        let is_asked = |c: &String| ["name: app", "name: 'app'", "name: \"app\""].iter().any(|n| c.contains(n));
        let expected: Vec<String> =
            old.iter().zip(&new).map(|(old, new)| if is_asked(old) { new.clone() } else { old.clone() }).collect();
        let outcome = run("t.yaml", &document(&old), &["app=new.example/app:9"]).unwrap();
        prop_assert_eq!(outcome.text, document(&expected));
    }
}
