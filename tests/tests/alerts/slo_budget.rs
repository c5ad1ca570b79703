//! SLO scenarios on the budget, on repetition, and on SLOs that change.

use super::{slos::*, world::*};
use opsloop_observability::{
    events::{BreachKind, ClearReason, GovernanceReviewRequested, kind},
    slo_evaluation::documents as docs,
};
use serde_json::json;

/// One rule that hardly any burn meets: the budget alone speaks.
fn quiet() -> serde_json::Value {
    json!({"rules": [{"name": "own", "longMs": 3_600_000, "shortMs": 300_000, "factor": 999, "severity": "high"}]})
}

#[tokio::test]
async fn slo_06_a_budget_is_exhausted_once_and_rearmed_a35() {
    let mut w = saved("18T09:59:10", quiet()).await;
    slots(&mut w, "18T10:00", "18T10:01").await;
    let mut now = at("21T10:00");
    // One hour of the day before holds all of the period, the minutes only say that data are fresh.
    let mut with = async |w: &mut World, bad: f64| {
        w.count("bad", hour("20T20:00"), bad).await;
        w.count("total", hour("20T20:00"), 1_000_000.0).await;
        traffic(w, now.plus_millis(-60_000), 1, 0.0, 0.0).await;
        let _ = slot(w, now).await;
        let text = now.to_string();
        now = now.plus_millis(60_000);
        status(w, &text[8..16]).await
    };
    let s = with(&mut w, 400.0).await;
    assert_eq!((s.budget_remaining, s.exhausted, w.told.len()), (0.6, false, 0));
    let s = with(&mut w, 1_000.0).await;
    assert_eq!((s.budget_remaining, s.exhausted), (0.0, true));
    let first = breached(&w.told[0]);
    assert_eq!((first.kind, first.rule.clone(), first.bad_events), (BreachKind::BudgetExhausted, None, 1_000.0));
    assert_eq!((first.since, first.total_events), (at("21T10:01"), 1_000_000.0));
    assert!(with(&mut w, 1_200.0).await.exhausted);
    assert!(with(&mut w, 951.0).await.exhausted);
    assert_eq!(w.told.len(), 1);
    assert!(!with(&mut w, 950.0).await.exhausted);
    let clear = recovered(&w.told[1]);
    assert_eq!(
        (clear.kind, clear.since, clear.reason),
        (BreachKind::BudgetExhausted, first.since, ClearReason::ConditionCleared)
    );
    assert!(with(&mut w, 1_000.0).await.exhausted);
    assert_eq!((w.told.len(), breached(&w.told[2]).episode_id == first.episode_id), (3, false));
}

#[tokio::test]
async fn slo_06_a_budget_is_not_exhausted_before_a_tenth_of_the_period_a35() {
    let mut w = saved("18T09:59:10", quiet()).await;
    slots(&mut w, "18T10:00", "18T10:01").await;
    w.count("bad", hour("20T20:00"), 9_000.0).await;
    w.count("total", hour("20T20:00"), 1_000_000.0).await;
    for (now, exhausted) in [("21T09:59", false), ("21T10:00", true)] {
        traffic(&w, at(now).plus_millis(-60_000), 1, 0.0, 0.0).await;
        let _ = slot(&mut w, at(now)).await;
        assert_eq!((status(&w, now).await.exhausted, w.told.len()), (exhausted, usize::from(exhausted)));
    }
}

#[tokio::test]
async fn zero_traffic_never_consumes_budget() {
    let mut w = saved("18T09:59:10", quiet()).await;
    slots(&mut w, "18T10:00", "18T10:03").await;
    traffic(&w, at("18T10:03"), 1, 0.0, 0.0).await;
    slots(&mut w, "18T10:04", "18T10:04").await;
    let s = status(&w, "18T10:04").await;
    assert_eq!((s.budget_remaining, s.sli_value, s.burn_rates["own"].long), (1.0, None, None));
}

#[tokio::test]
async fn slo_09_the_third_severe_breach_in_a_week_asks_for_a_review() {
    let rules = json!([{"name": "own", "longMs": 300_000, "shortMs": 60_000, "factor": 5, "severity": "high"}]);
    let mut w = saved("01T09:59:10", json!({"rules": rules})).await;
    for day in ["01", "03", "06"] {
        let on = |time: &str| format!("{day}T{time}");
        traffic(&w, at(&on("10:03")), 2, 100.0, 1_000.0).await;
        traffic(&w, at(&on("10:30")), 27, 0.0, 1_000.0).await;
        slots(&mut w, &on("10:00"), &on("10:20")).await;
    }
    let reviews = w.told(kind::GOVERNANCE_REVIEW_REQUESTED);
    // The budget, exhausted on day 6, is no breach that counts.
    let burning: Vec<_> =
        w.told(kind::SLO_BREACHED).into_iter().map(breached).filter(|b| b.kind == BreachKind::Burn).collect();
    assert_eq!((burning.len(), w.told(kind::SLO_RECOVERED).len(), reviews.len()), (3, 3, 1));
    assert_eq!(reviews[0].occurred_at.to_string()[8..10].to_owned(), "06");
    let review: GovernanceReviewRequested = reviews[0].read().unwrap();
    let last = &burning[2];
    assert_eq!(review.subject_ref.id, format!("slo-1:own:{}", last.episode_id));
    assert_eq!((review.subject_ref.kind.as_str(), review.evidence.len(), review.observed), ("slo", 3, Some(3.0)));
    let parts = ["repeated_slo_breach", "slo", review.subject_ref.id.as_str()];
    assert_eq!(reviews[0].idempotency_key, opsloop_kernel::ids::key("governance", &tenant(), parts));
}

