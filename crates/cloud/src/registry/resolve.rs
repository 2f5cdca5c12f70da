//! From a reference to a proof: the digest, the platforms, the labels, each document held against its digest.

use std::collections::BTreeMap;

use http::Method;
use kiban_base::image::Reference;
use kiban_model::problem::nearest;
use kiban_runtime::client::Redirects;
use serde::Deserialize;

use super::exchange::{Answer, Place, Question};
use super::manifest::{self, ACCEPT, Config, Descriptor, Document, MAX_CONFIG, MAX_MANIFEST, NoImage};
use super::platform::Platform;
use super::{Built, Missing, Registries, RegistryError, Resolved, Tag, digest};

/// How deep indexes may lie in indexes.
const MAX_DEPTH: u32 = 3;

/// The most manifests of one image that are read.
const MAX_READ: u32 = 64;

/// Pages of tags that are read for a word of help.
const TAG_PAGES: u32 = 4;

/// The largest page of tags, in bytes.
const MAX_TAGS: u64 = 2 << 20;

/// What a registry tells of a repository's tags.
enum Tags {
    Are(Vec<String>),
    NoRepository,
    Unsaid,
}

/// A document as it came, checked.
struct Fetched {
    digest: String,
    media_type: String,
    document: Document,
}

/// One platform's image, read whole.
struct Read {
    built: Built,
    labels: BTreeMap<String, String>,
    created: Option<String>,
    size: u64,
}

impl Registries {
    /// Looks an image up. With `wanted` platforms it must run on each of them, and those that it would run by are
    /// read whole; without, the first is.
    ///
    /// # Errors
    /// Where it is not there, may not be read, is no image, does not run there, or is not what it says; and
    /// where the registry cannot be asked.
    pub async fn resolve(&self, image: &Reference, wanted: &[Platform]) -> Result<Resolved, RegistryError> {
        let place = Place::of(image);
        let asked = image.digest.as_deref().or(image.tag.as_deref()).unwrap_or("latest");
        let top = self.manifest(&place, asked, image.digest.as_deref(), true).await?;
        let mut reads = 0;
        let (platforms, read, annotations) = match top.document {
            Document::Manifest { config, layers, annotations } => {
                let read = self.image(&place, &top.digest, &config, &layers).await?;
                let has = vec![read.built.clone()];
                choose(&place, &has, wanted)?;
                (has, vec![read], annotations)
            }
            Document::Index { entries, annotations } => {
                let has = self.built(&place, entries, 1, &mut reads).await?;
                let mut read = Vec::new();
                for one in choose(&place, &has, wanted)? {
                    read.push(self.child(&place, &one, &mut reads).await?);
                }
                (has, read, annotations)
            }
        };
        let tag = match (&image.tag, &image.digest) {
            (Some(tag), Some(_)) => self.tag_now(&place, tag, &top.digest).await?,
            (_, None) => {
                self.still(&place, asked, &top.digest).await?;
                Tag::Same
            }
            (None, Some(_)) => Tag::Same,
        };
        Ok(Resolved {
            digest: top.digest,
            media_type: top.media_type,
            platforms,
            labels: agreed(&read, annotations),
            created: read.first().and_then(|r| r.created.clone()),
            size: read.iter().map(|r| r.size).max().unwrap_or(0),
            tag,
        })
    }

    /// A manifest or index by tag or digest. `digest` is what its bytes must have.
    async fn manifest(
        &self,
        place: &Place,
        name: &str,
        digest: Option<&str>,
        is_top: bool,
    ) -> Result<Fetched, RegistryError> {
        let path = format!("manifests/{name}");
        let question = Question {
            method: &Method::GET,
            path: &path,
            accept: &ACCEPT,
            limit: MAX_MANIFEST,
            redirects: Redirects::Blob,
        };
        let answer = self.ask(place, question).await?;
        if answer.status == http::StatusCode::NOT_FOUND {
            return Err(self.missing(place, name, digest, is_top, &answer).await);
        }
        let stated = answer.header("docker-content-digest");
        let digest = match digest {
            Some(digest) => digest.to_owned(),
            None if digest::is_digest(stated) => stated.to_owned(),
            None => digest::sha256(&answer.body),
        };
        if !digest::fits(&answer.body, &digest) {
            return Err(place.answer(format!(
                "what came for {name} has not the digest {digest}: it is broken or forged"
            )));
        }
        let (media_type, document) =
            manifest::read(&answer.body, answer.header("content-type")).map_err(|why| match why {
                NoImage::Schema1 => RegistryError::Schema1 { image: place.image.clone() },
                NoImage::Other(kind) => RegistryError::NoImage { image: place.image.clone(), kind },
                NoImage::Bad(problem) => place.answer(problem),
            })?;
        Ok(Fetched { digest, media_type, document })
    }

