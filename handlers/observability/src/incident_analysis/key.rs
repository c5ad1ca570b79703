//! What a unit is: a source with its triggers and clears, an incident with its commands and what is due of it, or the
//! newest deployment of a module (SPEC 5.5.6).

use super::{
    incident::{SourceId, doc, stream},
    input::{Input, What},
};
use opsloop_kernel::{Chain, Unit};
use std::{fmt, str::FromStr};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    Source(SourceId),
    Incident(String),
    Deployed { environment: String, module: String },
}

const DEPLOYED: &str = "deployed";
const INCIDENT: &str = "inc-";

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(s) => write!(f, "{}|{}", s.source, s.source_id),
            Self::Incident(id) => f.write_str(id),
            Self::Deployed { environment, module } => write!(f, "{DEPLOYED}|{}|{module}", environment),
        }
    }
}

impl FromStr for Key {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let Some((head, rest)) = s.split_once('|') else {
            let known = s.starts_with(INCIDENT);
            return if known {
                Ok(Self::Incident(s.to_owned()))
            } else {
                Err(format!("`{s}` is no unit of incidents"))
            };
        };
        if head == DEPLOYED {
            let (environment, module) = rest.split_once('|').ok_or_else(|| format!("`{s}` names no module"))?;
            return Ok(Self::Deployed { environment: environment.to_owned(), module: module.to_owned() });
        }
        Ok(Self::Source(SourceId { source: head.parse()?, source_id: rest.to_owned() }))
    }
}

/// What one event says of several sources goes in order; everything else stands beside each other.
pub(super) fn chains(input: &Input) -> Vec<Chain<Key>> {
    let unit = |key, due| Unit { tenant: input.tenant.clone(), stream: stream(), key, due };
    match &input.what {
        What::Said(said) => vec![said.iter().map(|s| unit(Key::Source(s.source().clone()), None)).collect()],
        What::Asked(a) => vec![vec![unit(Key::Incident(a.incident_id.clone()), None)]],
        What::Deployed(d) => {
            let key = |m: &String| Key::Deployed { environment: d.environment.clone(), module: m.clone() };
            d.modules.iter().map(|m| vec![unit(key(m), None)]).collect()
        }
        What::Due(due) => {
            let ours = |id: &str| id.strip_prefix(doc::INCIDENTS).map(|id| Key::Incident(id.to_owned()));
            let found = due.found.iter().filter_map(|f| Some((ours(&f.id.0)?, f.at)));
            found.map(|(key, at)| vec![unit(key, Some(at))]).collect()
        }
    }
}
