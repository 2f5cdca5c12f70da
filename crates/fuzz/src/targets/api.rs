//! Whole requests, over a connection, to an embedded cluster without its controllers.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kiban_base::clock::{ManualClock, Timestamp};
use kiban_runtime::{http, shutdown};
use kiban_simcluster::api::Api;
use kiban_simcluster::{Cluster, bootstrap};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// After so many requests a cluster is thrown away with what they left in it.
const REQUESTS: u32 = 4_096;
/// Answers that go on (watches, logs that are followed) are left after this long.
const PATIENCE: Duration = Duration::from_millis(50);

struct Server {
    address: SocketAddr,
    runtime: tokio::runtime::Runtime,
    _trigger: shutdown::Trigger,
    served: u32,
}

thread_local! {
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
}

fn start() -> Server {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    let cluster = Cluster::new(Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000))), 1);
    bootstrap::install(&cluster, address).expect("a cluster's first objects are sound");
    let (trigger, shutdown) = shutdown::channel();
    let api = Arc::new(Api::new(cluster, "token".into(), shutdown.clone()));
    runtime.spawn(http::serve(listener, None, api, shutdown));
    Server { address, runtime, _trigger: trigger, served: 0 }
}

/// One request; it is well-formed where the answer is a 2xx.
pub(super) fn request(data: &[u8]) -> bool {
    let bytes = compose(data);
    SERVER.with_borrow_mut(|slot| {
        if slot.as_ref().is_some_and(|s| s.served >= REQUESTS) {
            *slot = None;
        }
        let server = slot.get_or_insert_with(start);
        server.served += 1;
        let answer = server.runtime.block_on(ask(server.address, &bytes));
        let status = answer.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.first());
        // A handler that panics answers nothing; a connection that talks nonsense is answered by 400.
        assert!(!bytes.starts_with(b"GET /api") || status.is_some(), "no answer to a request");
        status == Some(&b'2')
    })
}

/// The bytes on the wire: the first line is `METHOD PATH MEDIA-TYPE`, the rest the body.
fn compose(data: &[u8]) -> Vec<u8> {
    let cut = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (head, body) = data.split_at(cut);
    let body = body.get(1..).unwrap_or_default();
    let mut words = head.split(|b| *b == b' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let media = words.next().unwrap_or(b"application/json");
    let length = body.len().to_string();
    [
        method,
        b" ",
        path,
        b" HTTP/1.1\r\nhost: sim\r\nauthorization: Bearer token\r\nconnection: close\r\ncontent-type: ",
        media,
        b"\r\ncontent-length: ",
        length.as_bytes(),
        b"\r\n\r\n",
        body,
    ]
    .concat()
}

async fn ask(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    let Ok(mut stream) = TcpStream::connect(address).await else { return answer };
    // A server that answers early closes before it has read all.
    let _ = stream.write_all(request).await;
    let first = tokio::time::timeout(Duration::from_secs(10), stream.read_buf(&mut answer)).await;
    assert!(first.is_ok(), "no answer within ten seconds");
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    answer
}
