//! Repositories made by git, and a small web server with git's own http-backend behind it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use kiban_git::http::Client;
use kiban_git::{
    Address, Credential, Edit, Fetch, Limits, NewCommit, Oid, Remote, Store, Task, Want, Who, id_from_hex,
};

/// The largest object that tests read.
pub const MOST: u64 = 16 << 20;

/// Notes that a test cannot run here, as kiban-testkit does, without the embedded cluster below it.
pub fn skip(test: &str, why: &str) {
    eprintln!("skipped: {test}: {why}");
    if let Some(path) = std::env::var_os("KIBAN_SKIPS") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{test}: {why}").unwrap();
    }
}

/// Whether git and its http-backend are there; says so where not.
pub fn has_git(test: &str) -> bool {
    let path = Command::new("git")
        .arg("--exec-path")
        .output()
        .map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned());
    let found = path.is_ok_and(|path| Path::new(&path).join("git-http-backend").is_file());
    if !found {
        skip(test, "no git with http-backend on this machine");
    }
    found
}

/// Runs git, without anything of this machine's configuration. Panics where it fails.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = git_command(folder).args(arguments).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "git {arguments:?}: {out}{err}");
    out.trim_end().to_owned()
}

pub fn git_command(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("HOME", folder);
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Mika").env(format!("GIT_{who}_EMAIL"), "mika@example.com");
        command.env(format!("GIT_{who}_DATE"), "1700000000 +0100");
    }
    command.arg("-c").arg("init.defaultBranch=main").arg("-c").arg("gc.auto=0");
    command
}

/// A bare repository that a server offers, and a working one that pushes to it.
pub struct Repo {
    pub root: tempfile::TempDir,
    pub bare: PathBuf,
    pub work: PathBuf,
    clock: AtomicUsize,
}

impl Repo {
    /// With a first commit on main.
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let (bare, work) = (root.path().join("m.git"), root.path().join("work"));
        git(root.path(), &["init", "-q", "--bare", "m.git"]);
        git(&bare, &["config", "http.receivepack", "true"]);
        git(&bare, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
        git(root.path(), &["init", "-q", "work"]);
        git(&work, &["remote", "add", "origin", bare.to_str().unwrap()]);
        let repo = Self { root, bare, work, clock: AtomicUsize::new(0) };
        repo.commit(&[
            ("platform.yaml", "name: shop\n"),
            ("orders/app.yaml", "name: orders\n"),
            ("rendered/dev/orders/a.yaml", "a: 1\n"),
        ]);
        repo
    }

    /// Commits files on main, and pushes them. An empty text removes the file.
    pub fn commit(&self, files: &[(&str, &str)]) -> Oid {
        for (path, text) in files {
            let path = self.work.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            if text.is_empty() {
                std::fs::remove_file(&path).unwrap();
                // Only where it was the folder's last.
                let _ = std::fs::remove_dir(path.parent().unwrap());
            } else {
                std::fs::write(path, text).unwrap();
            }
        }
        let second = 1_700_000_000 + 60 * self.clock.fetch_add(1, Ordering::Relaxed);
        let mut command = git_command(&self.work);
        command.env("GIT_COMMITTER_DATE", format!("{second} +0100"));
        git(&self.work, &["add", "-A"]);
        assert!(command.args(["commit", "-qm", &format!("change {second}")]).status().unwrap().success());
        git(&self.work, &["push", "-q", "origin", "HEAD:main"]);
        self.head()
    }

    pub fn head(&self) -> Oid {
        id(&git(&self.work, &["rev-parse", "HEAD"]))
    }
}

pub fn id(hex: &str) -> Oid {
    id_from_hex(hex.trim().as_bytes()).unwrap()
}

/// What a test makes of a request before git sees it.
pub enum Answer {
    /// Git answers.
    Git,
    /// This, as it stands.
    Fixed(String),
    /// Git answers, and the connection breaks after that many bytes of the answer.
    Cut(usize),
    /// Git gets that many bytes of the request's body, and nobody hears what it says.
    CutRequest(usize),
    /// The connection breaks; git never sees the request.
    Deaf,
    /// Git answers, and nobody hears it.
    Mute,
}

