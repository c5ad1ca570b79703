//! AEW-01 to AEW-15 over hand-made windows.

use super::*;
use crate::events::{ClearReason, Severity};
use opsloop_kernel::{Write, ids::event_id};
use rig::*;
use serde_json::json;

#[path = "episode_tests.rs"]
mod episodes;
#[path = "slot_rig.rs"]
mod rig;

#[test]
fn aew_01_pending_from_the_first_true_slot_and_one_trigger_after_for() {
    let mut rig = Rig::new(rule(json!({})), "10:00:00");
    let events = rig.run("10:00:00", &[0.62; 5]);
    assert!(events.is_empty());
    assert_eq!(rig.state(), [State::Pending]);
    rig.sees("a", "10:05:00", 0.62);
    let decision = rig.at("10:05:00");
    let [fact] = &decision.facts[..] else { panic!("one trigger") };
    let payload = triggered(fact);
    assert_eq!((payload.active_at, payload.fired_at, payload.repeat), (t("10:00:00"), t("10:05:00"), false));
    assert_eq!((payload.window_start, payload.episode_id.as_str()), (t("10:05:00"), "1795255200000"));
    assert_eq!((payload.value, payload.threshold, payload.operator.as_deref()), (0.62, Some(0.5), Some("gt")));
    assert_eq!(fact.about.freshness.as_ref().map(|f| (f.as_of, f.stale)), Some((t("10:04:00"), false)));
    assert!(rig.run("10:06:00", &[0.62; 3]).is_empty());
}

#[test]
fn aew_02_a_false_slot_starts_the_waiting_anew() {
    let mut rig = Rig::new(rule(json!({})), "10:00:00");
    let events = rig.run("10:00:00", &[0.6, 0.6, 0.6, 0.1, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6]);
    assert_eq!(announced(&events), [("10:09".into(), "trigger")]);
}

#[test]
fn aew_03_without_for_the_first_true_slot_triggers() {
    let mut rig = Rig::new(rule(json!({"forMs": 0})), "10:00:00");
    assert_eq!(announced(&rig.run("10:00:00", &[0.1, 0.6, 0.6])), [("10:01".into(), "trigger")]);
}

#[test]
fn aew_04_a_return_while_recovering_is_no_event_and_the_clear_waits_for_keep_firing() {
    let mut rig = Rig::new(rule(json!({"forMs": 0, "keepFiringMs": 600_000})), "10:19:00");
    assert_eq!(announced(&rig.run("10:19:00", &[0.6])), [("10:19".into(), "trigger")]);
    assert!(rig.run("10:20:00", &[0.1; 6]).is_empty());
    assert_eq!(rig.state(), [State::Recovering]);
    assert!(rig.run("10:26:00", &[0.6, 0.6, 0.6, 0.6]).is_empty());
    assert_eq!((rig.state(), rig.instances()[0].keep_firing_since), (vec![State::Firing], None));
    assert!(rig.run("10:30:00", &[0.1; 10]).is_empty());
    assert_eq!(announced(&rig.run("10:40:00", &[0.1])), [("10:40".into(), "ConditionCleared")]);
    // Shown for 15 minutes, then gone.
    rig.run("10:41:00", &[0.1; 14]);
    assert_eq!(rig.state(), [State::Inactive]);
    rig.run("10:55:00", &[0.1]);
    assert!(rig.instances().is_empty());
}

