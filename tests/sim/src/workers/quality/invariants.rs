//! SPEC 5.8.6, seen from the commits. That a negative item never raises a score (I2) cannot be: between what a score
//! read and its commit others commit too; the laws of the worker hold it.

use super::super::check::{Check, body, facts, instant, list, text};
use crate::journal::{Applied, Change, Oracle, Verdict};
use opsloop_kernel::{DocId, TenantId, Timestamp};
use opsloop_observability::events::kind;
use serde_json::Value;
use std::collections::BTreeMap;

const LEDGER: &str = "quality-score";
/// Five rounded scores, weighed, and the sum rounded.
const ROUNDING: f64 = 0.0101;

pub fn invariants() -> Vec<Box<dyn Oracle>> {
    vec![
        Check::<()>::of_commits("QSW I1", |_, commit| each(commit, within_a_hundred)),
        Check::<()>::of_commits("QSW I3", |_, commit| revisions_differ(commit)),
        Check::<()>::of_commits("QSW I4", |_, commit| each(commit, weights_make_a_whole)),
        Check::of_commits("QSW withdrawn", only_what_stands_counts),
        Check::<()>::of_commits("QSW told", |_, commit| told_as_computed(commit)),
    ]
}

fn ledgers(commit: &Applied) -> impl Iterator<Item = &Change> {
    let here = commit.stream.name.starts_with("quality/");
    commit.changes.iter().filter(move |c| here && c.kind() == LEDGER)
}

/// The score of a ledger; a window that was skipped has none.
fn score(document: Option<&opsloop_kernel::Document>) -> &Value {
    &body(document)["score"]
}

fn each(commit: &Applied, rule: fn(&Value) -> Verdict) -> Verdict {
    for change in ledgers(commit).filter(|c| score(c.after.as_ref()).is_object()) {
        rule(score(change.after.as_ref())).map_err(|why| format!("{}: {why}", change.id))?;
    }
    Ok(())
}

fn number(of: &Value, name: &str) -> f64 {
    of[name].as_f64().unwrap_or(f64::NAN)
}

fn dimensions(score: &Value) -> impl Iterator<Item = (&String, &Value)> {
    score["dimensions"].as_object().into_iter().flatten()
}

fn within_a_hundred(score: &Value) -> Verdict {
    let of_dimensions = dimensions(score).map(|(_, d)| number(d, "score"));
    let of_artifacts = list(score, "artifactScores").iter().map(|a| number(a, "score"));
    let mut all = of_dimensions.chain(of_artifacts).chain([number(score, "overall")]);
    if let Some(beyond) = all.find(|s| !(0.0..=100.0).contains(s)) {
        return Err(format!("a score of {beyond}"));
    }
    let confidence = number(score, "confidence");
    if (0.0..=1.0).contains(&confidence) { Ok(()) } else { Err(format!("a confidence of {confidence}")) }
}

/// From 1, without gaps, and each differs from the one before: the same inputs give the same bytes, and no revision.
fn revisions_differ(commit: &Applied) -> Verdict {
    for change in ledgers(commit) {
        let (before, after) = (score(change.before.as_ref()), score(change.after.as_ref()));
        if after.is_null() {
            if !before.is_null() {
                return Err(format!("{} has lost its score", change.id));
            }
            continue;
        }
        let (was, is) = (before["revision"].as_u64().unwrap_or(0), after["revision"].as_u64());
        if is != Some(was + 1) {
            return Err(format!("{}: revision {is:?} after {was}", change.id));
        }
        if text(after, "contentHash").is_empty() || before["contentHash"] == after["contentHash"] {
            return Err(format!("{}: revision {is:?} says nothing new", change.id));
        }
    }
    Ok(())
}

fn weights_make_a_whole(score: &Value) -> Verdict {
    let weights: f64 = dimensions(score).map(|(_, d)| number(d, "weight")).sum();
    if (weights - 1.0).abs() > 1e-9 || weights.is_nan() {
        return Err(format!("the weights sum to {weights}"));
    }
    let sum: f64 = dimensions(score).map(|(_, d)| number(d, "weight") * number(d, "score")).sum();
    let overall = number(score, "overall");
    if (sum - overall).abs() <= ROUNDING { Ok(()) } else { Err(format!("overall {overall}, its parts give {sum}")) }
}

/// One announcement of each revision, in the commit that makes it.
fn told_as_computed(commit: &Applied) -> Verdict {
    for change in ledgers(commit).filter(|c| score(c.after.as_ref()).is_object()) {
        let score = score(change.after.as_ref());
        let same = |p: &Value| p["qualityScoreId"] == score["qualityScoreId"] && p["revision"] == score["revision"];
        let told = facts(commit, kind::QUALITY_SCORE_COMPUTED).filter(|e| same(&e.payload.0)).count();
        if told != 1 && commit.owed.iter().all(|e| e.payload_ref.is_none()) {
            return Err(format!("{} is told {told} times", change.id));
        }
    }
    Ok(())
}