pub struct Request {
    pub line: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

type Judge = Box<dyn Fn(&Request) -> Answer + Send + Sync>;

/// A web server on loopback. It ends with the test's process.
pub struct Web {
    pub url: String,
    pub requests: Arc<Mutex<Vec<String>>>,
    judge: Arc<Mutex<Judge>>,
}

impl Web {
    pub fn new(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let judge: Arc<Mutex<Judge>> = Arc::new(Mutex::new(Box::new(|_| Answer::Git)));
        let (root, seen, judged) = (root.to_owned(), requests.clone(), judge.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, root, seen, judge) =
                    (stream.unwrap(), root.clone(), seen.clone(), judged.clone());
                std::thread::spawn(move || serve(stream, &root, &seen, &judge));
            }
        });
        Self { url, requests, judge }
    }

    /// What is done with requests from now on.
    pub fn judge(&self, judge: impl Fn(&Request) -> Answer + Send + Sync + 'static) {
        *self.judge.lock().unwrap() = Box::new(judge);
    }

    /// The requests since the last call.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

fn serve(stream: TcpStream, root: &Path, seen: &Mutex<Vec<String>>, judge: &Mutex<Judge>) -> Option<()> {
    let mut input = BufReader::new(stream.try_clone().ok()?);
    let mut out = stream;
    loop {
        let request = read_request(&mut input)?;
        seen.lock().unwrap().push(request.line.clone());
        let answer = (judge.lock().unwrap())(&request);
        match answer {
            Answer::Deaf => return None,
            Answer::Fixed(text) => out.write_all(text.as_bytes()).ok()?,
            Answer::Git => out.write_all(&cgi(root, &request)).ok()?,
            Answer::CutRequest(at) => {
                let body = request.body.get(..at).unwrap_or(&request.body).to_vec();
                cgi(root, &Request { body, ..request });
                return None;
            }
            Answer::Mute => {
                cgi(root, &request);
                return None;
            }
            Answer::Cut(at) => {
                let all = cgi(root, &request);
                out.write_all(&all[..at.min(all.len())]).ok()?;
                return None;
            }
        }
    }
}

fn read_request(input: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    input.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        input.read_line(&mut header).ok()?;
        let Some((key, value)) = header.trim_end().split_once(": ") else { break };
        headers.insert(key.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(0, |v| v.parse().unwrap());
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    Some(Request { line: line.trim_end().to_owned(), headers, body })
}

/// Has git's http-backend answer.
fn cgi(root: &Path, request: &Request) -> Vec<u8> {
    let mut words = request.line.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let header = |name: &str| request.headers.get(name).cloned().unwrap_or_default();
    let mut child = git_command(root)
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut stdin, body) = (child.stdin.take().unwrap(), request.body.clone());
    let feeder = std::thread::spawn(move || drop(stdin.write_all(&body)));
    let mut said = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut said).unwrap();
    feeder.join().unwrap();
    child.wait().unwrap();
    let end = said.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&said[..end]).into_owned();
    let body = &said[end + 4..];
    let status = head.lines().find_map(|l| l.strip_prefix("Status: ")).unwrap_or("200 OK").to_owned();
    let rest: Vec<&str> = head.lines().filter(|l| !l.starts_with("Status: ")).collect();
    let head =
        format!("HTTP/1.1 {status}\r\n{}\r\nContent-Length: {}\r\n\r\n", rest.join("\r\n"), body.len());
    [head.as_bytes(), body].concat()
}

/// A runtime for as long as the test's process lives.
pub fn runtime() -> &'static tokio::runtime::Handle {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Runtime::new().unwrap()).handle()
}

pub fn client() -> Arc<Client> {
    Arc::new(Client::new(runtime().clone(), None).unwrap())
}

pub fn remote(web: &Web, credential: Option<Credential>) -> Remote {
    let address = Address::parse(&format!("{}/m.git", web.url), false).unwrap();
    Remote::new(address, credential, client(), MOST).unwrap()
}

pub fn task() -> Task {
    Task::new(
        Limits { time: std::time::Duration::from_secs(60), ..Limits::default() },
        kiban_git::Cancel::default(),
    )
}

pub fn store() -> Store {
    Store::temporary(MOST).unwrap()
}

/// A fetch of main into the store's ref of it.
pub fn main_branch(depth: kiban_git::Depth) -> Fetch {
    Fetch {
        want: Want::Ref("refs/heads/main".to_owned()),
        depth,
        into: Some("refs/remotes/origin/main".to_owned()),
    }
}

pub fn who() -> Who {
    Who {
        name: "Kiban".to_owned(),
        email: "kiban@example.com".to_owned(),
        seconds: 1_700_100_000,
        offset: 60,
    }
}

/// A commit that changes files; an empty text removes one.
pub fn change(base: Oid, files: &[(&str, &str)]) -> NewCommit {
    let edit = |text: &str| if text.is_empty() { Edit::Delete } else { Edit::Write(text.to_owned().into()) };
    NewCommit {
        base: Some(base),
        edits: files.iter().map(|(path, text)| ((*path).to_owned(), edit(text))).collect(),
        author: who(),
        committer: who(),
        message: "orders: a new image".to_owned(),
    }
}
