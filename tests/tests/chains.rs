//! A chain is decided on one sight of the world: a unit that loses a race is decided again together with those before
//! it. Seed 27097 found a trace announced with spans that its index did not list.

use opsloop_kernel::{
    BoxFuture, Chain, Commit, Committed, Container, Decision, Dedup, Document, ETag, Halt, Incoming, Moment, Platform,
    Refusal, Scope, Source, Spec, Stop, Store, Stream, TenantId, Trigger, Unit, Worker, Write,
    incoming::{DueUnits, FoundDue},
};
use opsloop_shell::{
    Catalogue,
    pipeline::{self, Job, Ran, Settled},
};
use opsloop_tests::{
    faults::Faulty,
    world::{World, tenant},
};
use serde::{Deserialize, Serialize};
use std::sync::Mutex;

const NAME: &str = "CopyingWorker";
const SOURCE: &str = "source";

/// Copies the number in `source` into `first`, then into `second`, which moves `source` too: both must say the same.
struct Copying;

#[derive(Serialize, Deserialize)]
struct View {
    number: u64,
    source: Option<ETag>,
    copy: Option<ETag>,
}

impl Worker for Copying {
    const SPEC: Spec = Spec {
        name: NAME,
        platform: Platform::Observability,
        component: "copying",
        purpose: "copies a number twice",
        triggers: &[Trigger {
            function: NAME,
            source: Source::Timer { schedule: "*/15 * * * * *", cadence_s: 15, offset_s: 0 },
            dedup: Dedup::Natural,
        }],
        emits: &[],
        performs: &[],
        key: "a copy",
    };
    type Input = TenantId;
    type Key = String;
    type View = View;

    fn accept(&self, incoming: &Incoming) -> Result<Option<TenantId>, Refusal> {
        Ok(match incoming {
            Incoming::Due(d) => Some(d.tenant.clone()),
            _ => None,
        })
    }
    fn plan(input: &TenantId) -> Vec<Chain<String>> {
        let unit = |key: &str| Unit { tenant: input.clone(), stream: stream(), key: key.to_owned(), due: None };
        vec![vec![unit("first"), unit("second")]]
    }
    async fn observe(&self, unit: &Unit<String>, _: &TenantId, scope: &Scope<'_>) -> Result<View, Stop> {
        let source = scope.get(&unit.stream, &SOURCE.into()).await?;
        let copy = scope.get(&unit.stream, &unit.key.clone().into()).await?.map(|s| s.etag);
        let number = source.as_ref().map(|s| s.read()).transpose()?.unwrap_or(0);
        Ok(View { number, source: source.map(|s| s.etag), copy })
    }
    fn decide(unit: &Unit<String>, _: &TenantId, view: &View, _: Moment) -> Result<Decision, Halt> {
        let copy = Write::Save(Document::new(unit.key.clone(), "copy", &view.number), view.copy.clone());
        let decision = Decision::because("copied").write(copy);
        Ok(match unit.key.as_str() {
            "second" => decision.write(number(view.number, view.source.clone())),
            _ => decision,
        })
    }
}

fn stream() -> Stream {
    Stream::new(Container::State, "copies")
}
fn number(n: u64, etag: Option<ETag>) -> Write {
    Write::Save(Document::new(SOURCE, "number", &n), etag)
}

async fn write(store: &dyn Store, write: Write) {
    let commit = Commit { tenant: tenant("acme"), stream: stream(), marker: None, writes: vec![write] };
    assert!(matches!(store.commit(&commit).await.unwrap(), Committed::Applied(_)));
}
async fn read(store: &dyn Store, id: &str) -> (u64, ETag) {
    let found = store.get(&tenant("acme"), &stream(), &id.into()).await.unwrap().unwrap();
    (found.read().unwrap(), found.etag)
}

/// Before the second unit's commit another replica moves the number, `times` often.
fn intrude(store: Faulty<impl Store + 'static>, times: u32) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let next = store.clone();
        let act = move || -> BoxFuture<'static, ()> {
            Box::pin(async move {
                let (n, etag) = read(&*next.inner, SOURCE).await;
                write(&*next.inner, number(n + 1, Some(etag))).await;
                if times > 1 {
                    // The first unit of the next pass comes before the second one's commit.
                    let again = next.clone();
                    *next.faults.before_commit.lock().unwrap() = Some(Box::new(move || intrude(again, times - 1)));
                }
            })
        };
        *store.faults.before_commit.lock().unwrap() = Some(Box::new(act));
    })
}

async fn copied(races: u32) -> (World, Vec<Settled>) {
    let world = World::new(Catalogue::default());
    write(&*world.store.inner, number(7, None)).await;
    let store = world.store.clone();
    *world.faults().before_commit.lock().unwrap() = Some(Box::new(move || intrude(store, races)));
    let found = vec![FoundDue { id: SOURCE.into(), at: world.now() }];
    let due = DueUnits { tick: world.now(), tenant: tenant("acme"), stream: stream(), found };
    let (resting, platform) = (Mutex::default(), TenantId::platform());
    let job = Job {
        incoming: &Incoming::Due(due),
        whose: &platform,
        event: None,
        marker: None,
        command: None,
        moment: world.now(),
        resting: &resting,
        ports: &world.shell.ports,
    };
    let Ran::Units(settled) = pipeline::run(&Copying, &job).await else { panic!("nothing was done") };
    (world, settled)
}

#[tokio::test]
async fn a_unit_that_lost_a_race_is_decided_again_with_those_before_it() {
    for races in [1, 3] {
        let (world, settled) = copied(races).await;
        assert!(matches!(settled[..], [Settled::Applied { .. }, Settled::Applied { .. }]), "{settled:?}");
        let store = &*world.store.inner;
        let (first, second) = (read(store, "first").await.0, read(store, "second").await.0);
        assert_eq!((first, second), (7 + u64::from(races), 7 + u64::from(races)), "{races} races");
    }
}

#[tokio::test]
async fn races_without_end_stop_the_chain() {
    let (_, settled) = copied(50).await;
    assert!(matches!(settled[..], [Settled::Applied { .. }, Settled::Stopped(Stop::Fault(_))]), "{settled:?}");
}