#[test]
fn aew_05_a_slot_executed_again_triggers_once_under_the_id_of_the_vector() {
    let mut rig = Rig::new(rule(json!({})), "10:00:00");
    rig.run("10:00:00", &[0.6; 5]);
    rig.sees("a", "10:05:00", 0.6);
    // A crash before the commit: the same again.
    let (once, twice) = (rig.decide(t("10:05:00"), t("10:05:00")), rig.decide(t("10:05:00"), t("10:05:15")));
    assert_eq!(once.facts, twice.facts);
    rig.keep(&once);
    for tick in ["10:05:00", "10:05:30"] {
        let again = rig.tick("10:05:00", tick);
        assert_eq!((again.reason, again.is_nothing()), ("not-due", true));
    }
    let tenant = TenantId::parse(TENANT).unwrap();
    let parts = ["alr-7", "f00dfeed12345678", "1795255500000"];
    let key = opsloop_kernel::ids::key("alert-trigger", &tenant, parts);
    assert_eq!(key, "c262922442a640bcb9af074f756d09ec051cec2496015cd10778443ebbb9b81c");
    let fingerprint = rig.instances()[0].fingerprint.clone();
    let own = opsloop_kernel::ids::key("alert-trigger", &tenant, ["alr-7", &fingerprint, "1795255500000"]);
    assert_eq!((once.facts[0].key.key(), once.facts[0].revision), (own, 0));
    let id = event_id("AlertTriggered", &tenant, &key, 0);
    assert_eq!(id.as_str(), "evt-8ce07d4b-4ec2-5c28-b4c4-064f4cb5f8a2");
}

#[test]
fn aew_06_on_stale_input_nothing_resolves_and_a_trigger_says_so() {
    let stale = |firing: bool| {
        let mut rig = Rig::new(rule(json!({"forMs": if firing { 0 } else { 300_000 }})), "09:55:00");
        rig.run("09:55:00", &[0.6; 5]);
        assert_eq!(rig.state(), [if firing { State::Firing } else { State::Pending }]);
        rig.mark = Some(t("09:58:00"));
        let waits = rig.at("10:00:00");
        assert_eq!((waits.reason, waits.facts.len()), ("waits-for-windows", 0));
        assert_eq!(rig.due(), Some(t("10:00:00")));
        rig
    };
    let mut rig = stale(false);
    let decision = rig.tick("10:00:00", "10:05:00");
    let freshness = decision.facts[0].about.freshness.clone().unwrap();
    assert_eq!((freshness.stale, freshness.as_of), (true, t("09:58:00")));
    let mut rig = stale(true);
    // The newest window is false now, and still nothing recovers.
    rig.values.values_mut().for_each(|v| *v = v.keys().map(|end| (*end, 0.1)).collect());
    for slot in ["10:00:00", "10:01:00", "10:02:00", "10:03:00", "10:04:00", "10:05:00"] {
        assert!(rig.tick(slot, "10:05:00").facts.is_empty());
        assert_eq!(rig.state(), [State::Firing]);
    }
}

#[test]
fn aew_07_each_label_set_has_its_own_instance_and_trigger() {
    let mut rig = Rig::new(rule(json!({"forMs": 0})), "10:00:00");
    rig.sees("a", "10:00:00", 0.6);
    rig.sees("b", "10:00:00", 0.7);
    let decision = rig.at("10:00:00");
    let mut prints: Vec<_> = decision.facts.iter().map(|f| triggered(f).fingerprint).collect();
    prints.dedup();
    assert_eq!((decision.facts.len(), prints.len(), rig.instances().len()), (2, 2, 2));
}

#[test]
fn aew_08_missed_slots_are_evaluated_in_order_a67() {
    let mut rig = Rig::new(rule(json!({})), "10:00:00");
    rig.run("10:00:00", &[0.6; 3]);
    for slot in ["10:03:00", "10:04:00", "10:05:00"] {
        rig.sees("a", slot, 0.6);
    }
    assert!(rig.tick("10:03:00", "10:04:45").facts.is_empty());
    assert!(rig.tick("10:04:00", "10:04:45").facts.is_empty());
    assert_eq!(said(&rig.at("10:05:00").facts[0]), "trigger");
}

#[test]
fn aew_08_after_more_than_an_hour_pending_starts_anew_and_firing_goes_on_a67() {
    let down = |for_ms: i64| {
        let mut rig = Rig::new(rule(json!({"forMs": for_ms})), "10:00:00");
        rig.run("10:00:00", &[0.6; 3]);
        let skipped = rig.tick("10:03:00", "12:30:15");
        assert_eq!((skipped.reason, rig.due()), ("slots-left-out", Some(t("11:31:00"))));
        assert_eq!(skipped.notes.iter().map(|n| n.value).sum::<f64>(), 88.0);
        rig
    };
    let mut rig = down(300_000);
    assert_eq!(rig.instances()[0].active_at, t("11:31:00"));
    assert_eq!(announced(&rig.run("11:31:00", &[0.6; 7])), [("11:36".into(), "trigger")]);
    let mut rig = down(0);
    assert!(rig.run("11:31:00", &[0.6; 7]).is_empty());
    assert_eq!((rig.state(), rig.instances()[0].active_at), (vec![State::Firing], t("10:00:00")));
}

