//! Every request to GitHub, held against GitHub's own descriptions of its API (`make tools` brings them).

use std::collections::BTreeSet;
use std::path::Path;

use kiban_delivery::forge::fake::{Heard, unescaped};
use kiban_delivery::forge::{Forge, Made, Merge, Proposal, Standing, Status};
use serde_json::{Map, Value, json};

use super::{change, oid, world};

/// Parameters of paths that may hold slashes.
const DEEP: [&str; 4] = ["path", "ref", "basehead", "branch"];

fn read(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
}

/// What the descriptions say.
struct Described {
    openapi: Value,
    graphql: Value,
}

impl Described {
    fn follow<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value.get("$ref").and_then(Value::as_str) {
            Some(pointer) => self.openapi.pointer(pointer.trim_start_matches('#')).unwrap(),
            None => value,
        }
    }

    /// The template that a path has: the one with the fewest parameters of those that fit.
    fn operation(&self, heard: &Heard) -> Option<(String, &Value)> {
        let path = heard.path.strip_prefix("/api/v3")?;
        let sent: Vec<&str> = path.split('/').collect();
        let templates = self.openapi["paths"].as_object().unwrap();
        let method = heard.method.as_str().to_ascii_lowercase();
        templates
            .iter()
            .filter(|(template, _)| fits(&template.split('/').collect::<Vec<_>>(), &sent))
            .filter_map(|(template, item)| Some((template.clone(), item.get(&method)?)))
            .min_by_key(|(template, _)| template.matches('{').count())
    }

    /// What is wrong with a request, in words.
    fn judge(&self, heard: &Heard) -> Vec<String> {
        if heard.path.ends_with("/graphql") {
            return self.judge_graphql(&heard.json());
        }
        let Some((template, operation)) = self.operation(heard) else {
            return vec!["no such path and method is described".into()];
        };
        let mut wrong = Vec::new();
        let parameters: Vec<&Value> =
            operation["parameters"].as_array().into_iter().flatten().map(|p| self.follow(p)).collect();
        let of = |place: &str, name: &str| parameters.iter().find(|p| p["in"] == place && p["name"] == name);
        for (name, value) in &heard.query {
            match of("query", name) {
                Some(parameter) => self.judge_text(&parameter["schema"], name, value, &mut wrong),
                None => wrong.push(format!("{template} has no query {name}")),
            }
        }
        for parameter in parameters.iter().filter(|p| p["in"] == "query" && p["required"] == true) {
            let name = parameter["name"].as_str().unwrap();
            if heard.query(name).is_empty() {
                wrong.push(format!("{template} demands the query {name}"));
            }
        }
        for (name, value) in values(&template, heard.path.strip_prefix("/api/v3").unwrap()) {
            match of("path", &name) {
                Some(parameter) => self.judge_text(&parameter["schema"], &name, &value, &mut wrong),
                None => wrong.push(format!("{template} does not describe {name}")),
            }
        }
        let body = self.follow(&operation["requestBody"]);
        match (body.pointer("/content/application~1json/schema"), heard.body.is_empty()) {
            (Some(schema), false) => {
                if heard.header("content-type") != "application/json" {
                    wrong.push("the body is not said to be JSON".into());
                }
                let validator = jsonschema::validator_for(&self.strict(schema, 0)).unwrap();
                let found = heard.json();
                wrong.extend(validator.iter_errors(&found).map(|e| format!("{}: {e}", e.instance_path())));
            }
            (Some(_), true) if body["required"] == true => wrong.push("it demands a body".into()),
            (None, false) => wrong.push("it takes no body".into()),
            _ => {}
        }
        wrong
    }

    fn judge_text(&self, schema: &Value, name: &str, text: &str, wrong: &mut Vec<String>) {
        let schema = self.strict(schema, 0);
        let value = match schema["type"].as_str() {
            Some("integer") => text.parse::<i64>().map_or(json!(text), |number| json!(number)),
            _ => json!(text),
        };
        let validator = jsonschema::validator_for(&schema).unwrap();
        wrong.extend(validator.iter_errors(&value).map(|e| format!("{name}: {e}")));
    }

    /// OpenAPI 3.0's schema as JSON Schema, closed: a property that is not described is wrong.
    fn strict(&self, schema: &Value, depth: usize) -> Value {
        assert!(depth < 32, "a schema of a request does not end");
        let schema = self.follow(schema);
        let Some(map) = schema.as_object() else { return schema.clone() };
        let mut out = Map::new();
        for (key, value) in map {
            let value = match key.as_str() {
                "properties" => {
                    let each =
                        |(name, schema): (&String, &Value)| (name.clone(), self.strict(schema, depth + 1));
                    Value::Object(value.as_object().unwrap().iter().map(each).collect())
                }
                "items" | "additionalProperties" | "not" => self.strict(value, depth + 1),
                "oneOf" | "anyOf" | "allOf" => {
                    value.as_array().unwrap().iter().map(|schema| self.strict(schema, depth + 1)).collect()
                }
                "nullable" | "example" | "examples" | "description" | "deprecated" | "x-github" => continue,
                // Formats of numbers and names are GitHub's own.
                "format" => continue,
                _ => value.clone(),
            };
            out.insert(key.clone(), value);
        }
        if map.contains_key("properties")
            && !map.contains_key("additionalProperties")
            && !map.contains_key("allOf")
        {
            out.insert("additionalProperties".into(), json!(false));
        }
        if map.get("nullable") == Some(&json!(true))
            && let Some(kind) = out.get("type").cloned()
        {
            out.insert("type".into(), json!([kind, "null"]));
        }
        Value::Object(out)
    }

    fn input(&self, name: &str) -> Vec<(String, bool)> {
        let types =
            self.graphql.pointer("/data/__schema/types").or_else(|| self.graphql.pointer("/__schema/types"));
        let types = types.unwrap().as_array().unwrap();
        let found = types.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no input {name}"));
        let field = |one: &Value| {
            let is_needed = one["type"]["kind"] == "NON_NULL" && one["defaultValue"].is_null();
            (one["name"].as_str().unwrap().to_owned(), is_needed)
        };
        found["inputFields"].as_array().unwrap().iter().map(field).collect()
    }

    /// A mutation: its input has fields that are described, and all that are demanded; so have its variables.
    fn judge_graphql(&self, body: &Value) -> Vec<String> {
        let query = body["query"].as_str().unwrap();
        let (_, rest) = query.split_once(") { ").unwrap();
        let (name, rest) = rest.split_once("(input: {").unwrap();
        let given: BTreeSet<&str> = rest
            .split_once("})")
            .unwrap()
            .0
            .split(',')
            .filter_map(|pair| pair.split_once(':'))
            .map(|(key, _)| key.trim())
            .collect();
        let kind = format!("{}{}Input", name[..1].to_ascii_uppercase(), &name[1..]);
        let mut wrong = self.judge_input(&kind, &given);
        for row in body["variables"]["updates"].as_array().into_iter().flatten() {
            let given = row.as_object().unwrap().keys().map(String::as_str).collect();
            wrong.extend(self.judge_input("RefUpdate", &given));
        }
        wrong
    }

    fn judge_input(&self, kind: &str, given: &BTreeSet<&str>) -> Vec<String> {
        let fields = self.input(kind);
        let unknown = given.iter().filter(|name| !fields.iter().any(|(field, _)| field == *name));
        let unknown = unknown.map(|name| format!("{kind} has no {name}"));
        let lacking = fields.iter().filter(|(name, needed)| *needed && !given.contains(name.as_str()));
        unknown.chain(lacking.map(|(name, _)| format!("{kind} demands {name}"))).collect()
    }
}

