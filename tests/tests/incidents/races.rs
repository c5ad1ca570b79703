//! Two replicas at the same instant, clears beside triggers, and what comes late: IAW-11 to IAW-14 [A7] [A8] [A37] [A40].

use super::{events::*, world::*};
use opsloop_kernel::Envelope;
use opsloop_observability::{
    events::{IncidentStatus as S, kind},
    incident_analysis::incident::Incident,
};

/// Both read before either writes; the second finds its race lost and decides again.
async fn at_once(w: &mut World, first: &Envelope, second: &Envelope) {
    let (one, other) = (w.prepare(first).await, w.prepare(second).await);
    assert!(w.commit(one).await.is_some(), "the first is applied");
    let lost = w.prepare(second).await;
    assert!(w.commit(other).await.is_none(), "the second had read what the first has moved");
    w.retry(lost).await;
}

#[tokio::test]
async fn iaw_11_two_replicas_open_one_incident_a37() {
    let a = alert("alr-7", "10:00");
    let (first, second) = (a.fires(), again(a.fires(), 1));
    let mut w = World::new();
    at_once(&mut w, &first, &second).await;
    let i = w.incident().await;
    assert_eq!(i.sources[0].count, 2);
    assert_eq!(w.kinds(&i.incident_id).await, ["opened", "trigger", "trigger"]);
    assert_eq!(w.told(kind::INCIDENT_OPENED).len(), 1);
    assert_eq!(w.reasons, ["opened", "already-open"]);
}

#[tokio::test]
async fn iaw_11_two_rules_that_fire_together_meet_at_their_group_a6() {
    let mut w = World::new();
    at_once(&mut w, &alert("alr-1", "10:00").fires(), &alert("alr-2", "10:00").fires()).await;
    assert_eq!(w.incident().await.sources.len(), 2);
}

#[tokio::test]
async fn iaw_11_a_resolution_beside_a_trigger_loses_neither() {
    let a = alert("alr-7", "10:00");
    for trigger_first in [true, false] {
        let mut w = World::new();
        w.deliver(&a.fires()).await;
        let id = w.incident().await.incident_id;
        let (trigger, end) = (a.repeats_at("14:00"), resolve("14:00", &id));
        if trigger_first {
            at_once(&mut w, &trigger, &end).await;
            assert_eq!(w.get(&id).await.sources[0].count, 2);
        } else {
            // The root stays as it is when its incident ends (A69): the incident alone makes the race.
            at_once(&mut w, &end, &trigger).await;
            assert_eq!(w.incidents().await.len(), 2);
        }
        assert_eq!(w.get(&id).await.status, S::Resolved);
        assert_eq!(w.told(kind::INCIDENT_RESOLVED).len(), 1);
    }
}

async fn ended_by_then(w: &World) -> Incident {
    let i = w.incident().await;
    assert!(!i.sources[0].active, "{:?}", i.sources);
    let kinds = w.kinds(&i.incident_id).await;
    assert_eq!(kinds, ["opened", "trigger", "cleared"]);
    i
}

#[tokio::test]
async fn iaw_12_a_trigger_and_its_clear_at_once_in_either_order_a37() {
    let a = alert("alr-7", "10:00");
    let (trigger, clear) = (a.fires(), a.clears_at("10:00"));
    for (first, second) in [(&trigger, &clear), (&clear, &trigger)] {
        let mut w = World::new();
        at_once(&mut w, first, second).await;
        ended_by_then(&w).await;
    }
}

#[tokio::test]
async fn iaw_12_the_clear_of_an_unknown_episode_beside_a_trigger_of_another_a37() {
    let (old, new) = (alert("alr-7", "10:00"), alert("alr-7", "10:20"));
    for flip in [false, true] {
        let mut w = World::new();
        let (trigger, clear) = (new.fires(), old.clears_at("10:20"));
        if flip {
            at_once(&mut w, &clear, &trigger).await
        } else {
            at_once(&mut w, &trigger, &clear).await
        }
        let i = w.incident().await;
        assert!(i.sources[0].active);
        assert_eq!(w.kinds(&i.incident_id).await, ["opened", "trigger"]);
        // Its own trigger comes at last: told with its clear, and nothing else changes.
        w.deliver(&old.fires()).await;
        assert_eq!(w.kinds(&i.incident_id).await, ["opened", "trigger", "trigger", "cleared"]);
        assert_eq!(w.incident().await.sources[0].episodes, i.sources[0].episodes);
    }
}

