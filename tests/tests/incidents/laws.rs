//! I1 to I6 of SPEC 5.5.8 over random histories: triggers, clears, repeats and commands, each delivered once or more,
//! in any order, with ticks between.

use super::{events::*, world::*};
use opsloop_kernel::Envelope;
use opsloop_observability::{
    events::{IncidentStatus as S, kind},
    incident_analysis::{
        IncidentPolicy,
        incident::{EntryKind, Incident, LogEntry},
        machine::Cause,
    },
};
use proptest::prelude::*;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const RULES: [&str; 3] = ["alr-1", "alr-2", "alr-3"];
const SEVERITIES: [&str; 3] = ["warning", "high", "critical"];
const COMMANDS: [&str; 6] = [
    "AcknowledgeIncident",
    "BeginInvestigation",
    "ApplyMitigation",
    "EngageOnCall",
    "ResolveIncident",
    "AppendPostMortemNote",
];

#[derive(Clone, Debug)]
enum Step {
    /// Of a rule, an episode, with a severity; its trigger or its n-th repeat.
    Fires {
        rule: usize,
        episode: i64,
        severity: usize,
        repeat: u32,
    },
    Clears {
        rule: usize,
        episode: i64,
    },
    /// To the n-th incident there is.
    Asks {
        command: usize,
        nth: usize,
    },
    Repeated {
        back: usize,
    },
    Tick {
        minutes: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_usize, 0..3_i64, 0..3_usize, 0..3_u32)
            .prop_map(|(rule, episode, severity, repeat)| Step::Fires { rule, episode, severity, repeat }),
        4 => (0..3_usize, 0..3_i64).prop_map(|(rule, episode)| Step::Clears { rule, episode }),
        6 => (0..6_usize, 0..4_usize).prop_map(|(command, nth)| Step::Asks { command, nth }),
        2 => (1..5_usize).prop_map(|back| Step::Repeated { back }),
        2 => (1..30_i64).prop_map(|minutes| Step::Tick { minutes }),
    ]
}

fn of(rule: usize, episode: i64, severity: usize) -> Alert {
    let active = at("10:00").plus_millis(episode * 7 * 60_000);
    Alert { rule: RULES[rule], severity: SEVERITIES[severity], active, repeat: false }
}

async fn play(policy: IncidentPolicy, steps: &[Step]) -> World {
    let mut w = World::with(policy);
    let mut sent: Vec<Envelope> = vec![];
    let mut severity: BTreeMap<String, opsloop_observability::events::Severity> = BTreeMap::new();
    let mut now = at("10:00");
    for (n, step) in steps.iter().enumerate() {
        now = now.plus_millis(60_000);
        let e = match step {
            Step::Fires { rule, episode, severity, repeat } => {
                let mut a = of(*rule, *episode, *severity);
                a.repeat = *repeat > 0;
                Some(a.fires_at(a.active.plus_millis(i64::from(*repeat) * 4 * 60_000)))
            }
            Step::Clears { rule, episode } => {
                let a = of(*rule, *episode, 0);
                Some(a.clears_at(&a.active.plus_millis(5 * 60_000).to_string()))
            }
            Step::Asks { command: c, nth } => {
                let all = w.incidents().await;
                let id = all.get(*nth % all.len().max(1)).map_or("inc-none".into(), |i| i.incident_id.clone());
                let payload = json!({"incidentId": id, "actor": "ann", "text": "note", "force": n % 2 == 0,
                    "reason": "because", "rootCause": {"category": "data", "summary": "s"}});
                let mut e = event(COMMANDS[*c], now, payload);
                e = again(e, u32::try_from(n).unwrap());
                Some(e)
            }
            Step::Repeated { back } => sent.len().checked_sub(*back).map(|i| sent[i].clone()),
            Step::Tick { minutes } => {
                now = now.plus_millis(minutes * 60_000);
                w.tick(now).await;
                None
            }
        };
        if let Some(e) = e {
            w.deliver(&e).await;
            sent.push(e);
        }
        for i in w.incidents().await {
            let before = severity.insert(i.incident_id.clone(), i.severity);
            assert!(before.is_none_or(|b| b <= i.severity), "I3: severity was lowered");
        }
    }
    w
}

fn legal(from: S, to: S) -> bool {
    Cause::ALL.iter().any(|c| c.leads_to() == to && c.leaves(from))
}

