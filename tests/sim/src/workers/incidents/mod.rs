//! IncidentAnalysisWorker (SPEC 5.5): what other platforms report beside our own alerts and SLOs, in whatever order it
//! comes, and what operators do about it.

mod history;
mod invariants;
mod machine;
mod operators;
mod sources;
mod stories;

pub use invariants::invariants;

use super::outside::{Place, Teller, for_each_tenant};
use crate::{
    plan::{Cast, Plan},
    rng::Rng,
};
use opsloop_kernel::{TenantId, ids};

/// An episode of a source, by which an incident may have been opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub source: &'static str,
    pub source_id: String,
    pub episode_id: String,
}

impl Target {
    /// The n-th incident of the episode (SPEC 5.5.4(4), A8).
    pub fn incident_id(&self, tenant: &TenantId, n: u32) -> String {
        let mut parts = vec![self.source.to_owned(), self.source_id.clone(), self.episode_id.clone()];
        if n > 1 {
            parts.push(n.to_string());
        }
        ids::derived_id("inc", "incident", tenant, parts)
    }
}

pub fn generate(rng: &mut Rng, cast: &Cast, plan: &mut Plan) {
    for_each_tenant(rng, cast, |rng, tenant| {
        let mut targets = vec![];
        let mut teller = Teller { cast, tenant, plan };
        // Two sources of one group fire together more often than not.
        let place = Place::draw(rng, cast);
        for n in 0..rng.between(1, 2) {
            let here = if rng.hit(0.7) { place } else { Place::draw(rng, cast) };
            targets.extend(stories::one(rng, &mut teller, here, n));
        }
        let resolves = rng.hit(0.5);
        operators::act(rng, &mut teller, place, targets, resolves);
        let own = &mut rng.clone();
        if resolves && own.hit(0.4) {
            operators::resolved_too_soon(own, &mut teller, place);
        }
        if resolves {
            plan.contested.insert(tenant.clone());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::{
        outside::Teller,
        testing::{assert_alike, assert_in_time, cast, is_taken, payload, plans, tenant},
    };
    use super::*;
    use crate::plan::Offer;
    use opsloop_kernel::{Envelope, Timestamp};
    use opsloop_observability::{
        feedback_creation::FeedbackCreationWorker,
        incident_analysis::{
            IncidentAnalysisWorker, endpoints,
            input::{Said, What, of_event},
            trigger::incident_id,
        },
    };
    use std::collections::BTreeMap;

    #[test]
    fn what_is_sent_is_what_the_worker_takes() {
        let plans = plans(generate, false);
        assert_in_time(&plans);
        let (incidents, feedback) = (IncidentAnalysisWorker::default(), FeedbackCreationWorker::default());
        let mut kinds = BTreeMap::<String, u32>::new();
        for a in plans.iter().flat_map(|p| &p.arrivals) {
            match &a.offer {
                Offer::Event(e) => {
                    let _ = (is_taken(&incidents, e), is_taken(&feedback, e));
                    *kinds.entry(e.event_type.clone()).or_default() += 1;
                }
                Offer::Command { expect, .. } => {
                    let made = payload(&endpoints(), &a.offer);
                    assert_eq!(made.is_err(), *expect == [400] || *expect == [404] && made.is_err(), "{:?}", a.offer);
                    *kinds.entry(made.map_or("refused", |(kind, _)| kind).to_owned()).or_default() += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        let missing = ALL.iter().filter(|k| !kinds.contains_key(**k)).collect::<Vec<_>>();
        assert!(missing.is_empty(), "{missing:?} of {kinds:?}");
        let most = plans.iter().map(|p| p.arrivals.len()).max().unwrap();
        assert!(most <= 60, "{most} for two tenants");
    }

    const ALL: [&str; 19] = [
        "AlertTriggered",
        "AlertResolved",
        "SloBreached",
        "SloRecovered",
        "CostAnomalyDetected",
        "RuntimeDriftDetected",
        "RuntimeDriftResolved",
        "RuntimeDeploymentCompleted",
        "RuntimeDeploymentRolledBack",
        "SecretRotationFailed",
        "SecretRotated",
        "OpenIncident",
        "AcknowledgeIncident",
        "BeginInvestigation",
        "ApplyMitigation",
        "EngageOnCall",
        "ResolveIncident",
        "AppendPostMortemNote",
        "refused",
    ];

    #[test]
    fn clears_overtake_their_triggers() {
        let mut overtaken = 0;
        for plan in plans(generate, false) {
            let events = plan.arrivals.iter().filter_map(|a| match &a.offer {
                Offer::Event(e) => Some((a.at, &**e)),
                _ => None,
            });
            let events: Vec<(Timestamp, &Envelope)> = events.collect();
            let id = |e: &Envelope| (e.tenant_id.clone(), e.payload.0["episodeId"].clone());
            for (at, clear) in events.iter().filter(|(_, e)| e.event_type == "AlertResolved") {
                let triggers = events.iter().filter(|(_, e)| e.event_type == "AlertTriggered" && id(e) == id(clear));
                overtaken += triggers.filter(|(t, _)| t > at).count().min(1);
            }
        }
        assert!(overtaken > 5, "{overtaken}");
    }

    #[test]
    fn a_target_names_the_incident_that_its_trigger_opens() {
        let (cast, acme) = (cast(false), tenant("acme"));
        for seed in 0..50 {
            let mut plan = Plan::default();
            let mut rng = Rng::new(seed, "targets");
            let place = Place::draw(&mut rng, &cast);
            let mut teller = Teller { cast: &cast, tenant: &acme, plan: &mut plan };
            let targets = stories::one(&mut rng, &mut teller, place, 0);
            let mut opened = vec![];
            for a in &plan.arrivals {
                let Offer::Event(e) = &a.offer else { continue };
                if let Some(What::Said(said)) = of_event(e).unwrap() {
                    opened.extend(said.iter().filter_map(|s| match s {
                        Said::Trigger(t) => Some(incident_id(&acme, t, 1)),
                        _ => None,
                    }));
                }
            }
            for id in opened {
                assert!(targets.iter().any(|t| t.incident_id(&acme, 1) == id), "{targets:?}");
            }
        }
    }

    #[test]
    fn twins_get_the_same() {
        assert_alike(&plans(generate, true));
    }
}
