//! Credentials are found where the surroundings name them, in the order of AWS' SDKs.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use kiban_runtime::client::{Options, Roots, Tcp};
use kiban_runtime::clock::SystemClock;

use super::*;
use crate::registry::tests::net::{self, Net, reply};

/// What is found: which source, by its words.
fn found(
    variables: &[(&str, &str)],
    home: Option<&Path>,
    instance: bool,
) -> Result<Option<Provider>, AwsError> {
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    let variable = |name: &str| variables.get(name).map(ToString::to_string);
    let around = Surroundings { variable: &variable, home: home.map(Path::to_path_buf), instance };
    let roots = Roots { system: false, extra: Vec::new() };
    let client =
        Client::new(Options { roots, ..Options::default() }, Arc::new(Tcp), Arc::new(SystemClock)).unwrap();
    Provider::find(client, Arc::new(SystemClock), &around)
}

fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    let config = "[default]\nregion = eu-west-1\n[profile web]\nrole_arn = arn:x\nweb_identity_token_file = /t\n[profile chain]\nrole_arn = arn:y\nsource_profile = default\n[profile process]\ncredential_process = get\n[profile sso]\nsso_session = x\n[profile bare]\nregion = r\n";
    let credentials = "[default]\naws_access_key_id = AKIDFILE\naws_secret_access_key = hunter2\n[half]\naws_access_key_id = AKIDHALF\n";
    std::fs::write(home.path().join(".aws/config"), config).unwrap();
    std::fs::write(home.path().join(".aws/credentials"), credentials).unwrap();
    home
}

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIDENV"), ("AWS_SECRET_ACCESS_KEY", "hunter2")];
const WEB: [(&str, &str); 2] = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", "arn:z")];
const CONTAINER: (&str, &str) = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x");

#[test]
fn the_first_source_that_is_configured_counts() {
    let home = home();
    let with = |more: &[(&'static str, &'static str)]| [more, &[CONTAINER]].concat();
    for (variables, home, instance, expected) in [
        (with(&[&KEYS[..], &WEB[..]].concat()), Some(home.path()), true, Some("AWS_ACCESS_KEY_ID")),
        (with(&WEB), Some(home.path()), true, Some("the role arn:z by a web identity")),
        (with(&[]), Some(home.path()), true, Some("the profile \"default\"")),
        (with(&[("AWS_PROFILE", "web")]), Some(home.path()), true, Some("the profile \"web\"")),
        (with(&[]), None, true, Some("the container's role")),
        (vec![], None, true, Some("the instance's role")),
        (vec![("AWS_EC2_METADATA_DISABLED", "TRUE")], None, true, None),
        (vec![("AWS_ACCESS_KEY_ID", ""), ("AWS_PROFILE", "")], None, false, None),
        (vec![], None, false, None),
    ] {
        let provider = found(&variables, home, instance).unwrap();
        assert_eq!(provider.as_ref().map(Provider::name), expected, "{variables:?}");
    }
}

#[test]
fn what_is_configured_and_cannot_be_used_is_said_without_its_secret() {
    let home = home();
    let home = Some(home.path());
    for (variables, said) in [
        (vec![("AWS_ACCESS_KEY_ID", "AKID")], "go together, and one is not set"),
        (vec![("AWS_SECRET_ACCESS_KEY", "hunter2")], "go together, and one is not set"),
        (vec![WEB[0]], "AWS_ROLE_ARN is not set"),
        (vec![("AWS_PROFILE", "none")], "the profile \"none\": no file has it"),
        (vec![("AWS_PROFILE", "half")], "it needs aws_access_key_id and aws_secret_access_key"),
        (vec![("AWS_PROFILE", "bare")], "it needs aws_access_key_id"),
        (vec![("AWS_PROFILE", "chain")], "assumes a role from another profile"),
        (vec![("AWS_PROFILE", "process")], "Kiban starts none"),
        (vec![("AWS_PROFILE", "sso")], "signs in by a browser"),
    ] {
        let error = found(&variables, home, false).unwrap_err().to_string();
        assert!(error.contains(said) && !error.contains("hunter2"), "{variables:?}: {error}");
    }
    let far = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://evil.example/x")];
    assert!(
        found(&far, None, false).unwrap_err().to_string().contains("neither https nor one of the addresses")
    );
}

#[test]
fn containers_ask_over_tls_or_at_addresses_of_the_machine() {
    for (url, may) in [
        ("https://x.example/c", true),
        ("http://127.0.0.1:80/c", true),
        ("http://localhost/c", true),
        ("http://[::1]/c", true),
        ("http://169.254.170.23/v1/credentials", true),
        ("http://[fd00:ec2::23]/v1/credentials", true),
        ("http://169.254.169.254/c", false),
        ("http://localhost.evil/c", false),
        ("ftp://127.0.0.1/c", false),
        ("/c", false),
    ] {
        assert_eq!(may_be_asked(url), may, "{url}");
    }
}

