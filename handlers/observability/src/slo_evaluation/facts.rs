//! `SloBreached`, `SloRecovered` and the request for a review: keys, context and payload (SPEC 5.4.5, 5.6.5, 9.1).

use super::{
    burn::{Breach, Burn},
    cells::Sum,
    slo::{BUDGET, SloDefinition},
};
use crate::events::{
    BreachKind, ClearReason, GovernanceReviewRequested, Ref, Severity, SloBreached, SloRecovered, kind,
};
use opsloop_kernel::{About, Bears, Body, Fact, Freshness, TenantId, Timestamp, ids::KeyParts, window::DAY_MS};
use serde::Serialize;

/// What all facts of one slot have in common.
pub struct Facts<'a> {
    pub tenant: &'a TenantId,
    pub slo: &'a SloDefinition,
    pub slot: Timestamp,
    /// None where a clear rests on somebody's act (SPEC 3.11).
    pub freshness: Option<Freshness>,
    pub remaining: f64,
}

/// What of a period a breach says.
#[derive(Clone, Copy)]
pub struct OfPeriod {
    pub sum: Sum,
    pub ms: i64,
}

impl Facts<'_> {
    pub fn burning(&self, burn: &Burn, since: Timestamp, period: OfPeriod) -> Fact {
        let rule = &burn.rule.rule;
        let payload = SloBreached {
            kind: BreachKind::Burn,
            rule: Some(rule.name.clone()),
            severity: rule.severity,
            long_window_ms: Some(rule.long_ms),
            short_window_ms: Some(rule.short_ms),
            factor: Some(burn.rule.factor),
            burn_long: burn.burn_long,
            burn_short: burn.burn_short,
            bad_events: burn.long.bad,
            total_events: burn.long.total,
            ..self.breach(since, period)
        };
        self.fact(kind::SLO_BREACHED, self.key("slo-breach", &rule.name, since), &payload)
    }

    pub fn exhausted(&self, since: Timestamp, period: OfPeriod) -> Fact {
        let payload = self.breach(since, period);
        self.fact(kind::SLO_BREACHED, self.key("slo-breach", BUDGET, since), &payload)
    }

    fn breach(&self, since: Timestamp, period: OfPeriod) -> SloBreached {
        SloBreached {
            slo_id: self.slo.slo_id.clone(),
            name: self.slo.name.clone(),
            module_id: self.slo.module_id.clone(),
            kind: BreachKind::BudgetExhausted,
            rule: None,
            severity: Severity::High,
            objective: self.slo.objective,
            period_days: u32::try_from(period.ms / DAY_MS).unwrap_or(0),
            long_window_ms: None,
            short_window_ms: None,
            factor: None,
            burn_long: None,
            burn_short: None,
            bad_events: period.sum.bad,
            total_events: period.sum.total,
            budget_remaining: self.remaining,
            episode_id: since.millis().to_string(),
            since,
        }
    }

    /// `rule`: none for the budget.
    pub fn recovered(&self, rule: Option<&str>, since: Timestamp, reason: ClearReason) -> Fact {
        let payload = SloRecovered {
            slo_id: self.slo.slo_id.clone(),
            kind: if rule.is_some() { BreachKind::Burn } else { BreachKind::BudgetExhausted },
            rule: rule.map(str::to_owned),
            episode_id: since.millis().to_string(),
            since,
            recovered_at: self.slot,
            budget_remaining: self.remaining,
            reason,
        };
        let key = self.key("slo-recovered", rule.unwrap_or(BUDGET), since);
        self.fact(kind::SLO_RECOVERED, key, &payload)
    }

    /// The subject is the episode that was one too many; the evidence, those that counted.
    pub fn review(&self, breaches: &[Breach], limit: u32) -> Option<Fact> {
        let subject = breaches.last()?.episode.clone();
        let reference = |id: &str| Ref { kind: "slo".into(), id: id.to_owned() };
        let reason = "repeated_slo_breach";
        let payload = GovernanceReviewRequested {
            reason: reason.to_owned(),
            subject_ref: reference(&subject),
            evidence: breaches.iter().map(|b| reference(&b.episode)).collect(),
            threshold: Some(f64::from(limit)),
            observed: Some(breaches.len() as f64),
        };
        let key = KeyParts::new("governance", self.tenant, [reason, "slo", &subject]);
        Some(self.fact(kind::GOVERNANCE_REVIEW_REQUESTED, key, &payload))
    }

    fn key(&self, component: &str, rule: &str, since: Timestamp) -> KeyParts {
        KeyParts::new(component, self.tenant, [&self.slo.slo_id, rule, &since.millis().to_string()])
    }

    fn fact(&self, kind: &'static str, key: KeyParts, payload: &impl Serialize) -> Fact {
        Fact {
            kind,
            key,
            revision: 0,
            occurred_at: self.slot,
            context: Bears::Slot { scope: self.slo.slo_id.clone(), slot: self.slot },
            about: About {
                subject: format!("SloDefinition/{}", self.slo.slo_id),
                partition_key: self.slo.slo_id.clone(),
                project: self.slo.project_id.clone(),
                module: self.slo.module_id.clone(),
                environment: self.slo.environment.clone(),
                freshness: self.freshness.clone(),
                ..About::default()
            },
            payload: Body::of(payload),
        }
    }
}
