//! Who asks for which image: `name=image` as `kubectl set image` takes it, and Skaffold's build output.

use kiban_base::image::{BadReference, Reference};
use serde::Deserialize;

/// A name, and the image that it is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// A container, an app, a kustomize image or a Flux policy (`namespace:policy`); `*`: every container.
    pub name: String,
    /// The image.
    pub image: Reference,
}

/// Why something asks for no image.
#[derive(Debug, thiserror::Error)]
pub enum BadAsk {
    /// No `name=image`.
    #[error("{0:?} is no NAME=IMAGE")]
    Form(String),
    /// The image is none.
    #[error("{name}: {error}")]
    Image {
        /// What asks for it.
        name: String,
        /// Why.
        error: BadReference,
    },
    /// A build output that cannot be read.
    #[error("{file}: no build output of Skaffold: {problem}")]
    Builds {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
    },
}

impl Ask {
    /// Reads `name=image`. Several names may share an image: `a,b=image`.
    ///
    /// # Errors
    /// Another form, or no image reference.
    pub fn parse(text: &str) -> Result<Vec<Self>, BadAsk> {
        let form = || BadAsk::Form(text.to_owned());
        let (names, image) = text.split_once('=').ok_or_else(form)?;
        let names: Vec<&str> = names.split(',').map(str::trim).collect();
        if names.iter().any(|name| name.is_empty()) || image.is_empty() {
            return Err(form());
        }
        let image =
            Reference::parse(image).map_err(|error| BadAsk::Image { name: names.join(","), error })?;
        Ok(names.into_iter().map(|name| Self { name: name.to_owned(), image: image.clone() }).collect())
    }
}

/// What `skaffold build --file-output` writes (GoogleContainerTools/skaffold: `cmd/skaffold/app/flags/build_output.go`).
#[derive(Deserialize)]
struct BuildOutput {
    builds: Vec<Build>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Build {
    image_name: String,
    tag: String,
}

/// The images of a build output. The name of each is the artifact's image, as `skaffold.yaml` writes it.
///
/// # Errors
/// What is no build output.
pub fn builds(file: &str, bytes: &[u8]) -> Result<Vec<Ask>, BadAsk> {
    let bad = |problem: String| BadAsk::Builds { file: file.to_owned(), problem };
    let output: BuildOutput = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
    if output.builds.is_empty() {
        return Err(bad("it lists no build".into()));
    }
    output
        .builds
        .into_iter()
        .map(|build| {
            let image = Reference::parse(&build.tag)
                .map_err(|error| BadAsk::Image { name: build.image_name.clone(), error })?;
            Ok(Ask { name: build.image_name, image })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn asks_are_read_as_kubectl_and_skaffold_write_them() {
        let asks = Ask::parse("nginx,sidecar=r.example/nginx:1.27").unwrap();
        assert_eq!(asks.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["nginx", "sidecar"]);
        assert_eq!(asks[0].image.to_string(), "r.example/nginx:1.27");
        assert_eq!(Ask::parse("*=a:b").unwrap()[0].name, "*");
        for (text, said) in [
            ("nginx", "\"nginx\" is no NAME=IMAGE"),
            ("=a", "is no NAME=IMAGE"),
            ("a=", "is no NAME=IMAGE"),
            ("a,,b=c", "is no NAME=IMAGE"),
            ("a=b/C", "a: "),
            ("a=x y", "is no image reference"),
        ] {
            assert!(Ask::parse(text).unwrap_err().to_string().contains(said), "{text}");
        }
        let output = br#"{"builds":[{"imageName":"orders","tag":"r.example/orders:v1@sha256:a7af5bd5cdc5666f987d8876de5b76901734c0cbf35d28ba4e40ad9f313c1a8f"}]}"#;
        let asks = builds("build.json", output).unwrap();
        assert_eq!((asks[0].name.as_str(), asks[0].image.tag.as_deref()), ("orders", Some("v1")));
        assert!(builds("b", b"{\"builds\":[]}").unwrap_err().to_string().contains("lists no build"));
        assert!(builds("b", b"{").unwrap_err().to_string().starts_with("b: no build output of Skaffold"));
    }
}