#[tokio::test]
async fn credentials_of_files_are_given_as_they_stand() {
    let home = home();
    let provider = found(&[], Some(home.path()), false).unwrap().unwrap();
    let credentials = provider.credentials().await.unwrap();
    assert_eq!((credentials.key_id.as_str(), credentials.secret.expose()), ("AKIDFILE", "hunter2"));
    assert_eq!(provider.0.region.as_deref(), Some("eu-west-1"));
    assert!(!format!("{provider:?} {credentials:?}").contains("hunter2"));
}

const ANSWER: &[u8] = b"{\"AccessKeyId\":\"ASIAX\",\"SecretAccessKey\":\"hunter2\",\"Token\":\"session\",\"Expiration\":\"2026-11-24T16:00:00Z\"}";

fn provider(net: &Net, variables: &[(&str, &str)], instance: bool) -> Provider {
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    let variable = |name: &str| variables.get(name).map(ToString::to_string);
    let around = Surroundings { variable: &variable, home: None, instance };
    Provider::find(net.client(true), Arc::new(net::At), &around).unwrap().unwrap()
}

#[tokio::test]
async fn the_instance_is_asked_by_a_session_of_its_metadata() {
    let net = Net::new().host("169.254.169.254", |asked, _| {
        let path = "/latest/meta-data/iam/security-credentials/";
        let token = asked.header("x-aws-ec2-metadata-token");
        match (asked.method.as_str(), asked.target.as_str()) {
            ("PUT", "/latest/api/token") if asked.header("x-aws-ec2-metadata-token-ttl-seconds") == "300" => {
                reply(200, &[], b"session-1")
            }
            ("GET", target) if token != "session-1" => reply(401, &[], target.as_bytes()),
            ("GET", target) if target == path => reply(200, &[], b"deploy\n"),
            ("GET", target) if target.strip_prefix(path) == Some("deploy") => reply(200, &[], ANSWER),
            _ => reply(404, &[], b""),
        }
    });
    let provider = provider(&net, &[], true);
    for _ in 0..2 {
        let credentials = provider.credentials().await.unwrap();
        assert_eq!((credentials.key_id.as_str(), credentials.secret.expose()), ("ASIAX", "hunter2"));
        assert_eq!(credentials.expires, Timestamp::parse("2026-11-24T16:00:00Z"));
    }
    assert_eq!(net.seen("169.254.169.254").len(), 3, "they are asked for once");
}

#[tokio::test]
async fn a_role_of_the_instance_that_is_none_leads_nowhere() {
    for role in ["", "../../../user-data", "a b"] {
        let net = Net::new().host("169.254.169.254", move |asked, _| match asked.method.as_str() {
            "PUT" => reply(200, &[], b"session-1"),
            _ => reply(200, &[], role.as_bytes()),
        });
        let error = provider(&net, &[], true).credentials().await.unwrap_err().to_string();
        assert!(error.contains("it names no role"), "{error}");
        assert_eq!(net.seen("169.254.169.254").len(), 2);
    }
}

#[tokio::test]
async fn a_container_is_asked_with_its_token_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "pod-token\n").unwrap();
    let net = Net::new()
        .host("169.254.170.23", |asked, _| {
            if asked.header("authorization") == "pod-token" && asked.target == "/v1/credentials" {
                return reply(200, &[], ANSWER);
            }
            reply(403, &[], b"who\nare you")
        })
        .host("169.254.170.2", |asked, _| match asked.target.as_str() {
            "/v2/credentials/x" => reply(200, &[], ANSWER),
            "/v2/credentials/bad" => reply(200, &[], b"{\"SecretAccessKey\":\"hunter2\"}"),
            _ => reply(404, &[], b""),
        });
    let url = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials");
    let path = file.display().to_string();
    let pod = provider(&net, &[url, ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &path)], false);
    assert_eq!(pod.credentials().await.unwrap().key_id, "ASIAX");
    let wrong = provider(&net, &[url, ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "other")], false);
    let error = wrong.credentials().await.unwrap_err().to_string();
    assert!(
        error.contains("AWS refuses the container's credentials") && error.contains("who are you"),
        "{error}"
    );
    let relative =
        |path: &'static str| provider(&net, &[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", path)], false);
    assert_eq!(relative("/v2/credentials/x").credentials().await.unwrap().key_id, "ASIAX");
    let error = relative("/v2/credentials/bad").credentials().await.unwrap_err().to_string();
    assert!(error.contains("no such JSON") && !error.contains("hunter2"), "{error}");
}