#[test]
fn aew_09_a_firing_instance_holds_until_the_recovery_threshold() {
    let condition = json!({"type": "Threshold", "selector": {"metricName": "cpu", "groupBy": ["moduleId"]},
        "aggregation": "last", "op": "gt", "threshold": 80, "recoveryThreshold": 70});
    let mut rig = Rig::new(rule(json!({"forMs": 0, "condition": condition})), "10:00:00");
    let events = rig.run("10:00:00", &[85.0, 75.0, 72.0, 69.0]);
    assert_eq!(announced(&events), [("10:00".into(), "trigger"), ("10:03".into(), "ConditionCleared")]);
}

#[test]
fn aew_09_hysteresis_is_not_for_a_recovering_instance() {
    let condition = json!({"type": "Threshold", "selector": {"metricName": "cpu", "groupBy": ["moduleId"]},
        "aggregation": "last", "op": "gt", "threshold": 80, "recoveryThreshold": 70});
    let rule = rule(json!({"forMs": 0, "keepFiringMs": 120_000, "condition": condition}));
    let mut rig = Rig::new(rule, "10:00:00");
    let events = rig.run("10:00:00", &[85.0, 69.0, 75.0, 75.0]);
    assert_eq!(announced(&events), [("10:00".into(), "trigger"), ("10:03".into(), "ConditionCleared")]);
}

#[test]
fn aew_10_too_many_label_sets_are_a_rule_error_and_nothing_changes() {
    let mut rig = Rig::new(rule(json!({"forMs": 0})), "10:00:00");
    rig.sees("m-0000", "10:00:00", 0.6);
    let _ = rig.at("10:00:00");
    let before = rig.instances();
    for n in 0..1001 {
        rig.sees(&format!("m-{n:04}"), "10:01:00", 0.1);
    }
    let decision = rig.at("10:01:00");
    assert_eq!((decision.reason, decision.facts.len()), ("rule-error", 0));
    assert_eq!(decision.notes[0].signal.name, "rule_error_total");
    assert_eq!((rig.instances(), rig.due()), (before, Some(t("10:02:00"))));
}

#[test]
fn aew_11_a_rule_without_data_raises_once_and_resolves_when_data_returns() {
    let mut rig = Rig::new(rule(json!({"noDataPolicy": "alert"})), "10:00:00");
    assert!(rig.run("10:00:00", &[0.1]).is_empty());
    // The last window ended at 09:59: 15 min are over at slot 10:14.
    let mut raised = vec![];
    for minute in 1..20 {
        let decision = rig.at(&format!("10:{minute:02}:00"));
        raised.extend(decision.facts.iter().map(|f| (minute, triggered(f))));
    }
    let [(14, payload)] = &raised[..] else { panic!("one trigger at 10:14, not {raised:?}") };
    assert_eq!((payload.labels.get("reason"), payload.value), ("no_data", 0.0));
    let events = rig.run("10:20:00", &[0.1]);
    assert_eq!(announced(&events), [("10:20".into(), "ConditionCleared")]);
}

#[test]
fn aew_11_what_is_not_yet_computed_is_not_no_data_a21() {
    for policy in ["alert", "ok"] {
        let mut rig = Rig::new(rule(json!({"forMs": 0, "noDataPolicy": policy})), "10:00:00");
        rig.run("10:00:00", &[0.6]);
        rig.mark = Some(t("09:59:00"));
        let _ = rig.at("10:01:00");
        for minute in 1..40 {
            let decision = rig.tick(&format!("10:{minute:02}:00"), "10:45:00");
            assert!(decision.facts.is_empty(), "{policy}: nothing is known of the silence");
        }
    }
}

