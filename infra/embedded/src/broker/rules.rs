//! The rules of a subscription: the one that the topology deploys, called `$Default`, and those that clients added. A
//! message that any of them lets through is for the subscription, once.

use super::{
    Broker, BrokerError,
    core::{Core, begin},
    filter::{Filter, Prepared},
    sent::Sent,
    topology::Subscription,
};
use crate::host::Entity;
use rusqlite::{Connection, params, types::Type};

/// As Bicep and the clients call the rule that every subscription begins with.
pub const DEFAULT: &str = "$Default";
/// Of one subscription; Service Bus lets a topic have 2,000 of SQL.
const RULES_MAX: usize = 100;
const NAME_CHARACTERS_MAX: usize = 50;

#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub name: String,
    pub filter: Filter,
}

/// What clients made of the rules of one subscription.
pub(super) struct Rules {
    is_default_gone: bool,
    added: Vec<(String, Prepared)>,
}

/// Why a rule was not added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleError {
    Exists,
    Invalid(String),
    TooMany,
    Broker(BrokerError),
}
impl From<BrokerError> for RuleError {
    fn from(error: BrokerError) -> Self {
        Self::Broker(error)
    }
}

impl Rules {
    pub fn read(connection: &Connection, the_box: i64) -> rusqlite::Result<Self> {
        let mut rules = Self { is_default_gone: false, added: Vec::new() };
        let mut statement = connection.prepare("SELECT name, rule FROM rules WHERE entity = ?1 ORDER BY name")?;
        let mut rows = statement.query([the_box])?;
        while let Some(row) = rows.next()? {
            let (name, text): (String, Option<String>) = (row.get(0)?, row.get(1)?);
            let Some(text) = text else {
                rules.is_default_gone = true;
                continue;
            };
            let filter: Filter = serde_json::from_str(&text).map_err(unreadable)?;
            rules.added.push((name, Prepared::new(filter).map_err(unreadable)?));
        }
        Ok(rules)
    }

    pub fn take(&self, deployed: &Subscription, sent: &Sent) -> bool {
        (!self.is_default_gone && deployed.takes(&sent.message.properties))
            || self.added.iter().any(|(_, rule)| rule.takes(sent))
    }

    fn has(&self, name: &str) -> bool {
        let is_default = name.eq_ignore_ascii_case(DEFAULT) && !self.is_default_gone;
        is_default || self.added.iter().any(|(have, _)| have.eq_ignore_ascii_case(name))
    }
}

fn unreadable(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(1, Type::Text, why.into())
}

impl Broker {
    /// From now on messages that the filter lets through are for this subscription, too.
    pub async fn add_rule(&self, to: &Entity, rule: Rule) -> Result<(), RuleError> {
        let the_box = self.subscription(to)?;
        if rule.name.is_empty() || rule.name.chars().count() > NAME_CHARACTERS_MAX {
            return Err(RuleError::Invalid(format!("a name of a rule has 1 to {NAME_CHARACTERS_MAX} characters")));
        }
        let prepared = Prepared::new(rule.filter).map_err(RuleError::Invalid)?;
        let added = self.core.run(move |core| core.add_rule(the_box, rule.name, prepared)).await;
        added.map_err(BrokerError::Fault)?
    }

    /// False: there is no rule of that name.
    pub async fn remove_rule(&self, from: &Entity, name: &str) -> Result<bool, BrokerError> {
        let (the_box, name) = (self.subscription(from)?, name.to_owned());
        Ok(self.core.run(move |core| core.remove_rule(the_box, &name)).await?)
    }

    pub async fn rules(&self, of: &Entity) -> Result<Vec<Rule>, BrokerError> {
        let the_box = self.subscription(of)?;
        Ok(self.core.run(move |core| Ok(core.rules_of(the_box))).await?)
    }

    /// Queues have no rules, nor have dead letters.
    fn subscription(&self, entity: &Entity) -> Result<i64, BrokerError> {
        let is_one = entity.topic.is_some() && !entity.dead_letters;
        self.boxes.of(entity).filter(|_| is_one).ok_or(BrokerError::NoSuchEntity)
    }
}

impl Core {
    fn add_rule(&mut self, the_box: i64, name: String, rule: Prepared) -> rusqlite::Result<Result<(), RuleError>> {
        const SQL: &str = "INSERT OR REPLACE INTO rules (entity, name, rule) VALUES (?1, ?2, ?3)";
        let Some(rules) = self.rules.get_mut(&the_box) else {
            return Ok(Err(BrokerError::NoSuchEntity.into()));
        };
        if rules.has(&name) {
            return Ok(Err(RuleError::Exists));
        }
        if rules.added.len() >= RULES_MAX {
            return Ok(Err(RuleError::TooMany));
        }
        let text = serde_json::to_string(&rule.filter)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        self.connection.prepare_cached(SQL)?.execute(params![the_box, name, text])?;
        rules.added.push((name, rule));
        Ok(Ok(()))
    }

    fn remove_rule(&mut self, the_box: i64, name: &str) -> rusqlite::Result<bool> {
        const GONE: &str = "INSERT OR REPLACE INTO rules (entity, name, rule) VALUES (?1, ?2, NULL)";
        let Some(rules) = self.rules.get_mut(&the_box).filter(|rules| rules.has(name)) else { return Ok(false) };
        let transaction = begin(&mut self.connection)?;
        transaction
            .execute("DELETE FROM rules WHERE entity = ?1 AND name = ?2 COLLATE NOCASE", params![the_box, name])?;
        let is_default = name.eq_ignore_ascii_case(DEFAULT);
        if is_default {
            // Removed for good, whether it was the deployed one or one that a client had put in its place.
            transaction.execute(GONE, params![the_box, DEFAULT])?;
        }
        transaction.commit()?;
        rules.is_default_gone |= is_default;
        rules.added.retain(|(have, _)| !have.eq_ignore_ascii_case(name));
        Ok(true)
    }

    fn rules_of(&self, the_box: i64) -> Vec<Rule> {
        let Some(rules) = self.rules.get(&the_box) else { return Vec::new() };
        let mut all = Vec::new();
        if !rules.is_default_gone {
            let deployed = self.subscriptions.iter().filter(|(of, _)| *of == the_box).map(|(_, s)| s.sql());
            let filter = Filter::Sql(deployed.collect::<Vec<_>>().join(" OR "));
            all.push(Rule { name: DEFAULT.to_owned(), filter });
        }
        all.extend(rules.added.iter().map(|(name, rule)| Rule { name: name.clone(), filter: rule.filter.clone() }));
        all
    }
}
