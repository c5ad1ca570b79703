//! SLO evaluation (SPEC 5.4): an objective over requests, latency or good minutes, with windows short enough to burn
//! within a run, changed and deleted midway.

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

const SLOS: &str = "/v1/slos";
const ID: &str = "slo-0";
const SAVED: &[u16] = &[200, 201];
const DELETED: &[u16] = &[200, 404];

pub fn generate(rng: &mut Rng, cast: &Cast, plan: &mut Plan) {
    for_each_tenant(rng, cast, |rng, tenant| {
        if !rng.hit(0.6) {
            return;
        }
        let teller = &mut Teller { cast, tenant, plan };
        let place = Place::draw(rng, cast);
        let slo = slo(rng, place);
        save(teller, cast.start.plus_millis(rng.between(0, 20_000)), slo.clone(), "slo-first");
        if rng.hit(0.5) {
            midway(rng, teller, slo);
        }
    });
}

fn midway(rng: &mut Rng, teller: &mut Teller<'_>, before: Value) {
    let (at, mut slo) = (moment(rng, teller.cast), before.clone());
    match rng.below(5) {
        0 => slo["enabled"] = json!(false),
        1 => slo["objective"] = json!(0.95),
        2 => slo["rules"] = json!([rule("other", "warning", 300_000, 1.5)]),
        3 => slo["minEvents"] = json!(5),
        _ => {
            let (path, key) = (format!("{SLOS}/{ID}"), "slo-gone".to_owned());
            teller.ask(at, Command { method: Method::Delete, path, body: Value::Null, key, expect: DELETED });
            if rng.hit(0.5) {
                let back = moment(rng, teller.cast);
                save(teller, back, before, "slo-back");
            }
            return;
        }
    }
    save(teller, at, slo, "slo-changed");
}

fn save(teller: &mut Teller<'_>, at: Timestamp, body: Value, key: &str) {
    let (path, key) = (SLOS.to_owned(), key.to_owned());
    teller.ask(at, Command { method: Method::Post, path, body, key, expect: SAVED });
}

fn slo(rng: &mut Rng, place: Place) -> Value {
    // Of a rolling period a tenth must be over before its budget counts as exhausted; of a month it is.
    let period = if rng.hit(0.5) { json!({"type": "CalendarMonth"}) } else { json!({"type": "Rolling", "days": 7}) };
    json!({
        "sloId": ID, "projectId": place.project, "moduleId": place.module, "environment": place.environment,
        "name": "requests succeed", "objective": rng.pick(&[0.9, 0.9, 0.8]), "period": period, "sli": sli(rng),
        "rules": rules(rng), "minEvents": rng.between(1, 4), "minBadEvents": 1,
    })
}

fn sli(rng: &mut Rng) -> Value {
    let of = |metric: &str| json!({"metricName": metric});
    match rng.below(4) {
        0 => json!({"type": "LatencyRatio", "histogram": of(LATENCY), "thresholdMs": rng.pick(&[100, 500])}),
        1 => {
            let good = json!({
                "type": "Threshold", "selector": of(ERRORS), "aggregation": "sum", "op": "lt",
                "threshold": rng.between(1, 4),
            });
            json!({"type": "WindowRatio", "condition": good})
        }
        _ => json!({"type": "RequestRatio", "bad": of(ERRORS), "total": of(REQUESTS)}),
    }
}

/// One or two: the lesser is inhibited while the severe one burns.
fn rules(rng: &mut Rng) -> Value {
    let severe = rule("fast", rng.pick::<&str>(&["critical", "high"]), 120_000, 1.5);
    let lesser = rule("slow", "warning", 300_000, 1.0);
    if rng.hit(0.5) { json!([severe, lesser]) } else { json!([severe]) }
}

fn rule(name: &str, severity: &str, long_ms: i64, factor: f64) -> Value {
    json!({"name": name, "longMs": long_ms, "shortMs": 60_000, "factor": factor, "severity": severity})
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_alike, assert_in_time, payload, plans};
    use super::*;
    use opsloop_observability::slo_evaluation::{endpoints, slo::SloDefinition};

    #[test]
    fn what_is_sent_is_what_the_endpoints_take() {
        let plans = plans(generate, false);
        assert_in_time(&plans);
        let (mut saved, mut deleted) = (0, 0);
        for a in plans.iter().flat_map(|p| &p.arrivals) {
            match payload(&endpoints(), &a.offer).unwrap() {
                ("SaveSlo", body) => {
                    body.read::<SloDefinition>().unwrap().check().unwrap();
                    saved += 1;
                }
                _ => deleted += 1,
            }
        }
        assert!(saved > 50 && deleted > 3, "{saved} {deleted}");
    }

    #[test]
    fn twins_get_the_same() {
        assert_alike(&plans(generate, true));
    }
}
