//! A store in memory and a replica that does by steps what the shell does at once, so that two can stand between
//! reading and writing.

use super::events::tenant;
use opsloop_embedded::{clock::VirtualClock, store::MemoryStore};
use opsloop_kernel::{
    Chain, Commit, Committed, Decision, Directory, Document, Envelope, Incoming, Moment, Scope, Store, Timestamp, Unit,
    Worker, Write,
    document::What,
    incoming::{DueUnits, FoundDue},
    law,
    ports::Within,
};
use opsloop_observability::incident_analysis::{
    IncidentAnalysisWorker, IncidentPolicies, IncidentPolicy, Key, WORKER,
    incident::{Incident, LogEntry, doc, stream},
    input::Input,
    read_incident, read_log,
};
use opsloop_shell::bind::{self, Bound, Cause};
use std::sync::Arc;

pub struct World {
    pub store: Arc<MemoryStore>,
    pub clock: Arc<VirtualClock>,
    pub worker: IncidentAnalysisWorker,
    /// Every fact that a commit owed, in order.
    pub told: Vec<Envelope>,
    pub reasons: Vec<&'static str>,
    /// Every decision is held to the laws of the kernel; where incidents are huge that takes its time.
    pub lawful: bool,
}

/// A unit that has been observed and decided, and not yet committed.
pub struct Prepared {
    pub decision: Decision,
    bound: Bound,
    unit: Unit<Key>,
    input: Input,
    event: Option<Envelope>,
    at: Timestamp,
}

impl World {
    pub fn new() -> Self {
        Self::with(IncidentPolicy::default())
    }

    pub fn with(policy: IncidentPolicy) -> Self {
        let clock = Arc::new(VirtualClock::at(super::events::at("09:00")));
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let worker = IncidentAnalysisWorker::new(IncidentPolicies { default: policy, ..IncidentPolicies::default() });
        Self { store, clock, worker, told: vec![], reasons: vec![], lawful: true }
    }

    pub fn policy(&mut self, policy: IncidentPolicy) {
        self.worker = IncidentAnalysisWorker::new(IncidentPolicies { default: policy, ..IncidentPolicies::default() });
    }

    /// Delivers an event or command and gives the last decision, if a unit was decided.
    pub async fn deliver(&mut self, e: &Envelope) -> Option<Decision> {
        self.clock.advance_to(e.occurred_at);
        let incoming = Incoming::Event(Box::new(e.clone()));
        let input = self.worker.accept(&incoming).unwrap()?;
        let mut last = None;
        for unit in IncidentAnalysisWorker::plan(&input).into_iter().flatten() {
            last = Some(self.settle(unit, &input, Some(e), e.occurred_at).await);
        }
        last
    }

    /// All that is due by then, each at its own instant, until nothing is.
    pub async fn tick(&mut self, until: Timestamp) {
        self.clock.advance_to(until);
        for _ in 0..100 {
            let found = self.store.due(&What::from(WORKER), until, Within::All, None, 1_000).await.unwrap().found;
            if found.is_empty() {
                return;
            }
            let found = found.into_iter().map(|f| FoundDue { id: f.id, at: f.at }).collect();
            self.tick_with(&DueUnits { tick: until, tenant: tenant(), stream: stream(), found }).await;
        }
        panic!("what is due never ends");
    }

    /// What a tick hands over of one stream.
    pub async fn tick_with(&mut self, due: &DueUnits) {
        let input = self.worker.accept(&Incoming::Due(due.clone())).unwrap().unwrap();
        for unit in IncidentAnalysisWorker::plan(&input).into_iter().flatten() {
            let at = unit.due.unwrap();
            let _ = self.settle(unit, &input, None, at).await;
        }
    }

    async fn settle(&mut self, unit: Unit<Key>, input: &Input, event: Option<&Envelope>, at: Timestamp) -> Decision {
        for _ in 0..4 {
            let prepared = self.prepare_unit(&unit, input, event, at).await;
            if let Some(decision) = self.commit(prepared).await {
                return decision;
            }
        }
        panic!("raced against nobody");
    }

    pub fn plan(&self, e: &Envelope) -> (Input, Vec<Chain<Key>>) {
        let input = self.worker.accept(&Incoming::Event(Box::new(e.clone()))).unwrap().unwrap();
        let chains = IncidentAnalysisWorker::plan(&input);
        (input, chains)
    }

    /// Reads and decides the one unit of an event.
    pub async fn prepare(&self, e: &Envelope) -> Prepared {
        let (input, chains) = self.plan(e);
        let unit = chains.into_iter().flatten().next().unwrap();
        self.prepare_unit(&unit, &input, Some(e), e.occurred_at).await
    }