#[test]
fn aew_11_silence_resolves_only_under_ok() {
    for (policy, clears) in [("keep", 0), ("alert", 0), ("ok", 1)] {
        let mut rig = Rig::new(rule(json!({"forMs": 0, "noDataPolicy": policy})), "10:00:00");
        rig.run("10:00:00", &[0.6]);
        let mut resolutions = vec![];
        for minute in 1..30 {
            let decision = rig.at(&format!("10:{minute:02}:00"));
            let clear = decision.facts.iter().filter(|f| f.kind == "AlertResolved");
            resolutions.extend(clear.map(|f| (minute, resolved(f).reason)));
        }
        assert_eq!(resolutions, [(14, ClearReason::NoDataOk)][..clears]);
    }
}

#[test]
fn aew_12_a_silence_marks_the_trigger() {
    let mut rig = Rig::new(rule(json!({"forMs": 0})), "10:00:00");
    let silence = |id: &str, label: &str, value: &str, until: &str| -> Silence {
        let matcher = json!({"label": label, "op": "=~", "value": value});
        serde_json::from_value(json!({"id": id, "matchers": [matcher], "startsAt": t("09:00:00"), "endsAt": t(until)}))
            .unwrap()
    };
    rig.view.silences = vec![
        silence("over", "moduleId", "a", "10:00:00"),
        silence("other", "moduleId", "b", "12:00:00"),
        silence("this", "alertname", "API .*", "12:00:00"),
    ];
    rig.sees("a", "10:00:00", 0.6);
    let marked = triggered(&rig.at("10:00:00").facts[0]).suppressed_by.unwrap();
    assert_eq!((marked.kind.as_str(), marked.id.as_str()), ("silence", "this"));
    assert_eq!(rig.state(), [State::Firing]);
}

#[test]
fn aew_12_inhibition_counts_the_source_at_its_newest_slot_before_the_target() {
    let inhibit: InhibitRule = serde_json::from_value(json!({"id": "i", "equal": ["moduleId"],
        "sourceMatchers": [{"label": "severity", "op": "=", "value": "high"}],
        "targetMatchers": [{"label": "severity", "op": "=", "value": "warning"}]}))
    .unwrap();
    let mut source = Rig::new(rule(json!({"forMs": 0})), "10:00:00");
    source.run("10:00:00", &[0.1, 0.6, 0.6, 0.1]);
    let (from, fired) = (source.rule(), source.instances());
    let counts = |at: &str| suppression::sources(&inhibit, fired.iter().map(|i| (&from, i)), t(at)).unwrap().len();
    // It fired at 10:01 and resolved at 10:03.
    assert_eq!(["10:01:00", "10:01:15", "10:02:00", "10:03:00", "10:04:00"].map(counts), [0, 1, 1, 1, 0]);
    let sources = suppression::sources(&inhibit, fired.iter().map(|i| (&from, i)), t("10:02:00")).unwrap();
    let target = AlertRule { rule_id: "alr-8".into(), severity: Severity::Warning, ..from.clone() };
    let marks = |module: &str| {
        let inhibitors = [suppression::Inhibitor { rule: inhibit.clone(), sources: sources.clone() }];
        let all = suppression::Suppression::at(&[], &inhibitors, t("10:02:00")).unwrap();
        let own = labels(&[("moduleId", module)]);
        let fingerprint = instance::fingerprint("alr-8", &own);
        all.of(&target, &Instance { labels: own, fingerprint, ..fired[0].clone() }).map(|s| s.kind)
    };
    assert_eq!((marks("a").as_deref(), marks("b")), (Some("inhibition"), None));
}

