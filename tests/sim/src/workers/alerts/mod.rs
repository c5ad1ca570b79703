//! AlertEvaluationWorker (SPEC 5.3): rules over the failing requests, saved, changed, disabled and deleted while they
//! are evaluated, with silences and inhibition over them.

mod invariants;

pub use invariants::invariants;

use super::{
    ERRORS, LATENCY, REQUESTS,
    outside::{Command, Place, Teller, for_each_tenant, moment},
};
use crate::{
    plan::{Cast, Plan},
    rng::Rng,
};
use opsloop_kernel::{Timestamp, http::Method};
use serde_json::{Value, json};

const RULES: &str = "/v1/alerts/rules";
/// A rule that is saved is new or known, whichever command came first.
const SAVED: &[u16] = &[200, 201];
/// What is deleted may not be there yet, or not any more.
const DELETED: &[u16] = &[200, 404];
/// Rules are there from the beginning, so that there is something to judge.
const FIRST_WITHIN_MS: i64 = 20_000;

pub fn generate(rng: &mut Rng, cast: &Cast, plan: &mut Plan) {
    for_each_tenant(rng, cast, |rng, tenant| {
        let teller = &mut Teller { cast, tenant, plan };
        for n in 0..if rng.hit(0.3) { 2 } else { 1 } {
            one_rule(rng, teller, n);
        }
        if rng.hit(0.3) {
            silence(rng, teller);
        }
        if rng.hit(0.2) {
            inhibition(rng, teller);
        }
    });
}

fn one_rule(rng: &mut Rng, teller: &mut Teller<'_>, n: i64) {
    let id = format!("alr-{n}");
    let place = Place::draw(rng, teller.cast);
    let body = rule(rng, &id, place);
    let first = teller.cast.start.plus_millis(rng.between(0, FIRST_WITHIN_MS));
    save(teller, first, body.clone(), format!("{id}-first"));
    if rng.hit(0.2) {
        // The sender did not hear the answer.
        save(teller, first.plus_millis(rng.between(1, 3_000)), body.clone(), format!("{id}-first"));
    }
    if rng.hit(0.1) {
        let refused = merged(&body, json!({"cadenceMs": 1_000}));
        let at = moment(rng, teller.cast);
        teller.ask(at, Command { expect: &[400], ..saving(refused, format!("{id}-refused")) });
    }
    if rng.hit(0.6) {
        midway(rng, teller, &id, &body, place);
    }
}

fn midway(rng: &mut Rng, teller: &mut Teller<'_>, id: &str, body: &Value, place: Place) {
    let at = moment(rng, teller.cast);
    let changed = match rng.below(6) {
        0 => json!({"enabled": false}),
        1 => json!({"forMs": 120_000}),
        2 => json!({"keepFiringMs": 0, "repeatIntervalMs": 60_000}),
        3 => json!({"condition": condition(rng, place)}),
        _ => {
            let path = format!("{RULES}/{id}");
            let key = format!("{id}-gone");
            teller.ask(at, Command { method: Method::Delete, path, body: Value::Null, key, expect: DELETED });
            if rng.hit(0.5) {
                let back = moment(rng, teller.cast);
                save(teller, back, body.clone(), format!("{id}-back"));
            }
            return;
        }
    };
    save(teller, at, merged(body, changed), format!("{id}-changed"));
    if rng.hit(0.3) {
        let back = moment(rng, teller.cast);
        save(teller, back, body.clone(), format!("{id}-as-before"));
    }
}

fn save(teller: &mut Teller<'_>, at: Timestamp, body: Value, key: String) {
    teller.ask(at, saving(body, key));
}

fn saving(body: Value, key: String) -> Command {
    Command { method: Method::Post, path: RULES.to_owned(), body, key, expect: SAVED }
}

fn merged(body: &Value, change: Value) -> Value {
    let mut out = body.clone();
    for (name, value) in change.as_object().into_iter().flatten() {
        out[name] = value.clone();
    }
    out
}

fn rule(rng: &mut Rng, id: &str, place: Place) -> Value {
    json!({
        "ruleId": id, "projectId": place.project, "name": format!("failures {id}"),
        "severity": rng.pick(&["critical", "high", "high", "warning", "info"]),
        "condition": condition(rng, place),
        "forMs": rng.pick(&[0, 0, 60_000, 120_000]),
        "keepFiringMs": rng.pick(&[0, 0, 60_000, 180_000]),
        "cadenceMs": rng.pick(&[60_000, 60_000, 60_000, 60_000, 30_000, 15_000]),
        "noDataPolicy": rng.pick(&["keep", "keep", "alert", "ok"]),
        "noDataAfterMs": rng.pick(&[60_000, 240_000, 900_000]),
        "repeatIntervalMs": rng.pick(&[60_000, 120_000, 14_400_000]),
        "spread": rng.hit(0.3),
        "labels": {"team": place.module},
    })
}

