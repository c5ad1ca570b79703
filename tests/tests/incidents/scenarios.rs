//! IAW-01 to IAW-10 and IAW-15: what becomes of triggers, clears and commands.

use super::{events::*, world::*};
use opsloop_kernel::{Store, ids};
use opsloop_observability::{
    events::{IncidentStatus as S, Severity, kind},
    incident_analysis::incident::{EntryKind, Source, doc, stream},
};
use serde_json::json;

#[tokio::test]
async fn iaw_01_a_high_alert_opens_one_incident_however_often_it_is_delivered() {
    let mut w = World::new();
    let trigger = alert("alr-7", "10:00").fires();
    for _ in 0..3 {
        w.deliver(&trigger).await;
    }
    let i = w.incident().await;
    assert_eq!((i.status, i.severity, i.sources[0].count), (S::Open, Severity::High, 1));
    assert_eq!(w.told(kind::INCIDENT_OPENED).len(), 1);
    assert_eq!(w.reasons, ["opened", "duplicate", "duplicate"]);
    // The vector of SPEC 3.2.
    let parts = ["alert", "alr-7:f00dfeed12345678", "1795255200000"];
    assert_eq!(i.incident_id, ids::derived_id("inc", "incident", &tenant(), parts));
    assert_eq!(i.incident_id, "inc-f3c5bfdc-4996-5757-b9a9-8c189abc9356");
}

#[tokio::test]
async fn iaw_01_all_that_is_told_bears_the_correlation_of_the_trigger_a47() {
    let mut w = World::new();
    let trigger = alert("alr-7", "10:00").fires();
    w.deliver(&trigger).await;
    let id = w.incident().await.incident_id;
    let command = resolve("10:30", &id);
    w.deliver(&command).await;
    for e in &w.told {
        assert_eq!(e.correlation_id, trigger.correlation_id, "{}", e.event_type);
        assert_eq!(e.partition_key, id);
    }
    let (opened, resolved) = (w.told(kind::INCIDENT_OPENED)[0], w.told(kind::INCIDENT_RESOLVED)[0]);
    assert_eq!((&opened.trace_id, &opened.causation_id), (&trigger.trace_id, &Some(trigger.event_id.clone())));
    assert_eq!((&resolved.trace_id, &resolved.causation_id), (&command.trace_id, &Some(command.event_id.clone())));
}

#[tokio::test]
async fn iaw_02_a_flapping_alert_is_one_incident() {
    let mut w = World::new();
    let (first, second) = (alert("alr-7", "10:00"), alert("alr-7", "10:15"));
    w.deliver(&first.fires()).await;
    w.deliver(&first.clears_at("10:08")).await;
    w.deliver(&second.fires()).await;
    let i = w.incident().await;
    assert_eq!(w.kinds(&i.incident_id).await, ["opened", "trigger", "cleared", "trigger"]);
    assert_eq!((i.sources[0].count, i.sources[0].active), (2, true));
    assert_eq!(w.told(kind::INCIDENT_OPENED).len(), 1);
}

#[tokio::test]
async fn iaw_03_a_critical_trigger_is_escalated_at_once() {
    let mut w = World::new();
    w.deliver(&alert("alr-7", "10:00").severity("critical").fires()).await;
    let i = w.incident().await;
    assert_eq!((i.status, i.escalations), (S::Escalated, 1));
    let log = w.log(&i.incident_id).await;
    assert_eq!(w.kinds(&i.incident_id).await, ["opened", "trigger", "transition"]);
    assert_eq!((log[2].from, log[2].to), (Some(S::Open), Some(S::Escalated)));
    let opened = &w.told(kind::INCIDENT_OPENED)[0].payload.0;
    assert_eq!(opened["status"], "Escalated");
    let moves: Vec<_> = w.told(kind::INCIDENT_TRANSITIONED).iter().map(|e| e.payload.0.clone()).collect();
    assert_eq!((&moves[0]["from"], &moves[0]["to"], &moves[0]["seq"]), (&json!(null), &json!("Open"), &json!(1)));
    assert_eq!(
        (&moves[1]["from"], &moves[1]["to"], &moves[1]["seq"]),
        (&json!("Open"), &json!("Escalated"), &json!(3))
    );
}

