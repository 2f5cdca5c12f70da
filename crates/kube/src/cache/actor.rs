//! The task of one kind: holds its watches, and hands what they tell to its subscribers.
//!
//! One task does it all, so that there is one order: steps of watches and of newcomers' lists are taken
//! one at a time, whichever is ready, in turn. It ends with the last subscriber, and its connections
//! with it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, stream};

use super::feed::{Feed, SinkId};
use super::finder::Found;
use super::interest::Namespaces;
use super::report::Shared;
use super::stats::KindState;
use super::subscription::Sink;
use super::{Inner, Options};
use crate::client::{ApiError, Cluster, encode};
use crate::discovery::Resource;
use crate::watch::raw::Raw;
use crate::watch::reader::{Reader, Step};

/// How long a refusal that trying again does not mend is left alone: permissions may come.
const REFUSED: Duration = Duration::from_secs(30);

/// How long where the kind or the credentials may be about to change.
const SOON: Duration = Duration::from_secs(1);

/// How long a kind that is not there is left alone, once it has been looked for a few times.
const ABSENT: Duration = Duration::from_secs(10);

/// Bytes of objects that are looked at before other tasks have their turn: some milliseconds.
const TURN: usize = 256 << 10;

/// The task of one kind.
pub(crate) struct Actor {
    cache: Weak<Inner>,
    cluster: Cluster,
    options: Options,
    shared: Arc<Shared>,
    resource: Option<Resource>,
    sinks: BTreeMap<SinkId, Arc<dyn Sink>>,
    last_id: SinkId,
    /// By namespace; the whole cluster's under the empty one.
    feeds: BTreeMap<String, Feed>,
    sources: Vec<Source>,
    /// Whose turn it is among the sources.
    turn: usize,
    /// The whole cluster is watched, since somebody wants it or there are too many namespaces.
    wide: bool,
    /// The server refuses that: who named namespaces has a watch for each.
    refused: bool,
    /// The selector that the server is told.
    selector: Option<String>,
    /// Bytes since other tasks had their turn.
    taken: usize,
}

/// Where steps come from.
struct Source {
    origin: Origin,
    steps: Pin<Box<dyn Stream<Item = Heard> + Send>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// The watch of a feed.
    Feed(String),
    /// A newcomer's own list.
    Join {
        feed: String,
        id: SinkId,
        /// The namespace that is listed; empty for all.
        namespace: String,
        /// Those that are listed next.
        next: Vec<String>,
    },
}

enum Heard {
    Step(Step),
    /// Trying again at once does not mend it.
    Refused(ApiError, Duration),
}

/// Why a round of watching ended.
enum End {
    /// There are no subscribers any more.
    Nobody,
    /// The server says that there is no such kind.
    NotFound,
}

impl Actor {
    pub(crate) fn new(cache: Weak<Inner>, cluster: Cluster, options: Options, shared: Arc<Shared>) -> Self {
        Self {
            cache,
            cluster,
            options,
            shared,
            resource: None,
            sinks: BTreeMap::new(),
            last_id: 0,
            feeds: BTreeMap::new(),
            sources: Vec::new(),
            turn: 0,
            wide: false,
            refused: false,
            selector: None,
            taken: 0,
        }
    }

    /// Serves subscribers until there is none.
    pub(crate) async fn run(mut self) {
        loop {
            self.take_coming();
            while !self.sinks.is_empty() {
                if let End::Nobody = self.find().await {
                    break;
                }
                if let End::Nobody = self.watch().await {
                    break;
                }
            }
            let ended = match self.cache.upgrade() {
                Some(cache) => cache.forget(&self.shared),
                None => self.shared.end(),
            };
            if ended {
                return;
            }
        }
    }

