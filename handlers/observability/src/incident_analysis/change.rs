//! A change of one incident: every step appends to its log and says what is to be announced, so that what is stored
//! and what is told cannot differ (SPEC 5.5.3, I2).

use super::{
    WORKER,
    facts::Teller,
    incident::{EntryKind, Episode, Incident, Loaded, LogEntry, Plan, PostMortemNote, Source, SourceId, doc},
    input::{SYSTEM, Trigger},
    machine::{self, Cause},
    policy::IncidentPolicy,
};
use crate::events::{IncidentStatus, Ref, RootCause, RootCauseCategory, Severity};
use opsloop_kernel::{Decision, Document, ETag, Fact, Mutant, Timestamp, Write, mutant};

/// Episodes that one source holds at a time; of more the oldest counts as over.
pub const EPISODES_MAX: usize = 50;

pub(super) struct Change<'a> {
    pub incident: Incident,
    policy: &'a IncidentPolicy,
    etag: Option<ETag>,
    teller: Teller<'a>,
    entries: Vec<LogEntry>,
    facts: Vec<Fact>,
}

/// What an entry of the log says beside its kind.
#[derive(Default)]
pub(super) struct Says {
    pub actor: Option<String>,
    pub reason: Option<String>,
    pub source: Option<SourceId>,
    pub rule: Option<String>,
    pub episode_id: Option<String>,
}

impl Says {
    pub fn of(t: &Trigger) -> Self {
        Self {
            actor: Some(t.actor.clone()),
            reason: t.stale.then(|| "stale".to_owned()),
            source: Some(t.source.clone()),
            rule: t.rule.clone(),
            episode_id: Some(t.episode_id.clone()),
        }
    }
    fn ended(source: &SourceId, e: &Episode) -> Self {
        let episode_id = Some(e.episode_id.clone());
        Self { source: Some(source.clone()), rule: e.rule.clone(), episode_id, ..Self::default() }
    }
}

impl<'a> Change<'a> {
    /// A new incident, whose document must not exist.
    pub fn opening(mut incident: Incident, policy: &'a IncidentPolicy, teller: Teller<'a>) -> Self {
        incident.version = 1;
        Self { incident, policy, etag: None, teller, entries: vec![], facts: vec![] }
    }
    pub fn of(found: &Loaded<Incident>, policy: &'a IncidentPolicy, teller: Teller<'a>) -> Self {
        let (mut incident, etag) = (found.body.clone(), Some(found.etag.clone()));
        incident.version += 1;
        Self { incident, policy, etag, teller, entries: vec![], facts: vec![] }
    }

    pub fn append(&mut self, kind: EntryKind, at: Timestamp, says: Says) {
        self.incident.last_seq += if mutant::is(Mutant::LogNumberSkipped) { 2 } else { 1 };
        self.entries.push(LogEntry {
            seq: self.incident.last_seq,
            at,
            kind,
            actor: says.actor.unwrap_or_else(|| SYSTEM.to_owned()),
            from: None,
            to: None,
            reason: says.reason,
            reference: says.source.map(|s| Ref { kind: s.source.to_string(), id: s.source_id }),
            rule: says.rule,
            episode_id: says.episode_id,
        });
    }

    /// The transition `→ Open` is the entry `opened` and has no `from`.
    pub fn open(&mut self, at: Timestamp, t: &Trigger) {
        let reason = t.stale.then(|| "stale".to_owned());
        self.append(EntryKind::Opened, at, Says { actor: Some(t.actor.clone()), reason, ..Says::default() });
        self.count_transition(None, at, &t.actor, None);
    }

    /// To a state that the caller has found allowed. None is dated before the one it leaves (I5).
    pub fn enter(&mut self, to: IncidentStatus, at: Timestamp, actor: &str, reason: Option<String>) {
        let at = at.max(self.incident.entered_at);
        let from = self.incident.status;
        self.incident.status = to;
        self.incident.entered_at = at;
        match to {
            IncidentStatus::Acknowledged => self.incident.acknowledged_at = Some(at),
            IncidentStatus::Mitigated => self.incident.mitigated_at = Some(at),
            IncidentStatus::Escalated => self.incident.escalations += 1,
            IncidentStatus::Resolved => self.incident.resolved_at = Some(at),
            IncidentStatus::Open | IncidentStatus::Investigating => {}
        }
        let says = Says { actor: Some(actor.to_owned()), reason: reason.clone(), ..Says::default() };
        self.append(EntryKind::Transition, at, says);
        if let Some(entry) = self.entries.last_mut() {
            (entry.from, entry.to) = (Some(from), Some(to));
        }
        self.count_transition(Some(from), at, actor, reason);
        if to == IncidentStatus::Mitigated {
            self.plan_confirmation();
        }
    }

    fn count_transition(&mut self, from: Option<IncidentStatus>, at: Timestamp, actor: &str, reason: Option<String>) {
        self.incident.transitions += 1;
        self.facts.push(self.teller.transitioned(&self.incident, from, at, actor, reason));
    }

    /// For the cause that `may_resolve` has found. A resolved incident waits for nothing.
    pub fn resolve(&mut self, cause: RootCause, at: Timestamp, actor: &str, reason: Option<String>) {
        self.incident.root_cause = Some(cause.clone());
        self.incident.plan = Plan::default();
        self.enter(IncidentStatus::Resolved, at, actor, reason);
        self.facts.push(self.teller.resolved(&self.incident, cause));
    }

