//! What a tenant's policy decides, staleness, suppression, and what becomes due.

use super::{events::*, world::*};
use opsloop_kernel::{DueUnits, ETag, Envelope, Moment, Store, Worker, ids, incoming::FoundDue, law};
use opsloop_observability::{
    events::{IncidentStatus as S, kind},
    incident_analysis::{
        IncidentAnalysisWorker, IncidentPolicy,
        incident::{EntryKind, Incident, Loaded, SourceKind, doc, stream},
        policy::GroupBy,
        view::{SourceView, View},
    },
};
use serde_json::json;

fn taking(source: SourceKind) -> IncidentPolicy {
    IncidentPolicy { sources: vec![source], ..Default::default() }
}

async fn investigating(w: &mut World) -> String {
    w.deliver(&alert("alr-7", "10:00").fires()).await;
    let id = w.incident().await.incident_id;
    w.deliver(&ask("AcknowledgeIncident", "10:02", &id)).await;
    w.deliver(&ask("BeginInvestigation", "10:03", &id)).await;
    id
}

#[tokio::test]
async fn the_last_clear_mitigates_an_investigated_incident() {
    for auto in [true, false] {
        let mut w = World::with(IncidentPolicy { auto_mitigate: auto, ..Default::default() });
        let id = investigating(&mut w).await;
        w.deliver(&alert("alr-7", "10:00").clears_at("10:20")).await;
        assert_eq!(w.get(&id).await.status, if auto { S::Mitigated } else { S::Investigating });
    }
}

#[tokio::test]
async fn a_clear_mitigates_nothing_while_another_source_goes_on() {
    let mut w = World::new();
    let id = investigating(&mut w).await;
    w.deliver(&alert("alr-8", "10:04").fires()).await;
    w.deliver(&alert("alr-7", "10:00").clears_at("10:20")).await;
    assert_eq!(w.get(&id).await.status, S::Investigating);
    w.deliver(&alert("alr-8", "10:04").clears_at("10:25")).await;
    assert_eq!(w.get(&id).await.status, S::Mitigated);
}

#[tokio::test]
async fn incidents_never_resolve_by_themselves_by_default_g13() {
    for auto in [true, false] {
        let mut w = World::with(IncidentPolicy { auto_resolve: auto, ..Default::default() });
        let trigger = alert("alr-7", "10:00").fires();
        let id = investigating(&mut w).await;
        w.deliver(&alert("alr-7", "10:00").clears_at("10:20")).await;
        w.tick(at("10:29:45")).await;
        assert_eq!(w.get(&id).await.status, S::Mitigated);
        w.tick(at("10:45")).await;
        let i = w.get(&id).await;
        assert_eq!(i.status, if auto { S::Resolved } else { S::Mitigated });
        if auto {
            // At the end of the confirmation, however late the tick (A62), in the trace of the opening trigger (A47).
            assert_eq!(i.resolved_at, Some(at("10:30")));
            let told = w.told(kind::INCIDENT_RESOLVED)[0];
            assert_eq!(told.payload.0["rootCause"]["category"], "self_recovered");
            assert_eq!((&told.trace_id, &told.correlation_id), (&trigger.trace_id, &trigger.correlation_id));
        }
    }
}

#[tokio::test]
async fn a_source_that_comes_back_stops_the_confirmation() {
    let mut w = World::with(IncidentPolicy { auto_resolve: true, ..Default::default() });
    let id = investigating(&mut w).await;
    w.deliver(&alert("alr-7", "10:00").clears_at("10:20")).await;
    w.deliver(&alert("alr-7", "10:25").fires()).await;
    w.tick(at("11:00")).await;
    assert_eq!(w.get(&id).await.status, S::Mitigated);
    w.deliver(&alert("alr-7", "10:25").clears_at("11:01")).await;
    w.tick(at("11:30")).await;
    assert_eq!(w.get(&id).await.resolved_at, Some(at("11:11")));
}

#[tokio::test]
async fn suppressed_alerts_and_mere_information_touch_nothing() {
    let mut w = World::new();
    let mut silenced = alert("alr-7", "10:00").fires();
    silenced.payload.0["suppressedBy"] = json!({"kind": "silence", "id": "s-1"});
    assert!(w.deliver(&silenced).await.is_none());
    assert!(w.deliver(&alert("alr-7", "10:00").severity("info").fires()).await.is_none());
    assert!(w.store.dump().unwrap().is_empty());
    // When the silence ends, its repeat opens.
    w.deliver(&alert("alr-7", "10:00").repeats_at("14:00")).await;
    assert_eq!(w.incidents().await.len(), 1);
}

