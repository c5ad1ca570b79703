//! What must hold whatever happens (SPEC 13.1), each a check with a name. The workers' own invariants stand beside their
//! generators in [`crate::workers`].

pub mod aeons;
pub mod bounded;
pub mod causes;
pub mod copies;
pub mod differential;
pub mod evidence;
pub mod identity;
pub mod lost;
pub mod once;
pub mod outbox;
pub(crate) mod reading;
#[cfg(test)]
mod rig;
pub mod secrecy;
pub mod slots;
pub mod starved;
mod taken;
pub mod tenants;

use crate::{
    journal::Oracle,
    plan::{Cast, Plan},
};

/// A fresh set for one run.
pub fn all(cast: &Cast, plan: &Plan) -> Vec<Box<dyn Oracle>> {
    vec![
        Box::new(identity::OneIdentity::new(plan)),
        Box::new(once::OwedOnce::default()),
        Box::new(copies::Copies::default()),
        Box::new(tenants::TenantClosure::new(cast)),
        Box::new(causes::CausalClosure::new(plan)),
        Box::new(bounded::BoundedLoops::new(cast, plan)),
        Box::new(evidence::Evidence::default()),
        Box::new(secrecy::Secrecy::new(plan)),
        Box::new(aeons::LongAgo::new(cast)),
        Box::new(slots::SlotsWait::new(cast)),
        Box::new(outbox::OutboxEmpty),
        Box::new(lost::NothingLost::default()),
    ]
}
