//! Push over HTTP, by our own send-pack: one conditional change of one ref, and what that needs.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufReader, Read};

use bytes::Bytes;

use crate::Oid;
use crate::address::HttpAddress;
use crate::error::{Error, tame};
use crate::object::{Commit, Kind, Mode, Row, rows};
use crate::objects::Objects;
use crate::pack::write::Writer;
use crate::pktline::{self, Bands};
use crate::remote::report::{Report, read_report};
use crate::remote::smart::{AGENT, Server, old_ref};
use crate::remote::{Push, Pushed, missing};
use crate::task::Task;

const SERVICE: &str = "git-receive-pack";
const NOTHING: &str = "0000000000000000000000000000000000000000";
/// What git's server says while somebody else is just moving the ref.
const CONTENDED: [&str; 3] = ["cannot lock ref", "failed to update ref", "reference already exists"];
/// What a server may say to a push.
const ANSWER: u64 = 4 << 20;

/// What a server advertises to who pushes.
struct Advertised {
    at: HttpAddress,
    refs: BTreeMap<String, Oid>,
    features: Vec<String>,
}

/// Why a push was not taken.
struct Refusal {
    reason: String,
    /// What the server told people besides.
    words: String,
    /// Whether more objects may help.
    lacks_objects: bool,
}

impl Advertised {
    fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|f| f == feature)
    }
}

impl Server {
    /// `known` are commits that were fetched from here once: what they need is not sent again.
    pub(crate) fn push(
        &self,
        objects: &Objects,
        push: &Push,
        known: &[Oid],
        task: &Task,
    ) -> Result<Pushed, Error> {
        let there = self.advertised(task)?;
        let current = there.refs.get(&push.name).copied();
        if current == push.new {
            return Ok(Pushed::Done);
        }
        if current != push.expected {
            return Ok(Pushed::Raced { current });
        }
        let sure: HashSet<Oid> = there.refs.values().copied().collect();
        let theirs: HashSet<Oid> = sure.iter().chain(known).copied().collect();
        let mut refusal = self.send_pack(objects, push, &there, &theirs, task)?;
        if refusal.as_ref().is_some_and(|r| r.lacks_objects) && theirs.len() > sure.len() {
            // What was fetched may be gone there since: then all is sent that its refs do not reach.
            refusal = self.send_pack(objects, push, &there, &sure, task)?;
        }
        let Some(Refusal { reason, words, .. }) = refusal else { return Ok(Pushed::Done) };
        // Servers say in many words that somebody else was first; where the ref is now, says it plainly.
        let now = self.advertised(task).map_err(|why| self.lost(push, why))?.refs.get(&push.name).copied();
        let raced = now != push.expected || CONTENDED.iter().any(|words| reason.contains(words));
        Ok(if raced { Pushed::Raced { current: now } } else { Pushed::Rejected { reason, words } })
    }

    /// One request with a pack of what `theirs` lack. `None`: it was taken.
    fn send_pack(
        &self,
        objects: &Objects,
        push: &Push,
        there: &Advertised,
        theirs: &HashSet<Oid>,
        task: &Task,
    ) -> Result<Option<Refusal>, Error> {
        let body = self.commands(objects, push, there, theirs, task)?;
        task.check("push")?;
        let answer = self.post(&there.at, SERVICE, body, ANSWER, task).and_then(|mut packets| {
            let answer = self.report(&mut packets.input, there.has("side-band-64k"))?;
            packets.drain();
            Ok(answer)
        });
        let (report, words) = answer.map_err(|why| self.lost(push, why))?;
        Ok(match (report.unpack, report.refs.into_iter().find(|(name, _)| *name == push.name)) {
            (Some(why), _) => {
                Some(Refusal { reason: format!("the pack was not taken: {why}"), words, lacks_objects: true })
            }
            (None, Some((_, None))) => None,
            (None, Some((_, Some(reason)))) => {
                let lacks_objects = reason.contains("missing necessary objects");
                Some(Refusal { reason, words, lacks_objects })
            }
            (None, None) => return Err(self.lost(push, self.wrong("its report does not name the ref"))),
        })
    }

