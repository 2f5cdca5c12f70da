//! A repository in a folder as a remote. Its objects are read where they lie; hooks do not run.

use std::collections::{HashSet, VecDeque};

use crate::Oid;
use crate::error::Error;
use crate::local::Local;
use crate::object::{Commit, Kind, Mode, Object, id_of, rows, tag_target};
use crate::objects::Objects;
use crate::pack::receive::Received;
use crate::pack::write::NewPack;
use crate::remote::{Push, Pushed, RemoteRef, missing};
use crate::store::Store;
use crate::task::Task;

/// The refs, HEAD among them.
pub(crate) fn refs(local: &Local, prefixes: &[&str]) -> Result<Vec<RemoteRef>, Error> {
    let mut found = Vec::new();
    let head = prefixes.is_empty() || prefixes.iter().any(|p| "HEAD".starts_with(p));
    if let Some(id) = head.then(|| local.resolve("HEAD")).transpose()?.flatten() {
        found.push(RemoteRef { name: "HEAD".to_owned(), id, peeled: None, target: local.head()? });
    }
    for (name, id) in local.refs(prefixes)? {
        let peeled = match local.objects().kind(&id)? {
            Some(Kind::Tag) => Some(local.objects().peel(id)?),
            _ => None,
        };
        found.push(RemoteRef { name, id, peeled, target: None });
    }
    Ok(found)
}

/// Copies a commit and what it needs into the store.
pub(crate) fn fetch(
    local: &Local,
    store: &Store,
    want: Oid,
    depth: Option<u32>,
    task: &Task,
) -> Result<Option<Received>, Error> {
    let from = local.objects();
    let (start, mut ids) = tags(local, want)?;
    let line = commits(from, store.objects(), start, depth, task)?;
    ids.extend(line.new.iter().map(|(id, _)| *id));
    let trees = line.new.iter().map(|(_, tree)| *tree).collect();
    content(from, store.objects(), trees, &mut ids, task)?;
    // The cuts before the pack and after it, as with a pack that was sent.
    store.change_cuts(&line.cut, &[])?;
    let bytes = copy(from, store, &ids, task)?;
    store.change_cuts(&[], &line.whole)?;
    Ok((!ids.is_empty()).then_some(Received { objects: ids.len() as u64, bytes }))
}

/// The commit that an id stands for, and the tags on the way there.
fn tags(local: &Local, want: Oid) -> Result<(Oid, Vec<Oid>), Error> {
    let (mut at, mut ids) = (want, Vec::new());
    loop {
        let found = local.objects().find(&at)?.ok_or_else(|| Error::NoSuchRef {
            remote: local.refs.common.display().to_string(),
            what: format!("commit {at}"),
        })?;
        match found {
            Object { kind: Kind::Tag, data } if !ids.contains(&at) => {
                ids.push(at);
                at = tag_target(at, &data)?;
            }
            _ => return Ok((at, ids)),
        }
    }
}

/// Copies objects as one pack. The bytes of their content.
fn copy(from: &Objects, store: &Store, ids: &[Oid], task: &Task) -> Result<u64, Error> {
    if ids.is_empty() {
        return Ok(0);
    }
    let mut pack = NewPack::begin(&store.path().join("objects/pack"), ids.len())?;
    let mut bytes = 0;
    for id in ids {
        task.check("copy the objects")?;
        let object = from.get(id)?;
        // What is damaged there does not become so here.
        if id_of(object.kind, &object.data)? != *id {
            return Err(Error::object(*id, format!("it is damaged in {}", from.folder().display())));
        }
        bytes += object.data.len() as u64;
        pack = pack.add(*id, &object)?;
    }
    pack.keep()?;
    store.objects().refresh()?;
    Ok(bytes)
}

/// A line of history to be copied.
struct Line {
    /// Commits that the store lacks, with their trees.
    new: Vec<(Oid, Oid)>,
    /// Where it is cut off.
    cut: Vec<Oid>,
    /// Commits whose parents are there, or will be.
    whole: Vec<Oid>,
}

/// The commits from one on: with a depth that many, without one those that the store lacks.
fn commits(from: &Objects, to: &Objects, start: Oid, depth: Option<u32>, task: &Task) -> Result<Line, Error> {
    let (theirs, ours) = (from.shallow(), to.shallow());
    let mut line = Line { new: Vec::new(), cut: Vec::new(), whole: Vec::new() };
    let mut seen = HashSet::new();
    let mut queue = VecDeque::from([(start, 1)]);
    while let Some((id, count)) = queue.pop_front() {
        let known = to.contains(&id)?;
        if (known && depth.is_none()) || !seen.insert(id) {
            continue;
        }
        task.check("read the history")?;
        let commit = Commit::read(id, &from.get_as(&id, Kind::Commit)?.data)?;
        if !known {
            line.new.push((id, commit.tree));
        }
        let ends = theirs.contains(&id) || depth.is_some_and(|depth| count >= depth);
        if !ends {
            line.whole.push(id);
            queue.extend(commit.parents.iter().map(|parent| (*parent, count + 1)));
        } else if !commit.parents.is_empty() && (!known || ours.contains(&id)) {
            line.cut.push(id);
        }
    }
    Ok(line)
}

/// The trees and files that the store lacks. A tree that it has, it has with all that is in it.
fn content(
    from: &Objects,
    to: &Objects,
    mut trees: Vec<Oid>,
    ids: &mut Vec<Oid>,
    task: &Task,
) -> Result<(), Error> {
    let mut seen = HashSet::new();
    while let Some(tree) = trees.pop() {
        if !seen.insert(tree) || to.contains(&tree)? {
            continue;
        }
        task.check("find what is to be copied")?;
        ids.push(tree);
        for row in rows(tree, &from.get_as(&tree, Kind::Tree)?.data)? {
            match row.mode {
                Mode::Tree => trees.push(row.id),
                Mode::Submodule => {}
                _ if seen.insert(row.id) && !to.contains(&row.id)? => ids.push(row.id),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Copies what a commit needs, then moves the ref under its lock.
pub(crate) fn push(local: &Local, objects: &Objects, push: &Push, task: &Task) -> Result<Pushed, Error> {
    let current = local.resolve(&push.name)?;
    if current == push.new {
        return Ok(Pushed::Done);
    }
    if current != push.expected {
        return Ok(Pushed::Raced { current });
    }
    if !local.is_bare() && local.head()?.as_deref() == Some(&push.name) {
        let words = "the working folder would no longer be what its branch is: push to another branch, or commit there".to_owned();
        return Ok(Pushed::Rejected { reason: "branch is currently checked out".to_owned(), words });
    }
    if let Some(new) = push.new {
        let ids = missing(objects, new, &|id| local.objects().contains(id), task)?;
        let copies: Vec<(Oid, Object)> =
            ids.iter().map(|id| Ok((*id, objects.get(id)?))).collect::<Result<_, Error>>()?;
        local.objects().write(&copies)?;
    }
    match local.refs.update(&push.name, push.expected, push.new, Some(task.deadline())) {
        Ok(()) => Ok(Pushed::Done),
        Err(Error::RefMoved { current, .. }) => Ok(Pushed::Raced { current }),
        Err(why) => Err(why),
    }
}