#[tokio::test]
async fn iaw_04_resolving_needs_a_root_cause_g10() {
    let mut w = World::new();
    w.deliver(&alert("alr-7", "10:00").fires()).await;
    let id = w.incident().await.incident_id;
    let no = w.deliver(&ask("ResolveIncident", "10:05", &id)).await.unwrap();
    let (status, body) = answer(&no);
    assert_eq!((status, &body["errorKind"], &body["rule"]), (409, &json!("precondition_failed"), &json!("rootCause")));
    assert!(no.is_nothing());
    let yes = w.deliver(&resolve("10:06", &id)).await.unwrap();
    assert_eq!((answer(&yes).0, &answer(&yes).1["status"]), (200, &json!("Resolved")));
    let i = w.incident().await;
    assert_eq!((i.status, i.resolved_at), (S::Resolved, Some(at("10:06"))));
    assert_eq!(i.root_cause.as_ref().unwrap().recorded_by, "ann");
    let told = w.told(kind::INCIDENT_RESOLVED);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].payload.0["timeToResolveMs"], 360_000);
    assert_eq!(
        told[0].payload.0["sources"],
        json!([{"source": "alert", "sourceId": "alr-7:f00dfeed12345678", "count": 1}])
    );
}

#[tokio::test]
async fn iaw_05_an_escalated_incident_is_engaged_before_it_is_resolved() {
    let mut w = World::new();
    w.deliver(&alert("alr-7", "10:00").severity("critical").fires()).await;
    let id = w.incident().await.incident_id;
    let no = w.deliver(&resolve("10:05", &id)).await.unwrap();
    let (status, body) = answer(&no);
    assert_eq!((status, &body["errorKind"]), (409, &json!("invalid_transition")));
    assert_eq!((&body["from"], &body["to"]), (&json!("Escalated"), &json!("Resolved")));
    w.deliver(&ask("EngageOnCall", "10:06", &id)).await;
    w.deliver(&resolve("10:20", &id)).await;
    assert_eq!(w.get(&id).await.status, S::Resolved);
    assert_eq!(w.told(kind::INCIDENT_RESOLVED)[0].payload.0["escalations"], 1);
}

#[tokio::test]
async fn iaw_06_two_rules_of_a_module_within_ten_minutes_are_one_incident() {
    let mut w = World::new();
    w.deliver(&alert("alr-1", "10:00").fires()).await;
    w.deliver(&alert("alr-2", "10:04").severity("critical").fires()).await;
    let i = w.incident().await;
    assert_eq!(i.sources.len(), 2);
    assert_eq!(w.kinds(&i.incident_id).await, ["opened", "trigger", "attached", "severity_changed", "transition"]);
    assert_eq!((i.status, i.severity), (S::Escalated, Severity::Critical));
    // Of the joined source the next triggers find the incident at its own root.
    w.deliver(&alert("alr-2", "10:04").repeats_at("10:30")).await;
    assert_eq!(w.incident().await.sources[1].count, 2);
}

#[tokio::test]
async fn iaw_06_fourteen_minutes_apart_they_are_two() {
    let mut w = World::new();
    w.deliver(&alert("alr-1", "10:00").fires()).await;
    w.deliver(&alert("alr-2", "10:14").fires()).await;
    assert_eq!(w.incidents().await.len(), 2);
    // In the other order as well: no order is promised (A7).
    let mut w = World::new();
    w.deliver(&alert("alr-2", "10:14").fires()).await;
    w.deliver(&alert("alr-1", "10:00").fires()).await;
    assert_eq!(w.incidents().await.len(), 2);
    let mut w = World::new();
    w.deliver(&alert("alr-2", "10:04").fires()).await;
    w.deliver(&alert("alr-1", "10:00").fires()).await;
    assert_eq!(w.incidents().await.len(), 1);
}

