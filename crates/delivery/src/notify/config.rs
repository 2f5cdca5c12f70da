//! The sections `delivery.notify` of `kiban.yaml`: who is told of rollouts, by names that repositories choose among.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kiban_base::clock::Clock;
use kiban_model::text::Name;
use kiban_runtime::BoxFuture;
use kiban_runtime::client::{Client, Request};
use kiban_runtime::config::{Complaint, SecretFrom};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::slack::{self, Slack, Target};
use super::webhook::Webhook;
use super::{Moment, NotTold, Notifier, Thread};
use crate::forge::config::is_here;

/// Notifiers by name.
pub type Sections = BTreeMap<Name, NotifySection>;

/// How people are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Slack's Web API: one message a rollout, edited in place, with the verdict in its thread.
    Slack,
    /// An incoming webhook of Slack: start and verdict.
    SlackWebhook,
    /// A webhook of one's own, which takes JSON.
    Webhook,
}

/// Who is told of rollouts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NotifySection {
    /// How.
    pub kind: Kind,
    /// Slack's channel: its id (`C0123456789`), or its name with `#`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The token of a Slack app with the scope `chat:write`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretFrom>,
    /// The address of an incoming webhook of Slack, which is a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<SecretFrom>,
    /// The address of a webhook of one's own, or of Slack's Web API where it is not Slack's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The secret that a webhook of one's own is signed with; it is not signed unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretFrom>,
    /// The environments whose rollouts are told; all unless said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<Name>,
}

impl NotifySection {
    /// What is wrong with values that their types allow; `at` leads here.
    pub fn check(&self, at: &str) -> Vec<Complaint> {
        let mut all = Vec::new();
        let mut complain = |key: &str, words: &str| all.push(Complaint::new(&format!("{at}.{key}"), words));
        let wanted: &[&str] = match self.kind {
            Kind::Slack => &["channel", "token"],
            Kind::SlackWebhook => &["webhook"],
            Kind::Webhook => &["url"],
        };
        let allowed: &[&str] = match self.kind {
            Kind::Slack => &["url"],
            Kind::SlackWebhook => &[],
            Kind::Webhook => &["secret"],
        };
        for (key, is_there) in [
            ("channel", self.channel.as_ref().is_some_and(|c| !c.is_empty())),
            ("token", self.token.is_some()),
            ("webhook", self.webhook.is_some()),
            ("url", self.url.is_some()),
            ("secret", self.secret.is_some()),
        ] {
            match (is_there, wanted.contains(&key), allowed.contains(&key)) {
                (false, true, _) => complain(key, "is missing, and this kind needs it"),
                (true, false, false) => complain(key, "is of no use to this kind"),
                _ => {}
            }
        }
        if let Some(url) = &self.url {
            if let Err(error) = Request::get(url) {
                complain("url", &error.to_string());
            } else if url.starts_with("http://") && self.token.is_some() && !is_here(url) {
                complain("url", "a token does not go over http:// beyond this machine");
            }
        }
        all
    }

    /// The notifier, which is called `name`; none where something is missing, which [`check`](Self::check) says.
    /// What it must not forget lies in the folder `data`.
    pub fn build(
        &self,
        name: &str,
        client: Client,
        clock: Arc<dyn Clock>,
        data: Option<&Path>,
    ) -> Option<Arc<dyn Notifier>> {
        let slack = |target: Target| Slack::new(name, target, client.clone(), Arc::clone(&clock), data);
        let notifier: Arc<dyn Notifier> = match self.kind {
            Kind::Slack => Arc::new(slack(Target::Channel {
                url: self.url.clone().unwrap_or_else(|| slack::API.to_owned()),
                token: self.token.clone()?,
                channel: self.channel.clone()?,
            })),
            Kind::SlackWebhook => Arc::new(slack(Target::Webhook(self.webhook.clone()?))),
            Kind::Webhook => {
                Arc::new(Webhook::new(name, self.url.as_deref()?, self.secret.clone(), client, clock))
            }
        };
        if self.environments.is_empty() {
            return Some(notifier);
        }
        let environments = self.environments.iter().map(ToString::to_string).collect();
        Some(Arc::new(Within { notifier, environments }))
    }
}

/// A notifier that is told of some environments only.
struct Within {
    notifier: Arc<dyn Notifier>,
    environments: Vec<String>,
}

impl Notifier for Within {
    fn name(&self) -> &str {
        self.notifier.name()
    }

    fn tell<'a>(&'a self, thread: &'a Thread, moment: Moment) -> BoxFuture<'a, Result<(), NotTold>> {
        if self.environments.contains(&thread.id.env) {
            self.notifier.tell(thread, moment)
        } else {
            Box::pin(async { Ok(()) })
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_notifier_is_checked_beyond_its_types() {
        for (text, paths) in [
            (r##"{"kind": "slack", "channel": "#deploys", "token": {"env": "T"}}"##, &[][..]),
            (r#"{"kind": "slack"}"#, &["notify.channel", "notify.token"]),
            (r#"{"kind": "slack-webhook", "webhook": {"file": "w"}}"#, &[]),
            (r#"{"kind": "slack-webhook", "url": "https://x"}"#, &["notify.webhook", "notify.url"]),
            (r#"{"kind": "webhook", "url": "http://hooks.internal/x"}"#, &[]),
            (r#"{"kind": "webhook", "url": "https://u:p@x"}"#, &["notify.url"]),
            (
                r#"{"kind": "slack", "channel": "C1", "token": {"env": "T"}, "url": "http://slack.example/api"}"#,
                &["notify.url"],
            ),
        ] {
            let section: NotifySection = serde_json::from_str(text).unwrap();
            let found: Vec<String> = section.check("notify").into_iter().map(|c| c.path.join(".")).collect();
            assert_eq!(found, paths, "{text}");
        }
        // An incoming webhook's address is a secret: it does not stand in the file.
        let text = r#"{"kind": "slack-webhook", "webhook": "https://hooks.slack.com/services/T/B/X"}"#;
        assert!(serde_json::from_str::<NotifySection>(text).is_err());
    }
}