    /// Where the answer may have been "done", that is what is said.
    fn lost(&self, push: &Push, why: Error) -> Error {
        match why {
            Error::Network { .. }
            | Error::Timeout { .. }
            | Error::Cancelled
            | Error::Protocol { .. }
            | Error::Limit { .. } => {}
            Error::Server { status, .. } if status >= 500 => {}
            other => return other,
        }
        Error::Lost { remote: self.name(), name: push.name.clone(), why: why.to_string() }
    }

    /// The refs, and what the server can do. This service speaks version 0 or 1.
    fn advertised(&self, task: &Task) -> Result<Advertised, Error> {
        let (at, mut packets) = self.advertisement(SERVICE, None, task)?;
        let mut found = Advertised { at, refs: BTreeMap::new(), features: Vec::new() };
        let mut first = true;
        while let Some(line) = packets.line()? {
            if first && line == b"version 1" {
                continue;
            }
            let mut halves = line.splitn(2, |b| *b == 0);
            let (row, features) = (halves.next().unwrap_or_default(), halves.next());
            if first {
                let features = features.ok_or_else(|| self.wrong("it does not say what it can do"))?;
                found.features =
                    String::from_utf8_lossy(features).split_whitespace().map(str::to_owned).collect();
            }
            first = false;
            if row.starts_with(b"shallow ") {
                continue;
            }
            let (id, name) = old_ref(row)
                .ok_or_else(|| self.wrong(format!("{:?} is no line of a list of refs", tame(row, 200))))?;
            // A repository without refs has a line that only carries what it can do.
            if name != "capabilities^{}" {
                found.refs.insert(name, id);
            }
            if found.refs.len() > task.limits.refs {
                let limit = format!("{} refs", task.limits.refs);
                return Err(Error::Limit { what: format!("the list of refs of {}", self.name()), limit });
            }
        }
        packets.drain();
        if !found.has("report-status") {
            return Err(self.wrong("it does not report what becomes of a push"));
        }
        if let Some(format) =
            found.features.iter().find_map(|f| f.strip_prefix("object-format=")).filter(|f| *f != "sha1")
        {
            return Err(self.wrong(format!(
                "its objects are named by {}; only sha1 is spoken",
                tame(format.as_bytes(), 20)
            )));
        }
        Ok(found)
    }

    fn commands(
        &self,
        objects: &Objects,
        push: &Push,
        there: &Advertised,
        theirs: &HashSet<Oid>,
        task: &Task,
    ) -> Result<Bytes, Error> {
        if push.new.is_none() && !there.has("delete-refs") {
            return Err(self.wrong("it does not let refs be removed"));
        }
        let id = |id: Option<Oid>| id.map_or_else(|| NOTHING.to_owned(), |id| id.to_string());
        let mut line = format!("{} {} {}\0 report-status", id(push.expected), id(push.new), push.name);
        for feature in ["side-band-64k", "object-format=sha1"] {
            if there.has(feature) {
                line.push(' ');
                line.push_str(feature);
            }
        }
        line.push_str(&format!(" agent={AGENT}\n"));
        let mut body = Vec::new();
        pktline::put(&mut body, line.as_bytes());
        pktline::flush(&mut body);
        if let Some(new) = push.new {
            let ids = missing(objects, new, &|id| Ok(theirs.contains(id)), task)?;
            body = pack(objects, &ids, body, task)?;
        }
        Ok(body.into())
    }

    fn report(
        &self,
        input: &mut BufReader<super::smart::Limited>,
        bands: bool,
    ) -> Result<(Report, String), Error> {
        let name = self.name();
        if !bands {
            return Ok((read_report(input, &name)?, String::new()));
        }
        let mut bands = Bands::new(input, &name);
        let mut text = Vec::new();
        bands.read_to_end(&mut text).map_err(|why| super::smart::failed(&name, why))?;
        Ok((read_report(&mut text.as_slice(), &name)?, bands.words()))
    }
}

