//! FeedbackCreationWorker (SPEC 5.7): what people and agents have to say. What comes of incidents, anomalies and traces
//! is sent to those.

mod invariants;

pub use invariants::invariants;

use super::outside::{Command, Place, Teller, for_each_tenant, moment};
use crate::{
    plan::{Cast, Plan},
    rng::Rng,
};
use opsloop_kernel::http::Method;
use serde_json::{Value, json};

const ITEMS: &str = "/v1/feedback-items";
/// A command that is not answered from its marker finds its item.
const CREATED: &[u16] = &[200, 201];

pub fn generate(rng: &mut Rng, cast: &Cast, plan: &mut Plan) {
    for_each_tenant(rng, cast, |rng, tenant| {
        let teller = &mut Teller { cast, tenant, plan };
        for n in 0..rng.between(0, 3) {
            let (at, place) = (moment(rng, cast), Place::draw(rng, cast));
            let refused = rng.hit(0.15);
            let body = said(rng, place, refused);
            let expect = if refused { &[400] } else { CREATED };
            let (path, key) = (ITEMS.to_owned(), format!("feedback-{n}"));
            let command = Command { method: Method::Post, path, body, key, expect };
            if rng.hit(0.3) {
                teller.ask(at.plus_millis(rng.between(0, 60_000)), command.clone());
            }
            teller.ask(at, command);
        }
    });
}

fn said(rng: &mut Rng, place: Place, refused: bool) -> Value {
    let sentiment = if refused { 1.5 } else { rng.between(-10, 10) as f64 / 10.0 };
    let mut body = json!({
        "source": rng.pick(&["human", "agent"]), "title": "it is slow", "summary": "since this morning",
        "sentiment": sentiment, "severity": rng.pick(&["critical", "high", "warning", "info"]),
        "category": rng.pick(&["reliability", "performance", "cost", "maintainability", "correctness"]),
        "projectId": place.project, "moduleId": place.module, "evidence": [{"kind": "ticket", "id": "T-1"}],
    });
    if rng.hit(0.5) {
        body["artifactId"] = json!(rng.pick(&["art-9", "art-10"]));
        body["agentId"] = json!("agent-1");
    }
    if rng.hit(0.4) {
        body["traceId"] = json!(rng.hex(32));
    }
    body
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_alike, assert_in_time, payload, plans};
    use super::*;
    use crate::plan::Offer;
    use opsloop_observability::feedback_creation::endpoints;

    #[test]
    fn what_is_sent_is_what_the_endpoint_takes() {
        let plans = plans(generate, false);
        assert_in_time(&plans);
        let (mut taken, mut refused) = (0, 0);
        for a in plans.iter().flat_map(|p| &p.arrivals) {
            let Offer::Command { expect, .. } = &a.offer else { panic!("{:?}", a.offer) };
            let made = payload(&endpoints(), &a.offer);
            assert_eq!(made.is_ok(), expect == CREATED, "{made:?}");
            if made.is_ok() { taken += 1 } else { refused += 1 }
        }
        assert!(taken > 80 && refused > 5, "{taken} {refused}");
    }

    #[test]
    fn twins_get_the_same() {
        assert_alike(&plans(generate, true));
    }
}