    /// Never lower (I3). Raised to critical it escalates at once, where it may.
    pub fn raise(&mut self, severity: Severity, at: Timestamp) {
        let is_news = severity > self.incident.severity || mutant::is(Mutant::SeverityLowered);
        if !is_news || severity == self.incident.severity {
            return;
        }
        let reason = format!("{} → {}", name_of(self.incident.severity), name_of(severity));
        self.incident.severity = severity;
        self.append(EntryKind::SeverityChanged, at, Says { reason: Some(reason), ..Says::default() });
        self.escalate_if_critical(at, "severity_raised");
    }
    pub fn escalate_if_critical(&mut self, at: Timestamp, basis: &str) {
        if machine::escalates_at_once(&self.incident) {
            self.enter(Cause::Escalate.leads_to(), at, SYSTEM, Some(basis.to_owned()));
        }
    }

    /// Counts the trigger at its source, and activates that unless the episode is over, and since when.
    pub fn count_trigger(&mut self, t: &Trigger, over: Option<Timestamp>) {
        let source = match self.incident.sources.iter().position(|s| s.is(&t.source)) {
            Some(n) => &mut self.incident.sources[n],
            None => {
                self.incident.sources.push(new_source(t));
                let last = self.incident.sources.len() - 1;
                &mut self.incident.sources[last]
            }
        };
        source.count += 1;
        source.first_at = source.first_at.min(t.at);
        source.last_at = source.last_at.max(t.at);
        let episode = Episode { rule: t.rule.clone(), episode_id: t.episode_id.clone(), at: t.at };
        let held = source.episodes.iter().any(|e| e.is(t.rule.as_deref(), &t.episode_id));
        if let Some(since) = over.filter(|_| !source.is_of_budget(&episode)) {
            source.quiet_since = source.quiet_since.max(since);
        }
        if over.is_none() && !held && t.source.source.can_clear() {
            source.episodes.push(episode);
            if source.episodes.len() > EPISODES_MAX {
                source.episodes.remove(0);
            }
        }
        source.active = !source.episodes.is_empty();
        self.plan_confirmation();
    }

    /// The clear of an episode which its source does not hold: told, once.
    pub fn tell_cleared(&mut self, t: &Trigger, at: Timestamp) {
        let says = Says { actor: None, reason: None, ..Says::of(t) };
        self.append(EntryKind::Cleared, at, says);
    }

    /// Ends the episodes and tells each; with the last of all sources it is mitigated, where the policy says so.
    pub fn end(&mut self, id: &SourceId, ended: &[Episode], at: Timestamp) {
        for source in self.incident.sources.iter_mut().filter(|s| s.is(id)) {
            source.episodes.retain(|e| !ended.contains(e));
            source.active = !source.episodes.is_empty();
            if ended.iter().any(|e| !source.is_of_budget(e)) {
                source.quiet_since = source.quiet_since.max(at);
            }
        }
        for episode in ended {
            self.append(EntryKind::Cleared, at, Says::ended(id, episode));
        }
        self.plan_confirmation();
        let may = self.policy.auto_mitigate && !self.incident.is_active();
        if may && machine::next(&self.incident, Cause::Mitigate).is_ok() {
            self.enter(IncidentStatus::Mitigated, at, SYSTEM, Some("all_sources_cleared".to_owned()));
        }
    }

    pub fn note(&mut self, at: Timestamp, actor: &str, text: &str) {
        let note = PostMortemNote { at, actor: actor.to_owned(), text: text.to_owned() };
        self.incident.post_mortem_notes.push(note);
        self.append(EntryKind::Note, at, Says { actor: Some(actor.to_owned()), ..Says::default() });
    }

    /// The end of `confirmMs` is due while it is Mitigated and quiet.
    fn plan_confirmation(&mut self) {
        let waits = self.incident.status == IncidentStatus::Mitigated;
        let end = if waits { machine::confirmed_at(&self.incident, self.policy) } else { None };
        self.incident.plan.confirm_at = end.map(|end| end.max(self.incident.entered_at));
    }

    /// Announced as it stands when all has been done.
    pub fn announce_opened(&mut self, by: &SourceId) {
        self.facts.push(self.teller.opened(&self.incident, by));
    }

    /// The incident by its version, a document for each entry, and the facts.
    pub fn into(self, mut decision: Decision) -> Decision {
        let mut document = Document::new(doc::incident(&self.incident.incident_id), "incident", &self.incident);
        if let Some(at) = self.incident.plan.next() {
            document = document.due(WORKER, at);
        }
        if let Some(at) = self.incident.resolved_at {
            document = document.expires(at.plus_millis(self.policy.kept_ms()));
        }
        decision = decision.write(Write::Save(document, self.etag));
        for entry in self.entries {
            let expires = entry.at.max(self.incident.entered_at).plus_millis(self.policy.kept_ms());
            let log = Document::new(doc::log(&self.incident.incident_id, entry.seq), "log", &entry).expires(expires);
            decision = decision.write(Write::Save(log, None));
        }
        decision.facts.extend(self.facts);
        decision
    }
}

/// The root cause of what went away by itself.
pub(super) fn self_recovered(by: &str) -> RootCause {
    RootCause {
        category: RootCauseCategory::SelfRecovered,
        summary: "All sources cleared and stayed clear.".to_owned(),
        artifact_id: None,
        agent_id: None,
        skill_id: None,
        evidence: vec![],
        recorded_by: by.to_owned(),
    }
}

fn new_source(t: &Trigger) -> Source {
    Source {
        source: t.source.source,
        source_id: t.source.source_id.clone(),
        episodes: vec![],
        active: false,
        first_at: t.at,
        last_at: t.at,
        count: 0,
        quiet_since: t.at,
    }
}

fn name_of(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}