#[tokio::test]
async fn iaw_06_what_is_mitigated_or_of_another_module_is_not_joined() {
    let mut w = World::new();
    w.deliver(&alert("alr-1", "10:00").fires()).await;
    let mut other = alert("alr-2", "10:01").fires();
    other.module_id = Some("mod-web".into());
    w.deliver(&other).await;
    assert_eq!(w.incidents().await.len(), 2);
    let id = w.incidents().await[0].incident_id.clone();
    for (kind, when) in
        [("AcknowledgeIncident", "10:02"), ("BeginInvestigation", "10:03"), ("ApplyMitigation", "10:04")]
    {
        w.deliver(&ask(kind, when, &id)).await;
    }
    w.deliver(&alert("alr-3", "10:05").fires()).await;
    assert_eq!(w.incidents().await.len(), 3);
}

#[tokio::test]
async fn iaw_07_the_deployment_of_the_hour_before_is_suspected() {
    for (completed, suspected) in [("09:30", Some("dep-1")), ("08:50", None), ("09:00", Some("dep-1")), ("10:01", None)]
    {
        let mut w = World::new();
        w.deliver(&deployed("dep-1", completed)).await;
        w.deliver(&alert("alr-7", "10:00").fires_at(at("10:05"))).await;
        assert_eq!(w.incident().await.suspected_deployment_id.as_deref(), suspected, "{completed}");
    }
}

#[tokio::test]
async fn iaw_07_the_newest_deployment_wins_whatever_arrives_first_a7() {
    for order in [["dep-1", "dep-2"], ["dep-2", "dep-1"]] {
        let mut w = World::new();
        for id in order {
            w.deliver(&deployed(id, if id == "dep-1" { "09:20" } else { "09:30" })).await;
        }
        w.deliver(&alert("alr-7", "10:00").fires()).await;
        assert_eq!(w.incident().await.suspected_deployment_id.as_deref(), Some("dep-2"));
    }
}

#[tokio::test]
async fn iaw_07_a_deployment_told_late_is_found_by_enrichment_a62() {
    let mut w = World::new();
    w.deliver(&alert("alr-7", "10:00").fires()).await;
    w.deliver(&deployed("dep-1", "09:30")).await;
    w.tick(at("10:05")).await;
    let i = w.incident().await;
    assert_eq!(i.suspected_deployment_id.as_deref(), Some("dep-1"));
    let log = w.log(&i.incident_id).await;
    assert_eq!(log.last().unwrap().kind, EntryKind::Enriched);
    // Of the due document, not of the tick.
    assert_eq!(log.last().unwrap().at, at("10:00:30"));
    assert_eq!(w.reasons[2..], ["enriched", "nothing-new"]);
}

async fn mitigated(w: &mut World) -> String {
    let a = alert("alr-7", "10:00");
    w.deliver(&a.fires()).await;
    let id = w.incident().await.incident_id;
    w.deliver(&ask("AcknowledgeIncident", "10:02", &id)).await;
    w.deliver(&ask("BeginInvestigation", "10:03", &id)).await;
    id
}

#[tokio::test]
async fn iaw_08_confirmation_waits_until_the_last_source_has_been_quiet() {
    let mut w = World::with(opsloop_observability::incident_analysis::IncidentPolicy {
        auto_mitigate: false,
        ..Default::default()
    });
    let id = mitigated(&mut w).await;
    w.deliver(&alert("alr-7", "10:00").clears_at("10:28")).await;
    w.deliver(&ask("ApplyMitigation", "10:30", &id)).await;
    let no = w.deliver(&resolve("10:35", &id)).await.unwrap();
    assert_eq!((answer(&no).0, &answer(&no).1["rule"]), (409, &json!("confirmMs")));
    let almost = w.deliver(&resolve("10:37:59", &id)).await.unwrap();
    assert_eq!(answer(&almost).0, 409);
    w.deliver(&resolve("10:38", &id)).await;
    let i = w.get(&id).await;
    assert_eq!((i.status, i.mitigated_at, i.resolved_at), (S::Resolved, Some(at("10:30")), Some(at("10:38"))));
}