#[tokio::test]
async fn a_stale_trigger_opens_and_a_stale_clear_ends_nothing() {
    let mut w = World::new();
    let a = alert("alr-7", "10:00");
    w.deliver(&stale(a.fires())).await;
    let i = w.incident().await;
    assert!(i.opened_on_stale);
    assert_eq!(w.log(&i.incident_id).await[0].reason.as_deref(), Some("stale"));
    w.deliver(&stale(a.clears_at("10:20"))).await;
    assert!(w.incident().await.sources[0].active);
    assert_eq!(w.reasons, ["opened", "stale-clear"]);
    for reason in ["no_data_ok", "rule_disabled", "rule_changed", "definition_changed"] {
        let mut w = World::new();
        w.deliver(&a.fires()).await;
        w.deliver(&stale(a.clears_because("10:20", reason))).await;
        assert!(!w.incident().await.sources[0].active, "{reason}");
    }
}

#[tokio::test]
async fn severity_is_raised_and_never_lowered() {
    let mut w = World::new();
    let id = investigating(&mut w).await;
    w.deliver(&alert("alr-8", "10:04").severity("warning").fires()).await;
    assert_eq!(w.get(&id).await.severity, opsloop_observability::events::Severity::High);
    w.deliver(&alert("alr-9", "10:05").severity("critical").fires()).await;
    let i = w.get(&id).await;
    assert_eq!((i.severity, i.status), (opsloop_observability::events::Severity::Critical, S::Escalated));
    let last = w.log(&id).await.pop().unwrap();
    assert_eq!((last.kind, last.reason.as_deref()), (EntryKind::Transition, Some("severity_raised")));
}

#[tokio::test]
async fn an_acknowledged_incident_does_not_escalate_when_it_turns_critical() {
    let mut w = World::new();
    w.deliver(&alert("alr-7", "10:00").fires()).await;
    let id = w.incident().await.incident_id;
    w.deliver(&ask("AcknowledgeIncident", "10:02", &id)).await;
    w.deliver(&alert("alr-8", "10:03").severity("critical").fires()).await;
    assert_eq!(w.get(&id).await.status, S::Acknowledged);
}

fn drift(hash: &str, revision: u32, when: &str, supersedes: Option<&str>) -> opsloop_kernel::Envelope {
    let payload = json!({"findingId": "drf-1", "findingHash": hash, "resourceId": "res-1", "kind": "modified",
        "severity": "high", "supersedes": supersedes});
    let mut e = event(kind::RUNTIME_DRIFT_DETECTED, at(when), payload);
    e.revision = revision;
    e
}
fn drift_over(hash: &str, revision: u32, when: &str) -> opsloop_kernel::Envelope {
    let payload = json!({"findingId": "drf-1", "findingHash": hash, "resourceId": "res-1", "kind": "modified"});
    let mut e = event(kind::RUNTIME_DRIFT_RESOLVED, at(when), payload);
    e.revision = revision;
    e
}

#[tokio::test]
async fn other_sources_open_by_policy_only() {
    let mut w = World::new();
    w.deliver(&drift("h1", 1, "10:00", None)).await;
    w.deliver(&drift_over("h1", 1, "10:05")).await;
    assert!(w.incidents().await.is_empty());
    assert_eq!(w.reasons, ["not-in-policy", "not-in-policy"]);
    // A marker stands for each all the same: a policy that changes does not change what is past (A6, A39).
    w.policy(taking(SourceKind::Drift));
    w.deliver(&drift("h1", 1, "10:00", None)).await;
    assert_eq!(w.reasons[2], "duplicate");
}