#[tokio::test]
async fn a_changed_definition_closes_episodes_and_waits_for_no_window() {
    let mut w = saved("10:09:10", json!({})).await;
    traffic(&w, at("10:30"), 40, 20.0, 1_000.0).await;
    slots(&mut w, "10:10", "10:12").await;
    assert_eq!(w.told(kind::SLO_BREACHED).len(), 1);
    let (status_code, body) = w.command(&S, "SaveSlo", "10:12:30", slo(json!({"objective": 0.998}))).await;
    assert_eq!((status_code, &body["version"]), (200, &json!(2)));
    // Aggregation stands still: the clear comes all the same, the slot waits.
    let reasons: Vec<_> = w.tick(&S, at("10:13")).await.iter().map(|d| d.reason).collect();
    assert_eq!(reasons, ["definition-changed", "waits-for-windows", "waits-for-windows"]);
    let clear = recovered(w.told(kind::SLO_RECOVERED)[0]);
    assert_eq!((clear.reason, clear.since), (ClearReason::DefinitionChanged, at("10:10")));
    let _ = slot(&mut w, at("10:13:30")).await;
    let s = status(&w, "10:13").await;
    assert_eq!(s.first_evaluated_at, at("10:13"));
    assert_eq!(s.active_rules[0].since, at("10:13"), "at 0.998 the burn is 10: only `slow` and `ticket` are met");
    assert_eq!(s.active_rules[0].name, "slow");
}

#[tokio::test]
async fn a_rule_that_is_gone_ends_its_episode_and_nothing_else() {
    let own = |name: &str| json!({"name": name, "longMs": 300_000, "shortMs": 60_000, "factor": 5, "severity": "high"});
    let mut w = saved("10:09:10", json!({"rules": [own("a"), own("b")]})).await;
    traffic(&w, at("10:30"), 40, 20.0, 1_000.0).await;
    slots(&mut w, "10:10", "10:12").await;
    assert_eq!(w.told.len(), 2);
    let _ = w.command(&S, "SaveSlo", "10:12:30", slo(json!({"rules": [own("b")]}))).await;
    slots(&mut w, "10:13", "10:14").await;
    let clears: Vec<_> = w.told(kind::SLO_RECOVERED).into_iter().map(recovered).collect();
    assert_eq!((clears.len(), clears[0].rule.as_deref()), (1, Some("a")));
    let s = status(&w, "10:14").await;
    assert_eq!((s.first_evaluated_at, s.active_rules.len()), (at("10:10"), 1));
}

#[tokio::test]
async fn a_deleted_slo_closes_its_episodes_in_its_last_slot() {
    let mut w = saved("10:09:10", json!({})).await;
    traffic(&w, at("10:30"), 40, 20.0, 1_000.0).await;
    slots(&mut w, "10:10", "10:12").await;
    assert_eq!(w.command(&S, "DeleteSlo", "10:12:30", json!({"sloId": "slo-1"})).await.0, 200);
    assert_eq!(w.command(&S, "DeleteSlo", "10:12:31", json!({"sloId": "slo-1"})).await.0, 404);
    let _ = w.tick(&S, at("10:13")).await;
    assert_eq!(w.told(kind::SLO_RECOVERED).len(), 1);
    for id in [docs::slo_id("slo-1"), docs::hours_id("slo-1")] {
        assert!(w.get(&docs::stream(), &id.0).await.is_none(), "{id}");
    }
    assert!(w.tick(&S, at("10:14")).await.is_empty());
    let again = w.command(&S, "SaveSlo", "10:10:05", slo(json!({}))).await;
    assert_eq!((again.0, &again.1["nextSlot"]), (201, &json!(at("10:14"))), "no slot of the old one is judged again");
}

#[tokio::test]
async fn an_omitted_rule_is_named_and_the_others_count_a35() {
    let mut w = saved("10:09:10", json!({"objective": 0.9})).await;
    traffic(&w, at("10:09"), 10, 20.0, 1_000.0).await;
    let _ = slot(&mut w, at("10:10")).await;
    let s = status(&w, "10:10").await;
    assert_eq!((s.omitted_rules, s.burn_rates.contains_key("fast")), (vec!["fast".to_owned()], false));
}
