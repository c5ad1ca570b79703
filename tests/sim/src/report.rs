//! What a person reads: the verdict on a seed, the line that reproduces it, and the trace of its smallest run.

use crate::{
    driver::Violation,
    plan::{Arrival, Offer},
    shrink::{Shrunk, shrink},
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
    let at = if *turn > 0 { format!(" (turn {turn})") } else { String::new() };
    format!("seed {seed} fails: {oracle}{at}\n  {what}\n  {}", reproduce(seed, wishes))
}

/// A failed seed, made small, with its trace.
pub fn small(case: &Case, product: &Product, violation: &Violation) -> String {
    let calm = violation.oracle.starts_with("calm");
    let Shrunk { cut, violation, faults, inputs } = shrink(case, product, violation);
    let s = if faults == 1 { "" } else { "s" };
    let mut out = String::new();
    let _ = match calm {
        true => writeln!(out, "the calm run fails by itself; with {inputs} of {} inputs:", case.plan.arrivals.len()),
        false => writeln!(out, "with {inputs} of {} inputs and {faults} fault{s}:", case.plan.arrivals.len()),
    };
    for (n, arrival) in case.plan.arrivals.iter().enumerate() {
        if cut.only_inputs.as_ref().is_some_and(|kept| kept.contains(&n)) {
            let _ = writeln!(out, "  arrival {n} at {}: {}", arrival.at, describe(arrival));
        }
    }
    let ran = case.run(product, calm, &Cut { trace: true, ..cut });
    for fired in &ran.fired {
        let _ = writeln!(out, "  fault {}: {}", fired.fault, fired.fault.about());
    }
    let _ = writeln!(out, "\n{TRACE_HEAD}");
    ran.trace.iter().for_each(|line| out.push_str(&format!("{line}\n")));
    let Violation { oracle, what, turn } = violation;
    let at = if turn > 0 { format!(" (turn {turn})") } else { String::new() };
    let _ = writeln!(out, "{oracle}{at}: {what}\n");
    out
}

/// Above a trace.
pub const TRACE_HEAD: &str = "virtual time              turn  #invocation, or what a call of a port did";

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
