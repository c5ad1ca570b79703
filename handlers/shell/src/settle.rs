//! Ends a delivery: Done, Deferred, Refused or Failed (DESIGN 5, step 10; SPEC 3.6, 3.7).

use crate::{
    Jitter, Ports, Shell,
    copies::{self, Home},
    dead_letters,
    delivery::{self, CopyState},
    invocation::Received,
    pipeline::{self, Job, Ran, Settled},
    spans,
};
use opsloop_kernel::{
    Dedup, Envelope, Fault, Incoming, Mutant, Refusal, Source, Stop, TenantId, Timestamp, Trigger, ids,
    message::MAX_DELIVERIES, mutant, signal,
};
use std::{collections::BTreeSet, sync::Mutex, time::Duration};
use tracing::Instrument;

/// Attempts of a message, the first included (SPEC 3.6).
pub const ATTEMPTS_MAX: u32 = 5;
/// Copies after lost races, per attempt (A12).
const RACES_MAX: u32 = 100;
const RACE_DELAY_MS: u64 = 2_000;
/// Deferrals end this long after the first delivery (SPEC 3.7).
const DEFERRAL_MAX: Duration = Duration::from_secs(24 * 3600);
/// Before a 503 that is due to failed rescheduling (A13).
const BLOCKED_WAIT_MAX_S: u64 = 30;

/// How a delivery ended; the host completes on 200 and abandons on anything else (P4).
#[derive(Clone, Debug, PartialEq)]
pub enum Settlement {
    Done { outcome: &'static str },
    Deferred { until: Timestamp },
    Refused(Refusal),
    Failed(Fault),
}

impl Settlement {
    pub fn status(&self) -> u16 {
        match self {
            Self::Done { .. } | Self::Deferred { .. } => 200,
            Self::Refused(_) => 422,
            Self::Failed(_) => 503,
        }
    }
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Done { outcome } => outcome,
            Self::Deferred { .. } => "retried",
            Self::Refused(_) => "dead_lettered",
            Self::Failed(_) => "failed",
        }
    }
}

/// A message for a worker's function, from delivery to settlement.
pub async fn message(
    shell: &Shell,
    worker: &dyn crate::catalogue::AnyWorker,
    trigger: &'static Trigger,
    received: &Received,
) -> Settlement {
    let state = CopyState::of(&received.properties);
    let name = worker.spec().name;
    if state.attempt >= ATTEMPTS_MAX && received.deliveries > 1 {
        // A redelivery of the last attempt is not run: it only moves on to the dead letters.
        return Settlement::Failed(Fault::Unavailable { dependency: "attempts" });
    }
    let began = shell.ports.clock.now();
    let incoming = incoming(trigger, received, &shell.ports, began).await;
    let kind = incoming.as_ref().map_or_else(|_| "unknown".to_owned(), kind_of);
    let span = spans::delivery(name, &kind, state.attempt, received, incoming.as_ref().ok());
    let home = home_of(trigger);
    let context = Context { worker: name, kind: &kind, home, received, state: &state, ports: &shell.ports, now: began };
    let end = async {
        let result = match incoming {
            Ok(incoming) => run(worker, trigger, &incoming, &state, &shell.ports).await,
            Err(stop) => Err(Halted::Stop(stop)),
        };
        let settlement = context.settle(result).await;
        context.report(&settlement);
        settlement
    };
    let settlement = end.instrument(span.clone()).await;
    spans::settled(&span, settlement.outcome());
    settlement
}

async fn incoming(trigger: &Trigger, received: &Received, ports: &Ports, now: Timestamp) -> Result<Incoming, Stop> {
    match trigger.source {
        Source::Queue { name } => delivery::batch_of(name, received, &*ports.blobs, now).await,
        _ => {
            let envelope = delivery::event_of(received, &*ports.blobs, now).await?;
            if envelope.tenant_id.is_platform() && !mutant::is(Mutant::TenantGuardOff) {
                let (envelope, target) = (envelope.tenant_id, TenantId::platform());
                return Err(Refusal::TenantViolation { envelope, target }.into());
            }
            Ok(Incoming::Event(Box::new(envelope)))
        }
    }
}

fn kind_of(incoming: &Incoming) -> String {
    match incoming {
        Incoming::Event(e) => e.event_type.clone(),
        Incoming::Batch(_) => "TelemetryBatch".to_owned(),
        Incoming::Due(_) => "Due".to_owned(),
    }
}

fn home_of(trigger: &Trigger) -> Home {
    match trigger.source {
        Source::Queue { name } => Home::Queue(name),
        _ => Home::Subscription,
    }
}

/// What stopped a delivery that is not done.
enum Halted {
    Stop(Stop),
    Again { at: Timestamp },
}

