//! The embedded cluster's API as the reconciler under test sees it: every request is written down, and the
//! process can be stopped at any of its writes.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use kiban_runtime::http::{Body, Handler};
use kiban_simcluster::api::Api;
use tokio::sync::Notify;

/// Where the process dies: at its so-many-th write, before or after the API has done it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    pub at: usize,
    pub is_done: bool,
}

/// One request, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    pub path: String,
}

impl Asked {
    /// True for one that may change what is stored.
    pub fn writes(&self) -> bool {
        self.method != "GET" && !self.path.contains("dryRun=All")
    }

    /// True for a watch, and for the list that one begins with.
    pub fn watches(&self) -> bool {
        self.path.contains("watch=") || (self.method == "GET" && self.path.contains("limit="))
    }
}

pub struct Front {
    api: Arc<Api>,
    asked: Mutex<Vec<Asked>>,
    under_way: AtomicUsize,
    death: Mutex<Option<Death>>,
    writes: AtomicUsize,
    /// Told when the process is to die.
    pub died: Notify,
}

impl Front {
    pub fn new(api: Api) -> Arc<Self> {
        Arc::new(Self {
            api: Arc::new(api),
            asked: Mutex::default(),
            under_way: AtomicUsize::new(0),
            death: Mutex::default(),
            writes: AtomicUsize::new(0),
            died: Notify::new(),
        })
    }

    /// How many requests came, and how many of them are not answered yet.
    pub fn activity(&self) -> (usize, usize) {
        (self.asked().len(), self.under_way.load(Ordering::SeqCst))
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The writes so far since the last death was planned.
    pub fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst)
    }

    /// Plans a death, counted from now on.
    pub fn plan(&self, death: Option<Death>) {
        self.writes.store(0, Ordering::SeqCst);
        *self.death.lock().unwrap_or_else(PoisonError::into_inner) = death;
    }

    fn note(&self, request: &Request<Incoming>) -> Option<Death> {
        let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        let asked = Asked { method: request.method().to_string(), path };
        let writes = asked.writes() && request.method() != Method::GET;
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        if !writes {
            return None;
        }
        let at = self.writes.fetch_add(1, Ordering::SeqCst) + 1;
        let death = *self.death.lock().unwrap_or_else(PoisonError::into_inner);
        // Who is dead writes nothing more.
        death
            .filter(|death| at >= death.at)
            .map(|death| Death { is_done: death.is_done && at == death.at, ..death })
    }
}

impl Handler for Front {
    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        match self.note(&request) {
            None => {
                self.under_way.fetch_add(1, Ordering::SeqCst);
                let answer = Arc::clone(&self.api).handle(request).await;
                self.under_way.fetch_sub(1, Ordering::SeqCst);
                answer
            }
            Some(Death { is_done, .. }) => {
                if is_done {
                    drop(Arc::clone(&self.api).handle(request).await);
                }
                self.died.notify_one();
                pending().await
            }
        }
    }
}
