//! Credentials are found where the surroundings name them, in the order of AWS' SDKs.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use kiban_runtime::client::{Options, Roots, Tcp};
use kiban_runtime::clock::SystemClock;

use super::*;

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
