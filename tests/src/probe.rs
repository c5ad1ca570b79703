//! The smallest worker that uses everything of the shell: it counts events, announces the count, and wakes itself.

use opsloop_kernel::{
    About, Bears, Body, Chain, Container, Decision, Dedup, Document, ETag, Envelope, Fact, Fault, Halt, Incoming,
    Moment, Platform, Refusal, Scope, Source, Spec, Stop, Stream, TenantId, Timestamp, Trigger, Unit, Worker, Write,
    ids::KeyParts,
};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};

pub const COUNT: &str = "ThingSeen";
pub const COUNTED: &str = "ThingCounted";
pub const NAME: &str = "ProbeWorker";
pub const TICK: &str = "ProbeWorkerTick";
/// A thing at which the worker panics.
pub const PANICS: &str = "panics";

/// `down`: the fault of a dependency that is not the store.
#[derive(Clone, Default)]
pub struct Probe {
    pub down: Arc<Mutex<Option<Fault>>>,
}

/// Payload of `ThingSeen`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Seen {
    pub thing: String,
    pub amount: u64,
    /// Reaches for this tenant instead of its own.
    pub of: Option<TenantId>,
    /// Counts only where the count is at least this: "nothing" otherwise.
    pub at_least: u64,
    /// Not ready before this instant.
    pub not_before: Option<Timestamp>,
    /// Wakes the thing at this instant.
    pub wake: Option<Timestamp>,
    /// Bytes that the thing has from now on.
    pub weight: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Input {
    Seen { tenant: TenantId, seen: Seen },
    Due { tenant: TenantId, stream: Stream, found: Vec<(String, Timestamp)> },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Thing {
    pub count: u64,
    pub woken: Vec<Timestamp>,
    #[serde(default)]
    pub ballast: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct View {
    pub thing: Thing,
    pub etag: Option<ETag>,
    pub due: Option<Timestamp>,
}

/// Things of one name share a stream, so that a stream can hold many of them: `group/name`.
pub fn stream_of(thing: &str) -> Stream {
    let group = thing.split_once('/').map_or("things", |(group, _)| group);
    Stream::new(Container::State, format!("things/{group}"))
}
pub fn doc_of(thing: &str) -> String {
    format!("thing|{}", opsloop_kernel::ids::percent(thing))
}

impl Worker for Probe {
    const SPEC: Spec = Spec {
        name: NAME,
        platform: Platform::Observability,
        component: "probe",
        purpose: "counts things",
        triggers: &[
            Trigger { function: NAME, source: Source::Events { kinds: &[COUNT], filter: None }, dedup: Dedup::Marker },
            Trigger {
                function: TICK,
                source: Source::Timer { schedule: "*/15 * * * * *", cadence_s: 15, offset_s: 0 },
                dedup: Dedup::Natural,
            },
        ],
        emits: &[COUNTED],
        performs: &[],
        key: "a thing",
    };
    type Input = Input;
    type Key = String;
    type View = View;

    fn accept(&self, incoming: &Incoming) -> Result<Option<Input>, Refusal> {
        match incoming {
            Incoming::Event(e) if e.event_type == COUNT => {
                Ok(Some(Input::Seen { tenant: e.tenant_id.clone(), seen: e.read()? }))
            }
            Incoming::Due(d) => Ok(Some(Input::Due {
                tenant: d.tenant.clone(),
                stream: d.stream.clone(),
                found: d.found.iter().map(|f| (f.id.0.clone(), f.at)).collect(),
            })),
            _ => Ok(None),
        }
    }

    fn plan(input: &Input) -> Vec<Chain<String>> {
        match input {
            Input::Seen { seen, .. } if seen.thing.is_empty() => vec![],
            Input::Seen { tenant, seen } => vec![vec![Unit {
                tenant: seen.of.clone().unwrap_or_else(|| tenant.clone()),
                stream: stream_of(&seen.thing),
                key: doc_of(&seen.thing),
                due: None,
            }]],
            Input::Due { tenant, stream, found } => found
                .iter()
                .map(|(id, at)| {
                    vec![Unit { tenant: tenant.clone(), stream: stream.clone(), key: id.clone(), due: Some(*at) }]
                })
                .collect(),
        }
    }

    async fn observe(&self, unit: &Unit<String>, _: &Input, scope: &Scope<'_>) -> Result<View, Stop> {
        let down = self.down.lock().unwrap().clone();
        if let Some(fault) = down {
            return Err(fault.into());
        }
        let stored = scope.get(&unit.stream, &unit.key.clone().into()).await?;
        Ok(match stored {
            Some(s) => View { thing: s.read()?, due: s.document.due.as_ref().map(|d| d.at), etag: Some(s.etag) },
            None => View { thing: Thing::default(), etag: None, due: None },
        })
    }

    fn decide(unit: &Unit<String>, input: &Input, view: &View, at: Moment) -> Result<Decision, Halt> {
        let mut thing = view.thing.clone();
        match input {
            Input::Seen { seen, .. } => {
                if let Some(ready) = seen.not_before.filter(|t| at.0 < *t) {
                    return Err(Halt::Again { at: ready, reason: "not-ready" });
                }
                assert!(seen.thing != PANICS, "this thing panics");
                if thing.count < seen.at_least {
                    return Ok(Decision::because("too-few"));
                }
                thing.count += seen.amount;
                thing.ballast = "x".repeat(seen.weight);
                let mut document = Document::new(unit.key.clone(), "thing", &thing);
                if let Some(wake) = seen.wake.or(view.due) {
                    document = document.due(NAME, wake);
                }
                Ok(counted(unit, document, view, &thing, at))
            }
            Input::Due { .. } if view.due != Some(at.0) => Ok(Decision::because("no-longer-due")),
            Input::Due { .. } => {
                thing.woken.push(at.0);
                let document = Document::new(unit.key.clone(), "thing", &thing);
                Ok(counted(unit, document, view, &thing, at))
            }
        }
    }
}

fn counted(unit: &Unit<String>, document: Document, view: &View, thing: &Thing, at: Moment) -> Decision {
    let revision = thing.count + thing.woken.len() as u64;
    Decision::because("counted").write(Write::Save(document, view.etag.clone())).emit(Fact {
        kind: COUNTED,
        key: KeyParts::new("thing-counted", &unit.tenant, [unit.key.clone()]),
        revision: revision as u32,
        occurred_at: at.0,
        context: Bears::Inherit { correlation: None },
        about: About { subject: format!("Thing/{}", unit.key), ..About::default() },
        payload: Body::of(thing),
    })
}

/// A well-formed `ThingSeen`.
pub fn seen(id: &str, tenant: &str, occurred_at: Timestamp, payload: &Seen) -> Envelope {
    let tenant = TenantId::parse(tenant).unwrap();
    let json = serde_json::json!({
        "eventId": format!("evt-{id}"), "eventType": COUNT, "eventVersion": 1, "tenantId": tenant,
        "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
        "correlationId": "corr-0d6f7a52-6c5e-4f0c-8a55-0f8a2f5f2b11", "causationDepth": 0,
        "occurredAt": occurred_at, "recordedAt": occurred_at, "source": "urn:factory:observability:probe",
        "subject": "Thing/x", "partitionKey": "x", "idempotencyKey": "0".repeat(64), "revision": 0,
        "payload": payload,
    });
    serde_json::from_value(json).unwrap()
}