async fn run(
    worker: &dyn crate::catalogue::AnyWorker,
    trigger: &Trigger,
    incoming: &Incoming,
    state: &CopyState,
    ports: &Ports,
) -> Result<&'static str, Halted> {
    let (whose, event): (&TenantId, Option<&Envelope>) = match incoming {
        Incoming::Event(e) => (&e.tenant_id, Some(e)),
        Incoming::Batch(b) => (&b.tenant, None),
        Incoming::Due(d) => (&d.tenant, None),
    };
    let moment = match incoming {
        Incoming::Event(e) => e.occurred_at,
        Incoming::Batch(b) => b.received_at,
        Incoming::Due(d) => d.tick,
    };
    let marker = match trigger.dedup {
        Dedup::Marker => event.map(|e| e.event_id.as_str()),
        Dedup::Natural => None,
    };
    let resting = Mutex::new(BTreeSet::new());
    let moment = state.moment.unwrap_or(moment);
    let job = Job { incoming, whose, event, marker, command: None, moment, resting: &resting, ports };
    conclude(worker.run(&job).await)
}

/// The delivery is what its units are: a refusal before a fault, a fault before a deferral.
fn conclude(ran: Ran) -> Result<&'static str, Halted> {
    let units = match ran {
        Ran::Ignored => return Ok("ignored"),
        Ran::Refused(refusal) => return Err(Halted::Stop(refusal.into())),
        Ran::Units(units) => units,
    };
    let (mut fault, mut again, mut applied) = (None, None::<Timestamp>, false);
    for unit in units {
        match unit {
            Settled::Stopped(Stop::Refusal(refusal)) => return Err(Halted::Stop(refusal.into())),
            Settled::Stopped(Stop::Fault(f)) => fault = worse(fault, f),
            Settled::Again { at, .. } => again = Some(again.map_or(at, |a| a.min(at))),
            Settled::Applied { .. } => applied = true,
            Settled::Duplicate { .. } => {}
        }
    }
    match (fault, again) {
        (Some(f), _) => Err(Halted::Stop(f.into())),
        (None, Some(at)) => Err(Halted::Again { at }),
        (None, None) => Ok(if applied { "processed" } else { "duplicate" }),
    }
}

/// A lost race is the least of faults: it uses up no attempt, so it must not hide one that does.
fn worse(known: Option<Fault>, new: Fault) -> Option<Fault> {
    match known {
        Some(k) if k != Fault::Raced => Some(k),
        _ => Some(new),
    }
}

struct Context<'a> {
    worker: &'static str,
    kind: &'a str,
    home: Home,
    received: &'a Received,
    state: &'a CopyState,
    ports: &'a Ports,
    now: Timestamp,
}