#[tokio::test]
async fn iaw_08_a_source_that_comes_back_is_waited_for_or_gone_past_by_force() {
    let mut w = World::new();
    let id = mitigated(&mut w).await;
    w.deliver(&alert("alr-7", "10:00").clears_at("10:10")).await;
    assert_eq!(w.get(&id).await.status, S::Mitigated);
    w.deliver(&alert("alr-7", "10:12").fires()).await;
    assert_eq!(w.get(&id).await.status, S::Mitigated);
    assert_eq!(answer(&w.deliver(&resolve("10:40", &id)).await.unwrap()).1["rule"], "confirmMs");
    let root_cause = json!({"category": "capacity", "summary": "too small"});
    let forced =
        |reason: Option<&str>| json!({"incidentId": id, "rootCause": root_cause, "force": true, "reason": reason});
    let no = w.deliver(&command("ResolveIncident", "10:41", forced(None))).await.unwrap();
    assert_eq!(answer(&no).1["rule"], "reason");
    w.deliver(&command("ResolveIncident", "10:42", forced(Some("known noise")))).await;
    assert_eq!(w.get(&id).await.status, S::Resolved);
    assert_eq!(w.log(&id).await.last().unwrap().reason.as_deref(), Some("known noise"));
}

#[tokio::test]
async fn iaw_08_an_exhausted_budget_holds_nobody_up_a9() {
    let mut w = World::new();
    w.deliver(&slo_burns("fast", "high", "10:00")).await;
    let id = w.incident().await.incident_id;
    w.deliver(&slo_burns("slow", "high", "10:01")).await;
    w.deliver(&slo_exhausted("10:02")).await;
    w.deliver(&ask("AcknowledgeIncident", "10:02", &id)).await;
    w.deliver(&ask("BeginInvestigation", "10:03", &id)).await;
    w.deliver(&slo_recovers(Some("fast"), "10:00", "10:10")).await;
    // `fast` does not silence `slow` (A9), and what still goes on keeps it from being mitigated.
    let i = w.get(&id).await;
    assert_eq!((i.status, i.sources[0].episodes.len(), i.sources[0].active), (S::Investigating, 2, true));
    w.deliver(&slo_recovers(Some("slow"), "10:01", "10:20")).await;
    w.deliver(&ask("ApplyMitigation", "10:21", &id)).await;
    assert_eq!(answer(&w.deliver(&resolve("10:29", &id)).await.unwrap()).1["rule"], "confirmMs");
    assert!(w.get(&id).await.sources[0].active);
    w.deliver(&resolve("10:30", &id)).await;
    assert_eq!(w.get(&id).await.status, S::Resolved);
}

#[tokio::test]
async fn iaw_09_a_resolved_incident_takes_notes_and_nothing_else() {
    let mut w = World::new();
    w.deliver(&alert("alr-7", "10:00").fires()).await;
    let id = w.incident().await.incident_id;
    w.deliver(&resolve("10:10", &id)).await;
    let before = w.get(&id).await;
    let all = ["AcknowledgeIncident", "BeginInvestigation", "ApplyMitigation", "EngageOnCall"];
    for kind in all {
        let no = w.deliver(&ask(kind, "10:20", &id)).await.unwrap();
        assert_eq!((answer(&no).0, &answer(&no).1["from"]), (409, &json!("Resolved")), "{kind}");
        assert!(no.is_nothing());
    }
    assert_eq!(answer(&w.deliver(&resolve("10:21", &id)).await.unwrap()).0, 409);
    assert_eq!(w.get(&id).await, before);
    let note = json!({"incidentId": id, "actor": "bob", "text": "we learnt something"});
    assert_eq!(answer(&w.deliver(&command("AppendPostMortemNote", "10:30", note)).await.unwrap()).0, 200);
    let mut after = w.get(&id).await;
    assert_eq!(
        (after.post_mortem_notes[0].text.as_str(), after.last_seq),
        ("we learnt something", before.last_seq + 1)
    );
    after.post_mortem_notes.clear();
    (after.last_seq, after.version) = (before.last_seq, before.version);
    assert_eq!(after, before);
    assert_eq!(w.told(kind::INCIDENT_RESOLVED).len(), 1);
}

