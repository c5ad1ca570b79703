//! Tenant closure (SPEC 13.1(4), E2E-08): what belongs to a tenant names that tenant and no other, and no derived id is
//! shared, however equal the data are.

use crate::{
    journal::{Applied, Oracle, Verdict},
    plan::Cast,
};
use opsloop_kernel::{Document, TenantId, envelope::BLOB_SCHEME};
use serde_json::Value;
use std::collections::BTreeMap;

/// Whose ids are derived, tenant first (SPEC 3.2); those of others follow from names that two tenants may both use.
const DERIVED: [&str; 3] = ["incident", "feedback-item", "owed"];

pub struct TenantClosure {
    tenants: Vec<String>,
    /// Whose a derived id is.
    ids: BTreeMap<String, TenantId>,
}

impl TenantClosure {
    pub fn new(cast: &Cast) -> Self {
        Self { tenants: cast.tenants.iter().map(ToString::to_string).collect(), ids: BTreeMap::new() }
    }

    fn own(&mut self, id: &str, tenant: &TenantId) -> Verdict {
        match self.ids.get(id) {
            Some(owner) if owner != tenant => Err(format!("{owner} and {tenant} both have {id}")),
            Some(_) => Ok(()),
            None => {
                self.ids.insert(id.to_owned(), tenant.clone());
                Ok(())
            }
        }
    }

    fn foreign(&self, value: &Value, own: &str) -> Option<&str> {
        match value {
            Value::String(text) => {
                self.tenants.iter().find(|t| *t != own && (*t == text || names(text, t))).map(String::as_str)
            }
            Value::Array(all) => all.iter().find_map(|v| self.foreign(v, own)),
            Value::Object(all) => all.values().find_map(|v| self.foreign(v, own)),
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
        }
    }

    fn document(&mut self, commit: &Applied, document: &Document) -> Verdict {
        if let Some(other) = self.foreign(&document.body.0, commit.tenant.as_str()) {
            return Err(format!("{} {} of {} names {other}", document.kind, document.id, commit.tenant));
        }
        if DERIVED.contains(&document.kind.as_ref()) {
            self.own(&document.id.0, &commit.tenant)?;
        }
        Ok(())
    }
}

/// References to stored payloads bear their tenant: `payload/<tenant>/<sha256>`.
fn names(text: &str, tenant: &str) -> bool {
    let name = text.strip_prefix(BLOB_SCHEME).and_then(|name| name.strip_prefix("payload/"));
    name.and_then(|t| t.strip_prefix(tenant)).is_some_and(|t| t.starts_with('/'))
}

impl Oracle for TenantClosure {
    fn name(&self) -> &'static str {
        "tenant closure"
    }

    fn applied(&mut self, commit: &Applied) -> Verdict {
        for e in &commit.owed {
            if e.tenant_id != commit.tenant {
                let (kind, id) = (&e.event_type, &e.event_id);
                return Err(format!("{kind} {id} of {} is owed by a commit of {}", e.tenant_id, commit.tenant));
            }
            self.own(e.event_id.as_str(), &commit.tenant)?;
        }
        // A refusal's record tells of the tenant that a message reached for.
        let told = commit.changes.iter().filter(|c| c.kind() != "dead-letter");
        told.filter_map(|c| c.after.as_ref()).try_for_each(|d| self.document(commit, d))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::rig::*, *};
    use serde_json::json;

    fn judge(kind: &'static str, body: &Value) -> Verdict {
        TenantClosure::new(&cast()).applied(&commit(vec![saved(Document::new("1", kind, body))], vec![]))
    }

    #[test]
    fn another_tenants_name_in_a_document_is_noticed() {
        judge("open", &json!({"tenant": "acme", "title": "as globex has it"})).unwrap();
        judge("dead-letter", &json!({"tenant": "globex"})).unwrap();
        fails(judge("open", &json!({"a": [{"tenantId": "globex"}]})), "open 1 of acme names globex");
        fails(judge("open", &json!({"uri": "opsloop-blob:payload/globex/ab"})), "names globex");
    }

    #[test]
    fn an_event_of_another_tenant_is_noticed() {
        let mut foreign = fact("A", "1", json!({}));
        foreign.tenant_id = tenant("globex");
        let owes = commit(vec![], vec![foreign]);
        fails(TenantClosure::new(&cast()).applied(&owes), "of globex is owed by a commit of acme");
    }

    #[test]
    fn ids_that_two_tenants_share_are_noticed() {
        let twice = |first: Applied, second: fn(&mut Applied)| {
            let mut oracle = TenantClosure::new(&cast());
            oracle.applied(&first).unwrap();
            let mut again = first;
            again.tenant = tenant("globex");
            second(&mut again);
            oracle.applied(&again)
        };
        let shared = commit(vec![], vec![fact("A", "1", json!({}))]);
        fails(twice(shared, |c| c.owed[0].tenant_id = tenant("globex")), "acme and globex both have evt-");
        let incident = commit(vec![saved(Document::new("incident|inc-1", "incident", &json!({})))], vec![]);
        fails(twice(incident, |_| ()), "acme and globex both have incident|inc-1");
    }
}