impl Context<'_> {
    async fn settle(&self, result: Result<&'static str, Halted>) -> Settlement {
        match result {
            Ok(outcome) => Settlement::Done { outcome },
            Err(Halted::Stop(Stop::Refusal(refusal))) => self.refuse(refusal).await,
            Err(Halted::Stop(Stop::Fault(Fault::Raced))) if self.state.races < RACES_MAX => self.race().await,
            Err(Halted::Stop(Stop::Fault(fault))) => self.retry(fault).await,
            Err(Halted::Again { at }) if self.now < self.first_at() + DEFERRAL_MAX => self.defer(at).await,
            Err(Halted::Again { .. }) => self.retry(Fault::TimedOut { dependency: "what it waits for" }).await,
        }
    }

    /// Counts, times and logs the end, once.
    fn report(&self, settlement: &Settlement) {
        let outcome = settlement.outcome();
        let duration_ms = self.ports.clock.now().millis_since(self.now);
        pipeline::count(self.worker, self.kind, outcome, self.ports);
        pipeline::time(self.worker, self.kind, duration_ms, self.ports);
        tracing::info!(
            worker = self.worker,
            event_id = delivery::original_id(self.received),
            event_type = self.kind,
            outcome,
            duration_ms,
            message_id = %self.received.message_id,
            attempt = self.state.attempt,
            "{}",
            signal::SETTLED.name
        );
    }

    fn first_at(&self) -> Timestamp {
        self.state.first_at.unwrap_or(self.now)
    }

    /// Counted, audited and recorded at the first delivery only, best effort (A31).
    async fn refuse(&self, refusal: Refusal) -> Settlement {
        if self.received.deliveries <= 1 {
            dead_letters::record(self.worker, self.received, self.state.attempt, &refusal, self.ports).await;
        }
        if mutant::is(Mutant::RefusalSettledAsDone) {
            return Settlement::Done { outcome: "ignored" };
        }
        Settlement::Refused(refusal)
    }

    /// Races do not use attempts (A12): a copy in 0 to 2 s with the same attempt and moment.
    async fn race(&self) -> Settlement {
        let at = self.now.plus(Duration::from_millis(self.jitter(0, RACE_DELAY_MS)));
        let attempt = self.state.attempt + u32::from(mutant::is(Mutant::RaceUsesAnAttempt));
        let state = CopyState { attempt, races: self.state.races + 1, ..self.kept() };
        self.reschedule(state, at, Fault::Raced).await
    }

    async fn retry(&self, fault: Fault) -> Settlement {
        if self.state.attempt >= ATTEMPTS_MAX {
            dead_letters::record_exhausted(self.worker, self.received, self.state.attempt, &fault, self.ports).await;
            return Settlement::Failed(fault);
        }
        let attempt = self.state.attempt + 1;
        let at = self.now.plus(Duration::from_millis(self.delay_ms(attempt, &fault)));
        self.reschedule(CopyState { attempt, races: 0, ..self.kept() }, at, fault).await
    }

    async fn defer(&self, at: Timestamp) -> Settlement {
        let state = CopyState { moment: Some(at), ..self.kept() };
        let blocked = Fault::Unavailable { dependency: Fault::BROKER };
        self.reschedule(state, at, blocked).await
    }

    fn kept(&self) -> CopyState {
        CopyState { first_at: Some(self.first_at()), ..self.state.clone() }
    }

    async fn reschedule(&self, state: CopyState, at: Timestamp, fault: Fault) -> Settlement {
        let copy = copies::copy_of(self.received, self.worker, self.home, &state, Some(at));
        match copies::publish(copy, &*self.ports.publisher).await {
            Ok(()) => Settlement::Deferred { until: at },
            Err(_) if mutant::is(Mutant::AcknowledgeAlthoughReschedulingFailed) => Settlement::Deferred { until: at },
            Err(_) => {
                // Five deliveries must not be burnt in milliseconds (A13).
                let seconds = (1u64 << self.received.deliveries.min(MAX_DELIVERIES)).min(BLOCKED_WAIT_MAX_S);
                self.ports.clock.sleep(seconds * 1000).await;
                Settlement::Failed(fault)
            }
        }
    }

    /// Full jitter below min(cap, base·2^(n−2)); of an outage of the store base 10 s and jitter in [d/2, d].
    fn delay_ms(&self, attempt: u32, fault: &Fault) -> u64 {
        let bound = backoff_ms(attempt, fault);
        let low = if fault.is_store_outage() { bound / 2 } else { 0 };
        let jittered = self.jitter(low, bound);
        match fault {
            Fault::Throttled { retry_after } => {
                jittered.max(u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX))
            }
            _ => jittered,
        }
    }

    /// Spread by message and hop, not drawn: the same delivery is rescheduled to the same instant.
    fn jitter(&self, low: u64, high: u64) -> u64 {
        if self.ports.jitter == Jitter::Longest {
            return high;
        }
        let hop = self.state.hop.to_string();
        let digest = ids::digest(["jitter", self.worker, &self.received.message_id, &hop]);
        let drawn = u64::from_str_radix(&digest[..12], 16).unwrap_or(0);
        low + drawn % (high - low + 1)
    }
}

/// The upper bound of the delay before attempt `n ≥ 2` (SPEC 3.6): 1, 2, 4, 8 s; of store outages 10, 20, 40, 60 s.
pub fn backoff_ms(attempt: u32, fault: &Fault) -> u64 {
    const CAP_MS: u64 = 60_000;
    let base = if fault.is_store_outage() { 10_000 } else { 1_000 };
    let doublings = attempt.saturating_sub(2).min(16);
    (base << doublings).min(CAP_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnd_04_the_upper_bounds_are_1_2_4_8_seconds() {
        let fault = Fault::Unavailable { dependency: "broker" };
        assert_eq!([2, 3, 4, 5].map(|n| backoff_ms(n, &fault)), [1_000, 2_000, 4_000, 8_000]);
    }

    #[test]
    fn a13_five_attempts_span_65_to_130_seconds_of_a_store_outage() {
        let fault = Fault::Unavailable { dependency: Fault::STORE };
        let bounds = [2, 3, 4, 5].map(|n| backoff_ms(n, &fault));
        assert_eq!(bounds.iter().sum::<u64>(), 130_000);
        assert_eq!(bounds.iter().map(|b| b / 2).sum::<u64>(), 65_000);
    }

    #[test]
    fn a_race_does_not_hide_a_fault() {
        let down = Fault::Unavailable { dependency: Fault::STORE };
        assert_eq!(worse(Some(Fault::Raced), down.clone()), Some(down.clone()));
        assert_eq!(worse(Some(down.clone()), Fault::Raced), Some(down));
    }
}