#[tokio::test]
async fn iaw_13_a_clear_that_comes_thirty_hours_before_its_trigger_a40() {
    let mut w = World::new();
    let a = alert("alr-7", "10:00");
    w.deliver(&a.clears_at("10:05")).await;
    assert!(w.incidents().await.is_empty());
    w.clock.advance_to(at("2026-11-22T16:05:00Z"));
    w.deliver(&a.fires()).await;
    // Quiet since its clear, as if that had come last.
    assert_eq!(ended_by_then(&w).await.sources[0].quiet_since, at("10:05"));
    // The clear again, under another id: it was told once.
    w.deliver(&again(a.clears_at("10:05"), 1)).await;
    ended_by_then(&w).await;
}

#[tokio::test]
async fn iaw_13_a_late_repeat_of_what_is_over_changes_nothing_a40() {
    let mut w = World::new();
    let a = alert("alr-7", "10:00");
    w.deliver(&a.fires()).await;
    let id = w.incident().await.incident_id;
    w.deliver(&a.clears_at("10:20")).await;
    w.deliver(&resolve("10:30", &id)).await;
    let before = (w.incident().await, w.log(&id).await);
    let late = w.deliver(&a.repeats_at("10:19")).await.unwrap();
    assert_eq!((late.reason, late.is_nothing()), ("episode-over", true));
    assert_eq!((w.incident().await, w.log(&id).await), before);
}

#[tokio::test]
async fn iaw_13_the_trigger_itself_that_comes_after_its_repeat_is_over_too_a7() {
    let mut w = World::new();
    let a = alert("alr-7", "10:00");
    w.deliver(&a.repeats_at("10:10")).await;
    let id = w.incident().await.incident_id;
    w.deliver(&a.clears_at("10:20")).await;
    w.deliver(&resolve("10:30", &id)).await;
    w.deliver(&a.fires()).await;
    assert_eq!(w.incidents().await.len(), 1);
}

#[tokio::test]
async fn iaw_13_a_repeat_that_meets_the_clear_first_opens_nothing_and_its_trigger_does_a7() {
    let mut w = World::new();
    let a = alert("alr-7", "10:00");
    w.deliver(&a.clears_at("10:20")).await;
    w.deliver(&a.repeats_at("10:10")).await;
    assert!(w.incidents().await.is_empty());
    w.deliver(&a.fires()).await;
    ended_by_then(&w).await;
}

#[tokio::test]
async fn iaw_13_a_trigger_that_is_over_joins_its_group_inactive_a7() {
    let mut w = World::new();
    w.deliver(&alert("alr-1", "10:00").fires()).await;
    let late = alert("alr-2", "10:01");
    w.deliver(&late.clears_at("10:03")).await;
    w.deliver(&late.fires()).await;
    let i = w.incident().await;
    assert_eq!(w.kinds(&i.incident_id).await, ["opened", "trigger", "attached", "cleared"]);
    assert_eq!(i.sources.iter().map(|s| s.active).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test]
async fn iaw_14_an_alert_that_goes_on_after_resolution_opens_the_second_a8() {
    let mut w = World::new();
    let a = alert("alr-7", "10:00");
    w.deliver(&a.fires()).await;
    let id = w.incident().await.incident_id;
    w.deliver(&resolve("10:30", &id)).await;
    let repeat = a.repeats_at("14:00");
    w.deliver(&repeat).await;
    w.deliver(&repeat).await;
    let all = w.incidents().await;
    assert_eq!(all.len(), 2);
    assert_eq!(all[1].previous_incident_id.as_deref(), Some(id.as_str()));
    let parts = ["alert", "alr-7:f00dfeed12345678", &a.episode(), "2"];
    assert_eq!(all[1].incident_id, opsloop_kernel::ids::derived_id("inc", "incident", &tenant(), parts));
    // And a third.
    w.deliver(&resolve("14:10", &all[1].incident_id)).await;
    w.deliver(&a.repeats_at("18:00")).await;
    assert_eq!(w.incidents().await.len(), 3);
    assert_eq!(w.told(kind::INCIDENT_OPENED).len(), 3);
    // Its clear ends the episode where it goes on.
    w.deliver(&a.clears_at("18:05")).await;
    assert!(!w.incidents().await[2].sources[0].active);
}

#[tokio::test]
async fn iaw_14_two_replicas_repeat_after_resolution_and_open_one_a37() {
    let a = alert("alr-7", "10:00");
    let mut w = World::new();
    w.deliver(&a.fires()).await;
    let id = w.incident().await.incident_id;
    w.deliver(&resolve("10:30", &id)).await;
    at_once(&mut w, &a.repeats_at("14:00"), &again(a.repeats_at("14:00"), 1)).await;
    assert_eq!(w.incidents().await.len(), 2);
    assert_eq!(w.incidents().await[1].sources[0].count, 2);
}
