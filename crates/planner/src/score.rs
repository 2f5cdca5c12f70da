//! The scores: which of the nodes that may take a pod suits it best. Formulas and weights are those of
//! kube-scheduler's default profile.

use crate::cluster::{Class, Cluster, Limit, NodeState};
use crate::filter::Ask;
use crate::node::Effect;
use crate::pod::tolerates;

const MAX: i64 = 100;

/// A node's scores, each weighted as it counts in the total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scores {
    /// Taints with PreferNoSchedule; weight 3.
    pub taints: i64,
    /// Preferred node affinity; weight 2.
    pub node_affinity: i64,
    /// Soft topology spread; weight 2.
    pub spread: i64,
    /// Preferred pod affinity, both ways; weight 2.
    pub pod_affinity: i64,
    /// The share of cpu and memory that stays free (LeastAllocated); weight 1.
    pub free: i64,
    /// How alike cpu and memory are used (BalancedAllocation); weight 1.
    pub balance: i64,
}

impl Scores {
    /// The sum that decides.
    pub fn total(&self) -> i64 {
        self.taints + self.node_affinity + self.spread + self.pod_affinity + self.free + self.balance
    }
}

/// Scores nodes, in their order.
pub(crate) fn score(cluster: &Cluster, ask: &Ask, nodes: &[u32]) -> Vec<Scores> {
    let Some(class) = cluster.classes.get(ask.class) else { return vec![Scores::default(); nodes.len()] };
    let states: Vec<&NodeState> = nodes.iter().filter_map(|id| cluster.nodes.get(*id)).collect();
    let mut out: Vec<Scores> = states.iter().map(|s| room(ask, s)).collect();
    let mut put = |values: Vec<i64>, field: fn(&mut Scores) -> &mut i64, weight: i64| {
        for (scores, value) in out.iter_mut().zip(values) {
            *field(scores) = weight * value;
        }
    };
    put(taints(ask, &states), |s| &mut s.taints, 3);
    put(node_affinity(ask, &states), |s| &mut s.node_affinity, 2);
    put(spread(cluster, ask, class, &states), |s| &mut s.spread, 2);
    put(pod_affinity(cluster, class, &states), |s| &mut s.pod_affinity, 2);
    out
}

/// LeastAllocated and BalancedAllocation over cpu and memory.
fn room(ask: &Ask, state: &NodeState) -> Scores {
    let (asked, has) = (&ask.template.requests, &state.node.allocatable);
    let free = least_allocated(&[
        (state.scoring_milli_cpu.saturating_add(asked.scoring_milli_cpu), has.milli_cpu),
        (state.scoring_memory.saturating_add(asked.scoring_memory), has.memory),
    ]);
    // Upstream skips the balance for pods that ask for nothing.
    let asks = asked.exact.milli_cpu > 0 || asked.exact.memory > 0;
    let balance = if asks {
        balanced_allocation(&[
            (state.requested.milli_cpu.saturating_add(asked.exact.milli_cpu), has.milli_cpu),
            (state.requested.memory.saturating_add(asked.exact.memory), has.memory),
        ])
    } else {
        0
    };
    Scores { free, balance, ..Scores::default() }
}

fn least_allocated(resources: &[(i64, i64)]) -> i64 {
    let (mut sum, mut weights) = (0, 0);
    for (used, has) in resources.iter().filter(|(_, has)| *has > 0) {
        let free = (has - used).max(0);
        // Past 90 PB a hundredfold does not fit; then the share of whole hundredths is exact enough.
        sum += free.checked_mul(MAX).map_or_else(|| free / (has / MAX), |f| f / has);
        weights += 1;
    }
    if weights == 0 { 0 } else { sum / weights }
}

fn balanced_allocation(resources: &[(i64, i64); 2]) -> i64 {
    let share = |(used, has): (i64, i64)| (has > 0).then(|| (used as f64 / has as f64).min(1.0));
    let deviation = match (share(resources[0]), share(resources[1])) {
        (Some(a), Some(b)) => ((a - b) / 2.0).abs(),
        _ => 0.0,
    };
    ((1.0 - deviation) * MAX as f64) as i64
}