    /// What the entries of an index were built for. Only those that do not say so are read.
    async fn built(
        &self,
        place: &Place,
        entries: Vec<Descriptor>,
        depth: u32,
        reads: &mut u32,
    ) -> Result<Vec<Built>, RegistryError> {
        let mut found = Vec::new();
        for entry in entries.into_iter().filter(|e| !e.is_attestation()) {
            let kind = entry.media_type.as_deref().unwrap_or_default();
            if !kind.is_empty() && !ACCEPT.contains(&kind) {
                continue;
            }
            if let Some(platform) = entry.platform() {
                found.push(Built { platform, digest: entry.digest });
                continue;
            }
            count(place, reads)?;
            let child = self.manifest(place, &entry.digest, Some(&entry.digest), false).await;
            let child = match child {
                // Signatures and charts lie beside images.
                Err(RegistryError::NoImage { .. }) => continue,
                child => child?,
            };
            match child.document {
                Document::Manifest { config, layers, .. } => {
                    found.push(self.image(place, &child.digest, &config, &layers).await?.built);
                }
                Document::Index { entries, .. } if depth < MAX_DEPTH => {
                    found.extend(Box::pin(self.built(place, entries, depth + 1, reads)).await?);
                }
                Document::Index { .. } => {
                    return Err(place.answer(format!("indexes lie in it more than {MAX_DEPTH} deep")));
                }
            }
        }
        Ok(found)
    }

    /// One entry of an index, read whole; an index in it gives its first image for the platform.
    async fn child(&self, place: &Place, one: &Built, reads: &mut u32) -> Result<Read, RegistryError> {
        let mut at = one.digest.clone();
        for _ in 0..MAX_DEPTH {
            count(place, reads)?;
            match self.manifest(place, &at, Some(&at), false).await?.document {
                Document::Manifest { config, layers, .. } => {
                    let mut read = self.image(place, &at, &config, &layers).await?;
                    let (said, is) = (&one.platform, &read.built.platform);
                    if !is.os.is_empty()
                        && !is.architecture.is_empty()
                        && !is.runs_on(said)
                        && !said.runs_on(is)
                    {
                        return Err(place.answer(format!(
                            "its index calls {at} {said}, and the image in it was built for {is}"
                        )));
                    }
                    read.built = one.clone();
                    return Ok(read);
                }
                Document::Index { entries, .. } => {
                    let fitting = entries.into_iter().find(|e| {
                        !e.is_attestation() && e.platform().is_none_or(|p| p.runs_on(&one.platform))
                    });
                    at = fitting.ok_or_else(|| place.answer("an index in it is empty"))?.digest;
                }
            }
        }
        Err(place.answer(format!("indexes lie in it more than {MAX_DEPTH} deep")))
    }

    /// A manifest's configuration, and what can be added up.
    async fn image(
        &self,
        place: &Place,
        digest: &str,
        config: &Descriptor,
        layers: &[Descriptor],
    ) -> Result<Read, RegistryError> {
        let path = format!("blobs/{}", config.digest);
        let question = Question {
            method: &Method::GET,
            path: &path,
            accept: &[],
            limit: MAX_CONFIG,
            redirects: Redirects::Blob,
        };
        let answer = self.ask(place, question).await?;
        if answer.status == http::StatusCode::NOT_FOUND {
            let (image, what) = (place.image.clone(), Missing::Part);
            return Err(RegistryError::NotFound { image, what, near: Vec::new() });
        }
        if !digest::fits(&answer.body, &config.digest) {
            return Err(place.answer(format!(
                "what came for its configuration has not the digest {}: it is broken or forged",
                config.digest
            )));
        }
        let parsed = Config::read(&answer.body).map_err(|problem| place.answer(problem))?;
        let layers = layers.iter().filter_map(|l| l.size).fold(0_u64, u64::saturating_add);
        Ok(Read {
            built: Built { platform: parsed.platform(), digest: digest.to_owned() },
            labels: parsed.labels(),
            created: parsed.created.clone(),
            size: layers.saturating_add(answer.body.len() as u64),
        })
    }

    /// What a tag means; `None`: it is not there.
    async fn head(&self, place: &Place, tag: &str) -> Result<Option<String>, RegistryError> {
        let path = format!("manifests/{tag}");
        let question = Question {
            method: &Method::HEAD,
            path: &path,
            accept: &ACCEPT,
            limit: MAX_MANIFEST,
            redirects: Redirects::Blob,
        };
        let answer = self.ask(place, question).await?;
        if answer.status == http::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let stated = answer.header("docker-content-digest");
        if digest::is_digest(stated) {
            return Ok(Some(stated.to_owned()));
        }
        // The header is optional: then the body says it.
        let answer = self.ask(place, Question { method: &Method::GET, ..question }).await?;
        Ok((answer.status != http::StatusCode::NOT_FOUND).then(|| digest::sha256(&answer.body)))
    }

    /// What a tag means beside a digest.
    async fn tag_now(&self, place: &Place, tag: &str, digest: &str) -> Result<Tag, RegistryError> {
        Ok(match self.head(place, tag).await? {
            None => Tag::Gone,
            Some(now) if now == digest => Tag::Same,
            Some(now) => Tag::Elsewhere(now),
        })
    }

