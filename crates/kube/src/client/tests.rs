//! Requests: answers, retries, throttling, trust.
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

/// A server on a loopback port, one task a connection.
async fn serve<F>(answer: F) -> String
where
    F: Fn(http::Request<hyper::body::Incoming>) -> http::Response<String> + Clone + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let answer = answer.clone();
            let service = hyper::service::service_fn(move |request| {
                let response = answer(request);
                async move { Ok::<_, std::convert::Infallible>(response) }
            });
            let io = hyper_util::rt::TokioIo::new(socket);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn requests_carry_credentials_and_reach_a_real_server() {
    let server = serve(|request| {
        let header =
            |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("").to_string();
        if header("authorization") != "Bearer t" || header("impersonate-user") != "robot" {
            return http::Response::builder()
                .status(401)
                .body(r#"{"kind":"Status","message":"who?"}"#.into())
                .unwrap();
        }
        if request.uri().path() == "/broken" {
            return http::Response::new("<html>".into());
        }
        let body = serde_json::json!({"path": request.uri().to_string(), "metadata": {"uid": "u-1"}});
        http::Response::builder().header("warning", "299 - \"old\"").body(body.to_string()).unwrap()
    })
    .await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), CONFIG.replace("http://127.0.0.1:1/", &server)).unwrap();
    let mut options = ConnectOptions { kubeconfig: Some(file.path().into()), ..ConnectOptions::default() };
    let stranger = Cluster::connect(&options, clock()).await.unwrap();
    let text = stranger.uid().await.unwrap_err().to_string();
    assert!(text.contains("does not accept the credentials (who?): log in again"), "{text}");

    options.impersonate = Some("robot".into());
    let cluster = Cluster::connect(&options, clock()).await.unwrap();
    assert_eq!(cluster.uid().await.unwrap(), "u-1");
    let answer = cluster.call(&Call::get("/a%2Fb?c=d%20e".into())).await.unwrap();
    assert_eq!(answer.body["path"], "/a%2Fb?c=d%20e");
    assert_eq!(answer.warnings, ["old"]);
    let text = cluster.call(&Call::get("/broken".into())).await.unwrap_err().to_string();
    assert!(text.contains("answered /broken with something unexpected: expected value"), "{text}");
    let mut lines = cluster.open("/x?watch=true").await.unwrap();
    assert!(lines.next().await.unwrap().unwrap().starts_with(b"{"));
}
