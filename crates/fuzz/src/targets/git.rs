//! What git servers and files say: packets, reports, packs, commits, keys, addresses.

use std::cell::RefCell;
use std::io::Cursor;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use kiban_git::http::{Body, Http};
use kiban_git::{
    Address, Cancel, Commit, Depth, Error, Fetch, Limits, Oid, Remote, SshKey, Store, Task, Want,
    id_from_hex, pktline,
};

/// The head of the history in the seeds.
const HEAD: &str = "1db98d4d00e516987c93b35dab1cf5770fe478e1";
/// After so many packs that were taken, the store is thrown away.
const PACKS: usize = 32;
const MOST: u64 = 1 << 20;

/// Packets to the end, and the same bytes as the report of a push.
pub(super) fn packets(input: &[u8]) -> bool {
    let report = kiban_git::read_report(&mut &input[..], "server").is_ok();
    let mut rest = input;
    loop {
        match pktline::read(&mut rest) {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return report,
        }
    }
}

/// A commit's content, a key file, an address: whatever the text may be.
pub(super) fn texts(input: &[u8]) -> bool {
    let id = Oid::from([0; 20]);
    let commit = Commit::read(id, input).is_ok_and(|commit| commit.title().len() <= commit.message.len());
    let key = SshKey::read(input).is_ok();
    let text = String::from_utf8_lossy(input);
    let address = Address::parse(&text, true).is_ok_and(|address| match address {
        Address::Http(found) => {
            let shown = found.to_string();
            assert!(!shown.contains(['@', '?', '#']), "what could be secret is shown: {shown}");
            true
        }
        Address::Folder(_) => false,
    });
    commit || key || address
}

/// Answers every fetch with the same pack.
#[derive(Default)]
struct Server(Mutex<Vec<u8>>);

impl Http for Server {
    fn send(&self, request: http::Request<Bytes>, _: &Task) -> Result<http::Response<Body>, Error> {
        let mut answer = Vec::new();
        let mut put = |data: &[u8]| {
            answer.extend_from_slice(format!("{:04x}", data.len() + 4).as_bytes());
            answer.extend_from_slice(data);
        };
        let kind = if request.method() == http::Method::GET {
            put(b"version 2\n");
            put(b"ls-refs\n");
            put(b"fetch=shallow\n");
            "advertisement"
        } else {
            put(b"packfile\n");
            let pack = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            pack.chunks(1000).for_each(|piece| put(&[b"\x01", piece].concat()));
            "result"
        };
        answer.extend_from_slice(b"0000");
        let response =
            http::Response::builder().header("content-type", format!("application/x-git-upload-pack-{kind}"));
        let response = response.body(Box::new(Cursor::new(answer)) as Body);
        response.map_err(|why| Error::Network { remote: "server".to_owned(), why: why.to_string() })
    }
}

struct Bench {
    server: Arc<Server>,
    remote: Remote,
    store: Store,
}

thread_local! {
    static BENCH: RefCell<Option<Bench>> = const { RefCell::new(None) };
}

fn start() -> Bench {
    let server = Arc::new(Server::default());
    let address = Address::parse("https://git.example/m", false).expect("an address");
    let remote = Remote::new(address, None, server.clone(), MOST).expect("a remote needs nothing");
    Bench { server, remote, store: Store::temporary(MOST).expect("a temporary folder") }
}

/// A pack as a server sends it, with its checksum made right, so that what is behind that is met too.
pub(super) fn pack(input: &[u8]) -> bool {
    let mut pack = input.to_vec();
    if let Some((content, sum)) = pack.split_last_chunk_mut::<20>() {
        sum.copy_from_slice(kiban_git::pack_checksum(content).as_slice());
    }
    BENCH.with_borrow_mut(|bench| {
        let bench = bench.get_or_insert_with(start);
        if bench.store.size().packs > PACKS {
            *bench = start();
        }
        *bench.server.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = pack;
        let limits = Limits {
            pack_bytes: MOST,
            objects: 1000,
            object_bytes: MOST,
            unpacked_bytes: 4 * MOST,
            time: Duration::from_secs(10),
            ..Limits::default()
        };
        let task = Task::new(limits, Cancel::default());
        let commit = id_from_hex(HEAD.as_bytes()).expect("an id");
        let before = bench.store.size().packs;
        let fetch = Fetch { want: Want::Commit(commit), depth: Depth::Exactly(9), into: None };
        if let Ok(got) = bench.remote.fetch(&bench.store, &fetch, &task) {
            let objects = bench.store.objects();
            let _ = objects
                .walk(got.commit, "", &task)
                .map(|files| files.iter().filter(|f| objects.read_entry(f, MOST).is_ok()).count());
            let _ = objects.log(None, got.commit, "d", 9, &task);
        }
        bench.store.size().packs > before
    })
}

