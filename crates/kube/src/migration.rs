//! Migrations: Jobs that must complete before the workloads change, once for their images.
//!
//! A Job is one by its annotation `kiban.dev/migration: "true"`. What it runs with is told by the images
//! of its containers, by digest where they are pinned; that and the commit are kept in the inventory, so
//! that a Job that its time to live removed does not run again. `kiban.dev/reversible: "true"` says that
//! the app before it runs on what it leaves: without, nobody rolls back past it by himself.

use serde_json::Value;

use crate::inventory::Migration;
use crate::object::{group_of, text_at};
use crate::readiness::Readiness;
use crate::request::Options;

/// The annotation that makes a Job a migration.
pub const ANNOTATION: &str = "kiban.dev/migration";

/// The annotation by which a migration is declared reversible.
pub const REVERSIBLE: &str = "kiban.dev/reversible";

/// The wave in which migrations run.
pub(crate) const MIGRATIONS: u8 = 4;

/// What a migration runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrates {
    /// Digests of the images of its containers, or their references where they are not pinned.
    pub images: String,
    /// Whether it is declared reversible.
    pub reversible: bool,
}

impl Migrates {
    /// What an object migrates with; none where it is no migration.
    pub fn of(object: &Value) -> Option<Self> {
        let says = |name: &str| text_at(object, &["metadata", "annotations", name]) == Some("true");
        let job = group_of(object) == "batch" && text_at(object, &["kind"]) == Some("Job");
        (job && says(ANNOTATION)).then(|| Self { images: images(object), reversible: says(REVERSIBLE) })
    }
}

/// The images of a Job's containers, sorted, each once.
fn images(job: &Value) -> String {
    let spec = &job["spec"]["template"]["spec"];
    let lists = ["initContainers", "containers"].into_iter().filter_map(|field| spec[field].as_array());
    let mut images: Vec<&str> = lists
        .flatten()
        .filter_map(|c| text_at(c, &["image"]))
        .map(|image| image.split_once('@').map_or(image, |(_, digest)| digest))
        .collect();
    images.sort_unstable();
    images.dedup();
    images.join(",")
}

/// What is to be done about a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It ran, runs, or is not to run: nothing is written.
    Leave,
    /// It is to run.
    Create,
    /// It is to run in the place of one with other images, or of one that failed.
    Replace,
    /// It cannot run, and why.
    Refuse(String),
}

/// How a Job ended; none while it runs.
pub(crate) fn end(job: &Value) -> Option<Result<(), String>> {
    let list = job.get("status").and_then(|s| s.get("conditions")).and_then(Value::as_array);
    let holds = |c: &&Value| text_at(c, &["status"]) == Some("True");
    list.into_iter().flatten().filter(holds).find_map(|c| match text_at(c, &["type"]) {
        Some("Complete") => Some(Ok(())),
        Some("Failed") => {
            let text = |field| text_at(c, &[field]).unwrap_or("");
            Some(Err(format!("{}: {}", text("reason"), text("message"))))
        }
        _ => None,
    })
}

/// How far a migration has come: unlike by kstatus' rule, one that merely began is not ready.
pub(crate) fn readiness(job: &Value, now: kiban_base::clock::Timestamp) -> Readiness {
    match end(job) {
        Some(Err(why)) => Readiness::failed("JobFailed", why),
        Some(Ok(())) => Readiness::current("the migration is complete"),
        None => {
            let known = crate::readiness::readiness(job, now);
            Readiness::in_progress("Migrating", known.message)
        }
    }
}

/// Decides by what is there and what was recorded.
pub(crate) fn decide(
    wanted: &Migrates,
    live: Option<&Value>,
    done: Option<&Migration>,
    rolling_back: bool,
    options: &Options,
) -> Decision {
    if rolling_back || done.is_some_and(|d| d.images == wanted.images) {
        return Decision::Leave;
    }
    let Some(live) = live else { return Decision::Create };
    if text_at(live, &["metadata", "deletionTimestamp"]).is_some() {
        return Decision::Refuse(
            "the Job that ran before it is being deleted: apply again when it is gone".into(),
        );
    }
    let same = images(live) == wanted.images;
    match (same, end(live)) {
        (true, Some(Err(why))) if !options.retry_migrations => Decision::Refuse(format!(
            "it failed before with the same images ({why}): mend it with a new image, or run it again with --retry-migrations"
        )),
        (true, None | Some(Ok(()))) => Decision::Leave,
        (true, Some(Err(_))) | (false, Some(_)) => Decision::Replace,
        (false, None) => Decision::Refuse(format!(
            "the migration before it, with {}, still runs: apply again when it has ended, or delete it",
            images(live)
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn job(image: &str, condition: Option<&str>) -> Value {
        let conditions: Vec<Value> = condition
            .map(|c| json!({"type": c, "status": "True", "reason": "R", "message": "m"}))
            .into_iter()
            .collect();
        json!({"apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "m", "annotations": {ANNOTATION: "true", REVERSIBLE: "true"}},
            "spec": {"template": {"spec": {"initContainers": [{"image": "r/b:1@sha256:bb"}], "containers": [{"image": image}, {"image": image}]}}},
            "status": {"conditions": conditions}})
    }

    #[test]
    fn a_migration_is_known_by_its_annotation_and_told_apart_by_its_images() {
        let migrates = Migrates::of(&job("r/a@sha256:aa", None)).unwrap();
        assert_eq!((migrates.images.as_str(), migrates.reversible), ("sha256:aa,sha256:bb", true));
        assert_eq!(
            Migrates::of(&json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "m"}})),
            None
        );
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"annotations": {ANNOTATION: "true"}}});
        assert_eq!(Migrates::of(&map), None);
    }

    #[test]
    fn it_runs_once_for_its_images() {
        let wanted = Migrates::of(&job("a:2", None)).unwrap();
        let done = |image: &str| Migration {
            images: Migrates::of(&job(image, None)).unwrap().images,
            ..Migration::default()
        };
        let retry = Options { retry_migrations: true, ..Options::default() };
        let plain = Options::default();
        let told = |live: Option<Value>, done: Option<Migration>, back: bool, options: &Options| match decide(
            &wanted,
            live.as_ref(),
            done.as_ref(),
            back,
            options,
        ) {
            Decision::Refuse(why) => why.split(':').next().unwrap().to_owned(),
            other => format!("{other:?}"),
        };
        for (live, done, back, options, expected) in [
            (None, None, false, &plain, "Create"),
            (None, Some(done("a:1")), false, &plain, "Create"),
            (None, Some(done("a:2")), false, &plain, "Leave"),
            (None, None, true, &plain, "Leave"),
            (Some(job("a:2", None)), None, false, &plain, "Leave"),
            (Some(job("a:2", Some("Complete"))), None, false, &plain, "Leave"),
            (Some(job("a:1", Some("Complete"))), Some(done("a:1")), false, &plain, "Replace"),
            (Some(job("a:1", Some("Failed"))), None, false, &plain, "Replace"),
            (Some(job("a:1", None)), None, false, &plain, "the migration before it, with a"),
            (
                Some(job("a:2", Some("Failed"))),
                None,
                false,
                &plain,
                "it failed before with the same images (R",
            ),
            (Some(job("a:2", Some("Failed"))), None, false, &retry, "Replace"),
        ] {
            assert_eq!(told(live.clone(), done.clone(), back, options), expected, "{live:?} {done:?}");
        }
    }
}