/// Fewer untolerated PreferNoSchedule taints are better.
fn taints(ask: &Ask, states: &[&NodeState]) -> Vec<i64> {
    let tolerations = &ask.template.tolerations;
    let counts: Vec<i64> = states
        .iter()
        .map(|state| {
            let soft = state.node.taints.iter().filter(|t| t.effect == Effect::PreferNoSchedule);
            soft.filter(|t| !tolerates(tolerations, t)).count() as i64
        })
        .collect();
    let most = counts.iter().copied().max().unwrap_or(0);
    counts.into_iter().map(|n| if most == 0 { MAX } else { MAX - MAX * n / most }).collect()
}

fn node_affinity(ask: &Ask, states: &[&NodeState]) -> Vec<i64> {
    let preferred = &ask.template.preferred_nodes;
    if preferred.is_empty() {
        return vec![0; states.len()];
    }
    let sums: Vec<i64> = states
        .iter()
        .map(|s| preferred.iter().filter(|p| p.term.matches(&s.node)).map(|p| i64::from(p.weight)).sum())
        .collect();
    let most = sums.iter().copied().max().unwrap_or(0);
    sums.into_iter().map(|n| if most == 0 { 0 } else { MAX * n / most }).collect()
}

/// Soft spread: fewer matching pods in a node's domains are better. Nodes without the labels score zero.
fn spread(cluster: &Cluster, ask: &Ask, class: &Class, states: &[&NodeState]) -> Vec<i64> {
    let limits = &class.demand.soft;
    if limits.is_empty() {
        return vec![0; states.len()];
    }
    let needs_all = !ask.template.default_spread;
    let key = |limit: &Limit| cluster.trackers.get(limit.tracker).map_or(u32::MAX, |t| t.key);
    let keys: Vec<u32> = limits.iter().map(key).collect();
    let scored = |s: &NodeState| !needs_all || keys.iter().all(|k| s.domain(*k).id().is_some());
    let weights: Vec<f64> = limits
        .iter()
        .zip(&keys)
        .map(|(limit, key)| {
            let candidates = states.iter().filter(|s| scored(s));
            let size = if limit.is_hostname {
                candidates.count()
            } else {
                let mut seen: Vec<u32> = candidates.filter_map(|s| s.domain(*key).id()).collect();
                seen.sort_unstable();
                seen.dedup();
                seen.len()
            };
            ((size + 2) as f64).ln()
        })
        .collect();
    let raw: Vec<Option<i64>> = states
        .iter()
        .map(|state| {
            scored(state).then(|| {
                let mut sum = 0.0;
                for (limit, weight) in limits.iter().zip(&weights) {
                    let Some(tracker) = cluster.trackers.get(limit.tracker) else { continue };
                    let domain = state.domain(tracker.key);
                    if domain.id().is_some() {
                        sum += f64::from(tracker.pods(domain)) * weight + f64::from(limit.max_skew - 1);
                    }
                }
                sum.round() as i64
            })
        })
        .collect();
    let least = raw.iter().flatten().copied().min().unwrap_or(0);
    let most = raw.iter().flatten().copied().max().unwrap_or(0);
    let normal = |n: i64| if most == 0 { MAX } else { MAX * (most + least - n) / most };
    raw.into_iter().map(|n| n.map_or(0, normal)).collect()
}

/// The pod's own preferences for company, and those of the pods that are there for it.
fn pod_affinity(cluster: &Cluster, class: &Class, states: &[&NodeState]) -> Vec<i64> {
    let trackers: Vec<_> = class
        .demand
        .preferred
        .iter()
        .filter_map(|(id, weight)| Some((cluster.trackers.get(*id)?, *weight)))
        .filter(|(t, _)| t.total > 0)
        .collect();
    let owners: Vec<_> = class
        .scored_by
        .iter()
        .filter_map(|id| cluster.owners.get(*id))
        .filter(|owner| !owner.is_empty())
        .collect();
    if trackers.is_empty() && owners.is_empty() {
        return vec![0; states.len()];
    }
    let sums: Vec<i64> = states
        .iter()
        .map(|state| {
            let own = trackers.iter().map(|(t, w)| w * i64::from(t.pods(state.domain(t.key))));
            let others = owners.iter().map(|o| o.weight(state.domain(o.key)));
            own.sum::<i64>() + others.sum::<i64>()
        })
        .collect();
    let least = sums.iter().copied().min().unwrap_or(0).min(0);
    let most = sums.iter().copied().max().unwrap_or(0).max(0);
    let span = most - least;
    let normal =
        |n: i64| if span == 0 { 0 } else { (MAX as f64 * ((n - least) as f64 / span as f64)) as i64 };
    sums.into_iter().map(normal).collect()
}
