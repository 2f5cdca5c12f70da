//! Watches: start, resume, expiry.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;

use super::*;
use crate::client::Failure;
use crate::fake::{Fake, Fault, status};
use crate::object::Gvk;

fn config_maps() -> Resource {
    let gvk = Gvk { group: String::new(), version: "v1".into(), kind: "ConfigMap".into() };
    Resource { gvk, plural: "configmaps".into(), namespaced: true }
}

fn map(name: &str, value: i32) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop-dev"}, "data": {"v": value}})
}

const A: &str = "/api/v1/namespaces/shop-dev/configmaps/a";

fn describe(change: &Change) -> String {
    let one = |o: &Value| format!("{}={}", o["metadata"]["name"].as_str().unwrap(), o["data"]["v"]);
    match change {
        Change::Listed(all) => format!("listed [{}]", all.iter().map(one).collect::<Vec<_>>().join(" ")),
        Change::Set(o) => format!("set {}", one(o)),
        Change::Gone(o) => format!("gone {}", one(o)),
    }
}

#[tokio::test]
async fn a_watch_goes_on_where_it_broke_off_and_lists_anew_only_after_a_gap() {
    let fake = Fake::new();
    let selection = Selection::Labels(String::new());
    let changes = follow(&fake.cluster(), &config_maps(), "shop-dev", &selection);
    tokio::pin!(changes);
    let mut next = async || describe(&changes.next().await.unwrap().unwrap());
    fake.put(map("a", 1));
    assert_eq!(next().await, "listed [a=1]");
    fake.edit(A, |o| o["data"]["v"] = json!(2));
    // The first try to watch breaks off, the second is refused for now.
    let (_, busy) = status(503, "ServiceUnavailable", "later");
    fake.fault(&["watch=true"], 1, Fault::DropBefore);
    fake.fault(&["watch=true"], 1, Fault::Refuse(503, busy, None));
    assert_eq!(next().await, "set a=2");
    fake.put(map("b", 1));
    assert_eq!(next().await, "set b=1");
    fake.remove(A);
    assert_eq!(next().await, "gone a=2");
    fake.take_requests();
    fake.put(map("c", 1));
    fake.forget();
    assert_eq!(next().await, "listed [b=1 c=1]");
    let (_, gone) = status(410, "Expired", "too old");
    fake.fault(&["watch=true"], 1, Fault::Refuse(410, gone, None));
    assert_eq!(next().await, "listed [b=1 c=1]");
}

#[tokio::test]
async fn a_watch_of_one_object_sees_no_other() {
    let fake = Fake::new();
    let changes = follow(&fake.cluster(), &config_maps(), "shop-dev", &Selection::Name("a".into()));
    tokio::pin!(changes);
    assert_eq!(describe(&changes.next().await.unwrap().unwrap()), "listed []");
    fake.put(map("b", 1));
    fake.put(map("a", 1));
    assert_eq!(describe(&changes.next().await.unwrap().unwrap()), "set a=1");
}

#[tokio::test]
async fn what_trying_again_does_not_mend_ends_it() {
    let fake = Fake::new();
    let (_, refusal) = status(403, "Forbidden", "may not");
    fake.fault(&["watch=true"], 1, Fault::Refuse(403, refusal, None));
    let changes = follow(&fake.cluster(), &config_maps(), "shop-dev", &Selection::Labels("a=b".into()));
    tokio::pin!(changes);
    assert!(changes.next().await.unwrap().is_ok());
    assert!(changes.next().await.unwrap().unwrap_err().is_forbidden());
    assert!(changes.next().await.is_none());
    assert!(fake.take_requests()[1].contains("labelSelector=a=b"));
}

#[tokio::test]
async fn lists_are_read_page_by_page_and_from_the_start_when_a_page_is_forgotten() {
    let fake = Fake::new();
    let page = |names: &[&str], next: &str| {
        let items: Vec<Value> = names.iter().map(|n| map(n, 1)).collect();
        json!({"metadata": {"resourceVersion": "5", "continue": next}, "items": items})
    };
    let (_, expired) = status(410, "Expired", "the provided continue parameter is too old");
    let mut answers = vec![
        Fault::Refuse(200, page(&["a"], "x/y"), None),
        Fault::Refuse(410, expired, None),
        Fault::Refuse(200, page(&["a"], "x/y"), None),
        Fault::Refuse(200, page(&["b"], ""), None),
    ];
    answers.reverse();
    fake.rule(move |_| answers.pop());
    let (items, revision) = list(&fake.cluster(), "/api/v1/configmaps", "").await.unwrap();
    let names: Vec<&str> = items.iter().map(|o| o["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!((names, revision.as_str()), (vec!["a", "b"], "5"));
    let requests = fake.take_requests();
    assert!(requests[1].ends_with("?limit=500&continue=x/y"), "{requests:?}");
}

proptest::proptest! {
    #[test]
    fn lines_are_the_same_however_they_are_cut(
        text in "([a-c]{0,5}\n){0,8}[a-c]{0,3}",
        cuts in proptest::collection::vec(1..7_usize, 0..40),
    ) {
        let mut chunks: Vec<Result<Bytes, Failure>> = Vec::new();
        let mut rest = text.as_bytes();
        for cut in cuts {
            let (chunk, after) = rest.split_at(cut.min(rest.len()));
            chunks.push(Ok(Bytes::copy_from_slice(chunk)));
            rest = after;
        }
        chunks.push(Ok(Bytes::copy_from_slice(rest)));
        let mut lines = lines::Lines::new(Box::pin(stream::iter(chunks)));
        let mut seen = Vec::new();
        let patience = std::time::Duration::MAX;
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
            while let lines::Next::Line(line) = lines.next(patience, |_| {}).await {
                seen.push(String::from_utf8(line.to_vec()).unwrap());
            }
        });
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let expected: Vec<&str> = whole.split('\n').filter(|l| !l.is_empty()).collect();
        proptest::prop_assert_eq!(seen, expected);
    }
}