#[tokio::test]
async fn iaw_10_a_trigger_after_resolution_opens_the_next_incident() {
    let mut w = World::new();
    let first = alert("alr-7", "10:00");
    w.deliver(&first.fires()).await;
    let id = w.incident().await.incident_id;
    w.deliver(&first.clears_at("10:20")).await;
    w.deliver(&resolve("10:30", &id)).await;
    w.deliver(&alert("alr-7", "12:30").fires()).await;
    let all = w.incidents().await;
    assert_eq!(all.len(), 2);
    assert_eq!(all[1].previous_incident_id.as_deref(), Some(id.as_str()));
    assert_eq!(w.told(kind::INCIDENT_OPENED)[1].payload.0["previousIncidentId"], json!(id));
    // After a day it is another story.
    w.deliver(&resolve("12:40", &all[1].incident_id)).await;
    w.deliver(&alert("alr-7", "2026-11-22T12:41:00Z").fires()).await;
    assert_eq!(w.incidents().await[2].previous_incident_id, None);
}

#[tokio::test]
async fn iaw_15_a_thousand_events_are_a_thousand_documents_a58() {
    let mut w = World::new();
    let a = alert("alr-7", "10:00");
    w.deliver(&a.fires()).await;
    let id = w.incident().await.incident_id;
    let size_of = async |w: &World| {
        let found = w.store.get(&tenant(), &stream(), &doc::incident(&id)).await.unwrap().unwrap();
        found.document.size()
    };
    let early = size_of(&w).await;
    for n in 0..998 {
        w.deliver(&again(a.repeats_at("14:00"), n)).await;
    }
    let log = w.log(&id).await;
    assert_eq!(log.len(), 1_000);
    assert_eq!(log.iter().map(|e| e.seq).collect::<Vec<_>>(), (1..=1_000).collect::<Vec<_>>());
    for (seq, name) in [(1, "0000000001"), (1_000, "0000001000")] {
        let doc_id = doc::log(&id, seq);
        assert_eq!(doc_id.0, format!("log|{id}|{name}"));
        assert!(w.store.get(&tenant(), &stream(), &doc_id).await.unwrap().is_some());
    }
    // A few digits more, no list.
    assert!(size_of(&w).await <= early + 16, "{} after {early}", size_of(&w).await);
}

#[tokio::test]
async fn iaw_15_beyond_a_thousand_sources_a_related_one_opens_its_own_a69() {
    let mut w = World::new();
    let trigger = |n: usize| {
        let mut e = alert("alr-1", "10:00").fires();
        e.payload.0["ruleId"] = json!(format!("alr-{n}"));
        again(e, u32::try_from(n).unwrap())
    };
    w.deliver(&trigger(0)).await;
    // As it would be after 998 more: each delivered for itself takes a test too long.
    let mut crowded = w.incident().await;
    let other = |n: usize| Source { source_id: format!("alr-{n}:f00dfeed12345678"), ..crowded.sources[0].clone() };
    let others: Vec<Source> = (1..999).map(other).collect();
    crowded.sources.extend(others);
    w.overwrite(&crowded).await;
    w.lawful = false;
    w.deliver(&trigger(999)).await;
    assert_eq!(w.incident().await.sources.len(), 1_000);
    w.deliver(&trigger(1_000)).await;
    w.deliver(&trigger(1_001)).await;
    let mut all = w.incidents().await;
    all.sort_by_key(|i| i.sources.len());
    assert_eq!(all.iter().map(|i| i.sources.len()).collect::<Vec<_>>(), [2, 1_000]);
    // It can be resolved: the resolution writes the incident and its log alone.
    let done = w.deliver(&resolve("10:30", &all[1].incident_id)).await.unwrap();
    assert_eq!(done.writes.len(), 2);
    assert_eq!(w.get(&all[1].incident_id).await.status, S::Resolved);
}
