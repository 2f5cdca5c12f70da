//! `kiban image`: which image runs where, changed in files; what an image is.

mod ask;
mod local;
pub(in crate::verbs) mod lookup;
mod pins;
mod show;
mod write;

use std::path::PathBuf;

use crate::Exit;

/// Arguments of `kiban image`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  kiban image set orders=registry.example/checkout/orders:2.14.0 -e dev\n  kiban image show registry.example/checkout/orders:2.14.0 --platform linux/arm64"
)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Set the images of apps in their pins, or with --local of containers in any manifests
    Set(Box<Set>),
    /// Say what an image is: its digest, its platforms, its labels
    Show(Box<show::Arguments>),
}

/// Arguments of `kiban image set`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  kiban image set orders=registry.example/checkout/orders:2.14.0 -e dev\n  kiban image set orders=registry.example/checkout/orders:2.14.0 -e stg -e prod --platform linux/amd64,linux/arm64 --render\n  kiban image set --build-output build.json -e dev manifests/\n  kiban image set --local -f - -o yaml app=registry.example/app:2\n  kiban image set --local -f k8s/ app=registry.example/app:2\n\nWithout -e the pins of every environment change that has one for the app. A tag is looked up in its registry and\nbecomes the comment behind the digest; with a digest the registry is asked only where --platform is given.\n\nExit codes: 0 done; 1 the image is not there or does not run there, with --local any error (as kubectl has it);\n2 wrong usage or files; 3 the registry could not be asked."
)]
struct Set {
    /// An app and its image, or with --local a container and its image (`*`: all); last, the manifest repository
    #[arg(value_name = "NAME=IMAGE|DIR")]
    words: Vec<String>,
    /// The environment; may be given more than once
    #[arg(short, long = "env", value_name = "ENV", conflicts_with = "local")]
    env: Vec<String>,
    /// Take the images of this file, as `skaffold build --file-output` writes it
    #[arg(long, value_name = "FILE")]
    build_output: Option<PathBuf>,
    /// Render the apps below rendered/ afterwards
    #[arg(long, conflicts_with = "local")]
    render: bool,
    /// Set the images of containers in manifests, of kustomize's `images` and behind marks of Flux, as
    /// `kubectl set image --local` does, and leave every other byte as it is
    #[arg(long, requires = "filename")]
    local: bool,
    /// With --local: a file, a folder, or `-` for standard input; may be given more than once
    #[arg(short, long, value_name = "FILE|DIR|-", requires = "local")]
    filename: Vec<String>,
    /// With --local: write the manifests to standard output instead of into their files
    #[arg(short, long, value_name = "FORMAT", requires = "local", value_parser = ["yaml"])]
    output: Option<String>,
    /// Ask no registry: images are given by digest
    #[arg(long, conflicts_with_all = ["platform", "local"])]
    no_registry: bool,
    #[command(flatten)]
    lookup: lookup::Lookup,
}

/// Does it.
pub fn run(arguments: &Arguments) -> Exit {
    match &arguments.what {
        What::Set(set) if set.local => local::run(set),
        What::Set(set) => pins::run(set),
        What::Show(show) => show::run(show),
    }
}
