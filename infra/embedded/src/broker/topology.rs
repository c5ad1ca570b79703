//! Which queues and subscriptions there are, as `bicep/catalogue.json` says it: the rendered file is deployed to Azure and
//! read here, so a wrong one fails on the laptop first (DESIGN 7).

use opsloop_kernel::message::{MAX_DELIVERIES, property};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Topology {
    pub queues: Vec<String>,
    pub subscriptions: Vec<Subscription>,
    /// Deliveries before the broker dead-letters by itself.
    #[serde(default = "max_deliveries")]
    pub max_delivery_count: u32,
}

fn max_deliveries() -> u32 {
    MAX_DELIVERIES
}

impl Topology {
    pub fn new<Q: Into<String>>(
        queues: impl IntoIterator<Item = Q>,
        subscriptions: impl IntoIterator<Item = Subscription>,
    ) -> Self {
        let queues = queues.into_iter().map(Into::into).collect();
        Self { queues, subscriptions: subscriptions.into_iter().collect(), max_delivery_count: MAX_DELIVERIES }
    }
}

/// What the topic passes on to one worker, after whom the subscription is named:
/// `(kind IN (…) AND NOT EXISTS(audience)) OR audience = '<worker>'` (A23).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    pub name: String,
    pub kinds: Vec<String>,
    #[serde(default)]
    pub filter: Option<Narrowed>,
}

/// A property that messages of this kind must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Narrowed {
    pub kind: String,
    pub property: String,
    pub value: String,
}

impl Subscription {
    pub fn new<K: Into<String>>(name: impl Into<String>, kinds: impl IntoIterator<Item = K>) -> Self {
        Self { name: name.into(), kinds: kinds.into_iter().map(Into::into).collect(), filter: None }
    }

    pub fn narrowed(mut self, kind: impl Into<String>, property: impl Into<String>, value: impl Into<String>) -> Self {
        self.filter = Some(Narrowed { kind: kind.into(), property: property.into(), value: value.into() });
        self
    }

    /// The rule as it is deployed to Azure.
    pub fn sql(&self) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let kinds: Vec<_> = self.kinds.iter().map(|kind| quoted(kind)).collect();
        let narrowed = self.filter.as_ref().map_or_else(String::new, |f| {
            format!(" AND (kind <> {} OR {} = {})", quoted(&f.kind), f.property, quoted(&f.value))
        });
        let (kind, audience) = (property::KIND, property::AUDIENCE);
        let worker = quoted(&self.name);
        format!("({kind} IN ({}){narrowed} AND NOT EXISTS({audience})) OR {audience} = {worker}", kinds.join(", "))
    }

    /// A message with an audience is for that worker alone, whatever its kind; one without a kind is for nobody.
    pub fn takes(&self, properties: &BTreeMap<String, String>) -> bool {
        if let Some(audience) = properties.get(property::AUDIENCE) {
            return *audience == self.name;
        }
        let Some(kind) = properties.get(property::KIND) else { return false };
        let narrowed = self.filter.as_ref().filter(|f| f.kind == *kind);
        self.kinds.contains(kind) && narrowed.is_none_or(|f| properties.get(&f.property) == Some(&f.value))
    }
}
