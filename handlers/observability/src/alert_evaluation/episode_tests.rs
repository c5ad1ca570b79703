//! Episodes that end with their rule, or change with it (SPEC 5.3.4(3), (7), (8)).

use super::{rig::*, *};

#[test]
fn a_changed_condition_clears_first_and_waits_for_no_window() {
    let mut rig = Rig::new(rule(json!({"forMs": 0})), "10:00:00");
    rig.run("10:00:00", &[0.6]);
    let old = rig.instances()[0].episode_id();
    let changed = rule(json!({"forMs": 0, "condition": {"type": "Threshold", "op": "gt", "threshold": 0.55,
        "selector": {"metricName": "http.server.request.duration", "groupBy": ["moduleId"]}, "aggregation": "p99"}}));
    rig.view.rule.as_mut().unwrap().body.rule = changed;
    rig.mark = Some(t("09:00:00"));
    let decision = rig.at("10:01:00");
    let clear = resolved(&decision.facts[0]);
    assert_eq!((clear.reason, clear.episode_id), (ClearReason::RuleChanged, old));
    assert!(rig.instances().is_empty());
    rig.mark = None;
    rig.sees("a", "10:01:00", 0.6);
    let trigger = triggered(&rig.at("10:01:00").facts[0]);
    assert_eq!((trigger.active_at, rig.due()), (t("10:01:00"), Some(t("10:02:00"))));
}

#[test]
fn a_disabled_rule_clears_in_its_next_slot_which_is_the_last() {
    for deleted in [false, true] {
        let mut rig = Rig::new(rule(json!({"forMs": 0, "keepFiringMs": 600_000})), "10:00:00");
        rig.run("10:00:00", &[0.6, 0.1]);
        assert_eq!(rig.state(), [State::Recovering]);
        let stored = &mut rig.view.rule.as_mut().unwrap().body;
        stored.rule.enabled = false;
        stored.deleted = deleted;
        rig.mark = Some(t("09:00:00"));
        let decision = rig.decide(t("10:02:00"), t("10:02:00"));
        let clear = &decision.facts[0];
        assert_eq!((resolved(clear).reason, clear.about.freshness.clone()), (ClearReason::RuleDisabled, None));
        let deletes = decision.writes.iter().filter(|w| matches!(w, Write::Delete(..))).count();
        assert_eq!(deletes, if deleted { 2 } else { 1 });
        let due = decision.writes.iter().filter_map(Write::document).filter(|d| d.due.is_some()).count();
        assert_eq!(due, 0);
    }
}

#[test]
fn a_longer_for_takes_a_firing_instance_back_as_a_new_episode() {
    let mut rig = Rig::new(rule(json!({"forMs": 0})), "10:00:00");
    rig.run("10:00:00", &[0.6, 0.6]);
    rig.view.rule.as_mut().unwrap().body.rule.for_ms = 180_000;
    let events = rig.run("10:02:00", &[0.6; 4]);
    assert_eq!(announced(&events), [("10:02".into(), "RuleChanged"), ("10:05".into(), "trigger")]);
    assert_eq!(rig.instances()[0].active_at, t("10:02:00"));
}

#[test]
fn a_repeat_that_falls_due_while_recovering_comes_with_the_return() {
    let hour = json!({"forMs": 0, "keepFiringMs": 600_000, "repeatIntervalMs": 180_000});
    let mut rig = Rig::new(rule(hour), "10:00:00");
    let events = rig.run("10:00:00", &[0.6, 0.6, 0.1, 0.1, 0.1, 0.6, 0.6, 0.6, 0.6]);
    let expected = [("10:00".into(), "trigger"), ("10:05".into(), "repeat"), ("10:08".into(), "repeat")];
    assert_eq!(announced(&events), expected);
}
