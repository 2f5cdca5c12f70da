//! Proposals as golden pages, and what titles cannot do in them.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn build(tag: &str, digit: char, revision: Option<&str>) -> Build {
    Build {
        repository: "registry.example/checkout/orders".into(),
        digest: format!("sha256:{}", digit.to_string().repeat(64)),
        tag: Some(tag.into()),
        revision: revision.map(str::to_owned),
    }
}

fn deployment(image: &str, replicas: u32) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "orders", "namespace": "checkout-prod"},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"name": "orders", "image": image}]}}}})
}

fn item(id: &str, title: &str, link: Option<&str>) -> Item {
    Item { id: id.into(), title: title.into(), link: link.map(str::to_owned) }
}

fn facts(history: History, changes: &[Change]) -> Facts<'_> {
    Facts {
        app: "orders",
        env: "prod",
        before: Some(build("2.13.0", 'a', Some("1111111111111111111111111111111111111111"))),
        after: build("2.14.0", 'b', Some("2222222222222222222222222222222222222222")),
        history,
        changes,
        laws: Laws { held: 32, warnings: vec!["orders/app.yaml:7:3: calls ten times [retry-budget]".into()] },
        dry_run: None,
    }
}

fn changes() -> Vec<Change> {
    diff::objects(&[deployment("orders:a", 3)], &[deployment("orders:b", 2)])
}

