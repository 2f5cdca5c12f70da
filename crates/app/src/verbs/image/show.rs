//! `kiban image show`: what an image is, as its registry says it and as its documents prove.

use kiban_base::image::Reference;
use kiban_cloud::registry::{Resolved, Tag};

use super::lookup;
use crate::{Exit, terminal};

/// Arguments of `kiban image show`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  kiban image show registry.example/checkout/orders:2.14.0\n  kiban image show nginx --platform linux/arm64\n\nExit codes: 0 it is there (and runs on the platforms); 1 it is not, or does not; 2 wrong usage; 3 the registry could not\nbe asked."
)]
pub(super) struct Arguments {
    /// The image
    #[arg(value_name = "IMAGE", value_parser = Reference::parse)]
    image: Reference,
    #[command(flatten)]
    lookup: lookup::Lookup,
}

/// Shows.
pub(super) fn run(arguments: &Arguments) -> Exit {
    let lookup = &arguments.lookup;
    let image = &arguments.image;
    let registries = match lookup.registries(&[image]) {
        Ok(registries) => registries,
        Err(exit) => return exit,
    };
    let work = async { Ok(registries.resolve(image, &lookup.platform).await) };
    match super::super::block_on(work) {
        Err(error) => Exit::Failed(error),
        Ok(Err(error)) => lookup::exit(error),
        Ok(Ok(resolved)) => {
            print(image, &resolved);
            Exit::Done
        }
    }
}

fn print(image: &Reference, resolved: &Resolved) {
    let platforms: Vec<String> = resolved.platforms.iter().map(|b| b.platform.to_string()).collect();
    let mut rows = vec![
        ("image", format!("{}@{}", image.repository(), resolved.digest)),
        ("type", resolved.media_type.clone()),
        ("platforms", platforms.join(", ")),
        ("size", format!("{} bytes, compressed", resolved.size)),
    ];
    rows.extend(resolved.created.iter().map(|at| ("created", at.clone())));
    match &resolved.tag {
        Tag::Same => {}
        Tag::Elsewhere(now) => rows.push(("tag", format!("means {now} by now"))),
        Tag::Gone => rows.push(("tag", "is not there any more".to_owned())),
    }
    for (name, value) in rows {
        terminal::line(&format!("{name:<9} {}", plain(&value)));
    }
    for (name, value) in
        resolved.labels.iter().filter(|(name, _)| name.starts_with("org.opencontainers.image."))
    {
        terminal::line(&format!("label     {}={}", plain(name), plain(value)));
    }
}

/// What comes from outside must not move the cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