fn fits(template: &[&str], sent: &[&str]) -> bool {
    match (template, sent) {
        ([], []) => true,
        ([part, rest @ ..], [first, left @ ..]) => {
            match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
                Some(name) if DEEP.contains(&name) && rest.is_empty() => true,
                Some(name) if DEEP.contains(&name) => {
                    (1..=sent.len()).any(|taken| fits(rest, sent.get(taken..).unwrap_or_default()))
                }
                Some(_) => fits(rest, left),
                None => part == first && fits(rest, left),
            }
        }
        _ => false,
    }
}

/// The values of a template's parameters; deep ones with all that they hold.
fn values(template: &str, path: &str) -> Vec<(String, String)> {
    let (parts, sent): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    let more = sent.len() - parts.len();
    let mut at = 0;
    let mut all = Vec::new();
    for part in parts {
        let name = part.strip_prefix('{').and_then(|p| p.strip_suffix('}'));
        let taken = if name.is_some_and(|name| DEEP.contains(&name)) { 1 + more } else { 1 };
        if let Some(name) = name {
            all.push((name.to_owned(), unescaped(&sent[at..at + taken].join("/"))));
        }
        at += taken;
    }
    all
}

#[tokio::test(start_paused = true)]
async fn every_request_is_one_that_github_describes() {
    let test = "every_request_is_one_that_github_describes";
    let Some(folder) = kiban_testkit::tool(test, "github-openapi") else { return };
    let described =
        Described { openapi: read(&folder, "openapi.json"), graphql: read(&folder, "graphql.json") };
    let heard = all_requests().await;
    let mut templates = BTreeSet::new();
    for one in &heard {
        let wrong = described.judge(one);
        assert!(wrong.is_empty(), "{}: {}\n{}", one.line(), wrong.join("\n"), one.json());
        assert!(
            one.header("x-github-api-version") == "2022-11-28"
                && one.header("accept").starts_with("application/vnd.github")
        );
        let template = described.operation(one).map_or(one.path.clone(), |(template, _)| template);
        templates.insert(format!("{} {template}", one.method));
    }
    assert_eq!(templates.len(), 25, "{templates:#?}");
}

