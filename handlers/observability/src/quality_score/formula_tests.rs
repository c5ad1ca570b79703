//! The numbers of SPEC 5.8.7, and the promises I1, I2, I4 for any input.

use super::*;
use proptest::prelude::*;

const DAY: i64 = DAY_MS;

fn end() -> Timestamp {
    "2026-11-21T11:00:00.000Z".parse().unwrap()
}

fn item(category: FeedbackCategory, severity: Severity, sentiment: f64, age_ms: i64) -> Item {
    Item {
        id: "fb-1".into(),
        category,
        severity,
        sentiment,
        artifact_id: None,
        confidence: 0.0,
        created_at: end().plus_millis(-age_ms),
        withdrawn: false,
    }
}
fn high_incident_item(age_days: i64) -> Item {
    item(FeedbackCategory::Reliability, Severity::High, -0.7, age_days * DAY)
}
fn items(items: Vec<Item>) -> Inputs {
    Inputs { items, ..Inputs::default() }
}
fn reliability(scored: &Scored) -> f64 {
    scored.dimensions[&FeedbackCategory::Reliability].score
}

#[test]
fn qsw_01_a_full_budget_and_nothing_else_is_a_hundred() {
    let scored = score(&Inputs { budgets: vec![1.0], ..Inputs::default() }, end());
    assert_eq!(scored.overall, 100.0);
    assert_eq!(scored.inputs, InputCounts { feedback: 0, open_incidents: 0, slos: 1 });
}

#[test]
fn qsw_02_one_high_incident_item() {
    let scored = score(&items(vec![high_incident_item(0)]), end());
    assert_eq!((reliability(&scored), scored.overall), (83.95, 95.18));
}

#[test]
fn qsw_03_after_seven_days_it_weighs_half() {
    let scored = score(&items(vec![high_incident_item(7)]), end());
    assert_eq!((reliability(&scored), scored.overall), (91.62, 97.49));
}

#[test]
fn qsw_04_a_quarter_of_the_budget_left() {
    let inputs = Inputs { budgets: vec![0.25], ..items(vec![high_incident_item(0)]) };
    let scored = score(&inputs, end());
    assert_eq!((reliability(&scored), scored.overall), (60.37, 88.11));
}

#[test]
fn qsw_05_an_artifact_answers_as_far_as_the_attribution_is_sure() {
    let blamed = Item { artifact_id: Some("art-9".into()), confidence: 0.5, ..high_incident_item(0) };
    let scored = score(&items(vec![blamed.clone()]), end());
    let expected = ArtifactScore { artifact_id: "art-9".into(), score: 97.49, evidence: 1, delta: None };
    assert_eq!(scored.artifact_scores, [expected]);
    assert_eq!(scored.overall, 95.18, "the project takes the item whole");
    let exact = scores_of(&[&blamed], end(), |i| i.confidence, &[], &[]);
    assert_eq!(round2(exact[0]), 91.62);
}

#[test]
fn qsw_06_an_open_high_incident_weighs_five() {
    let inputs = Inputs { incidents: vec![Severity::High], ..items(vec![high_incident_item(0)]) };
    let scored = score(&inputs, end());
    assert_eq!((reliability(&scored), scored.overall), (65.38, 89.61));
}

#[test]
fn tiw_15_ten_error_traces_are_one_item_of_correctness() {
    let scored = score(&items(vec![item(FeedbackCategory::Correctness, Severity::High, -0.5, 0)]), end());
    assert_eq!((scored.dimensions[&FeedbackCategory::Correctness].score, scored.overall), (88.25, 97.06));
}

#[test]
fn e2e_01_a_critical_code_defect_with_half_the_budget_left() {
    let defect = item(FeedbackCategory::Correctness, Severity::Critical, -1.0, 0);
    let scored = score(&Inputs { budgets: vec![0.5], ..items(vec![defect]) }, end());
    assert_eq!(scored.dimensions[&FeedbackCategory::Correctness].score, 60.65);
    assert_eq!((reliability(&scored), scored.overall), (80.0, 84.16));
}

#[test]
fn thirty_days_are_exact_and_age_is_in_whole_days() {
    let month = 30 * DAY;
    assert_eq!(
        score(&items(vec![item(FeedbackCategory::Cost, Severity::High, -0.7, month)]), end()).inputs.feedback,
        1
    );
    let older = items(vec![item(FeedbackCategory::Cost, Severity::High, -0.7, month + 1)]);
    assert!(score(&older, end()).inputs.is_none());
    let future = items(vec![item(FeedbackCategory::Cost, Severity::High, -0.7, -1)]);
    assert!(score(&future, end()).inputs.is_none());
    let almost_a_day = score(&items(vec![item(FeedbackCategory::Reliability, Severity::High, -0.7, DAY - 1)]), end());
    assert_eq!(reliability(&almost_a_day), 83.95);
}