/// I1, I2, I5 and the way through the states, of one incident and its log.
fn holds(i: &Incident, log: &[LogEntry]) {
    if i.status == S::Resolved {
        assert!(i.root_cause.is_some() && i.resolved_at.is_some(), "I1");
    }
    let seqs: Vec<u64> = log.iter().map(|e| e.seq).collect();
    assert_eq!(seqs, (1..=i.last_seq).collect::<Vec<_>>(), "I2: the log has a gap");
    assert_eq!(log[0].kind, EntryKind::Opened);
    let times: Vec<_> =
        [Some(i.opened_at), i.acknowledged_at, i.mitigated_at, i.resolved_at].into_iter().flatten().collect();
    assert!(times.is_sorted(), "I5: {times:?}");
    let mut state = S::Open;
    for e in log.iter().filter(|e| e.kind == EntryKind::Transition) {
        assert_eq!(e.from, Some(state), "a transition was skipped");
        let to = e.to.unwrap();
        assert!(legal(state, to), "{state:?} → {to:?}");
        state = to;
    }
    assert_eq!(state, i.status);
    for s in &i.sources {
        assert_eq!(s.active, !s.episodes.is_empty());
    }
    // A clear is told once for its episode (A40).
    let mut told = BTreeSet::new();
    for e in log.iter().filter(|e| e.kind == EntryKind::Cleared) {
        let r = e.reference.as_ref().unwrap();
        assert!(told.insert((r.id.clone(), e.episode_id.clone())), "cleared twice: {e:?}");
    }
}

async fn all_hold(w: &World) {
    let incidents = w.incidents().await;
    let mut open = BTreeMap::<(String, String), u32>::new();
    for i in &incidents {
        holds(i, &w.log(&i.incident_id).await);
        for s in i.sources.iter().filter(|_| i.status != S::Resolved) {
            *open.entry((s.source.to_string(), s.source_id.clone())).or_default() += 1;
        }
        let resolved = w.told(kind::INCIDENT_RESOLVED).iter().filter(|e| e.partition_key == i.incident_id).count();
        assert_eq!(resolved, usize::from(i.status == S::Resolved), "I6");
        let opened = w.told(kind::INCIDENT_OPENED).iter().filter(|e| e.partition_key == i.incident_id).count();
        assert_eq!(opened, 1);
    }
    assert!(open.values().all(|n| *n == 1), "I4: {open:?}");
    let ids: BTreeSet<_> = w.told.iter().map(|e| &e.event_id).collect();
    assert_eq!(ids.len(), w.told.len(), "two facts share an id");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// What 13.1(7) calls the same: of the log, by source, episode and kind, `opened` left out, `attached` as `trigger`.
async fn essence(w: &World) -> BTreeSet<(String, String, String)> {
    let mut out = BTreeSet::new();
    for i in w.incidents().await {
        for e in w.log(&i.incident_id).await {
            let kind = match e.kind {
                EntryKind::Trigger | EntryKind::Attached => "trigger",
                EntryKind::Cleared => "cleared",
                _ => continue,
            };
            out.insert((e.reference.unwrap().id, e.episode_id.unwrap_or_default(), kind.to_owned()));
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_over_any_history(steps in prop::collection::vec(step(), 1..40), auto in any::<bool>()) {
        let policy = IncidentPolicy { auto_resolve: auto, ..Default::default() };
        runtime().block_on(async {
            let w = play(policy, &steps).await;
            all_hold(&w).await;
        });
    }

    /// Without people in between, no order of triggers and clears and no repetition changes what is told (A7, A37, A70).
    #[test]
    fn the_order_of_triggers_and_clears_is_of_no_matter(
        events in prop::collection::vec((0..3_usize, 0..3_i64, any::<bool>()), 1..12).prop_shuffle(),
        seed in any::<u64>(),
    ) {
        let once: BTreeSet<_> = events.into_iter().collect();
        let mut calm: Vec<Envelope> = vec![];
        for (rule, episode, clears) in &once {
            let a = of(*rule, *episode, 1);
            let end = a.active.plus_millis(5 * 60_000).to_string();
            calm.push(if *clears { a.clears_at(&end) } else { a.fires() });
        }
        calm.sort_by_key(|e| e.occurred_at);
        let mut disturbed = calm.clone();
        disturbed.extend(calm.iter().cloned());
        let mut state = seed | 1;
        for n in (1..disturbed.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            disturbed.swap(n, usize::try_from(state >> 33).unwrap() % (n + 1));
        }
        runtime().block_on(async {
            let (mut a, mut b) = (World::new(), World::new());
            for e in &calm { a.deliver(e).await; }
            for e in &disturbed { b.deliver(e).await; }
            all_hold(&b).await;
            assert_eq!(essence(&a).await, essence(&b).await);
            let active = |all: Vec<Incident>| -> BTreeSet<String> {
                all.iter().flat_map(|i| &i.sources).filter(|s| s.active).map(|s| s.source_id.clone()).collect()
            };
            assert_eq!(active(a.incidents().await), active(b.incidents().await));
        });
    }
}
