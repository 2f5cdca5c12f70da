//! The targets: what each reads, what it starts from, the function.

mod api;
mod base;
mod decimal;
mod git;
mod kinds;
mod model;
mod patch;
mod schema;
mod seeds;

/// One target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name on the command line and in the names of failing inputs.
    pub name: &'static str,
    /// Well-formed inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Reads an input. Says whether it was well-formed: then it is worth starting from. Panics where a
    /// promise of the reader does not hold.
    pub run: fn(&[u8]) -> bool,
}

/// All targets.
pub fn all() -> &'static [Target] {
    const ALL: &[Target] = &[
        Target { name: "json", seeds: seeds::objects, run: schema::json },
        Target { name: "strict", seeds: seeds::objects, run: schema::strict },
        Target { name: "proto", seeds: seeds::proto, run: schema::proto },
        Target { name: "json-patch", seeds: seeds::json_patches, run: patch::json },
        Target { name: "merge-patch", seeds: seeds::merge_patches, run: patch::merge },
        Target { name: "strategic-patch", seeds: seeds::merge_patches, run: patch::strategic },
        Target { name: "apply", seeds: seeds::merge_patches, run: patch::apply },
        Target { name: "fields-v1", seeds: seeds::fields, run: patch::fields },
        Target { name: "label-selector", seeds: seeds::label_selectors, run: base::label_selector },
        Target { name: "field-selector", seeds: seeds::field_selectors, run: base::field_selector },
        Target { name: "quantity", seeds: seeds::quantities, run: base::quantity },
        Target { name: "duration", seeds: seeds::durations, run: base::duration },
        Target { name: "cron", seeds: seeds::schedules, run: base::cron },
        Target { name: "timestamp", seeds: seeds::timestamps, run: base::timestamp },
        Target { name: "names", seeds: seeds::names, run: base::names },
        Target { name: "yaml", seeds: seeds::yaml, run: model::yaml },
        Target { name: "manifests", seeds: seeds::yaml, run: model::manifests },
        Target { name: "repository", seeds: seeds::repositories, run: model::repository },
        Target { name: "explain-path", seeds: seeds::paths, run: model::path },
        Target { name: "kinds", seeds: seeds::objects, run: kinds::create },
        Target { name: "kinds-update", seeds: seeds::pairs, run: kinds::update },
        Target { name: "git-packets", seeds: git::packet_seeds, run: git::packets },
        Target { name: "git-pack", seeds: git::pack_seeds, run: git::pack },
        Target { name: "git-texts", seeds: git::text_seeds, run: git::texts },
        Target { name: "api", seeds: seeds::requests, run: api::request },
    ];
    ALL
}
