//! Against a real registry (distribution), and AWS as moto plays it, which checks signatures by AWS' own library.
#![allow(clippy::unwrap_used)]

#[path = "real/aws.rs"]
mod aws;
#[path = "real/registry.rs"]
mod registry;
#[path = "real/server.rs"]
mod server;
#[path = "real/token.rs"]
mod token;

use std::sync::Arc;

use kiban_base::image::Reference;
use kiban_cloud::registry::{Credential, Keychain, Options, Registries, RegistryError, Resolved};
use kiban_runtime::client::{Client, Options as ClientOptions, Roots, Tcp};
use kiban_runtime::clock::SystemClock;
use kiban_runtime::secret::Secret;

fn client() -> Client {
    let roots = Roots { system: false, extra: Vec::new() };
    let options = ClientOptions { roots, ..ClientOptions::default() };
    Client::new(options, Arc::new(Tcp), Arc::new(SystemClock)).unwrap()
}

fn registries(keychain: Keychain) -> Registries {
    Registries::new(client(), Arc::new(SystemClock), keychain, Options::default())
}

async fn resolve(keychain: Keychain, image: &str, platforms: &[&str]) -> Result<Resolved, RegistryError> {
    let platforms: Vec<_> = platforms.iter().map(|p| p.parse().unwrap()).collect();
    registries(keychain).resolve(&Reference::parse(image).unwrap(), &platforms).await
}

fn basic(host: &str, user: &str, password: &str) -> Keychain {
    let mut keychain = Keychain::new();
    let credential = Credential::Basic { user: user.into(), password: Secret::new(password) };
    keychain.insert(host, "the credential of ci", credential);
    keychain
}
