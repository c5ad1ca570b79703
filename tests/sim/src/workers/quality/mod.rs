//! QualityScoreWorker (SPEC 5.8): it has no commands. What brings a project forward are items and incidents, which the
//! others make, and SLOs that are saved; here come notices of items that are told late, of hours that may be over.

mod invariants;

pub use invariants::invariants;

use super::outside::{Place, Said, Teller, for_each_tenant, moment};
use crate::{
    plan::{Cast, Plan},
    rng::Rng,
};
use opsloop_kernel::Timestamp;
use opsloop_observability::events::kind;
use serde_json::{Value, json};

/// Within the hour, in the hour before, the day before, beyond what may be revised.
const AGES_MS: [i64; 4] = [60_000, 3_600_000, 26 * 3_600_000, 80 * 3_600_000];

pub fn generate(rng: &mut Rng, cast: &Cast, plan: &mut Plan) {
    for_each_tenant(rng, cast, |rng, tenant| {
        let teller = &mut Teller { cast, tenant, plan };
        for n in 0..rng.between(0, 2) {
            let (at, place) = (moment(rng, cast), Place::draw(rng, cast));
            let created_at = at.plus_millis(-*rng.pick(&AGES_MS));
            let said = Said::new(kind::FEEDBACK_ITEM_CREATED, place, at, item(rng, place, created_at, n));
            let late = if rng.hit(0.3) { rng.between(1_000, 180_000) } else { 0 };
            if rng.hit(0.3) {
                let again = Said { revision: 1, ..said.clone() };
                teller.say(again, late + 1_000);
            }
            teller.say(said, late);
        }
    });
}

fn item(rng: &mut Rng, place: Place, created_at: Timestamp, n: i64) -> Value {
    json!({
        "feedbackItemId": format!("fb-outside-{n}"), "projectId": place.project, "moduleId": place.module,
        "traceId": rng.hex(32), "source": "human", "sourceId": format!("evt-outside-{n}"), "category": "reliability",
        "sentiment": {"label": "negative", "score": -0.7}, "severity": "high", "title": "told late", "summary": "",
        "evidence": [], "attribution": {"method": "none", "confidence": 0.0, "contributors": []},
        "createdAt": created_at,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_alike, assert_in_time, is_taken, plans};
    use super::*;
    use crate::plan::Offer;
    use opsloop_observability::quality_score::QualityScoreWorker;

    #[test]
    fn what_is_sent_is_what_the_worker_takes() {
        let plans = plans(generate, false);
        assert_in_time(&plans);
        let mut taken = 0;
        for a in plans.iter().flat_map(|p| &p.arrivals) {
            let Offer::Event(e) = &a.offer else { panic!("{:?}", a.offer) };
            assert!(is_taken(&QualityScoreWorker::default(), e));
            taken += 1;
        }
        assert!(taken > 50, "{taken}");
    }

    #[test]
    fn twins_get_the_same() {
        assert_alike(&plans(generate, true));
    }
}
