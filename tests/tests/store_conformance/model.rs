//! Random histories against a model that is too simple to be wrong, on every store; they must also agree in the end.

use super::bed::*;
use opsloop_kernel::{
    Commit, Committed, DocId, ETag, Found, Order, Page, Timestamp, Write,
    ports::{DueList, Within},
};
use proptest::prelude::*;
use serde_json::json;
use std::{collections::BTreeMap, time::Duration};

const IDS: usize = 5;

#[derive(Clone, Debug)]
enum Step {
    Commit { marker: Option<usize>, writes: Vec<(usize, Kind)>, to_globex: bool },
    Advance(u64),
    Paid(usize, bool),
}

/// A write; a stale etag is one that the document has had, or none ever had.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Create { due: Option<i64>, lives: Option<u64> },
    Save { fresh: bool },
    Put { due: Option<i64>, lives: Option<u64> },
    Delete { fresh: bool },
}

fn kind() -> impl Strategy<Value = Kind> {
    let due = prop::option::of(-5_i64..30);
    let lives = prop::option::of(0_u64..20);
    prop_oneof![
        (due.clone(), lives.clone()).prop_map(|(due, lives)| Kind::Create { due, lives }),
        prop::bool::weighted(0.8).prop_map(|fresh| Kind::Save { fresh }),
        (due, lives).prop_map(|(due, lives)| Kind::Put { due, lives }),
        prop::bool::weighted(0.8).prop_map(|fresh| Kind::Delete { fresh }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let commit =
        (prop::option::weighted(0.3, 0..3_usize), prop::collection::vec((0..IDS, kind()), 0..4), any::<bool>())
            .prop_map(|(marker, writes, to_globex)| Step::Commit { marker, writes, to_globex });
    prop_oneof![6 => commit, 1 => (0_u64..15).prop_map(Step::Advance), 1 => (0..IDS, any::<bool>()).prop_map(|(i, f)| Step::Paid(i, f))]
}

/// Documents by (tenant, id): version, due, end, body.
type Rows = BTreeMap<(String, String), Row>;
#[derive(Clone, Debug, PartialEq)]
struct Row {
    etag: ETag,
    due: Option<Timestamp>,
    expires: Option<Timestamp>,
    body: u64,
}

#[derive(Default)]
struct Model {
    rows: Rows,
    bodies: u64,
}

impl Model {
    fn live(&self, now: Timestamp) -> Rows {
        self.rows.clone().into_iter().filter(|(_, r)| r.expires.is_none_or(|at| at > now)).collect()
    }
    fn etag(&self, key: &(String, String), fresh: bool, now: Timestamp) -> ETag {
        let known = self.live(now).get(key).map(|r| r.etag.clone());
        if fresh { known.unwrap_or(ETag("0".into())) } else { ETag("0".into()) }
    }
}

fn id(n: usize) -> String {
    format!("d|{n}")
}

/// The commit that a step means now, and what the model says of it: `None` is applied.
fn meant(
    model: &mut Model,
    step: (Option<usize>, &[(usize, Kind)], &str),
    now: Timestamp,
) -> (Commit, Option<Committed>, Rows) {
    let (marker, kinds, tenant) = step;
    let mut rows = model.live(now);
    let key = |id: String| (tenant.to_owned(), id);
    let mut verdict = None;
    let mut writes = Vec::new();
    let marker = marker.map(|n| format!("seen|{n}"));
    if let Some(marker) = &marker {
        let row = Row { etag: ETag("new".into()), due: None, expires: None, body: 0 };
        if rows.insert(key(marker.clone()), row).is_some() {
            verdict = Some(Committed::Duplicate);
        }
    }
    for (n, kind) in kinds {
        let (id, before) = (id(*n), rows.get(&key(id(*n))).cloned());
        model.bodies += 1;
        let mut row = Row { etag: ETag("new".into()), due: None, expires: None, body: model.bodies };
        let (write, applies) = match *kind {
            Kind::Create { due, lives } | Kind::Put { due, lives } => {
                row.due = due.map(|ms| now.plus_millis(ms));
                row.expires = lives.map(|ms| now + Duration::from_millis(ms));
                let mut document = document(&id, json!(row.body));
                document.due = row.due.map(|at| opsloop_kernel::Due::at("Alerts", at));
                document.expires = row.expires;
                let creates = matches!(kind, Kind::Create { .. });
                let free = before.is_none();
                let write = if creates { Write::Save(document, None) } else { Write::Put(document) };
                (write, !creates || free)
            }
            Kind::Save { fresh } => {
                let etag = model.etag(&key(id.clone()), fresh, now);
                let applies = before.is_some_and(|r| r.etag == etag);
                (Write::Save(document(&id, json!(row.body)), Some(etag)), applies)
            }
            Kind::Delete { fresh } => {
                let etag = model.etag(&key(id.clone()), fresh, now);
                let applies = before.is_some_and(|r| r.etag == etag);
                (Write::Delete(id.as_str().into(), etag), applies)
            }
        };
        if !applies && verdict.is_none() {
            verdict = Some(Committed::Raced);
        }
        if matches!(write, Write::Delete(..)) {
            rows.remove(&key(id))
        } else {
            rows.insert(key(id), row)
        };
        writes.push(write);
    }
    let marker = marker.map(|id| document(&id, json!(0)));
    let tenant = opsloop_kernel::TenantId::parse(tenant).unwrap();
    (Commit { tenant, stream: stream(), marker, writes }, verdict, rows)
}

async fn take(bed: &Bed, model: &mut Model, step: &Step) {
    match step {
        Step::Advance(ms) => bed.clock.advance(Duration::from_millis(*ms)),
        Step::Paid(n, fresh) => {
            let key = ("acme".to_owned(), id(*n));
            let etag = model.etag(&key, *fresh, bed.now());
            bed.store.paid(&acme(), &stream(), &DocId(id(*n)), &etag).await.unwrap();
            if model.rows.get(&key).is_some_and(|r| r.etag == etag) {
                model.rows.remove(&key);
            }
        }
        Step::Commit { marker, writes, to_globex } => {
            let tenant = if *to_globex { "globex" } else { "acme" };
            let (commit, verdict, mut rows) = meant(model, (*marker, writes, tenant), bed.now());
            let committed = bed.store.commit(&commit).await.unwrap();
            match verdict {
                Some(no) => assert_eq!(committed, no, "{commit:?}"),
                None => {
                    assert_eq!(etags(committed).len(), commit.writes.len(), "{commit:?}");
                    for stored in bed.dump().await {
                        let key = (stored.tenant.to_string(), stored.document.id.0);
                        if let Some(row) = rows.get_mut(&key).filter(|r| r.etag.0 == "new") {
                            row.etag = stored.etag;
                        }
                    }
                    model.rows = rows;
                }
            }
        }
    }
}

/// Everything that can be asked is as the model says.
async fn agrees(bed: &Bed, model: &Model) {
    let now = bed.now();
    let live = model.live(now);
    let dump = bed.dump().await;
    let stored: Rows = dump
        .iter()
        .map(|d| {
            let row = Row {
                etag: d.etag.clone(),
                due: d.document.due.as_ref().map(|due| due.at),
                expires: d.document.expires,
                body: d.document.body.read().unwrap(),
            };
            ((d.tenant.to_string(), d.document.id.0.clone()), row)
        })
        .collect();
    assert_eq!(stored, live);
    let due: Vec<Found> = live
        .iter()
        .filter_map(|((tenant, id), row)| {
            let at = row.due.filter(|at| *at <= now)?;
            let tenant = opsloop_kernel::TenantId::parse(tenant.as_str()).unwrap();
            Some(Found { tenant, stream: stream(), at, id: id.as_str().into() })
        })
        .collect();
    let mut expected = DueList { found: due, more: false };
    expected.found.sort();
    assert_eq!(bed.due(Within::All, None, 100).await, expected);
    let ids: Vec<_> = live.keys().filter(|(t, i)| t == "acme" && i.as_str() >= "d|1" && i.as_str() < "d|4").collect();
    let (listed, more) = bed.ids("d|1", "d|4", Page::first(2), Order::Descending).await;
    assert_eq!(listed, ids.iter().rev().take(2).map(|(_, i)| i.clone()).collect::<Vec<_>>());
    assert_eq!(more, ids.len() > 2);
}

async fn run(bed: &Bed, steps: &[Step]) -> Vec<(String, String)> {
    let mut model = Model::default();
    for step in steps {
        take(bed, &mut model, step).await;
        agrees(bed, &model).await;
    }
    let dump = bed.dump().await;
    dump.into_iter().map(|d| (d.tenant.to_string(), serde_json::to_string(&d.document).unwrap())).collect()
}

fn run_on(bed: impl FnOnce() -> Bed, steps: &[Step]) -> Vec<(String, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { run(&bed(), steps).await })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_stores_do_what_the_model_says_and_end_alike(steps in prop::collection::vec(step(), 1..40)) {
        prop_assert_eq!(run_on(Bed::memory, &steps), run_on(Bed::sqlite, &steps));
    }
}

proptest! {
    // Every step asks the service some ten times.
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cosmos_db_does_what_the_model_says_too(steps in prop::collection::vec(step(), 1..40)) {
        prop_assert_eq!(run_on(Bed::memory, &steps), run_on(Bed::cosmos, &steps));
    }
}