/// A pack of these objects, behind what is there already.
fn pack(objects: &Objects, ids: &[Oid], before: Vec<u8>, task: &Task) -> Result<Vec<u8>, Error> {
    let failed = |why: std::io::Error| Error::io("make a pack of", objects.folder())(why);
    let count = u32::try_from(ids.len()).map_err(|why| failed(std::io::Error::other(why)))?;
    let mut writer = Writer::new(before, count).map_err(failed)?;
    for id in ids {
        task.check("make the pack")?;
        writer.add(*id, &objects.get(id)?).map_err(failed)?;
        if writer.length() > task.limits.pack_bytes {
            let limit = format!("{} bytes", task.limits.pack_bytes);
            return Err(Error::Limit { what: "the pack to be pushed".to_owned(), limit });
        }
    }
    Ok(writer.finish().map_err(failed)?.0)
}

/// Finds what commits need that others lack.
pub(super) struct Walk<'a> {
    objects: &'a Objects,
    task: &'a Task,
    seen: HashSet<Oid>,
    ids: Vec<Oid>,
    /// Trees of new commits, each with those of its parents.
    trees: Vec<(Oid, Vec<Oid>)>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(objects: &'a Objects, task: &'a Task) -> Self {
        Self { objects, task, seen: HashSet::new(), ids: Vec::new(), trees: Vec::new() }
    }

    /// All commits from one on, until the others have them.
    pub(super) fn commits(
        &mut self,
        new: Oid,
        theirs: &dyn Fn(&Oid) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let shallow = self.objects.shallow();
        let mut todo = vec![new];
        while let Some(id) = todo.pop() {
            if theirs(&id)? || !self.seen.insert(id) {
                continue;
            }
            self.task.check("find what is to be pushed")?;
            let commit = Commit::read(id, &self.objects.get_as(&id, Kind::Commit)?.data)?;
            self.ids.push(id);
            // What is before a cut is not here: the other side has it, or says that it has not.
            let parents = if shallow.contains(&id) { Vec::new() } else { commit.parents };
            let mut before = Vec::with_capacity(parents.len());
            for parent in &parents {
                before.push(Commit::read(*parent, &self.objects.get_as(parent, Kind::Commit)?.data)?.tree);
            }
            self.trees.push((commit.tree, before));
            todo.extend(parents);
        }
        Ok(())
    }

    /// All that the trees hold and those of the parents, at the same place, do not.
    pub(super) fn trees(mut self) -> Result<Vec<Oid>, Error> {
        while let Some((tree, before)) = self.trees.pop() {
            if before.contains(&tree) || !self.seen.insert(tree) {
                continue;
            }
            self.task.check("find what is to be pushed")?;
            self.ids.push(tree);
            let object = self.objects.get_as(&tree, Kind::Tree)?;
            let old: Vec<(Oid, crate::object::Object)> = before
                .iter()
                .map(|id| Ok((*id, self.objects.get_as(id, Kind::Tree)?)))
                .collect::<Result<_, Error>>()?;
            let mut known: Vec<BTreeMap<&[u8], Row<'_>>> = Vec::with_capacity(old.len());
            for (id, object) in &old {
                known.push(rows(*id, &object.data)?.into_iter().map(|row| (row.name, row)).collect());
            }
            for row in rows(tree, &object.data)? {
                let there = known.iter().filter_map(|rows| rows.get(row.name));
                match row.mode {
                    Mode::Submodule => {}
                    Mode::Tree => {
                        let before = there.filter(|r| r.mode == Mode::Tree).map(|r| r.id).collect();
                        self.trees.push((row.id, before));
                    }
                    _ if there.clone().any(|r| r.id == row.id) || !self.seen.insert(row.id) => {}
                    _ => self.ids.push(row.id),
                }
            }
        }
        Ok(self.ids)
    }
}