fn condition(rng: &mut Rng, place: Place) -> Value {
    match rng.below(6) {
        0 => ratio(rng),
        1 if rng.hit(0.5) => absence(rng),
        1 => ungrouped(absence(rng)),
        2 => json!({"type": "Any", "conditions": [threshold(rng, place), absence(rng)]}),
        3 => json!({
            "type": "Threshold", "selector": selector(LATENCY, None), "aggregation": "p99", "op": "gt",
            "threshold": rng.pick(&[0.1, 0.5, 1.0]),
        }),
        _ => threshold(rng, place),
    }
}

/// All selectors of a condition group alike.
fn selector(metric: &str, place: Option<Place>) -> Value {
    let matchers = place.map(|p| json!({"label": "moduleId", "op": "=", "value": p.module}));
    json!({"metricName": metric, "matchers": matchers.into_iter().collect::<Vec<_>>(), "groupBy": ["moduleId"]})
}

fn threshold(rng: &mut Rng, place: Place) -> Value {
    let of_module = rng.hit(0.4).then_some(place);
    let threshold = rng.between(0, 6);
    let mut condition = json!({
        "type": "Threshold", "selector": selector(ERRORS, of_module), "aggregation": "sum",
        "reducer": rng.pick(&["last", "last", "max", "sum"]), "rangeMs": rng.pick(&[60_000, 120_000]), "op": "gt",
        "threshold": threshold,
    });
    if rng.hit(0.3) {
        condition["recoveryThreshold"] = json!(threshold - 1);
    }
    condition
}

fn ratio(rng: &mut Rng) -> Value {
    json!({
        "type": "Ratio", "numerator": selector(ERRORS, None), "denominator": selector(REQUESTS, None),
        "minDenominator": rng.between(0, 3), "op": "gt", "threshold": rng.pick(&[0.05, 0.2, 0.5]),
    })
}

fn absence(rng: &mut Rng) -> Value {
    let metric = if rng.hit(0.5) { ERRORS } else { REQUESTS };
    json!({"type": "Absence", "selector": selector(metric, None), "forMs": rng.pick(&[60_000, 120_000, 300_000])})
}

/// Of all together: what was never there can be absent, too.
fn ungrouped(mut condition: Value) -> Value {
    condition["selector"]["groupBy"] = json!([]);
    condition
}

fn silence(rng: &mut Rng, teller: &mut Teller<'_>) {
    let (at, from) = (moment(rng, teller.cast), moment(rng, teller.cast));
    let matcher = json!({"label": "severity", "op": "=~", "value": "high|warning"});
    let until = from.plus_millis(rng.between(30_000, 300_000));
    let body = json!({"id": "sil-0", "matchers": [matcher], "startsAt": from, "endsAt": until, "author": "ann"});
    let (path, key) = ("/v1/alerts/silences".to_owned(), "sil-0".to_owned());
    teller.ask(at, Command { method: Method::Post, path, body, key, expect: SAVED });
}

/// Whatever is critical silences what is less, of the same module.
fn inhibition(rng: &mut Rng, teller: &mut Teller<'_>) {
    let at = teller.cast.start.plus_millis(rng.between(0, FIRST_WITHIN_MS));
    let matcher = |op: &str| json!([{"label": "severity", "op": op, "value": "critical"}]);
    let body = json!({
        "id": "inh-0", "sourceMatchers": matcher("="), "targetMatchers": matcher("!="), "equal": ["moduleId"],
    });
    let path = "/v1/alerts/inhibitions".to_owned();
    teller.ask(at, Command { method: Method::Post, path, body, key: "inh-0".to_owned(), expect: SAVED });
    if rng.hit(0.3) {
        let (at, path) = (moment(rng, teller.cast), "/v1/alerts/inhibitions/inh-0".to_owned());
        let key = "inh-0-gone".to_owned();
        teller.ask(at, Command { method: Method::Delete, path, body: Value::Null, key, expect: DELETED });
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_alike, assert_in_time, payload, plans};
    use super::*;
    use crate::plan::Offer;
    use opsloop_observability::alert_evaluation::{endpoints, rule::AlertRule, suppression};

    #[test]
    fn what_is_sent_is_what_the_endpoints_take() {
        let plans = plans(generate, false);
        assert_in_time(&plans);
        let (mut saved, mut refused, mut deleted) = (0, 0, 0);
        for a in plans.iter().flat_map(|p| &p.arrivals) {
            let (kind, body) = payload(&endpoints(), &a.offer).unwrap();
            let Offer::Command { expect, .. } = &a.offer else { panic!("{:?}", a.offer) };
            match kind {
                "SaveAlertRule" => {
                    let ok = body.read::<AlertRule>().unwrap().check().is_ok();
                    assert_eq!(ok, expect == SAVED, "{body:?}");
                    if ok { saved += 1 } else { refused += 1 }
                }
                "CreateSilence" => body.read::<suppression::Silence>().unwrap().check().unwrap(),
                "SaveInhibitRule" => body.read::<suppression::InhibitRule>().unwrap().check().unwrap(),
                _ => deleted += 1,
            }
        }
        assert!(saved > 150 && refused > 3 && deleted > 10, "{saved} {refused} {deleted}");
        assert!(plans.iter().all(|p| (2..=24).contains(&p.arrivals.len())));
    }

    #[test]
    fn twins_get_the_same() {
        assert_alike(&super::super::testing::plans(generate, true));
    }
}
