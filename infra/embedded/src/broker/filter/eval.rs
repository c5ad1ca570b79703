//! What an expression is of a message: true, false, or unknown because a property is missing.

use super::{
    Fact,
    parser::{Compared, Expression, Property},
};
use crate::broker::sent::Sent;
use std::cmp::Ordering;

impl Expression {
    pub fn is_true_of(&self, sent: &Sent) -> bool {
        self.truth(sent) == Some(true)
    }

    fn truth(&self, sent: &Sent) -> Option<bool> {
        match self {
            Self::Constant(_) | Self::Property(_) | Self::Null => match self.value(sent)? {
                Fact::Bool(is) => Some(is),
                _ => None,
            },
            Self::Exists(property) => Some(property.of(sent).is_some()),
            Self::IsNull(inner) => Some(inner.value(sent).is_none()),
            Self::Not(inner) => inner.truth(sent).map(|is| !is),
            Self::And(left, right) => match (left.truth(sent), right.truth(sent)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(left, right) => match (left.truth(sent), right.truth(sent)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::Compare(how, left, right) => compare(*how, &left.value(sent)?, &right.value(sent)?),
            Self::In(one, all) => {
                let one = one.value(sent)?;
                let equal = |other: &Self| compare(Compared::Equal, &one, &other.value(sent)?);
                let truths: Vec<_> = all.iter().map(equal).collect();
                if truths.contains(&Some(true)) {
                    return Some(true);
                }
                truths.iter().all(Option::is_some).then_some(false)
            }
            Self::Like { text, pattern, escape } => match text.value(sent)? {
                Fact::Text(text) => Some(is_like(&text, pattern, *escape)),
                _ => None,
            },
        }
    }

    /// None: null, or unknown.
    fn value(&self, sent: &Sent) -> Option<Fact> {
        match self {
            Self::Constant(fact) => Some(fact.clone()),
            Self::Null => None,
            Self::Property(property) => property.of(sent),
            predicate => predicate.truth(sent).map(Fact::Bool),
        }
    }
}

impl Property {
    fn of(&self, sent: &Sent) -> Option<Fact> {
        match self {
            Self::System(name) => sent.system(*name).map(Fact::Text),
            Self::User(name) => sent.user(name),
        }
    }
}

/// Values of different kinds cannot be compared.
fn compare(how: Compared, left: &Fact, right: &Fact) -> Option<bool> {
    let order = match (left, right) {
        (Fact::Text(a), Fact::Text(b)) => a.cmp(b),
        (Fact::Int(a), Fact::Int(b)) => a.cmp(b),
        (Fact::Bool(a), Fact::Bool(b)) => a.cmp(b),
        _ => number(left)?.partial_cmp(&number(right)?)?,
    };
    Some(match how {
        Compared::Equal => order == Ordering::Equal,
        Compared::Unequal => order != Ordering::Equal,
        Compared::Less => order == Ordering::Less,
        Compared::AtMost => order != Ordering::Greater,
        Compared::More => order == Ordering::Greater,
        Compared::AtLeast => order != Ordering::Less,
    })
}

#[allow(clippy::cast_precision_loss, reason = "as SQL does: a whole number beside a fraction becomes one")]
fn number(fact: &Fact) -> Option<f64> {
    match fact {
        Fact::Int(n) => Some(*n as f64),
        Fact::Float(n) => Some(*n),
        Fact::Bool(_) | Fact::Text(_) => None,
    }
}

/// `%` is any text, `_` any character. The usual two pointers: after a mismatch the last `%` takes one character more.
fn is_like(text: &str, pattern: &str, escape: Option<char>) -> bool {
    let text: Vec<char> = text.chars().collect();
    let pattern = tokens(pattern, escape);
    let (mut at, mut in_pattern) = (0, 0);
    let mut retry = None;
    while at < text.len() {
        match pattern.get(in_pattern) {
            Some(Token::Any) => {
                retry = Some((in_pattern, at));
                in_pattern += 1;
                continue;
            }
            Some(Token::One) => {}
            Some(Token::Is(c)) if *c == text[at] => {}
            _ => {
                let Some((star, taken)) = retry else { return false };
                retry = Some((star, taken + 1));
                (in_pattern, at) = (star + 1, taken + 1);
                continue;
            }
        }
        at += 1;
        in_pattern += 1;
    }
    pattern[in_pattern..].iter().all(|token| *token == Token::Any)
}

#[derive(PartialEq)]
enum Token {
    Any,
    One,
    Is(char),
}

fn tokens(pattern: &str, escape: Option<char>) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            c if Some(c) == escape => Token::Is(chars.next().unwrap_or(c)),
            '%' => Token::Any,
            '_' => Token::One,
            c => Token::Is(c),
        });
    }
    tokens
}