    async fn prepare_unit(&self, unit: &Unit<Key>, input: &Input, event: Option<&Envelope>, at: Timestamp) -> Prepared {
        let tenant = tenant();
        let scope = Scope::admit(&tenant, &unit.tenant, &*self.store).unwrap();
        let view = self.worker.observe(unit, input, &scope).await.unwrap();
        if self.lawful {
            law::all::<IncidentAnalysisWorker>(unit, input, &view, Moment(at)).unwrap();
        }
        let decision = IncidentAnalysisWorker::decide(unit, input, &view, Moment(at)).unwrap();
        let bound = self.bind(unit, event, &decision, at);
        let (unit, input, event) = (unit.clone(), input.clone(), event.cloned());
        Prepared { decision, bound, unit, input, event, at }
    }

    fn bind(&self, unit: &Unit<Key>, event: Option<&Envelope>, decision: &Decision, at: Timestamp) -> Bound {
        let key = unit.key.to_string();
        let cause = Cause {
            spec: &IncidentAnalysisWorker::SPEC,
            tenant: &unit.tenant,
            stream: &unit.stream,
            key: &key,
            event,
            marker: event.map(|e| e.event_id.as_str()),
            command: None,
            at,
            now: at,
        };
        bind::bind(&cause, decision).unwrap()
    }

    /// `None`: another replica was faster, nothing was applied. A duplicate changes nothing and is the end.
    pub async fn commit(&mut self, prepared: Prepared) -> Option<Decision> {
        let Prepared { decision, bound, .. } = prepared;
        assert!(bound.ahead.is_empty());
        let committed = match &bound.last {
            Some(batch) => self.store.commit(batch).await.unwrap(),
            None => Committed::Applied(vec![]),
        };
        match committed {
            Committed::Applied(_) => {
                let owed = bound.owed.iter().flat_map(|(_, o)| &o.messages);
                self.told.extend(owed.map(|m| serde_json::from_value::<Envelope>(m.envelope.0.clone()).unwrap()));
                self.reasons.push(decision.reason);
                Some(decision)
            }
            Committed::Duplicate => {
                self.reasons.push("duplicate");
                Some(Decision::because("duplicate"))
            }
            Committed::Raced => None,
            Committed::Refused(r) => panic!("{r}"),
        }
    }

    /// Decides again on what there is now, as the shell does after a lost race.
    pub async fn retry(&mut self, lost: Prepared) {
        let Prepared { unit, input, event, at, .. } = lost;
        let _ = self.settle(unit, &input, event.as_ref(), at).await;
    }

    pub async fn incidents(&self) -> Vec<Incident> {
        let tenant = tenant();
        let scope = Scope::admit(&tenant, &tenant, &*self.store).unwrap();
        let found = scope.all(&stream(), doc::INCIDENTS, 10_000).await.unwrap();
        let mut all: Vec<Incident> = found.items.iter().map(|s| s.read().unwrap()).collect();
        all.sort_by(|a, b| (a.opened_at, &a.incident_id).cmp(&(b.opened_at, &b.incident_id)));
        all
    }

    /// The only incident there is.
    pub async fn incident(&self) -> Incident {
        let mut all = self.incidents().await;
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    }

    pub async fn get(&self, id: &str) -> Incident {
        let tenant = tenant();
        let scope = Scope::admit(&tenant, &tenant, &*self.store).unwrap();
        read_incident(&scope, id).await.unwrap().unwrap()
    }

    /// Puts an incident there as it might have become.
    pub async fn overwrite(&self, incident: &Incident) {
        let id = doc::incident(&incident.incident_id);
        let writes = vec![Write::Put(Document::new(id, "incident", incident))];
        let commit = Commit { tenant: tenant(), stream: stream(), marker: None, writes };
        assert!(matches!(self.store.commit(&commit).await.unwrap(), Committed::Applied(_)));
    }

    pub async fn log(&self, id: &str) -> Vec<LogEntry> {
        let tenant = tenant();
        let scope = Scope::admit(&tenant, &tenant, &*self.store).unwrap();
        read_log(&scope, id, 0, 100_000).await.unwrap()
    }

    /// The kinds of an incident's log, as they are spelled on the wire.
    pub async fn kinds(&self, id: &str) -> Vec<String> {
        let kind = |e: &LogEntry| serde_json::to_value(e.kind).unwrap().as_str().unwrap().to_owned();
        self.log(id).await.iter().map(kind).collect()
    }

    pub fn told(&self, kind: &str) -> Vec<&Envelope> {
        self.told.iter().filter(|e| e.event_type == kind).collect()
    }
}

/// What a command was answered: status, and the body's field.
pub fn answer(decision: &Decision) -> (u16, serde_json::Value) {
    let answer = decision.answer.as_ref().expect("an answer");
    (answer.status, answer.body.0.clone())
}
