//! The table of routes: which rows there are, who answers them, and which row a path means.
//!
//! A component's rows come with it and go with it. Each row has one handler and each handler a row: a
//! component whose rows and handlers differ is not built. Rows are sorted so that the first that fits is the
//! most exact one.

use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};

use http::Method;

use crate::route::{Respond, Route, decode};

/// The table. Clones are the same one.
#[derive(Clone, Default)]
pub struct Router(Arc<RwLock<Arc<Vec<Row>>>>);

#[derive(Clone)]
struct Row {
    route: Route,
    parts: Vec<Part>,
    component: &'static str,
    serving: Serving,
}

#[derive(Clone)]
enum Serving {
    By(Arc<dyn Respond>),
    /// Nobody, and why.
    Not(Arc<str>),
}

/// A part of a pattern. The order is that of the rows: exact ones first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Exact(String),
    /// One part of a path.
    One(&'static str),
    /// All that follows.
    Rest(&'static str),
}

/// What a path means.
pub enum Found {
    /// A row, and what stood where it has `{…}`.
    Row {
        /// The row.
        route: Route,
        /// The component that it belongs to.
        component: &'static str,
        /// Who answers; or why nobody does now.
        respond: Result<Arc<dyn Respond>, Arc<str>>,
        /// What stood where the path has `{…}`.
        params: Vec<(Cow<'static, str>, String)>,
    },
    /// The path is known, the method is not; these are.
    Methods(Vec<Method>),
    /// The path is unknown.
    Nothing,
}

impl Router {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts the rows of a component in, in place of those that it had.
    ///
    /// # Errors
    /// A pattern that is none, or a row that another component has already.
    pub fn install(&self, component: &'static str, routes: Vec<Route>) -> Result<(), String> {
        let mut rows = Vec::new();
        for route in routes {
            let parts = pattern(route.path)?;
            rows.push(Row { route, parts, component, serving: Serving::Not("it is starting".into()) });
        }
        self.change(|table| {
            table.retain(|row| row.component != component);
            for row in rows {
                let same = |other: &&Row| {
                    shape(&other.parts) == shape(&row.parts)
                        && other.route.methods.iter().any(|method| row.route.methods.contains(method))
                };
                if let Some(other) = table.iter().find(same) {
                    let (path, theirs) = (row.route.path, other.component);
                    return Err(format!("its route {path} is one of {theirs} already"));
                }
                table.push(row);
            }
            table.sort_by(|a, b| a.parts.cmp(&b.parts));
            Ok(())
        })
    }

    /// Says who answers the rows of a component.
    ///
    /// # Errors
    /// A row without a handler, or a handler without a row.
    pub fn serve(
        &self,
        component: &'static str,
        handlers: Vec<(&'static str, Arc<dyn Respond>)>,
    ) -> Result<(), String> {
        self.change(|table| {
            for (path, _) in &handlers {
                if !table.iter().any(|row| row.component == component && row.route.path == *path) {
                    return Err(format!("it answers {path}, which is no row of its routes"));
                }
            }
            for row in table.iter_mut().filter(|row| row.component == component) {
                let path = row.route.path;
                let Some((_, handler)) = handlers.iter().find(|(p, _)| *p == path) else {
                    return Err(format!("nobody answers its route {path}"));
                };
                row.serving = Serving::By(handler.clone());
            }
            Ok(())
        })
    }

    /// Says why nobody answers the rows of a component now.
    pub fn unserve(&self, component: &'static str, why: &str) {
        let why: Arc<str> = why.into();
        let _ = self.change(|table| {
            for row in table.iter_mut().filter(|row| row.component == component) {
                row.serving = Serving::Not(why.clone());
            }
            Ok(())
        });
    }

    /// Takes the rows of a component away.
    pub fn remove(&self, component: &'static str) {
        let _ = self.change(|table| {
            table.retain(|row| row.component != component);
            Ok(())
        });
    }

    /// All rows with the component that each belongs to, by path.
    pub fn rows(&self) -> Vec<(&'static str, Route)> {
        let table = self.table();
        let mut rows: Vec<_> = table.iter().map(|row| (row.component, row.route.clone())).collect();
        rows.sort_by_key(|(_, route)| route.path);
        rows
    }

    /// What `path` means for `method`, among the rows for which `visible` holds.
    pub fn find(&self, method: &Method, path: &str, visible: impl Fn(&Route) -> bool) -> Found {
        let table = self.table();
        let asked = if *method == Method::HEAD { &Method::GET } else { method };
        let mut methods: Vec<Method> = Vec::new();
        for row in table.iter().filter(|row| visible(&row.route)) {
            let Some(params) = matches(&row.parts, path) else { continue };
            if !row.route.methods.contains(asked) {
                methods.extend(row.route.methods.iter().cloned());
                continue;
            }
            let respond = match &row.serving {
                Serving::By(respond) => Ok(respond.clone()),
                Serving::Not(why) => Err(why.clone()),
            };
            return Found::Row { route: row.route.clone(), component: row.component, respond, params };
        }
        match methods.is_empty() {
            true => Found::Nothing,
            false => {
                methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
                methods.dedup();
                Found::Methods(methods)
            }
        }
    }

    fn table(&self) -> Arc<Vec<Row>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes a copy of the table, and puts it in place if that went well.
    fn change(&self, work: impl FnOnce(&mut Vec<Row>) -> Result<(), String>) -> Result<(), String> {
        let mut at = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut table = Vec::clone(&at);
        work(&mut table)?;
        *at = Arc::new(table);
        Ok(())
    }
}

/// A pattern's parts.
fn pattern(path: &'static str) -> Result<Vec<Part>, String> {
    let Some(rest) = path.strip_prefix('/') else {
        return Err(format!("its route {path:?} does not begin with /"));
    };
    let mut parts = Vec::new();
    for part in rest.split('/') {
        if parts.last().is_some_and(|last| matches!(last, Part::Rest(_))) {
            return Err(format!("in its route {path} something follows {{*…}}, which takes all"));
        }
        let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        parts.push(match (name, name.and_then(|name| name.strip_prefix('*'))) {
            (_, Some(name)) => Part::Rest(name),
            (Some(name), None) => Part::One(name),
            (None, None) => Part::Exact(part.to_owned()),
        });
    }
    Ok(parts)
}

/// A pattern without its names: what decides whether two rows want the same paths.
fn shape(parts: &[Part]) -> Vec<Part> {
    let nameless = |part: &Part| match part {
        Part::Exact(text) => Part::Exact(text.clone()),
        Part::One(_) => Part::One(""),
        Part::Rest(_) => Part::Rest(""),
    };
    parts.iter().map(nameless).collect()
}

/// What stands where the pattern has `{…}`, where it fits.
fn matches(parts: &[Part], path: &str) -> Option<Vec<(Cow<'static, str>, String)>> {
    let mut rest = Some(path.strip_prefix('/')?);
    let mut params = Vec::new();
    for part in parts {
        let left = rest?;
        let (here, after) = match left.split_once('/') {
            Some((here, after)) => (here, Some(after)),
            None => (left, None),
        };
        match part {
            Part::Exact(text) if text == here => rest = after,
            Part::Exact(_) => return None,
            Part::One(_) if here.is_empty() => return None,
            Part::One(name) => {
                params.push((Cow::Borrowed(*name), decode(here, false)));
                rest = after;
            }
            Part::Rest(name) => {
                params.push((Cow::Borrowed(*name), decode(left, false)));
                rest = None;
            }
        }
    }
    rest.is_none().then_some(params)
}

#[cfg(test)]
mod tests;
