//! What a person reads: the verdict on a seed, the line that reproduces it, and the trace of its smallest run.

use crate::{
    driver::Violation,
    plan::{Arrival, Offer},
    shrink::shrink,
    simulate::{Case, Cut, Wishes},
    world::Product,
};
use std::fmt::Write as _;

/// The command that shows this seed again.
pub fn reproduce(seed: u64, wishes: &Wishes) -> String {
    let family = wishes.family.as_ref().map(|f| format!(" --family {f}")).unwrap_or_default();
    let faults = wishes.rates.as_ref().map(|r| format!(" --faults {r}")).unwrap_or_default();
    let durable = if wishes.durable { " --durable" } else { "" };
    format!("opsloop sim --seed {seed}{family}{faults}{durable} --trace")
}

/// One failed seed in a few lines.
pub fn failure(seed: u64, violation: &Violation, wishes: &Wishes) -> String {
    let Violation { oracle, what, turn } = violation;
    format!("seed {seed}: {oracle} (turn {turn})\n  {what}\n  {}", reproduce(seed, wishes))
}

/// A failed seed, made small, with its trace.
pub fn small(case: &Case, product: &Product, violation: &Violation) -> String {
    let mut out = String::new();
    if violation.oracle.starts_with("calm") {
        let ran = case.run(product, true, &Cut { trace: true, ..Cut::default() });
        out.push_str("the calm run fails by itself:\n");
        ran.trace.iter().for_each(|line| out.push_str(&format!("{line}\n")));
        return out;
    }
    let shrunk = shrink(case, product, violation);
    let _ = writeln!(out, "with {} inputs and {} faults:", shrunk.inputs, shrunk.faults);
    for (n, arrival) in case.plan.arrivals.iter().enumerate() {
        if shrunk.cut.only_inputs.as_ref().is_some_and(|kept| kept.contains(&n)) {
            let _ = writeln!(out, "  arrival {n} at {}: {}", arrival.at, describe(arrival));
        }
    }
    let ran = case.run(product, false, &Cut { trace: true, ..shrunk.cut });
    for fired in &ran.fired {
        let _ = writeln!(out, "  fault {}: {}", fired.fault, fired.fault.about());
    }
    ran.trace.iter().for_each(|line| out.push_str(&format!("{line}\n")));
    let Violation { oracle, what, turn } = shrunk.violation;
    let _ = writeln!(out, "{oracle} (turn {turn}): {what}");
    out
}

/// An arrival in one line.
pub fn describe(arrival: &Arrival) -> String {
    let tenant = &arrival.tenant;
    match &arrival.offer {
        Offer::Otlp { signal, body } => format!("{tenant} sends {} bytes of {}", body.len(), signal.name()),
        Offer::Command { method, path, body, key, .. } => {
            format!("{tenant} {} {path} (key {key}) {body}", method.name())
        }
        Offer::Event(e) => format!("{tenant} {} {} {}", e.event_type, e.event_id, e.payload.0),
        Offer::Hostile { id, dies, .. } => format!("{tenant} hostile {id}, dies of {dies:?}"),
    }
}
