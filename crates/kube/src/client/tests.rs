#![allow(clippy::unwrap_used)]

use kiban_base::clock::{ManualClock, Timestamp};

use super::*;

const CONFIG: &str = "apiVersion: v1
kind: Config
current-context: dev
contexts:
- {name: dev, context: {cluster: c, user: u}}
- {name: prod, context: {cluster: missing, user: u}}
clusters:
- {name: c, cluster: {server: 'http://127.0.0.1:1/'}}
users:
- {name: u, user: {token: t}}
";

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::new(Timestamp::from_secs(0)))
}

async fn connect(text: &str, context: Option<&str>) -> Result<Cluster, ConnectError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let options = ConnectOptions {
        kubeconfig: Some(file.path().into()),
        context: context.map(String::from),
        ..ConnectOptions::default()
    };
    Cluster::connect(&options, clock()).await
}

#[tokio::test]
async fn errors_name_file_context_and_what_there_is() {
    let cluster = connect(CONFIG, None).await.unwrap();
    assert_eq!(cluster.target().to_string(), "http://127.0.0.1:1 (context \"dev\")");
    let text = |r: Result<Cluster, ConnectError>| r.unwrap_err().to_string();
    assert!(text(connect(CONFIG, Some("stg")).await).ends_with("no context \"stg\"; it has dev, prod"));
    assert!(text(connect(CONFIG, Some("prod")).await).contains("context \"prod\": "));
    let none = CONFIG.replace("current-context: dev", "");
    assert!(text(connect(&none, None).await).contains("no current context; choose one with --context"));
    assert!(text(connect("{", None).await).contains("parse"));
    let options = ConnectOptions { kubeconfig: Some("/nowhere/config".into()), ..ConnectOptions::default() };
    assert!(text(Cluster::connect(&options, clock()).await).starts_with("/nowhere/config: "));
}

#[tokio::test]
async fn an_unreachable_server_is_named_at_once() {
    let cluster = connect(CONFIG, None).await.unwrap();
    let text = cluster.kinds().await.unwrap_err().to_string();
    assert!(text.starts_with("cannot reach http://127.0.0.1:1 (context \"dev\"): "), "{text}");
    assert!(text.contains("refused"), "{text}");
}

#[tokio::test]
async fn pauses_double_with_jitter_and_add_to_what_the_server_asks() {
    let cluster = connect(CONFIG, None).await.unwrap();
    for (failed, longest) in [(1, 250), (2, 500), (3, 1000), (6, 8000), (60, 8000)] {
        let pause = cluster.pause(failed, None);
        let longest = Duration::from_millis(longest);
        assert!(pause >= longest / 2 && pause <= longest, "{failed}: {pause:?}");
    }
    assert!(cluster.pause(1, Some(Duration::from_secs(5))) > Duration::from_secs(5));
    assert!(cluster.pause(1, Some(Duration::from_secs(5000))) < Duration::from_secs(61));
}

#[test]
fn path_segments_cannot_break_out() {
    assert_eq!(encode("a/../b?c=d e"), "a%2F..%2Fb%3Fc%3Dd%20e");
}