#[test]
fn a_withdrawn_item_is_ignored_and_praise_counts_half() {
    let withdrawn = Item { withdrawn: true, ..high_incident_item(0) };
    assert_eq!(score(&items(vec![withdrawn]), end()).overall, 100.0);
    let praise = item(FeedbackCategory::Reliability, Severity::High, 0.7, 0);
    let scored = score(&items(vec![high_incident_item(0), praise.clone()]), end());
    assert_eq!(reliability(&scored), round2(100.0 * (-1.75_f64 / 20.0).exp()));
    assert_eq!(score(&items(vec![praise]), end()).overall, 100.0, "praise alone gives no more than 100");
}

#[test]
fn rounding_takes_ties_to_even() {
    assert_eq!(round2(0.125), 0.12);
    assert_eq!(round2(0.375), 0.38);
}

#[test]
fn beyond_the_limit_the_worst_artifacts_remain() {
    let many = (0..ARTIFACTS_MAX + 1).map(|n| Item {
        id: format!("fb-{n}"),
        artifact_id: Some(format!("art-{n:04}")),
        confidence: if n == 0 { 0.1 } else { 1.0 },
        ..high_incident_item(0)
    });
    let scored = score(&items(many.collect()), end());
    assert_eq!(scored.artifact_scores.len(), ARTIFACTS_MAX);
    assert_eq!(scored.artifact_scores[0].artifact_id, "art-0001", "the least blamed one left");
}

fn any_category() -> impl Strategy<Value = FeedbackCategory> {
    (0_usize..5).prop_map(|n| WEIGHTS[n].0)
}
fn any_severity() -> impl Strategy<Value = Severity> {
    (0_usize..4).prop_map(|n| [Severity::Info, Severity::Warning, Severity::High, Severity::Critical][n])
}
prop_compose! {
    fn any_item()(
        n in 0_u32..1000, category in any_category(), severity in any_severity(), sentiment in -1.0_f64..=1.0,
        age in -DAY..40 * DAY, artifact in proptest::option::of(0_u8..4), confidence in 0.0_f64..=1.0,
        withdrawn in proptest::bool::weighted(0.1),
    ) -> Item {
        Item {
            id: format!("fb-{n}"), artifact_id: artifact.map(|a| format!("art-{a}")), confidence, withdrawn,
            ..item(category, severity, sentiment, age)
        }
    }
}
prop_compose! {
    fn any_inputs()(
        items in proptest::collection::vec(any_item(), 0..30),
        incidents in proptest::collection::vec(any_severity(), 0..5),
        budgets in proptest::collection::vec(-3.0_f64..=1.0, 0..4),
    ) -> Inputs {
        Inputs { items, incidents, budgets }
    }
}
fn all_scores(scored: &Scored) -> Vec<f64> {
    let dimensions = scored.dimensions.values().map(|d| d.score);
    let artifacts = scored.artifact_scores.iter().map(|a| a.score);
    std::iter::once(scored.overall).chain(dimensions).chain(artifacts).collect()
}

#[test]
fn i4_weights_sum_to_one() {
    assert_eq!(round2(WEIGHTS.iter().map(|(_, w)| w).sum::<f64>() * 1e9), 1e9);
    assert_eq!(WEIGHTS.map(|(c, _)| c).into_iter().collect::<BTreeSet<_>>().len(), 5);
}

proptest! {
    #[test]
    fn i1_every_score_lies_between_zero_and_a_hundred(inputs in any_inputs()) {
        let scored = score(&inputs, end());
        prop_assert!(all_scores(&scored).iter().all(|s| (0.0..=100.0).contains(s)));
        prop_assert!((0.0..=1.0).contains(&scored.confidence));
    }

    #[test]
    fn i2_a_negative_item_never_raises_a_score(inputs in any_inputs(), more in any_item()) {
        let before = score(&inputs, end());
        let blame = Item { id: "fb-new".into(), sentiment: -more.sentiment.abs(), ..more };
        let mut worse = inputs;
        worse.items.push(blame);
        let after = score(&worse, end());
        prop_assert!(after.overall <= before.overall);
        for (category, dimension) in &after.dimensions {
            prop_assert!(dimension.score <= before.dimensions[category].score);
        }
        for artifact in &after.artifact_scores {
            let old = before.artifact_scores.iter().find(|a| a.artifact_id == artifact.artifact_id);
            prop_assert!(artifact.score <= old.map_or(100.0, |a| a.score));
        }
    }

    #[test]
    fn i3_the_same_inputs_in_any_order_give_the_same_bytes(inputs in any_inputs(), seed in 0_usize..30) {
        let once = score(&inputs, end());
        let mut shuffled = inputs;
        for (n, item) in shuffled.items.iter_mut().enumerate() {
            item.id = format!("fb-{n}");
        }
        let named = score(&shuffled, end());
        let by = seed % shuffled.items.len().max(1);
        shuffled.items.rotate_left(by);
        let rotated = score(&shuffled, end());
        prop_assert_eq!(serde_json::to_vec(&named).unwrap(), serde_json::to_vec(&rotated).unwrap());
        prop_assert_eq!(once.inputs, named.inputs);
    }
}
