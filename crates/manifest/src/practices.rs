//! The practice matrix: every rule of the three linters that teams use, judged on rendered objects.
//!
//! A rule is kept unless its row says why not; `docs/practices.md` is this table. The checks are
//! our own statement of each rule on plain JSON, so that they run without the linters, in tests
//! and in `kiban check`.

use std::fmt;
use std::fmt::Write as _;

mod kube_linter;
mod kube_score;
mod polaris;
mod world;

pub use world::World;

/// A linter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Linter {
    /// kube-score 1.20.
    KubeScore,
    /// kube-linter 0.8.
    KubeLinter,
    /// Polaris 10.2.
    Polaris,
}

impl Linter {
    /// All of them.
    pub const ALL: [Linter; 3] = [Linter::KubeScore, Linter::KubeLinter, Linter::Polaris];

    /// The linter's name.
    pub fn name(self) -> &'static str {
        match self {
            Linter::KubeScore => "kube-score",
            Linter::KubeLinter => "kube-linter",
            Linter::Polaris => "Polaris",
        }
    }
}

impl fmt::Display for Linter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether the linter runs the rule without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// It does.
    On,
    /// Only when asked.
    Off,
}

/// Whether rendered objects keep a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stance {
    /// They do.
    Kept,
    /// They do unless the platform or the app chooses otherwise, which the text names.
    KeptUnless(&'static str),
    /// They do not: the rule contradicts another one or a better practice, which the text names.
    Exempt(&'static str),
}

/// What a rule finds: one line an offender; empty when the objects keep it.
pub type Check = fn(&World<'_>) -> Vec<String>;

/// One rule of one linter.
#[derive(Debug, Clone, Copy)]
pub struct Practice {
    /// Whose rule it is.
    pub linter: Linter,
    /// The linter's own id.
    pub id: &'static str,
    /// Whether the linter runs it unasked.
    pub default: Default,
    /// Whether we keep it.
    pub stance: Stance,
    /// Our statement of it.
    pub check: Check,
}

/// Every rule of the three linters.
pub fn all() -> impl Iterator<Item = &'static Practice> {
    kube_score::ROWS.iter().chain(kube_linter::ROWS).chain(polaris::ROWS)
}

/// A rule that objects break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whose rule it is.
    pub linter: Linter,
    /// The linter's own id.
    pub id: &'static str,
    /// The offender.
    pub what: String,
}

/// Judges objects by every rule that we keep.
pub fn judge(world: &World<'_>) -> Vec<Finding> {
    let kept = all().filter(|practice| !matches!(practice.stance, Stance::Exempt(_)));
    kept.flat_map(|practice| {
        let findings = (practice.check)(world).into_iter();
        findings.map(|what| Finding { linter: practice.linter, id: practice.id, what })
    })
    .collect()
}

/// The matrix as the page `docs/practices.md`.
pub fn page() -> String {
    let mut out = String::from(HEAD);
    for linter in Linter::ALL {
        let rows: Vec<_> = all().filter(|practice| practice.linter == linter).collect();
        let exempt = rows.iter().filter(|row| matches!(row.stance, Stance::Exempt(_))).count();
        let kept = rows.len() - exempt;
        let _ = writeln!(out, "\n## {linter}: {kept} of {} rules kept\n", rows.len());
        out.push_str("| rule | on by default | kept |\n|---|---|---|\n");
        for row in rows {
            let default = if row.default == Default::On { "yes" } else { "no" };
            let stance = match row.stance {
                Stance::Kept => "yes".to_owned(),
                Stance::KeptUnless(why) => format!("yes, unless {why}"),
                Stance::Exempt(why) => format!("**no**: {why}"),
            };
            let _ = writeln!(out, "| `{}` | {default} | {stance} |", row.id);
        }
    }
    out.push_str(TAIL);
    out.push_str(LAWS_HEAD);
    for (id, what) in crate::laws::LAWS {
        let _ = writeln!(out, "| `{id}` | {what} |");
    }
    out
}

const HEAD: &str = "\
# Practices in rendered manifests

What `kiban render` puts out is judged by the rules of three linters. This page lists each rule by
its own id and says whether rendered objects keep it. A test runs our statement of every rule over
the rendered prod environment of `examples/shop`, once as rendered and once with the rule broken on
purpose; another test keeps this page current (`KIBAN_BLESS=1 cargo test -p kiban-manifest` rewrites
it).

Where the linters contradict each other, or a rule contradicts a better practice, the row says so.
These exemptions are the whole list: a linter's finding on rendered output that is not named here is
a bug.
";

const TAIL: &str = "
## What no linter judges

- **Graceful end**: a pause before the stop signal that covers the time in which proxies and load
  balancers still send requests, and a grace period of 30 s or more that covers the pause, the
  longest request and the app's own drain.
- **Rollouts**: `maxUnavailable: 0`; a new pod counts after it has been ready for some seconds; a
  rollout that is stuck is declared so.
- **Autoscaling**: every Deployment has an autoscaler in environments that ask for a review; it
  doubles at most every 15 s upwards and waits five minutes downwards. Beside a mesh's proxy it
  looks at the app's container alone.
- **Jobs**: no two runs overlap; a late run starts within its deadline or not at all; a run has a
  limit of time and of retries; pods lost to a drained node do not count as failures.
- **Settings**: the ConfigMap's name carries the hash of its content and the object is immutable,
  so a changed setting is a rollout and a rollback finds what it ran with.
- **Network**: what an app may call and who may call it come from one list, `calls`, enforced on
  both ends.
";

const LAWS_HEAD: &str = "
## Laws across fields

What is good alone can be wrong together. `kiban render` checks these, names the line to change, and
writes nothing while one is broken; what is marked as a warning, or what only production demands in
another environment, is said and goes on.

| law | what it demands |
|---|---|
";