    /// Looks for the kind until the cluster has it.
    async fn find(&mut self) -> End {
        let mut failed = 0;
        loop {
            let Some(cache) = self.cache.upgrade() else { return End::Nobody };
            // Only the first look of all may be answered from what is known.
            let again = self.resource.is_some() || failed > 0;
            let found = cache.finder.find(&self.shared.kind, again).await;
            drop(cache);
            failed += 1;
            let pause = match found {
                Ok(Found::Served(resource)) => {
                    self.serve_as(resource);
                    return End::NotFound;
                }
                Ok(Found::Absent) => {
                    self.absent();
                    self.cluster.pause(failed, (failed > 6).then_some(ABSENT))
                }
                Ok(Found::Unknown) => {
                    let pause = self.cluster.pause(failed, None);
                    self.outside("the server of its API group does not answer".into(), pause);
                    pause
                }
                Err(error) => {
                    let pause = self.cluster.pause(failed, None);
                    self.outside(error.to_string(), pause);
                    pause
                }
            };
            let pause = tokio::time::sleep(pause);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    () = self.shared.woken.notified() => {}
                }
                self.take_coming();
                if self.sinks.is_empty() {
                    return End::Nobody;
                }
                let absent = self.shared.report().outside == Some(KindState::Absent);
                if absent {
                    self.sinks.values().for_each(|sink| sink.synced());
                }
            }
        }
    }

    fn serve_as(&mut self, resource: Resource) {
        self.shared.report().outside = None;
        if self.resource.as_ref() != Some(&resource) {
            self.resource = Some(resource);
            self.feeds.values_mut().for_each(Feed::restart);
            self.sources.clear();
        }
        self.replan();
    }

    /// Everything of the kind is gone with it.
    fn absent(&mut self) {
        self.feeds.values_mut().for_each(Feed::clear);
        self.feeds.clear();
        self.sources.clear();
        self.selector = None;
        (self.wide, self.refused) = (false, false);
        let mut report = self.shared.report();
        report.states.clear();
        report.outside = Some(KindState::Absent);
        (report.objects, report.bytes) = (0, 0);
        drop(report);
        self.sinks.values().for_each(|sink| sink.synced());
    }

    fn outside(&self, why: String, pause: Duration) {
        tracing::debug!(kind = %self.shared.kind, why, ?pause, "cannot look the kind up");
        self.shared.report().outside = Some(KindState::BackingOff { why, pause });
    }

    /// Takes steps, until nobody listens or the kind is gone.
    async fn watch(&mut self) -> End {
        loop {
            let heard = tokio::select! {
                biased;
                () = self.shared.woken.notified() => None,
                heard = next(&mut self.sources, &mut self.turn) => Some(heard),
            };
            match heard {
                None => {
                    self.take_coming();
                    if self.sinks.is_empty() {
                        return End::Nobody;
                    }
                    self.replan();
                }
                Some((Origin::Feed(scope), Heard::Step(step))) => self.step(&scope, step),
                Some((Origin::Feed(scope), Heard::Refused(error, pause))) => {
                    self.refusal(&scope, &error, pause);
                    if error.is_not_found() {
                        return End::NotFound;
                    }
                }
                Some((origin @ Origin::Join { .. }, Heard::Step(step))) => self.join_step(origin, step),
                Some((Origin::Join { .. }, Heard::Refused(error, pause))) => {
                    tracing::debug!(kind = %self.shared.kind, %error, ?pause, "a newcomer's list is refused");
                    self.shared.report().troubles += 1;
                }
            }
            if self.taken > TURN {
                self.taken = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Subscribers that came and went.
    fn take_coming(&mut self) {
        for sink in self.shared.coming() {
            self.last_id += 1;
            self.sinks.insert(self.last_id, sink);
        }
        self.sinks.retain(|_, sink| !sink.is_closed());
        self.shared.report().sinks = self.sinks.values().cloned().collect();
        if self.sinks.is_empty() {
            self.feeds.clear();
            self.sources.clear();
            self.selector = None;
            (self.wide, self.refused) = (false, false);
            self.shared.report().states.clear();
        }
    }

    fn step(&mut self, scope: &str, step: Step) {
        let now = self.cluster.clock().now();
        if matches!(step, Step::Begin) {
            self.begin(scope);
        }
        let Some(feed) = self.feeds.get_mut(scope) else { return };
        let before = (feed.index().len() as u64, feed.index().bytes());
        let mut state = None;
        let mut late = Vec::new();
        match &step {
            Step::Begin => {
                feed.begin();
                state = Some(KindState::Listing);
            }
            Step::Listed(raw) => feed.listed(raw),
            Step::Complete => {
                late = feed.complete();
                state = Some(KindState::Watching);
            }
            Step::Set(raw) => feed.set(raw),
            Step::Gone(raw) => feed.gone(raw),
            Step::Alive => state = Some(KindState::Watching),
            Step::Bad(what) => tracing::debug!(kind = %self.shared.kind, what, "left out"),
            Step::Trouble { why, pause } => {
                state = Some(KindState::BackingOff { why: why.clone(), pause: *pause });
            }
        }
        let after = (feed.index().len() as u64, feed.index().bytes());
        let mut report = self.shared.report();
        report.objects = (report.objects + after.0).saturating_sub(before.0);
        report.bytes = (report.bytes + after.1).saturating_sub(before.1);
        match &step {
            Step::Begin => report.lists += 1,
            Step::Listed(_) => report.goes_on(scope),
            Step::Set(_) | Step::Gone(_) => {
                report.events += 1;
                report.last_event = Some(now);
            }
            Step::Bad(_) => report.bad += 1,
            Step::Trouble { .. } => report.troubles += 1,
            _ => {}
        }
        if !matches!(step, Step::Trouble { .. }) {
            report.last_contact = Some(now);
        }
        if let Some(state) = state {
            report.states.insert(scope.into(), state);
        }
        drop(report);
        self.taken += bytes_of(&step);
        late.into_iter().for_each(|id| self.join(scope, id));
        if matches!(step, Step::Complete) {
            self.tell_synced();
        }
    }

    /// A list begins: whoever lists for himself is served by it, and where the whole cluster may be
    /// listed after all, so are those who had a watch a namespace.
    fn begin(&mut self, scope: &str) {
        self.drop_joins(scope);
        if let Some(feed) = self.feeds.get_mut(scope) {
            feed.restart();
        }
        if scope.is_empty() && self.refused {
            self.refused = false;
            self.replan();
        }
    }

    fn drop_joins(&mut self, scope: &str) {
        self.sources.retain(|s| !matches!(&s.origin, Origin::Join { feed, .. } if feed == scope));
    }

    fn refusal(&mut self, scope: &str, error: &ApiError, pause: Duration) {
        let why = error.to_string();
        {
            let mut report = self.shared.report();
            report.troubles += 1;
            report.states.insert(scope.into(), KindState::BackingOff { why: why.clone(), pause });
        }
        tracing::debug!(kind = %self.shared.kind, scope, why, ?pause, "refused");
        if let Some(feed) = self.feeds.get_mut(scope) {
            feed.break_off();
        }
        if scope.is_empty() && error.is_forbidden() && !self.refused && self.names_namespaces() {
            self.refused = true;
            self.replan();
        }
    }

    fn names_namespaces(&self) -> bool {
        let named = |s: &Arc<dyn Sink>| matches!(s.interest().namespaces, Namespaces::Some(_));
        self.namespaced() && self.sinks.values().any(named)
    }

    fn namespaced(&self) -> bool {
        self.resource.as_ref().is_some_and(|r| r.namespaced)
    }

    fn join_step(&mut self, origin: Origin, step: Step) {
        let Origin::Join { feed: scope, id, namespace, next } = &origin else { return };
        let Some(feed) = self.feeds.get_mut(scope) else { return };
        match &step {
            Step::Begin => {
                feed.join_begins(*id, namespace);
                self.shared.report().joins += 1;
            }
            Step::Listed(raw) => feed.join_listed(*id, raw),
            Step::Complete => {
                self.sources.retain(|s| s.origin != origin);
                match next.split_first() {
                    Some((first, rest)) => {
                        let next = rest.to_vec();
                        self.join_source(scope, *id, first.clone(), next);
                    }
                    None => {
                        feed.join_complete(*id);
                        self.tell_synced();
                    }
                }
            }
            Step::Bad(_) => self.shared.report().bad += 1,
            Step::Trouble { .. } => self.shared.report().troubles += 1,
            Step::Set(_) | Step::Gone(_) | Step::Alive => {}
        }
        self.taken += bytes_of(&step);
    }

    /// A newcomer lists for itself: its namespaces alone, where it names some.
    fn join(&mut self, scope: &str, id: SinkId) {
        let Some(sink) = self.sinks.get(&id) else { return };
        let mut namespaces: Vec<String> = match &sink.interest().namespaces {
            Namespaces::Some(names) if scope.is_empty() && self.namespaced() => {
                names.iter().cloned().collect()
            }
            _ => vec![scope.into()],
        };
        if namespaces.is_empty() {
            // Of no namespace there is nothing to list.
            if let Some(feed) = self.feeds.get_mut(scope) {
                feed.join_complete(id);
            }
            return self.tell_synced();
        }
        let first = namespaces.remove(0);
        self.join_source(scope, id, first, namespaces);
    }

    fn join_source(&mut self, scope: &str, id: SinkId, namespace: String, next: Vec<String>) {
        if let Some(steps) = self.steps(&namespace) {
            let origin = Origin::Join { feed: scope.into(), id, namespace, next };
            self.sources.push(Source { origin, steps });
        }
    }

    fn tell_synced(&self) {
        for (id, sink) in &self.sinks {
            let scopes = self.scopes(sink);
            let complete = |scope: &String| self.feeds.get(scope).is_some_and(|f| f.is_complete(*id));
            if scopes.iter().all(complete) {
                sink.synced();
            }
        }
    }

    /// The watches that a subscriber looks at.
    fn scopes(&self, sink: &Arc<dyn Sink>) -> BTreeSet<String> {
        match &sink.interest().namespaces {
            Namespaces::Some(names) if self.namespaced() && (!self.wide || self.refused) => names.clone(),
            _ => BTreeSet::from([String::new()]),
        }
    }

    /// Brings the watches in line with what the subscribers want.
    fn replan(&mut self) {
        self.widen();
        let wanted: BTreeMap<SinkId, BTreeSet<String>> =
            self.sinks.iter().map(|(id, sink)| (*id, self.scopes(sink))).collect();
        let scopes: BTreeSet<String> = wanted.values().flatten().cloned().collect();
        for scope in &scopes {
            let heard = Origin::Feed(scope.clone());
            if !self.sources.iter().any(|s| s.origin == heard)
                && let Some(steps) = self.steps(scope)
            {
                self.sources.push(Source { origin: heard, steps });
                self.shared.report().states.entry(scope.clone()).or_insert(KindState::Listing);
            }
            let mut joining = Vec::new();
            let feed = self.feeds.entry(scope.clone()).or_insert_with(|| Feed::new(scope));
            for (id, sink) in self.sinks.iter().filter(|(id, _)| wanted[id].contains(scope)) {
                if !feed.is_linked(*id) && feed.link(*id, sink.clone()) {
                    joining.push(*id);
                }
            }
            joining.into_iter().for_each(|id| self.join(scope, id));
        }
        for (scope, feed) in &mut self.feeds {
            feed.keep_links(|id| wanted.get(&id).is_some_and(|scopes| scopes.contains(scope)));
        }
        self.drop_idle();
        self.tell_synced();
    }

    /// Whom the selector, or the namespaces, no longer serve is served by a wider watch.
    fn widen(&mut self) {
        let mut named = BTreeSet::new();
        let mut selectors = BTreeSet::new();
        for sink in self.sinks.values() {
            selectors.insert(sink.interest().selector());
            match &sink.interest().namespaces {
                Namespaces::All => self.wide = true,
                Namespaces::Some(names) => named.extend(names),
            }
        }
        self.wide |= named.len() > self.options.namespace_watches;
        let common = selectors.pop_first().filter(|_| selectors.is_empty()).unwrap_or_default();
        match &self.selector {
            None => self.selector = Some(common),
            Some(told) if told.is_empty() || *told == common => {}
            Some(_) => {
                self.selector = Some(String::new());
                self.feeds.values_mut().for_each(Feed::restart);
                self.sources.clear();
            }
        }
    }

    fn drop_idle(&mut self) {
        self.feeds.retain(|_, feed| !feed.is_idle());
        let feeds = &self.feeds;
        self.sources.retain(|source| match &source.origin {
            Origin::Feed(scope) => feeds.contains_key(scope),
            Origin::Join { feed, id, .. } => feeds.get(feed).is_some_and(|f| f.is_linked(*id)),
        });
        let mut report = self.shared.report();
        report.states.retain(|scope, _| feeds.contains_key(scope));
        report.objects = feeds.values().map(|f| f.index().len() as u64).sum();
        report.bytes = feeds.values().map(|f| f.index().bytes()).sum();
    }

    /// The steps of a list-watch loop over a namespace, or over all.
    fn steps(&self, namespace: &str) -> Option<Pin<Box<dyn Stream<Item = Heard> + Send>>> {
        let path = self.resource.as_ref()?.collection(namespace);
        let selector = match self.selector.as_deref().unwrap_or("") {
            "" => String::new(),
            selector => format!("labelSelector={}", encode(selector)),
        };
        let (streamed, seed) = (self.options.streamed, self.options.seed);
        let reader = Reader::new(&self.cluster, path, selector, streamed, self.shared.reader.clone(), seed);
        Some(Box::pin(stream::unfold(reader, |mut reader| async move {
            let heard = match reader.next().await {
                Ok(step) => Heard::Step(step),
                Err(error) => {
                    let again = if matches!(error.code(), Some(401 | 404)) { SOON } else { REFUSED };
                    let pause = reader.hold(again);
                    Heard::Refused(error, pause)
                }
            };
            Some((heard, reader))
        })))
    }
}

fn bytes_of(step: &Step) -> usize {
    let size = |raw: &Raw| raw.bytes().len();
    match step {
        Step::Listed(raw) | Step::Set(raw) | Step::Gone(raw) => size(raw),
        _ => 0,
    }
}

/// The next step of any source; each has its turn.
async fn next(sources: &mut [Source], turn: &mut usize) -> (Origin, Heard) {
    poll_fn(|context: &mut Context<'_>| {
        for i in 0..sources.len() {
            let at = (*turn + i) % sources.len();
            let Some(source) = sources.get_mut(at) else { continue };
            if let Poll::Ready(Some(heard)) = source.steps.as_mut().poll_next(context) {
                *turn = at + 1;
                return Poll::Ready((source.origin.clone(), heard));
            }
        }
        Poll::Pending
    })
    .await
}
