//! Which messages a rule lets through: SQL and correlation filters, as Service Bus has them.
//!
//! Nothing is known of a property that a message does not have, so a comparison with it is neither true nor false, and
//! only what is true lets a message through. `NOT EXISTS(p)` is how one asks for it to be missing.
//! Left out on purpose: functions, arithmetic, parameters, and actions that change a message.

mod eval;
mod lexer;
mod parser;
#[cfg(test)]
mod tests;

pub use parser::parse;

use super::sent::Sent;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A value that a filter can compare.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fact {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

/// Properties of Service Bus itself; `sys.` in SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum System {
    CorrelationId,
    MessageId,
    To,
    ReplyTo,
    Label,
    SessionId,
    ReplyToSessionId,
    ContentType,
}

impl System {
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::CorrelationId, "CorrelationId"),
        (Self::MessageId, "MessageId"),
        (Self::To, "To"),
        (Self::ReplyTo, "ReplyTo"),
        (Self::Label, "Label"),
        (Self::SessionId, "SessionId"),
        (Self::ReplyToSessionId, "ReplyToSessionId"),
        (Self::ContentType, "ContentType"),
    ];
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Filter {
    True,
    False,
    Sql(String),
    /// Equal in all of these.
    Correlation {
        system: BTreeMap<System, String>,
        user: BTreeMap<String, Fact>,
    },
}

/// A filter that is known to be one.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    pub filter: Filter,
    expression: Option<parser::Expression>,
}

impl Prepared {
    /// Says what is wrong with an expression that is none.
    pub fn new(filter: Filter) -> Result<Self, String> {
        let expression = match &filter {
            Filter::Sql(text) => Some(parse(text)?),
            Filter::True | Filter::False | Filter::Correlation { .. } => None,
        };
        Ok(Self { filter, expression })
    }

    pub fn takes(&self, sent: &Sent) -> bool {
        match (&self.filter, &self.expression) {
            (_, Some(expression)) => expression.is_true_of(sent),
            (Filter::True, None) => true,
            (Filter::Correlation { system, user }, None) => {
                system.iter().all(|(name, value)| sent.system(*name).as_ref() == Some(value))
                    && user.iter().all(|(name, value)| sent.user(name).as_ref() == Some(value))
            }
            (Filter::False | Filter::Sql(_), None) => false,
        }
    }
}