#[tokio::test(start_paused = true)]
async fn the_descriptions_refuse_what_github_would_refuse() {
    let test = "the_descriptions_refuse_what_github_would_refuse";
    let Some(folder) = kiban_testkit::tool(test, "github-openapi") else { return };
    let described =
        Described { openapi: read(&folder, "openapi.json"), graphql: read(&folder, "graphql.json") };
    let heard = all_requests().await;
    let spoil = |end: &str, how: &dyn Fn(&mut Value)| {
        let mut one =
            heard.iter().find(|one| one.method == "POST" && one.path.ends_with(end)).unwrap().clone();
        let mut body = one.json();
        how(&mut body);
        one.body = body.to_string().into();
        described.judge(&one)
    };
    assert!(!spoil("/pulls", &|body| body["hed"] = json!("x")).is_empty());
    assert!(!spoil("/pulls", &|body| body["title"] = json!(1)).is_empty());
    assert!(!spoil("/git/refs", &|body| drop(body.as_object_mut().unwrap().remove("sha"))).is_empty());
    assert!(!spoil("/git/trees", &|body| body["tree"][0]["mode"] = json!("644")).is_empty());
    assert!(!spoil("/graphql", &|body| body["variables"]["updates"][0]["old"] = json!("x")).is_empty());
    let mut one = heard[0].clone();
    one.path = "/api/v3/repos/shop/manifests/nothing".into();
    assert!(!described.judge(&one).is_empty());
}

/// All that this program asks of GitHub.
async fn all_requests() -> Vec<Heard> {
    let world = world();
    let (forge, repo) = (&world.forge, &world.repo);
    let branch = "kiban/prod/orders";
    forge.default_branch(repo).await.unwrap();
    let mut first = change("main", world.first, Some(world.first), "1");
    first.edits.insert("rendered/prod/old.yaml".into(), None);
    first.edits.insert("logo".into(), Some(vec![0, 255]));
    let made = forge.commit(repo, &first).await.unwrap();
    let Made::Commit { id: head, .. } = made else { panic!("{made:?}") };
    let made = forge.commit(repo, &change(branch, head, None, "2")).await.unwrap();
    let Made::Commit { id: mine, .. } = made else { panic!("{made:?}") };
    forge.commit(repo, &change(branch, head, None, "3")).await.unwrap();
    let other = world.fake.push("shop/manifests", "main", &[("a", "b")], "x", "bob@shop.example").unwrap();
    forge.commit(repo, &change(branch, oid(&other), Some(mine), "4")).await.unwrap();
    forge.tip(repo, branch).await.unwrap();
    forge.file(repo, "orders/app.yaml", &other).await.unwrap();
    let proposal = Proposal {
        head: branch.into(),
        base: "main".into(),
        title: "orders".into(),
        body: "text".into(),
        labels: vec!["kiban".into()],
    };
    let pull = forge.open(repo, &proposal).await.unwrap();
    forge.update(repo, pull.number, &proposal).await.unwrap();
    forge.comment(repo, pull.number, "<!-- m -->", "one").await.unwrap();
    forge.comment(repo, pull.number, "<!-- m -->", "two").await.unwrap();
    world.fake.state().repositories.get_mut("shop/manifests").unwrap().pulls[0]
        .reviews
        .push((7, "APPROVED".into()));
    forge.drop_approvals(repo, pull.number, "another image").await.unwrap();
    let status = Status {
        context: "kiban/prod".into(),
        standing: Standing::Success,
        description: "good".into(),
        link: "https://kiban.example".into(),
    };
    forge.status(repo, &other, &status).await.unwrap();
    forge.auto_merge(repo, &pull, Merge::Squash).await.unwrap();
    let merged = world.fake.state().repositories["shop/manifests"].branches["main"].clone();
    forge.range(repo, &other, &merged).await.unwrap();
    forge.close(repo, pull.number).await.unwrap();
    forge.remove_branch(repo, branch).await.unwrap();
    world.line.heard()
}