/// A score that is committed so long after may not have read what was there before.
const READ_WITHIN_MS: i64 = 120_000;

/// By tenant and project: the items with their creation, and since when each is withdrawn.
type Items = BTreeMap<(TenantId, String), BTreeMap<DocId, (Timestamp, Option<Timestamp>)>>;

/// A score counts no more items than there are of its time that stand (SPEC 5.8.3).
fn only_what_stands_counts(items: &mut Items, commit: &Applied) -> Verdict {
    let Some((place, project)) = commit.stream.name.split_once('/') else { return Ok(()) };
    let of = items.entry((commit.tenant.clone(), project.to_owned())).or_default();
    for change in commit.changes.iter().filter(|c| place == "feedback" && c.kind() == "feedback-item") {
        let item = body(change.after.as_ref());
        let Some(created) = instant(item, "createdAt") else { continue };
        let before = of.get(&change.id).and_then(|i| i.1);
        let since = item["withdrawn"].is_object().then(|| before.unwrap_or(commit.at));
        of.insert(change.id.clone(), (created, since));
    }
    for change in ledgers(commit).filter(|c| score(c.after.as_ref()).is_object()) {
        let score = score(change.after.as_ref());
        let start = instant(score, "windowStart").unwrap_or(Timestamp::EPOCH);
        let end = start.plus_millis(score["windowSizeMs"].as_i64().unwrap_or(0));
        let stands = |since: &Option<Timestamp>| since.is_none_or(|t| commit.at.millis_since(t) < READ_WITHIN_MS);
        let there = of.values().filter(|(created, since)| *created <= end && stands(since)).count();
        let counted = score["inputs"]["feedback"].as_u64().unwrap_or(0);
        if counted > there as u64 {
            return Err(format!("{} counts {counted} items, {there} stand", change.id));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{commit, document, fact, named};
    use super::*;
    use serde_json::json;

    fn oracle(name: &str) -> Box<dyn Oracle> {
        named(invariants(), name)
    }
    fn scored(change: Value) -> Value {
        let mut body = json!({"qualityScoreId": "qs-1", "overall": 50.0, "confidence": 0.5, "revision": 1,
            "contentHash": "a", "artifactScores": [{"artifactId": "a", "score": 70.0}],
            "dimensions": {"cost": {"score": 40.0, "weight": 0.5}, "reliability": {"score": 60.0, "weight": 0.5}}});
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    }
    fn ledger(score: Value) -> opsloop_kernel::Document {
        document("score|3600000|1", LEDGER, json!({"status": "done", "score": score}))
    }
    fn computes(before: Option<Value>, after: Value) -> Applied {
        let owed = vec![fact(kind::QUALITY_SCORE_COMPUTED, after.clone())];
        commit("quality/shop", vec![(before.map(ledger), Some(ledger(after)))], owed)
    }

    #[test]
    fn i1_more_than_a_hundred() {
        let mut o = oracle("QSW I1");
        o.applied(&computes(None, scored(json!({})))).unwrap();
        assert!(o.applied(&computes(None, scored(json!({"overall": 100.01})))).is_err());
        let artifact = json!({"artifactScores": [{"artifactId": "a", "score": -1.0}]});
        assert!(o.applied(&computes(None, scored(artifact))).is_err());
        assert!(o.applied(&computes(None, scored(json!({"confidence": 2.0})))).is_err());
    }

    #[test]
    fn i3_a_revision_with_a_gap_and_one_without_news() {
        let mut o = oracle("QSW I3");
        o.applied(&computes(None, scored(json!({})))).unwrap();
        let next = |revision: u64, hash: &str| {
            computes(Some(scored(json!({}))), scored(json!({"revision": revision, "contentHash": hash})))
        };
        o.applied(&next(2, "b")).unwrap();
        assert!(o.applied(&next(3, "b")).unwrap_err().contains("after 1"));
        assert!(o.applied(&next(2, "a")).unwrap_err().contains("nothing new"));
    }

    #[test]
    fn i4_weights_that_are_no_whole() {
        let mut o = oracle("QSW I4");
        o.applied(&computes(None, scored(json!({})))).unwrap();
        let light = json!({"dimensions": {"cost": {"score": 40.0, "weight": 0.5}}});
        assert!(o.applied(&computes(None, scored(light))).unwrap_err().contains("sum to 0.5"));
        assert!(o.applied(&computes(None, scored(json!({"overall": 51.0})))).unwrap_err().contains("its parts"));
    }

    #[test]
    fn a_score_that_is_untold() {
        let mut o = oracle("QSW told");
        let mut commit = computes(None, scored(json!({})));
        o.applied(&commit).unwrap();
        commit.owed.clear();
        assert!(o.applied(&commit).unwrap_err().contains("told 0 times"));
    }
}
