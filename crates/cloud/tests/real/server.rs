//! Programs that serve on a free port of this machine, and images pushed to a registry.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use http::Method;
use kiban_runtime::client::{Client, Request};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

/// A program that serves; it ends with this value.
pub struct Server {
    child: Child,
    /// `127.0.0.1:port`.
    pub host: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a program, and waits until it says behind `mark`, on its standard error, where it serves.
pub fn start(command: &mut Command, mark: &str) -> Server {
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut server = Server { child: spawned.unwrap(), host: String::new() };
    let mut lines = BufReader::new(server.child.stderr.take().unwrap()).lines();
    let mut said = String::new();
    for line in lines.by_ref().map_while(Result::ok) {
        said.push_str(&line);
        said.push('\n');
        if let Some((_, rest)) = line.split_once(mark) {
            let is_part = |c: &char| c.is_ascii_digit() || matches!(c, '.' | ':');
            server.host = rest.chars().take_while(is_part).collect();
            break;
        }
    }
    assert!(!server.host.is_empty(), "{command:?} does not serve: {said}");
    // What it says later must not fill the pipe.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    server
}

/// The registry over a folder; `auth` is its configuration's section, as YAML in flow style.
pub fn registry(program: &Path, folder: &Path, auth: &str) -> Server {
    let config = folder.join(format!("config-{}.yaml", auth.len()));
    let text = format!(
        "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\nhttp: {{addr: '127.0.0.1:0'}}\n{auth}",
        folder.join("data").display()
    );
    std::fs::write(&config, text).unwrap();
    start(
        Command::new(program).arg("serve").arg(&config).env("OTEL_TRACES_EXPORTER", "none"),
        "listening on ",
    )
}

pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// A repository to push to.
pub struct Push<'a> {
    pub client: &'a Client,
    /// `http://host/v2/name`.
    pub base: String,
    /// Whether in Docker's media types instead of OCI's.
    pub docker: bool,
}

pub fn sha256(bytes: &[u8]) -> String {
    let hex: String = digest(&SHA256, bytes).as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}

impl Push<'_> {
    async fn send(&self, request: Request, expected: u16) -> String {
        let response = self.client.send(request).await.unwrap();
        let status = response.status().as_u16();
        let location = response.header("location").unwrap_or_default().to_owned();
        let text = response.text().await.unwrap();
        assert_eq!(status, expected, "{text}");
        location
    }

    async fn blob(&self, kind: &str, bytes: &[u8]) -> Value {
        let upload = Request::post(&format!("{}/blobs/uploads/", self.base)).unwrap();
        let location = self.send(upload, 202).await;
        let digest = sha256(bytes);
        let put = Request::new(Method::PUT, &format!("{location}&digest={digest}")).unwrap();
        let put = put.header("content-type", "application/octet-stream").unwrap().body(bytes.to_vec());
        self.send(put, 201).await;
        json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
    }

    /// Puts a manifest or index under a name, by default its digest; gives its descriptor.
    pub async fn put(&self, kind: &str, name: Option<&str>, document: &Value) -> Value {
        let bytes = document.to_string().into_bytes();
        let digest = sha256(&bytes);
        let url = format!("{}/manifests/{}", self.base, name.unwrap_or(&digest));
        let size = bytes.len();
        let put = Request::new(Method::PUT, &url).unwrap().header("content-type", kind).unwrap().body(bytes);
        self.send(put, 201).await;
        json!({"mediaType": kind, "digest": digest, "size": size})
    }

    pub async fn delete(&self, digest: &str) {
        let url = format!("{}/manifests/{digest}", self.base);
        self.send(Request::new(Method::DELETE, &url).unwrap(), 202).await;
    }

    /// One image for one platform.
    pub async fn image(&self, os: &str, architecture: &str, tag: Option<&str>) -> Value {
        let (config_kind, layer_kind, kind) = if self.docker {
            (
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
                DOCKER_MANIFEST,
            )
        } else {
            (
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.oci.image.layer.v1.tar+gzip",
                MANIFEST,
            )
        };
        let config = json!({
            "os": os, "architecture": architecture, "created": "2026-11-24T09:00:00Z",
            "config": {"Labels": {"org.opencontainers.image.revision": "4f2a9c1", "arch": architecture}},
            "rootfs": {"type": "layers", "diff_ids": []},
        });
        let config = self.blob(config_kind, config.to_string().as_bytes()).await;
        let layer = self.blob(layer_kind, format!("a layer of {architecture}").as_bytes()).await;
        let manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]});
        let mut descriptor = self.put(kind, tag, &manifest).await;
        descriptor["platform"] = json!({"os": os, "architecture": architecture});
        descriptor
    }

    /// One image for two platforms, with an attestation beside them.
    pub async fn index(&self, tag: &str) -> Value {
        let amd = self.image("linux", "amd64", None).await;
        let arm = self.image("linux", "arm64", None).await;
        let mut attestation = self.image("unknown", "unknown", None).await;
        attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
        let kind = if self.docker { DOCKER_LIST } else { INDEX };
        let index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": [amd, arm, attestation]});
        self.put(kind, Some(tag), &index).await
    }
}
