//! For the tests of generators and invariants: a cast, commits made by hand, and the production parsers.

use crate::{
    journal::{Applied, Change, End, Oracle, Verdict},
    plan::{Cast, Offer, Plan},
    rng::Rng,
};
use opsloop_embedded::store::Dumped;
use opsloop_kernel::{
    Body, Container, Document, ETag, Envelope, Incoming, Stream, TenantId, Timestamp, Worker,
    envelope::PayloadRef,
    http::{Does, Endpoint, Problem, Request},
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

pub fn cast(twins: bool) -> Cast {
    let start: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
    Cast {
        tenants: vec![tenant("acme"), tenant("globex")],
        twins,
        projects: vec!["shop", "booking"],
        modules: vec!["mod-api", "cart"],
        start,
        end: start.plus_millis(600_000),
        rest: start.plus_millis(2_400_000),
        metric_buckets: 4,
        later: vec![],
    }
}

/// The plans of fifty seeds.
pub fn plans(generate: fn(&mut Rng, &Cast, &mut Plan), twins: bool) -> Vec<Plan> {
    let draw = |seed| {
        let mut plan = Plan::default();
        generate(&mut Rng::new(seed, "test"), &cast(twins), &mut plan);
        plan
    };
    (0..50).map(draw).collect()
}

/// That everything arrives within the cast's time, and for whom.
pub fn assert_in_time(plans: &[Plan]) {
    let cast = cast(false);
    for a in plans.iter().flat_map(|p| &p.arrivals) {
        assert!(cast.start <= a.at && a.at < cast.end, "{:?}", a.at);
        assert!(cast.tenants.contains(&a.tenant));
        if let Offer::Event(e) = &a.offer {
            assert!(e.occurred_at <= a.at && e.tenant_id == a.tenant, "{e:?}");
        }
    }
}

/// That twins get the same, but for the ids that bear their tenant.
pub fn assert_alike(plans: &[Plan]) {
    for plan in plans {
        let said = |name: &str| {
            let of_tenant = plan.arrivals.iter().filter(|a| a.tenant.as_str() == name);
            of_tenant.map(|a| (a.at, shape(&a.offer))).collect::<Vec<_>>()
        };
        assert_eq!(said("acme"), said("globex"));
    }
}

fn shape(offer: &Offer) -> String {
    match offer {
        Offer::Event(e) => format!("{} {:?} {}", e.event_type, e.occurred_at, e.payload.0),
        Offer::Command { method, path, body, key, .. } => {
            let verb = path.split('/').filter(|s| !s.starts_with("inc-")).collect::<Vec<_>>().join("/");
            format!("{} {verb} {body} {key}", method.name())
        }
        Offer::Otlp { .. } | Offer::Hostile { .. } => String::new(),
    }
}

/// What the endpoint makes of a command: its payload, or why not. Panics where there is no such route.
pub fn payload(endpoints: &[Endpoint], offer: &Offer) -> Result<(&'static str, Body), Problem> {
    let Offer::Command { method, path, body, .. } = offer else { panic!("not a command: {offer:?}") };
    let given: Vec<&str> = path.split('/').collect();
    let fits = |e: &&Endpoint| {
        let wanted: Vec<&str> = e.path.split('/').collect();
        let same = |(w, g): (&&str, &&str)| w.starts_with('{') || w == g;
        e.method == *method && wanted.len() == given.len() && wanted.iter().zip(&given).all(same)
    };
    let endpoint = endpoints.iter().find(fits).unwrap_or_else(|| panic!("no route for {path}"));
    let named = endpoint.path.split('/').zip(&given).filter(|(w, _)| w.starts_with('{'));
    let params = named.map(|(w, g)| (w.trim_matches(['{', '}']).to_owned(), (*g).to_owned())).collect();
    let request = Request {
        params,
        query: BTreeMap::new(),
        body: Body(body.clone()),
        now: cast(false).start,
        project: Some("local".into()),
        metric_buckets: 4,
    };
    let Does::Command { kind, payload, .. } = endpoint.does else { panic!("a query") };
    payload(&request).map(|body| (kind, body))
}

/// Whether the worker takes the event; a refusal panics.
pub fn is_taken<W: Worker>(worker: &W, event: &Envelope) -> bool {
    worker.accept(&Incoming::Event(Box::new(event.clone()))).unwrap().is_some()
}

/// A commit in the stream, with its documents before and after, and what it owes.
pub fn commit(stream: &str, changes: Vec<(Option<Document>, Option<Document>)>, owed: Vec<Envelope>) -> Applied {
    let change = |(before, after): (Option<Document>, Option<Document>)| {
        let id = after.as_ref().or(before.as_ref()).unwrap().id.clone();
        Change { id, before, after }
    };
    Applied {
        turn: 1,
        at: cast(false).start,
        tenant: tenant("acme"),
        stream: Stream::new(Container::State, stream),
        marker: None,
        changes: changes.into_iter().map(change).collect(),
        owed,
    }
}

pub fn document(id: &str, kind: &'static str, body: Value) -> Document {
    Document::new(id, kind, &body)
}

pub fn dumped(stream: &str, document: Document) -> Dumped {
    let stream = Stream::new(Container::State, stream);
    Dumped { tenant: tenant("acme"), stream, document, etag: ETag("1".into()) }
}

/// The world at rest, of these documents.
pub fn at_rest(oracle: &mut dyn Oracle, documents: &[Dumped]) -> Verdict {
    let (cast, plan, dead, recorded) = (cast(false), Plan::default(), BTreeMap::new(), BTreeMap::new());
    oracle.at_rest(&End {
        cast: &cast,
        plan: &plan,
        documents,
        published: &[],
        dead: &dead,
        scheduled: &BTreeSet::new(),
        accepted: &[],
        recorded: &recorded,
    })
}

pub fn named(oracles: Vec<Box<dyn Oracle>>, name: &str) -> Box<dyn Oracle> {
    oracles.into_iter().find(|o| o.name() == name).unwrap_or_else(|| panic!("no oracle `{name}`"))
}

/// A fact of ours with this payload.
pub fn fact(kind: &'static str, payload: Value) -> Envelope {
    let place = super::outside::Place { project: "shop", module: "cart", environment: "prod" };
    let said = super::outside::Said::new(kind, place, cast(false).start, payload);
    super::outside::envelope(&tenant("acme"), &said)
}

#[test]
fn a_claim_check_is_not_checked() {
    let mut e = fact("AlertTriggered", json!({}));
    e.payload_ref = Some(PayloadRef { uri: "x".into(), sha256: "0".into(), bytes: 1 });
    let commit = commit("rules", vec![], vec![e]);
    assert_eq!(super::check::facts(&commit, "AlertTriggered").count(), 0);
}