#[test]
fn aew_13_slots_wait_for_their_watermark_and_are_evaluated_once_a67() {
    let mut rig = Rig::new(rule(json!({"forMs": 0})), "10:03:00");
    rig.run("10:03:00", &[0.1]);
    rig.sees("a", "10:04:00", 0.6);
    rig.sees("a", "10:05:00", 0.6);
    rig.mark = Some(t("10:02:00"));
    for tick in ["10:04:00", "10:04:15", "10:05:15"] {
        assert_eq!(rig.tick("10:04:00", tick).reason, "waits-for-windows");
    }
    rig.mark = Some(t("10:04:00"));
    let trigger = rig.tick("10:04:00", "10:05:30");
    let freshness = trigger.facts[0].about.freshness.clone().unwrap();
    assert_eq!((said(&trigger.facts[0]).as_str(), freshness.stale), ("trigger", false));
    assert_eq!(rig.tick("10:05:00", "10:05:30").reason, "evaluated");
    let mut calm = Rig::new(rule(json!({"forMs": 0})), "10:03:00");
    calm.run("10:03:00", &[0.1]);
    calm.sees("a", "10:04:00", 0.6);
    assert_eq!(calm.at("10:04:00").facts, trigger.facts);
}

#[test]
fn aew_13_a_watermark_that_stands_is_given_up_once_and_for_all_the_slots_due_a67() {
    let mut rig = Rig::new(rule(json!({"forMs": 0})), "10:03:00");
    rig.run("10:03:00", &[0.6]);
    rig.mark = Some(t("10:02:00"));
    for tick in ["10:04:00", "10:05:00", "10:07:30"] {
        assert_eq!(rig.tick("10:04:00", tick).reason, "waits-for-windows");
    }
    for slot in ["10:04:00", "10:05:00", "10:06:00", "10:07:00"] {
        let decision = rig.tick(slot, "10:07:45");
        assert_eq!((decision.reason, decision.notes.len()), ("evaluated", 1));
        assert!(rig.instances()[0].freshness.stale);
    }
    rig.mark = None;
    assert_eq!(rig.tick("10:04:00", "10:08:00").reason, "not-due");
}

#[test]
fn aew_14_a_thousand_label_sets_fire_in_one_batch_a64() {
    let mut rig = Rig::new(rule(json!({"forMs": 0})), "10:00:00");
    for n in 0..1000 {
        rig.sees(&format!("m-{n:04}"), "10:00:00", 0.6);
    }
    // Killed before the batch: nothing is kept, and the same comes again.
    let (killed, restarted) = (rig.decide(t("10:00:00"), t("10:00:00")), rig.at("10:00:00"));
    assert_eq!(killed.facts, restarted.facts);
    assert_eq!((restarted.facts.len(), restarted.ahead.len()), (1000, 0));
    assert_eq!((restarted.writes.len(), rig.instances().len()), (1 + 5, 1000));
    let bytes: usize = restarted.writes.iter().map(Write::size).sum();
    assert!(bytes < opsloop_kernel::document::BATCH_BYTES_MAX, "{bytes}");
    assert!(rig.tick("10:00:00", "10:00:15").is_nothing());
}

#[test]
fn aew_15_a_rule_on_hours_with_a_value_in_each_is_never_without_data() {
    let condition = json!({"type": "Threshold", "selector": {"metricName": "m", "groupBy": ["moduleId"]},
        "aggregation": "sum", "windowMs": 3_600_000, "rangeMs": 3_600_000, "op": "gt", "threshold": 5});
    let mut rig = Rig::new(rule(json!({"noDataPolicy": "alert", "condition": condition})), "08:00:00");
    let hours = (0..16).map(|h| (t("00:00:00").plus_millis(h * 3_600_000), 1.0)).collect();
    rig.values.insert(labels(&[("moduleId", "a")]), hours);
    let mut slot = t("08:00:00");
    while slot < t("14:00:00") {
        let decision = rig.decide(slot, slot);
        assert!(decision.facts.is_empty(), "{slot}");
        rig.keep(&decision);
        slot = slot.plus_millis(60_000);
    }
    // Then none comes any more: the limit is 182.5 min after the newest one, which ended at 15:00.
    for _ in 0..60 * 5 {
        let decision = rig.decide(slot, slot);
        rig.keep(&decision);
        if let Some(fact) = decision.facts.first() {
            assert_eq!((triggered(fact).labels.get("reason"), slot), ("no_data", t("18:03:00")));
            return;
        }
        slot = slot.plus_millis(60_000);
    }
    panic!("no data is raised in the end");
}