#[tokio::test]
async fn a_drift_ends_by_its_episode_or_by_what_supersedes_it() {
    let mut w = World::with(taking(SourceKind::Drift));
    w.deliver(&drift("h1", 1, "10:00", None)).await;
    w.deliver(&drift_over("h1", 2, "10:01")).await;
    assert!(w.incident().await.sources[0].active, "another episode");
    w.deliver(&drift("h2", 1, "10:02", Some("h1"))).await;
    let i = w.incident().await;
    assert_eq!(i.sources.iter().map(|s| s.active).collect::<Vec<_>>(), [false, true]);
    assert_eq!(w.kinds(&i.incident_id).await, ["opened", "trigger", "attached", "cleared"]);
    w.deliver(&drift_over("h2", 1, "10:05")).await;
    assert!(!w.incident().await.is_active());
    // What was superseded and comes late is told, and over.
    let mut w = World::with(taking(SourceKind::Drift));
    w.deliver(&drift("h2", 1, "10:02", Some("h1"))).await;
    w.deliver(&drift("h1", 1, "10:00", None)).await;
    let i = w.incident().await;
    assert_eq!(i.sources.iter().map(|s| s.active).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test]
async fn a_rotation_that_succeeds_ends_every_failure_before_it_a7() {
    let failed = |id: &str, when: &str| {
        let payload = json!({"secretBindingId": "sbd-1", "rotationId": id, "step": "store", "severity": "high"});
        event(kind::SECRET_ROTATION_FAILED, at(when), payload)
    };
    let rotated = |when: &str| {
        event(
            kind::SECRET_ROTATED,
            at(when),
            json!({"secretBindingId": "sbd-1", "rotationId": "r9", "rotatedAt": at(when)}),
        )
    };
    let mut w = World::with(taking(SourceKind::Secret));
    w.deliver(&failed("r1", "10:00")).await;
    w.deliver(&failed("r2", "10:10")).await;
    w.deliver(&failed("r3", "10:30")).await;
    w.deliver(&rotated("10:20")).await;
    let i = w.incident().await;
    assert_eq!(i.sources[0].episodes.iter().map(|e| e.episode_id.as_str()).collect::<Vec<_>>(), ["r3"]);
    // An older one that comes late changes nothing; of two the larger instant stays.
    w.deliver(&rotated("10:15")).await;
    assert_eq!(w.reasons.last(), Some(&"already-cleared"));
    w.deliver(&rotated("10:40")).await;
    assert!(!w.incident().await.is_active());
    w.deliver(&failed("r0", "09:50")).await;
    assert!(!w.incident().await.is_active());
    let kinds = w.kinds(&i.incident_id).await;
    assert_eq!(kinds.iter().filter(|k| *k == "cleared").count(), 4);
}

fn cost(retracted: bool, revision: u32, when: &str) -> opsloop_kernel::Envelope {
    let payload = json!({"anomalyId": "anm-1", "category": "compute", "day": "2026-11-20", "severity": "warning",
        "retracted": retracted});
    let mut e = event(kind::COST_ANOMALY_DETECTED, at(when), payload);
    e.revision = revision;
    e
}

#[tokio::test]
async fn a_cost_anomaly_ends_when_it_is_retracted_and_stays_so() {
    let mut w = World::with(taking(SourceKind::Cost));
    w.deliver(&cost(false, 0, "10:00")).await;
    w.deliver(&cost(true, 1, "11:00")).await;
    assert!(!w.incident().await.is_active());
    w.deliver(&cost(false, 2, "12:00")).await;
    let i = w.incident().await;
    assert!(!i.is_active());
    assert_eq!(w.kinds(&i.incident_id).await, ["opened", "trigger", "cleared", "note"]);
}

#[tokio::test]
async fn a_release_taken_back_opens_an_inactive_source() {
    let mut w = World::with(taking(SourceKind::Deployment));
    let payload = json!({"deploymentId": "dep-1", "environmentId": "env-1", "reason": "gate_failed"});
    w.deliver(&event(kind::RUNTIME_DEPLOYMENT_ROLLED_BACK, at("10:00"), payload)).await;
    let i = w.incident().await;
    assert_eq!((i.sources[0].active, i.sources[0].episodes.len(), i.sources[0].count), (false, 0, 1));
}

#[tokio::test]
async fn the_group_is_what_the_policy_says() {
    let mut w = World::with(IncidentPolicy { group_by: vec![GroupBy::ProjectId], ..Default::default() });
    w.deliver(&alert("alr-1", "10:00").fires()).await;
    let mut other = alert("alr-2", "10:01").fires();
    other.module_id = Some("mod-web".into());
    w.deliver(&other).await;
    let i = w.incident().await;
    assert_eq!((i.sources.len(), i.group_key.as_str()), (2, "projectId=proj-booking"));
}

#[tokio::test]
async fn what_is_kept_leaves_when_it_may_a6_a40() {
    let mut w = World::new();
    let a = alert("alr-7", "10:00");
    w.deliver(&a.fires()).await;
    w.deliver(&a.clears_at("10:20")).await;
    let id = w.incident().await.incident_id;
    let source = opsloop_observability::incident_analysis::incident::SourceId {
        source: SourceKind::Alert,
        source_id: a.source_id(),
    };
    let expires = async |w: &World, id: &opsloop_kernel::DocId| {
        w.store.get(&tenant(), &stream(), id).await.unwrap().unwrap().document.expires
    };
    let day = |n: i64, from: &str| Some(at(from).plus_millis(n * 86_400_000));
    assert_eq!(expires(&w, &doc::incident(&id)).await, None, "not while it is open");
    assert_eq!(expires(&w, &doc::root(&source)).await, day(400, "10:00"));
    assert_eq!(expires(&w, &doc::cleared(&source, None, &a.episode())).await, day(35, "10:20"));
    assert_eq!(expires(&w, &doc::log(&id, 1)).await, day(400, "10:00"));
    w.deliver(&resolve("10:30", &id)).await;
    assert_eq!(expires(&w, &doc::incident(&id)).await, day(400, "10:30"));
    // A root that only a clear has made lives as long as the mark.
    let unknown = alert("alr-9", "10:00");
    w.deliver(&unknown.clears_at("10:40")).await;
    let source =
        opsloop_observability::incident_analysis::incident::SourceId { source_id: unknown.source_id(), ..source };
    assert_eq!(expires(&w, &doc::root(&source)).await, day(35, "10:40"));
}

#[tokio::test]
async fn text_of_users_is_encoded_in_ids_a51() {
    let mut w = World::new();
    let mut e = alert("alr-7", "10:00").fires();
    e.payload.0["ruleId"] = json!("a/b|c#d");
    w.deliver(&e).await;
    let root = "open|alert|a%2Fb%7Cc%23d:f00dfeed12345678";
    assert!(w.store.get(&tenant(), &stream(), &root.into()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_clear_from_before_the_transition_is_not_dated_before_it() {
    let mut w = World::new();
    let id = investigating(&mut w).await;
    w.deliver(&alert("alr-7", "10:00").clears_at("10:01")).await;
    let i = w.get(&id).await;
    assert_eq!((i.status, i.mitigated_at), (S::Mitigated, Some(at("10:03"))));
    assert_eq!(i.sources[0].quiet_since, at("10:01"));
}

#[tokio::test]
async fn tenants_share_no_id_e2e_08() {
    let mut w = World::new();
    w.deliver(&alert("alr-7", "10:00").fires()).await;
    let parts = ["alert", "alr-7:f00dfeed12345678", "1795255200000"];
    let other = opsloop_kernel::TenantId::parse("globex").unwrap();
    assert_ne!(w.incident().await.incident_id, ids::derived_id("inc", "incident", &other, parts));
}

#[tokio::test]
async fn a_doubled_tick_changes_nothing_a62() {
    let mut w = World::new();
    w.deliver(&alert("alr-7", "10:00").fires()).await;
    let id = w.incident().await.incident_id;
    let due = DueUnits {
        tick: at("10:00:30"),
        tenant: tenant(),
        stream: stream(),
        found: vec![FoundDue { id: doc::incident(&id), at: at("10:00:30") }],
    };
    w.tick_with(&due).await;
    let after = w.incident().await;
    assert_eq!(after.plan.enrich_at, [at("10:02")]);
    w.tick_with(&due).await;
    assert_eq!(w.reasons[1..], ["nothing-new", "due-moved"]);
    assert_eq!(w.incident().await, after);
}

/// The root of an event's unit when it has read nothing but that its correlation view names `related`.
fn correlated_with(w: &World, related: &Incident, e: &Envelope) -> &'static str {
    let (input, chains) = w.plan(e);
    let unit = chains.into_iter().flatten().next().unwrap();
    let loaded = Loaded { body: related.clone(), etag: ETag("1".into()), due: None, expires: None };
    let view = SourceView { n: 1, correlated: Some(vec![loaded]), ..SourceView::default() };
    let moment = Moment(e.occurred_at);
    law::all::<IncidentAnalysisWorker>(&unit, &input, &View::Source(Box::new(view.clone())), moment).unwrap();
    IncidentAnalysisWorker::decide(&unit, &input, &View::Source(Box::new(view)), moment).unwrap().reason
}

#[tokio::test]
async fn people_join_by_trace_and_alerts_never_do_a25() {
    let mut w = World::new();
    w.deliver(&alert("alr-7", "10:00").fires()).await;
    let mut i = w.incident().await;
    let by_hand = json!({"title": "checkout is slow", "severity": "high", "moduleId": "mod-web"});
    let by_hand = command("OpenIncident", "11:00", by_hand);
    let by_alert = alert("alr-8", "11:00").fires();
    assert_eq!(correlated_with(&w, &i, &by_hand), "attached");
    assert_eq!(correlated_with(&w, &i, &by_alert), "opened");
    i.status = S::Mitigated;
    assert_eq!(correlated_with(&w, &i, &by_hand), "opened");
}