    /// Demands that a tag still means what was read.
    async fn still(&self, place: &Place, tag: &str, digest: &str) -> Result<(), RegistryError> {
        let to = match self.head(place, tag).await? {
            Some(now) if now == digest => return Ok(()),
            Some(now) => now,
            None => "nothing".to_owned(),
        };
        Err(RegistryError::Moved { image: place.image.clone(), from: digest.to_owned(), to })
    }

    /// Why something is not there.
    async fn missing(
        &self,
        place: &Place,
        name: &str,
        digest: Option<&str>,
        is_top: bool,
        answer: &Answer,
    ) -> RegistryError {
        let image = place.image.clone();
        let codes = answer.errors();
        let is = |code: &str| codes.iter().any(|(c, _)| c == code);
        if !is_top {
            return RegistryError::NotFound { image, what: Missing::Part, near: Vec::new() };
        }
        // Some registries say MANIFEST_UNKNOWN of repositories that they have not either: their tags tell.
        let tags = if is("NAME_UNKNOWN") { Tags::NoRepository } else { self.tags(place).await };
        let what = match (&tags, digest) {
            (Tags::NoRepository, _) => Missing::Repository,
            (Tags::Unsaid, _) => Missing::Unsaid,
            (Tags::Are(_), None) => Missing::Tag,
            (Tags::Are(_), Some(_)) => Missing::Digest,
        };
        let near = match (digest, tags) {
            (None, Tags::Are(tags)) => near(name, &tags),
            _ => Vec::new(),
        };
        RegistryError::NotFound { image, what, near }
    }

    /// The tags of a repository, as far as the registry tells.
    async fn tags(&self, place: &Place) -> Tags {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let mut all = Vec::new();
        let mut path = "tags/list?n=1000".to_owned();
        for _ in 0..TAG_PAGES {
            let question = Question {
                method: &Method::GET,
                path: &path,
                accept: &[],
                limit: MAX_TAGS,
                redirects: Redirects::SameHost,
            };
            let Ok(answer) = self.ask(place, question).await else { return Tags::Unsaid };
            if answer.errors().iter().any(|(code, _)| code == "NAME_UNKNOWN") {
                return Tags::NoRepository;
            }
            let page: Result<Page, _> = serde_json::from_slice(&answer.body);
            let Some(page) = page.ok().filter(|_| answer.status.is_success()) else { return Tags::Unsaid };
            all.extend(page.tags.unwrap_or_default());
            // `</v2/team/app/tags/list?last=x&n=1000>; rel="next"`; only its query counts.
            let link = answer.header("link");
            let next = link.split_once('<').and_then(|(_, l)| l.split_once('>')).map(|(url, _)| url);
            match next.filter(|_| link.contains("next")).and_then(|url| url.split_once('?')) {
                Some((_, query)) => path = format!("tags/list?{query}"),
                None => break,
            }
        }
        Tags::Are(all)
    }
}

fn count(place: &Place, reads: &mut u32) -> Result<(), RegistryError> {
    *reads += 1;
    if *reads > MAX_READ {
        return Err(place.answer(format!("it is made of more than {MAX_READ} manifests that must be read")));
    }
    Ok(())
}

/// The entries that the wanted platforms run by, each once; without any wanted, the first.
fn choose(place: &Place, has: &[Built], wanted: &[Platform]) -> Result<Vec<Built>, RegistryError> {
    if has.is_empty() {
        return Err(place.answer("its index holds no image"));
    }
    if wanted.is_empty() {
        return Ok(has.first().cloned().into_iter().collect());
    }
    let mut chosen: Vec<Built> = Vec::new();
    let mut wanting = Vec::new();
    for node in wanted {
        // The same variant before an older one.
        let exact = has.iter().find(|b| b.platform.normal() == node.normal());
        match exact.or_else(|| has.iter().find(|b| b.platform.runs_on(node))) {
            Some(one) if chosen.contains(one) => {}
            Some(one) => chosen.push(one.clone()),
            None => wanting.push(node.clone()),
        }
    }
    if wanting.is_empty() {
        return Ok(chosen);
    }
    let has = has.iter().map(|b| b.platform.clone()).collect();
    Err(RegistryError::Platform { image: place.image.clone(), has, wanting })
}

/// Labels on which all that was read agree; then what the index says.
fn agreed(read: &[Read], annotations: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let Some((first, others)) = read.split_first() else { return annotations };
    let mut labels = annotations;
    for (name, value) in &first.labels {
        let all = others.iter().all(|r| r.labels.get(name) == Some(value));
        if all {
            labels.insert(name.clone(), value.clone());
        } else {
            labels.remove(name);
        }
    }
    labels
}

/// A few tags that may have been meant: the nearest, those that begin alike, the last ones.
fn near(name: &str, tags: &[String]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut left: Vec<&str> = tags.iter().map(String::as_str).collect();
    while found.len() < 3 {
        let Some(one) = nearest(name, left.iter().copied()).map(str::to_owned) else { break };
        left.retain(|t| *t != one);
        found.push(one);
    }
    if found.is_empty() {
        found.extend(tags.iter().rev().take(3).cloned());
    }
    found
}