/// Holds a page against its file; `KIBAN_BLESS=1` writes it.
#[track_caller]
fn golden(name: &str, page: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/proposal/{name}.txt"));
    if std::env::var_os("KIBAN_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, page).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(page == wanted, "{} differs; it is now:\n{page}", path.display());
}

#[test]
fn a_proposal_says_what_the_image_holds_and_what_it_does() {
    let changes = changes();
    let history = History::Forward {
        pulls: vec![item("#41", "Round totals half up", Some("https://git.example/checkout/orders/pull/41"))],
        commits: vec![
            item("222222222222", "Merge pull request #41 from checkout/rounding", None),
            item("123456789abc", "Round totals half up\n\nFixes #40", None),
        ],
        more: Some(3),
    };
    golden("forward", &body(&facts(history, &changes)));
}

#[test]
fn titles_that_mention_refer_and_close_do_nothing_in_it() {
    let titles = [
        "cc @team @org/owners",
        "Fixes #1, closes GH-2, resolves team/manifests#3",
        "see team/manifests@4f2a9c1 and https://evil.example/x and www.evil.example",
        "!7 ~bug %1 $2 &3 ^alert#4 for GitLab",
        "<!-- kiban:ship stg/other --> <img src=x> [click](https://evil.example)",
        "`code` *bold* | a cell",
        "/close",
        "",
    ];
    let commits = titles.iter().enumerate().map(|(n, title)| item(&format!("{n:012x}"), title, None));
    let history = History::Forward { pulls: vec![], commits: commits.collect(), more: None };
    golden("hostile", &body(&facts(history, &[])));
}

#[test]
fn what_is_unknown_or_goes_back_is_said() {
    let changes = changes();
    let back = History::Backward { commits: vec![item("111111111111", "Round totals half up", None)] };
    let mut older = facts(back, &changes);
    assert_eq!(title(&older), "orders: back to 2.14.0 in prod");
    older.dry_run = Some(DryRun::Accepted { objects: 7, untried: 1 });
    golden("backward", &body(&older));
    for (history, words) in [
        (History::Parted, "The histories parted"),
        (History::Same, "The same commit of the app, built again."),
        (
            History::Unknown("the image has no label with its commit".into()),
            "Not known: the image has no label",
        ),
        (
            History::Forward { pulls: vec![], commits: vec![], more: Some(0) },
            "No commit of the app: the image was built anew.",
        ),
    ] {
        let page = body(&facts(history, &[]));
        assert!(page.contains(words), "{page}");
        assert!(page.contains("Nothing but the pin"), "{page}");
    }
}

#[test]
fn a_first_image_has_nothing_before_it() {
    let mut first = facts(History::Unknown("nothing runs there yet".into()), &[]);
    first.before = None;
    first.after.tag = None;
    assert_eq!(title(&first), "orders: sha256:bbbbbbbbbbbb in prod");
    assert!(body(&first).contains("| digest | – | `sha256:bbbb"));
    assert!(!message(&first).contains("Replaces"));
}

#[test]
fn names_titles_and_messages_are_the_same_each_time() {
    assert_eq!(branch("prod", "orders"), "kiban/ship/prod/orders");
    assert_eq!(marker("prod", "orders"), "<!-- kiban:ship prod/orders -->");
    let facts = facts(History::Same, &[]);
    assert!(body(&facts).starts_with(&marker("prod", "orders")));
    let (a, b) = ("a".repeat(64), "b".repeat(64));
    assert_eq!(
        message(&facts),
        format!(
            "orders: 2.14.0 in prod\n\nImage: registry.example/checkout/orders@sha256:{b} (2.14.0)\n\
             Replaces: registry.example/checkout/orders@sha256:{a} (2.13.0)\n\
             Revision: 2222222222222222222222222222222222222222\n"
        )
    );
}

#[test]
fn the_result_of_a_dry_run_takes_its_place_and_nothing_else() {
    let changes = changes();
    let page = body(&facts(History::Same, &changes));
    let accepted = with_dry_run(&page, "prod", &DryRun::Accepted { objects: 7, untried: 0 }).unwrap();
    assert!(accepted.contains("`prod` takes it: 7 objects tried."), "{accepted}");
    let refused =
        DryRun::Refused(vec!["service/orders: spec.ports[0].port: Invalid value, says @webhook".into()]);
    let refused = with_dry_run(&accepted, "prod", &refused).unwrap();
    assert!(refused.contains("**`prod` would refuse it:**") && !refused.contains("takes it"), "{refused}");
    assert!(!refused.contains("@webhook"), "{refused}");
    let failed = with_dry_run(&refused, "prod", &DryRun::Failed("no answer.".into())).unwrap();
    assert!(failed.contains("could not be asked: no answer."), "{failed}");
    assert_eq!(
        with_dry_run(&failed, "prod", &DryRun::Accepted { objects: 7, untried: 0 }).unwrap(),
        accepted
    );
    let marked = deployment(&marker("stg", "cart"), 3);
    let marked = diff::objects(&[deployment("a", 3)], &[marked]);
    assert!(!body(&self::facts(History::Same, &marked)).contains(&marker("stg", "cart")));
    assert_eq!(with_dry_run("a text of somebody", "prod", &DryRun::Failed("x".into())), None);
}

#[test]
fn only_addresses_become_links() {
    for (address, expect) in [
        ("https://git.example/a/pull/1", Some("https://git.example/a/pull/1")),
        ("https://git.example/a(b)", Some("https://git.example/a%28b%29")),
        ("javascript:alert(1)", None),
        ("https://git.example/a b", None),
        ("https://git.example/\"><img", None),
    ] {
        assert_eq!(link(address).as_deref(), expect, "{address}");
    }
}

#[test]
fn a_page_is_never_longer_than_a_forge_takes() {
    let many: Vec<Item> = (0..5000).map(|n| item(&format!("{n:012x}"), &"long ".repeat(300), None)).collect();
    let old: Vec<Value> = (0..800)
        .map(|n| {
            let mut one = deployment(&"x".repeat(500), 3);
            one["metadata"]["name"] = json!(format!("orders-{n}"));
            one
        })
        .collect();
    let changes = diff::objects(&old, &[]);
    let history = History::Forward { pulls: many.clone(), commits: many, more: Some(7) };
    let page = body(&facts(history, &changes));
    assert!(page.chars().count() <= 65_536, "{}", page.chars().count());
    let shown = page.lines().filter(|line| line.starts_with("- `0000")).count();
    assert!(page.contains("more\n\n<details>") && shown < 100, "{page}");
    let dry_run = DryRun::Accepted { objects: 1, untried: 0 };
    assert!(with_dry_run(&page, "prod", &dry_run).is_some(), "{page}");
}

proptest! {
    /// Whatever a title says: no mention, no reference, no markup of its own is left in it.
    #[test]
    fn quoted_titles_do_nothing(title in "[@#!~%$&a-zA-Z0-9/:. <>`*_\\[\\]()|\\\\-]{0,60}") {
        let text = quoted(&title);
        let chars: Vec<char> = text.chars().collect();
        for pair in chars.windows(2) {
            let [mark, next] = pair else { continue };
            if matches!(mark, '@' | '#' | '!' | '~' | '%' | '$') {
                prop_assert!(next.is_whitespace() || *next == '\u{200b}', "{:?}", text);
            }
        }
        prop_assert!(!text.contains('<') && !text.contains('>') && !text.contains("://"), "{:?}", text);
        prop_assert!(!text.contains('\n'));
    }
}