/// Reports, advertisements and lists of refs as servers send them.
pub(super) fn packet_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "000eunpack ok\n0017ok refs/heads/main\n0000",
        "000eunpack ok\n0023ng refs/heads/main fetch first\n0000",
        "000eversion 2\n0015agent=git/2.39.5\n0013ls-refs=unborn\n0012fetch=shallow\n0000",
        "003d1db98d4d00e516987c93b35dab1cf5770fe478e1 refs/heads/main\n0000",
        "0009\x01PACK000d\x02remote: x0006\x03x0001000200000000",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// A commit, and addresses of all kinds.
pub(super) fn text_seeds() -> Vec<Vec<u8>> {
    let commit = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nparent 1db98d4d00e516987c93b35dab1cf5770fe478e1\n\
                  author M <m@example.com> 1700000000 +0100\ncommitter M <m@example.com> 1700000000 -0030\n\
                  gpgsig -----BEGIN SSH SIGNATURE-----\n x\n -----END SSH SIGNATURE-----\n\ntitle\n\nbody\n";
    let texts = [
        commit,
        "https://github.com/acme/manifests.git",
        "http://[::1]:8080/m",
        "https://user:token@host/m",
        "git@github.com:acme/m.git",
        "file:///srv/m.git",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAAB\n-----END OPENSSH PRIVATE KEY-----\n",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// One history of three commits as git packs it: with differences by offset, and by id.
pub(super) fn pack_seeds() -> Vec<Vec<u8>> {
    use base64::Engine as _;
    let decode = |text: &str| base64::engine::general_purpose::STANDARD.decode(text).ok();
    [BY_OFFSET, BY_ID].into_iter().filter_map(decode).collect()
}

const BY_OFFSET: &str = "\
    UEFDSwAAAAIAAAAMmQt4nI2KSwoCMQxA9z1F94Kk36QggxfwEJk0RcE6Q6ng8VXwAL7FWzzeHKqWAWgtWDSnyp6kZq7RsS+C\
    SRpQWkOGqtHsPPQxbZDIiRClYNPoGkJzFZg1NpcD+kZA7IgNP+d1G/ZiT/2sL+77XY+y9cU6hB/28LX51H6bU/+ajQTzBoi7\
    NA2ZC3icjYxLCgIxEAX3OUX2gqR70vmAiBfwEJ1OBwXjDCGCx3cED+Bb1KIo3hyqVggKSCYhLJIgLDkq+1rUKflCAC6xzw3N\
    xkOf00JKPldHlJYcHIIHiaExVkHKpXDzJPsFGn7N2zrs1Z76Rd/ct4ceZe1nC9H9Zg9fmt32+5z6V2wEzQcbmTNHmQh4nCsp\
    Sk1VSDU3MDIxsEhMM7NITTG1SDIyTUtMMjayME0xNEhNNU4zNTa3SDQzSeRKLC3JyC9S8FWwyXVIrUjMLchJ1UvOz7VTMDQ3\
    gAIFbRDJBRTNzSwpSSVKMVeyIRcAwmYmMqAEeJwzNDAwMzFRSCwo0KtMzM1h4KyQsJvqHxC1ePJ8vZsPTgUKLQ/VNTEAAoUU\
    Bq5fF/87WJ7M6qp15kzkZe1Yc2O5HQDB1ReYuhN4nDXOQQqDQBhD4f2cYo5gEm31OKUVFQbvvyzlf109yOIj47r3rjZ+cXuf\
    r/vYPz01zJWl8qg8K2tlq2iiUDJFEpSwBCY0wQnPeP5fwzOe8YxnPOMZz3jBC17wghe84AUveMEL3jy1Lxy7WDepBnicMzQw\
    MDMxUUgy1KtMzM1hsEtgrVp5+8ynM6Ub/POKO1hX+L+5YwhVYgRRsmiC0Nz1W57/0LF4r1GrlL9XQqh3PkyJMUQJZ4WE3VT/\
    gKjFk+fr3XxwKlBoeaguADVTKE/uAYBReJzbxbSLSTQ5IzEvPTVFwZArJzMvVcEITG0UVWUEAJh6CUvuAYB4eJzbxbSLSTQn\
    My9VwZArOSMxLz01RcGICySwUVSVEQCWlQlLoAR4nDM0MDAzMVFILCjQq0zMzWFYNEFo7votz3/oWLzXqFXK3ysh1DvfxAAI\
    FFIYOBdd7kivKbVnvBYgdZxFatPBCbOmAgD1ahieZIB9eJzLdJvgBgAD4AGGoAR4nDM0MDAzMVFILCjQq0zMzWGwS2CtWnn7\
    zKczpRv884o7WFf4v7ljYgAECikMS2s+d2+OLv0gKiye+cHpFedSyZSvACOHGqyjAnicMzQwMDMxUUgy1KtMzM1hsEtgrVp5\
    +8ynM6Ub/POKO1hX+L+5AwDSVQ6QQEgWIcUNcqFh+hyNyjJvBQzwt8o=";
const BY_ID: &str = "\
    UEFDSwAAAAIAAAAMmQt4nI2KSwoCMQxA9z1F94Kk36QggxfwEJk0RcE6Q6ng8VXwAL7FWzzeHKqWAWgtWDSnyp6kZq7RsS+C\
    SRpQWkOGqtHsPPQxbZDIiRClYNPoGkJzFZg1NpcD+kZA7IgNP+d1G/ZiT/2sL+77XY+y9cU6hB/28LX51H6bU/+ajQTzBoi7\
    NA2ZC3icjYxLCgIxEAX3OUX2gqR70vmAiBfwEJ1OBwXjDCGCx3cED+Bb1KIo3hyqVggKSCYhLJIgLDkq+1rUKflCAC6xzw3N\
    xkOf00JKPldHlJYcHIIHiaExVkHKpXDzJPsFGn7N2zrs1Z76Rd/ct4ceZe1nC9H9Zg9fmt32+5z6V2wEzQcbmTNHmQh4nCsp\
    Sk1VSDU3MDIxsEhMM7NITTG1SDIyTUtMMjayME0xNEhNNU4zNTa3SDQzSeRKLC3JyC9S8FWwyXVIrUjMLchJ1UvOz7VTMDQ3\
    gAIFbRDJBRTNzSwpSSVKMVeyIRcAwmYmMqAEeJwzNDAwMzFRSCwo0KtMzM1h4KyQsJvqHxC1ePJ8vZsPTgUKLQ/VNTEAAoUU\
    Bq5fF/87WJ7M6qp15kzkZe1Yc2O5HQDB1ReYuhN4nDXOQQqDQBhD4f2cYo5gEm31OKUVFQbvvyzlf109yOIj47r3rjZ+cXuf\
    r/vYPz01zJWl8qg8K2tlq2iiUDJFEpSwBCY0wQnPeP5fwzOe8YxnPOMZz3jBC17wghe84AUveMEL3jy1Lxy7WDepBnicMzQw\
    MDMxUUgy1KtMzM1hsEtgrVp5+8ynM6Ub/POKO1hX+L+5YwhVYgRRsmiC0Nz1W57/0LF4r1GrlL9XQqh3PkyJMUQJZ4WE3VT/\
    gKjFk+fr3XxwKlBoeaguADVTKE/+AQl4GD6VT1Bao5OfLtngylESp1UteJzbxbSLSTQ5IzEvPTVFwZArJzMvVcEITG0UVWUE\
    AJh6CUv+AQl4GD6VT1Bao5OfLtngylESp1UteJzbxbSLSTQnMy9VwZArOSMxLz01RcGICySwUVSVEQCWlQlLoAR4nDM0MDAz\
    MVFILCjQq0zMzWFYNEFo7votz3/oWLzXqFXK3ysh1DvfxAAIFFIYOBdd7kivKbVnvBYgdZxFatPBCbOmAgD1ahiedAr60f9A\
    Oclqin1DCWENBYis2Kc+eJzLdJvgBgAD4AGGoAR4nDM0MDAzMVFILCjQq0zMzWGwS2CtWnn7zKczpRv884o7WFf4v7ljYgAE\
    CikMS2s+d2+OLv0gKiye+cHpFedSyZSvACOHGqyjAnicMzQwMDMxUUgy1KtMzM1hsEtgrVp5+8ynM6Ub/POKO1hX+L+5AwDS\
    VQ6Q7t2FWL+DduO9ooeNyr1y8A8BMek=";
