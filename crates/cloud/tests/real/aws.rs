//! Signed calls to AWS as moto plays it: it computes each signature anew with botocore and compares.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use kiban_cloud::aws::{Provider, Surroundings, ecr};
use kiban_runtime::clock::SystemClock;

use super::client;
use super::server::{Server, start};

/// Makes a user who may ask for passwords, by AWS' own library; prints its key.
const SETUP: &str = "
import boto3, json, sys
iam = boto3.client('iam', endpoint_url=sys.argv[1], region_name='eu-central-1', aws_access_key_id='root', aws_secret_access_key='root')
iam.create_user(UserName='ci')
statement = {'Effect': 'Allow', 'Action': 'ecr:GetAuthorizationToken', 'Resource': '*'}
iam.put_user_policy(UserName='ci', PolicyName='ecr', PolicyDocument=json.dumps({'Version': '2012-10-17', 'Statement': [statement]}))
key = iam.create_access_key(UserName='ci')['AccessKey']
print(key['AccessKeyId'], key['SecretAccessKey'])
";

/// `calls` are answered before signatures count.
fn moto(test: &str, calls: Option<u32>) -> Option<Server> {
    let program = kiban_testkit::tool(test, "moto/bin/moto_server")?;
    let mut command = Command::new(program);
    command.args(["-H", "127.0.0.1", "-p", "0"]);
    if let Some(calls) = calls {
        command.env("INITIAL_NO_AUTH_ACTION_COUNT", calls.to_string());
    }
    Some(start(&mut command, "Running on http://"))
}

fn provider(variables: &BTreeMap<&str, String>) -> Provider {
    let variable = |name: &str| variables.get(name).cloned();
    let around = Surroundings { variable: &variable, home: None, instance: false };
    Provider::find(client(), Arc::new(SystemClock), &around).unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_of_ecr_is_had_by_a_signature_that_aws_own_library_computes_too() {
    let name = "the_password_of_ecr";
    let Some(server) = moto(name, Some(3)) else { return };
    let Some(python) = kiban_testkit::tool(name, "moto/bin/python") else { return };
    let url = format!("http://{}", server.host);
    let key = kiban_testkit::said(Command::new(python).args(["-c", SETUP, &url])).ok();
    let (id, secret) = key.trim().split_once(' ').unwrap();
    let host = ecr::Host::of("123456789012.dkr.ecr.eu-central-1.amazonaws.com").unwrap();
    let with = |secret: &str| {
        provider(&BTreeMap::from([
            ("AWS_ACCESS_KEY_ID", id.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
            ("AWS_ENDPOINT_URL_ECR", url.clone()),
        ]))
    };
    let login = ecr::login(&with(secret), &host).await.unwrap();
    assert_eq!(login.user, "AWS");
    assert!(login.password.expose().contains("auth-token") && login.expires.is_some());
    let error = ecr::login(&with("another"), &host).await.unwrap_err().to_string();
    assert!(
        error.contains("AWS refuses GetAuthorizationToken to the credentials of AWS_ACCESS_KEY_ID"),
        "{error}"
    );
    assert!(error.contains("signature"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_identity_becomes_credentials_that_sign() {
    let Some(server) = moto("a_web_identity", None) else { return };
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "eyJhbGciOiJub25lIn0.e30.\n").unwrap();
    let provider = provider(&BTreeMap::from([
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.display().to_string()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/deploy".to_owned()),
        ("AWS_ENDPOINT_URL", format!("http://{}", server.host)),
    ]));
    let credentials = provider.credentials().await.unwrap();
    assert!(credentials.key_id.starts_with("ASIA") && credentials.session.is_some());
    assert!(credentials.expires.is_some());
    let host = ecr::Host::of("123456789012.dkr.ecr.eu-central-1.amazonaws.com").unwrap();
    assert_eq!(ecr::login(&provider, &host).await.unwrap().user, "AWS");
}
