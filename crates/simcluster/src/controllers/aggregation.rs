//! ClusterRoles that gather the rules of others by label.
//!
//! Contract: Kubernetes pkg/controller/clusterroleaggregation.

use kiban_base::selector::LabelSelector;
use serde_json::Value;

use super::{Again, Controller, Ctx, Item};
use crate::kind::{KindId, well_known::CLUSTER_ROLE};
use crate::object::Stored;
use crate::registry::{Actor, Part};
use crate::status::ApiError;
use crate::store::{Change, State};

/// Keeps the rules of aggregating roles what their selectors gather.
#[derive(Debug, Default)]
pub struct Aggregation;

impl Controller for Aggregation {
    fn name(&self) -> &'static str {
        "clusterrole-aggregation-controller"
    }

    fn watches(&self) -> Vec<KindId> {
        vec![*CLUSTER_ROLE]
    }

    fn wakes(&mut self, state: &State, _: &Change, items: &mut Vec<Item>) {
        // Any change may be of what any other gathers, and there are few of those.
        let gathers = |o: &&std::sync::Arc<Stored>| is_gathering(&o.json);
        let all = state.objects(*CLUSTER_ROLE).values().filter(gathers);
        items.extend(all.map(|o| Item { kind: *CLUSTER_ROLE, key: o.key.clone() }));
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
        let state = ctx.state();
        let Some(stored) = state.get(*CLUSTER_ROLE, &item.key) else { return Ok(None) };
        let role = stored.value();
        let Some(selectors) = role["aggregationRule"]["clusterRoleSelectors"].as_array() else {
            return Ok(None);
        };
        let mut rules: Vec<Value> = Vec::new();
        for selector in selectors {
            let Ok(selector) = LabelSelector::from_object(selector) else { continue };
            for other in state.objects(*CLUSTER_ROLE).values() {
                if other.key == item.key || !selector.matches(&**other) {
                    continue;
                }
                for rule in other.value()["rules"].as_array().into_iter().flatten() {
                    if !rules.contains(rule) {
                        rules.push(rule.clone());
                    }
                }
            }
        }
        if role["rules"].as_array().map(Vec::as_slice).unwrap_or_default() == rules {
            return Ok(None);
        }
        ctx.cluster.modify(*CLUSTER_ROLE, &item.key, Part::Main, &Actor::new(self.name()), |role| {
            role["rules"] = rules.clone().into();
        })?;
        Ok(None)
    }
}

/// The stored bytes speak of an aggregation: cheaper than reading each role.
fn is_gathering(json: &[u8]) -> bool {
    const KEY: &[u8] = b"\"aggregationRule\":{";
    json.windows(KEY.len()).any(|w| w == KEY)
}
