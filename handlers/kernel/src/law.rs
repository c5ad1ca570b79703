//! Promises every worker keeps (DESIGN 10): checked on every golden case and, by proptest, on generated ones.

use crate::{
    decision::Decision,
    document::{BATCH_OPERATIONS_MAX, Write},
    fault::Halt,
    incoming::Unit,
    time::Moment,
    worker::Worker,
};

/// What a law says of a decision; the text names the law that does not hold.
pub type Verdict = Result<(), String>;

/// Deciding twice gives the same bytes.
pub fn deterministic<W: Worker>(unit: &Unit<W::Key>, input: &W::Input, view: &W::View, at: Moment) -> Verdict {
    let once = format!("{:?}", W::decide(unit, input, view, at));
    let twice = format!("{:?}", W::decide(unit, input, view, at));
    if once == twice { Ok(()) } else { Err("deterministic: two decisions on one view differ".into()) }
}

/// The plan is a function of the input (A6), also after the input went through its text form.
pub fn plan_stable<W: Worker>(input: &W::Input) -> Verdict {
    let text = serde_json::to_string(input).map_err(|e| e.to_string())?;
    let again: W::Input = serde_json::from_str(&text).map_err(|e| format!("plan-stable: {e}"))?;
    if W::plan(input) == W::plan(&again) { Ok(()) } else { Err("plan-stable: the plan moved".into()) }
}

/// Only declared kinds are emitted, only declared effects performed.
pub fn closed_over_kinds<W: Worker>(decision: &Decision) -> Verdict {
    for fact in &decision.facts {
        if !W::SPEC.emits.contains(&fact.kind) {
            return Err(format!("closed: {} is not in SPEC.emits", fact.kind));
        }
    }
    for effect in &decision.effects {
        if !W::SPEC.performs.contains(&effect.name.as_str()) {
            return Err(format!("closed: {} is not in SPEC.performs", effect.name));
        }
    }
    Ok(())
}

/// What must be in the last batch fits one (A64): the writes, the marker, and an outbox document.
pub fn bounded(decision: &Decision) -> Verdict {
    let operations = decision.writes.len() + 2;
    if operations <= BATCH_OPERATIONS_MAX { Ok(()) } else { Err(format!("bounded: {operations} operations")) }
}

/// A blind write never stands for a document that the same decision saves by version, and nothing is deleted ahead.
pub fn guarded(decision: &Decision) -> Verdict {
    if decision.ahead.iter().any(|w| matches!(w, Write::Delete(..))) {
        return Err("guarded: a delete was written ahead".into());
    }
    let mut ids: Vec<_> = decision.ahead.iter().chain(&decision.writes).map(Write::id).collect();
    ids.sort();
    ids.windows(2).find(|w| w[0] == w[1]).map_or(Ok(()), |w| Err(format!("guarded: {} is written twice", w[0])))
}

/// Facts of one decision have different identities.
pub fn distinct_facts(decision: &Decision) -> Verdict {
    let mut ids: Vec<_> = decision.facts.iter().map(|f| (f.kind, f.key.key(), f.revision)).collect();
    ids.sort();
    ids.windows(2).find(|w| w[0] == w[1]).map_or(Ok(()), |w| Err(format!("distinct: {} is emitted twice", w[0].0)))
}

/// All laws that one decision can be held to.
pub fn all<W: Worker>(unit: &Unit<W::Key>, input: &W::Input, view: &W::View, at: Moment) -> Verdict {
    deterministic::<W>(unit, input, view, at)?;
    plan_stable::<W>(input)?;
    match W::decide(unit, input, view, at) {
        Ok(decision) => {
            closed_over_kinds::<W>(&decision)?;
            bounded(&decision)?;
            guarded(&decision)?;
            distinct_facts(&decision)
        }
        Err(Halt::Refused(_) | Halt::Again { .. }) => Ok(()),
    }
}

/// Names a worker's own promises; each is a function in scope that takes nothing and panics when it does not hold.
#[macro_export]
macro_rules! laws {
    ($worker:ty { $($(#[$m:meta])* $name:ident $body:block)* }) => { $(
        $(#[$m])*
        #[test]
        fn $name() { let _worker: &str = <$worker as $crate::Worker>::SPEC.name; $body }
    )* };
}
