//! Looking images up from the command line: who asks, whom to trust, which platforms.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use kiban_base::clock::Clock;
use kiban_base::image::Reference;
use kiban_cloud::aws::{AwsError, Provider, Surroundings, ecr};
use kiban_cloud::registry::{Credential, Keychain, Options, Platform, Registries, RegistryError};
use kiban_runtime::client::{Client, Options as ClientOptions, Roots, Tcp};
use kiban_runtime::clock::SystemClock;
use kiban_runtime::secret::Secret;

use crate::Exit;
use crate::note;

/// The largest `config.json` of Docker, and file of certificates, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// How registries are asked.
#[derive(Debug, clap::Args)]
pub(in crate::verbs) struct Lookup {
    /// Platforms on which the image must run, as in linux/amd64,linux/arm64
    #[arg(long, value_name = "OS/ARCH", value_delimiter = ',', help_heading = "Registry")]
    pub platform: Vec<Platform>,
    /// Credentials as Docker keeps them; without, $DOCKER_CONFIG/config.json or ~/.docker/config.json
    #[arg(long, value_name = "FILE", help_heading = "Registry")]
    registry_config: Option<PathBuf>,
    /// The name to ask by, with the password from --registry-password-file or $KIBAN_REGISTRY_PASSWORD
    #[arg(long, value_name = "NAME", help_heading = "Registry")]
    registry_user: Option<String>,
    /// A file with the password, or a token in its place
    #[arg(long, value_name = "FILE", requires = "registry_user", help_heading = "Registry")]
    registry_password_file: Option<PathBuf>,
    /// A file with a token that the registry takes as it is
    #[arg(long, value_name = "FILE", conflicts_with = "registry_user", help_heading = "Registry")]
    registry_token_file: Option<PathBuf>,
    /// Let AWS give the password, by the instance's role too (AWS credentials of the environment or a profile are
    /// used for registries of ECR anyway)
    #[arg(long, help_heading = "Registry")]
    ecr: bool,
    /// A host that is asked over plain HTTP; may be given more than once
    #[arg(long, value_name = "HOST", help_heading = "Registry")]
    insecure_registry: Vec<String>,
    /// A file with certificates that are trusted besides the machine's
    #[arg(long, value_name = "FILE", help_heading = "Registry")]
    registry_ca_file: Option<PathBuf>,
}

impl Lookup {
    /// A client for the registries of these images.
    ///
    /// # Errors
    /// Credentials and files that cannot be used.
    pub(in crate::verbs) fn registries(&self, images: &[&Reference]) -> Result<Registries, Exit> {
        self.client(images).map_err(Exit::Usage)
    }

    fn client(&self, images: &[&Reference]) -> anyhow::Result<Registries> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let extra = self.registry_ca_file.as_deref().map(read).transpose()?.unwrap_or_default();
        let roots = Roots { extra, ..Roots::default() };
        let options =
            ClientOptions { roots, seed: u64::from(std::process::id()), ..ClientOptions::default() };
        let client = Client::new(options, Arc::new(Tcp), Arc::clone(&clock))?;
        let mut keychain = self.docker()?;
        let hosts: BTreeSet<&str> = images.iter().map(|image| image.host()).collect();
        if let Some((name, credential)) = self.named()? {
            let mut hosts = hosts.iter();
            let (Some(host), None) = (hosts.next(), hosts.next()) else {
                anyhow::bail!(
                    "--{name} is for one registry, and the images lie in several: use --registry-config"
                );
            };
            keychain.insert(host, &format!("the credential of --{name}"), credential);
        }
        if hosts.iter().any(|host| ecr::Host::of(host).is_some()) {
            match self.aws(client.clone(), Arc::clone(&clock)) {
                Ok(Some(provider)) => keychain.aws(provider),
                Ok(None) if self.ecr => return Err(AwsError::None.into()),
                Ok(None) => {}
                Err(error) => return Err(error.into()),
            }
        } else if self.ecr {
            anyhow::bail!(
                "--ecr: no image lies in a registry of ECR (<account>.dkr.ecr.<region>.amazonaws.com)"
            );
        }
        let insecure = self.insecure_registry.iter().cloned().collect();
        Ok(Registries::new(client, clock, keychain, Options { insecure, ..Options::default() }))
    }

    /// The credentials of Docker's file; the usual one may be missing.
    fn docker(&self) -> anyhow::Result<Keychain> {
        let mut keychain = Keychain::new();
        let usual = || {
            let folder = variable("DOCKER_CONFIG").map(PathBuf::from);
            folder
                .or_else(|| std::env::home_dir().map(|home| home.join(".docker")))
                .map(|f| f.join("config.json"))
        };
        let path = match &self.registry_config {
            Some(path) => Some(path.clone()),
            None => usual().filter(|path| path.is_file()),
        };
        if let Some(path) = path {
            keychain.docker_config(&path.display().to_string(), &read(&path)?)?;
        }
        Ok(keychain)
    }

    /// The credential of the command line, and the flag that gives it.
    fn named(&self) -> anyhow::Result<Option<(&'static str, Credential)>> {
        if let Some(file) = &self.registry_token_file {
            return Ok(Some(("registry-token-file", Credential::Bearer(Secret::from_file(file)?))));
        }
        let Some(user) = &self.registry_user else { return Ok(None) };
        let password = match &self.registry_password_file {
            Some(file) => Secret::from_file(file)?,
            None => {
                Secret::from_env("KIBAN_REGISTRY_PASSWORD").context("--registry-user wants a password")?
            }
        };
        Ok(Some(("registry-user", Credential::Basic { user: user.clone(), password })))
    }

    fn aws(&self, client: Client, clock: Arc<dyn Clock>) -> Result<Option<Provider>, AwsError> {
        let around = Surroundings { variable: &variable, home: std::env::home_dir(), instance: self.ecr };
        Provider::find(client, clock, &around)
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let cannot = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).with_context(cannot)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).with_context(cannot)?;
    anyhow::ensure!(bytes.len() as u64 <= MAX_FILE, "{} is larger than {MAX_FILE} bytes", path.display());
    Ok(bytes)
}

/// How it ends where an image could not be looked up: what the registry says of the image is a finding.
pub(in crate::verbs) fn exit(error: RegistryError) -> Exit {
    if error.is_verdict() {
        note!("kiban: {error}");
        Exit::Found
    } else {
        // Its words hold their cause already.
        Exit::Failed(anyhow::anyhow!("{error}"))
    }
}
