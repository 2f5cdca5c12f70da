//! Fetch by version 2 of the protocol: one request, one pack.

use crate::Oid;
use crate::error::Error;
use crate::object::id_from_hex;
use crate::pack::receive::Received;
use crate::pktline::{self, Bands, Packet};
use crate::remote::smart::{Packets, Server, command, failed, named};
use crate::store::Store;
use crate::task::Task;

/// What stands around a pack: frames, sections, messages. Progress is not asked for.
const AROUND: u64 = 4 << 20;

/// What a server says about where history is cut off.
#[derive(Default)]
struct Cut {
    shallow: Vec<Oid>,
    whole: Vec<Oid>,
}

impl Server {
    /// Fetches a commit into the store. With a depth, that many commits; without, all that the store lacks.
    pub(crate) fn fetch(
        &self,
        store: &Store,
        want: Oid,
        depth: Option<u32>,
        haves: &[Oid],
        task: &Task,
    ) -> Result<Option<Received>, Error> {
        let body = request(store, want, depth, haves);
        // Frames take five bytes of each 65,516, and servers send shorter ones.
        let most = task.limits.pack_bytes + task.limits.pack_bytes / 64 + AROUND;
        let mut packets = self.version_2(body, most, task).map_err(|why| self.no_commit(want, why))?;
        let cut = self.sections(&mut packets).map_err(|why| self.no_commit(want, why))?;
        let (name, ours) = (self.name(), store.objects().shallow());
        let mut shallow = Vec::with_capacity(cut.shallow.len());
        for id in cut.shallow {
            // A server cuts off at the depth that was asked for. What is here with its parents stays so.
            if ours.contains(&id) || !store.objects().contains(&id)? {
                shallow.push(id);
            }
        }
        let mut bands = Bands::new(&mut packets.input, &name);
        let received = store.receive(&mut bands, &name, &shallow, &cut.whole, task);
        let received = received.map_err(|why| self.no_commit(want, why))?;
        task.count_received(usize::try_from(received.map_or(0, |r| r.bytes)).unwrap_or(usize::MAX));
        // To the end of the bands, or what is left would stand before the next answer.
        std::io::copy(&mut std::io::Read::take(&mut bands, AROUND), &mut std::io::sink())
            .map_err(|why| failed(&name, why))?;
        packets.drain();
        Ok(received)
    }

    /// The sections before the pack.
    fn sections(&self, packets: &mut Packets) -> Result<Cut, Error> {
        let mut cut = Cut::default();
        loop {
            let section = packets.line()?.ok_or_else(|| self.wrong("its answer holds no pack"))?;
            match section.as_slice() {
                b"packfile" => return Ok(cut),
                b"shallow-info" => {}
                // What is asked for makes neither necessary; a server may say it nevertheless.
                b"acknowledgments" | b"wanted-refs" => {}
                other => {
                    let name = crate::error::tame(other, 40);
                    return Err(
                        self.wrong(format!("its answer has a section {name:?} that was not asked for"))
                    );
                }
            }
            let shallow = section == b"shallow-info";
            loop {
                match packets.packet()? {
                    Some(Packet::Data(line)) if shallow => self.cut(&mut cut, pktline::line(&line))?,
                    Some(Packet::Data(_)) => {}
                    Some(Packet::Delimiter) => break,
                    _ => return Err(self.wrong("its answer ends before the pack")),
                }
            }
        }
    }

    fn cut(&self, cut: &mut Cut, line: &[u8]) -> Result<(), Error> {
        let id =
            |hex: &[u8]| id_from_hex(hex).ok_or_else(|| self.wrong("it cuts history off at what is no id"));
        if let Some(hex) = line.strip_prefix(b"shallow ") {
            cut.shallow.push(id(hex)?);
        } else if let Some(hex) = line.strip_prefix(b"unshallow ") {
            cut.whole.push(id(hex)?);
        }
        Ok(())
    }

    /// Servers say "not our ref" for what they do not have.
    fn no_commit(&self, want: Oid, why: Error) -> Error {
        match why {
            Error::Refused { words, .. } if words.contains("not our ref") => {
                Error::NoSuchRef { remote: self.name(), what: format!("commit {want}") }
            }
            other => named(&self.name(), other),
        }
    }
}

fn request(store: &Store, want: Oid, depth: Option<u32>, haves: &[Oid]) -> Vec<u8> {
    let mut body = Vec::new();
    command(&mut body, "fetch");
    let mut put = |line: String| pktline::put(&mut body, line.as_bytes());
    for option in ["thin-pack", "no-progress", "ofs-delta"] {
        put(format!("{option}\n"));
    }
    let shallow = store.objects().shallow();
    let mut cut: Vec<&Oid> = shallow.iter().collect();
    cut.sort_unstable();
    cut.into_iter().for_each(|id| put(format!("shallow {id}\n")));
    if let Some(depth) = depth {
        put(format!("deepen {depth}\n"));
    }
    put(format!("want {want}\n"));
    haves.iter().for_each(|id| put(format!("have {id}\n")));
    put("done\n".to_owned());
    pktline::flush(&mut body);
    body
}
