//! The simulator's broker and blobs against the embedded ones, step by step, on one virtual clock.

use bytes::Bytes;
use futures::FutureExt;
use opsloop_embedded::{
    blobs::SqliteBlobs,
    broker::{self as embedded, Held, Settings, Subscription, Topology},
    clock::VirtualClock,
    host,
};
use opsloop_kernel::{
    Blobs as _, Destination, Message, Outcome, Publisher, Timestamp,
    message::{MESSAGE_BYTES_MAX, TOPIC, property},
    ports::{Backlog, DeadLetters},
};
use opsloop_sim::{
    blobs::Blobs,
    broker::{Broker, Entity, EntityId, Lock},
};
use proptest::{prelude::*, sample::Index};
use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

const START: Timestamp = Timestamp::from_millis(1_795_255_200_000);
const LOCK_MS: i64 = 60_000;
const WINDOW_MS: i64 = 600_000;
/// `beta` is a subscription and, in another case, a queue.
const HANDLERS: [&str; 5] = ["ALPHA", "beta", "Gamma", "pages", "nobody"];

/// In memory a call is done when it is first polled.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a broker in memory never waits")
}

fn topology(max_delivery_count: u32) -> Topology {
    let subscriptions = [
        Subscription::new("Alpha", ["Made"]),
        Subscription::new("beta", ["Made", "Closed"]).narrowed("Closed", "signals", "true"),
        // A second trigger of the same worker, which in part wants the same.
        Subscription::new("Alpha", ["Closed", "Made"]),
        Subscription::new("gamma", ["Opened"]),
    ];
    Topology { max_delivery_count, ..Topology::new(["pages", "Beta"], subscriptions) }
}

fn message(to: Destination, id: &str) -> Message {
    let (properties, body) = (BTreeMap::new(), Bytes::from_static(b"{}"));
    Message { id: id.to_owned(), to, properties, content_type: "application/json".into(), body, not_before: None }
}

fn queued(id: &str) -> Message {
    message(Destination::Queue("pages".into()), id)
}

#[derive(Clone, Debug)]
enum Step {
    Publish(Vec<Sent>),
    /// Once more, when the duplicate window has just forgotten it, or just before.
    Repeat {
        which: Index,
        early: bool,
    },
    Receive {
        entity: Index,
        max: usize,
    },
    Complete(Index),
    Abandon(Index),
    Pass {
        ms: i64,
    },
    /// To the next instant at which something changes, or just before.
    Wake {
        early: bool,
    },
    /// After one of the dead letters.
    Peek {
        handler: Index,
        after: Index,
        limit: usize,
    },
    RemoveDead {
        handler: Index,
        which: Index,
    },
}

#[derive(Clone, Debug)]
struct Sent {
    to: usize,
    kind: usize,
    id: usize,
    delay_ms: Option<i64>,
    bytes: usize,
}

impl Sent {
    fn message(&self, now: Timestamp) -> Message {
        const IDS: [&str; 6] = ["", "a", "A", "b", "c", "d"];
        let queue = |name: &str| Destination::Queue(name.to_owned());
        let to = [Destination::Topic, queue("pages"), queue("PAGES"), queue("beta"), queue("gamma")];
        let kinds: [&[(&str, &str)]; 6] = [
            &[(property::KIND, "Made")],
            &[(property::KIND, "Closed")],
            &[(property::KIND, "Closed"), ("signals", "true")],
            &[(property::KIND, "Opened")],
            &[(property::KIND, "Made"), (property::AUDIENCE, "gamma")],
            &[],
        ];
        let id = IDS.get(self.id).map_or_else(|| "x".repeat(self.id + 122), |id| (*id).to_owned());
        let mut message = message(to[self.to].clone(), &id);
        message.properties = kinds[self.kind].iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        // Finer than what a broker keeps.
        message.not_before = self.delay_ms.map(|ms| now.plus_millis(ms) + Duration::from_micros(700));
        message.body = vec![7; self.bytes].into();
        message
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let to = prop_oneof![4 => Just(0usize), 4 => 1..4usize, 1 => Just(4usize)];
    let kind = prop_oneof![4 => Just(0usize), 3 => 1..6usize];
    // 6 has just as many characters as an id may have, 7 one more.
    let id = prop_oneof![10 => 0..6usize, 1 => 6..8usize];
    let delay = prop_oneof![3 => Just(None), 2 => prop_oneof![-5..5i64, Just(1_000), 0..700_000i64].prop_map(Some)];
    let bytes = prop_oneof![20 => 0..3usize, 1 => MESSAGE_BYTES_MAX - 60..MESSAGE_BYTES_MAX + 2];
    (to, kind, id, delay, bytes).prop_map(|(to, kind, id, delay_ms, bytes)| Sent { to, kind, id, delay_ms, bytes })
}

fn step() -> impl Strategy<Value = Step> {
    let pass = prop_oneof![4 => 0..3i64, 3 => Just(1_000), 2 => LOCK_MS - 1..LOCK_MS + 2, 2 => WINDOW_MS - 120_000..WINDOW_MS + 2];
    prop_oneof![
        6 => prop::collection::vec(sent(), 1..4).prop_map(Step::Publish),
        2 => (any::<Index>(), any::<bool>()).prop_map(|(which, early)| Step::Repeat { which, early }),
        6 => (any::<Index>(), 1..4usize).prop_map(|(entity, max)| Step::Receive { entity, max }),
        2 => any::<Index>().prop_map(Step::Complete),
        4 => any::<Index>().prop_map(Step::Abandon),
        3 => pass.prop_map(|ms| Step::Pass { ms }),
        2 => any::<bool>().prop_map(|early| Step::Wake { early }),
        2 => (any::<Index>(), any::<Index>(), 0..4usize)
            .prop_map(|(handler, after, limit)| Step::Peek { handler, after, limit }),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(handler, which)| Step::RemoveDead { handler, which }),
    ]
}

/// Both, the locks that they ever gave, and what was published when.
struct Pair {
    clock: Arc<VirtualClock>,
    real: embedded::Broker,
    model: Broker,
    locks: Vec<(embedded::Lock, Lock)>,
    published: Vec<(Timestamp, Message)>,
}

impl Pair {
    fn new(max_deliveries: u32) -> Self {
        let clock = Arc::new(VirtualClock::at(START));
        let topology = topology(max_deliveries);
        let real = embedded::Broker::in_memory(&topology, Settings::default(), clock.clone()).unwrap();
        Self { clock, real, model: Broker::new(&topology), locks: Vec::new(), published: Vec::new() }
    }

    fn take(&mut self, step: &Step) {
        let at = self.clock.now();
        match step {
            Step::Publish(sent) => self.publish(sent.iter().map(|s| s.message(at)).collect()),
            Step::Repeat { which, early } => self.repeat(which, *early),
            Step::Receive { entity, max } => self.receive(EntityId(entity.index(self.model.entities().len())), *max),
            Step::Complete(which) => {
                if let Some((real, model)) = self.lock(which) {
                    assert_eq!(self.model.complete(model, at), now(self.real.complete(real)).is_ok());
                }
            }
            Step::Abandon(which) => {
                if let Some((real, model)) = self.lock(which) {
                    assert_eq!(self.model.abandon(model, at), now(self.real.abandon(real)).is_ok());
                }
            }
            Step::Pass { ms } => self.clock.advance(Duration::from_millis(ms.unsigned_abs())),
            Step::Wake { early } => {
                if let Some(wake) = self.model.next_wake() {
                    self.clock.advance_to(wake.plus_millis(-i64::from(*early)));
                }
            }
            Step::Peek { handler, after, limit } => {
                let handler = HANDLERS[handler.index(HANDLERS.len())];
                let dead = self.model.dead(handler, -1, 100, at);
                self.peek(handler, if dead.is_empty() { -1 } else { after.get(&dead).sequence }, *limit);
            }
            Step::RemoveDead { handler, which } => self.remove_dead(HANDLERS[handler.index(HANDLERS.len())], which),
        }
    }

    fn publish(&mut self, messages: Vec<Message>) {
        let at = self.clock.now();
        assert_eq!(self.model.publish(&messages, at), now(self.real.publish(&messages)).unwrap());
        self.published.extend(messages.into_iter().map(|message| (at, message)));
    }

    fn repeat(&mut self, which: &Index, early: bool) {
        if !self.published.is_empty() {
            let (at, message) = which.get(&self.published).clone();
            self.clock.advance_to(at.plus_millis(WINDOW_MS - i64::from(early)));
            self.publish(vec![message]);
        }
    }

    /// Without any, one that is not there, or that is not this handler's.
    fn remove_dead(&mut self, handler: &str, which: &Index) {
        self.peek(handler, -1, 100);
        let dead = self.model.dead(handler, -1, 100, self.clock.now());
        let sequence = if dead.is_empty() { 1 } else { which.get(&dead).sequence };
        self.model.remove_dead(handler, sequence);
        now(DeadLetters::complete(&self.real, handler, sequence)).unwrap();
    }

    /// The latest locks are the likelier ones: the older the lock, the surer it is lost.
    fn lock(&self, which: &Index) -> Option<(embedded::Lock, Lock)> {
        let latest = &self.locks[self.locks.len().saturating_sub(6)..];
        (!latest.is_empty()).then(|| *which.get(latest))
    }

    fn receive(&mut self, entity: EntityId, max: usize) {
        let at = self.clock.now();
        let theirs: Vec<Held> =
            now(self.real.receive(&named(&self.model.entities()[entity.0]), max, Duration::ZERO)).unwrap();
        let ready = self.model.available(at).into_iter().filter(|ready| ready.entity == entity);
        let ours: Vec<_> =
            ready.take(max).map(|ready| self.model.receive(ready.sequence, at, LOCK_MS).unwrap()).collect();
        assert_eq!(ours.len(), theirs.len(), "received from {:?}", self.model.entities()[entity.0]);
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            assert_eq!((ours.lock.sequence, ours.delivered), (theirs.sequence, theirs.delivered));
            assert_eq!((ours.entity, ours.locked_until), (entity, theirs.locked_until));
            self.locks.push((theirs.lock, ours.lock));
        }
    }

    fn peek(&mut self, handler: &str, after: i64, limit: usize) {
        let theirs = now(DeadLetters::peek(&self.real, handler, after, limit)).unwrap();
        assert_eq!(self.model.dead(handler, after, limit, self.clock.now()), theirs, "dead letters of {handler}");
    }

    /// Everything that can be asked for.
    fn compare(&mut self) {
        let at = self.clock.now();
        let (available, totals) = (self.model.available(at), self.model.totals(at));
        assert_eq!(totals, now(self.real.totals()).unwrap());
        assert_eq!(self.model.next_wake(), now(self.real.next_wake()).unwrap());
        assert_eq!(self.model.is_empty(), totals.active + totals.locked + totals.scheduled == 0);
        for (n, entity) in self.model.entities().iter().enumerate() {
            let ours: Vec<_> = available.iter().filter(|ready| ready.entity == EntityId(n)).collect();
            assert_eq!(ours.len() as u64, now(self.real.counts(&named(entity))).unwrap().active, "in {entity:?}");
            let theirs = now(self.real.peek(&named(entity), -1, 1_000)).unwrap();
            for ready in ours {
                let copy = theirs.iter().find(|held| held.sequence == ready.sequence).expect("the same copy");
                let theirs = (copy.delivered.deliveries, &copy.delivered.message);
                assert_eq!((ready.deliveries, &*ready.message), theirs, "in {entity:?}");
            }
        }
        for handler in HANDLERS {
            let theirs = now(Backlog::waiting(&self.real, handler)).unwrap();
            assert_eq!(self.model.waiting(handler, at), theirs, "waiting for {handler}");
            self.peek(handler, -1, 1_000);
        }
    }
}

fn named(entity: &Entity) -> host::Entity {
    match entity.is_queue {
        true => host::Entity::queue(&entity.name),
        false => host::Entity::subscription(TOPIC, &entity.name),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Looking brings the embedded broker's boxes to the present, so half of the runs look at the end only.
    #[test]
    fn both_brokers_do_the_same(
        steps in prop::collection::vec(step(), 1..80),
        max_deliveries in 1..5u32,
        looks in any::<bool>(),
    ) {
        let mut pair = Pair::new(max_deliveries);
        for step in &steps {
            pair.take(step);
            if looks {
                pair.compare();
            }
        }
        pair.compare();
    }

    #[test]
    fn both_stores_of_blobs_do_the_same(
        steps in prop::collection::vec((0..3usize, 0..9i64, 0..4u64), 1..30),
    ) {
        let clock = Arc::new(VirtualClock::at(START));
        let (real, mut model) = (SqliteBlobs::in_memory(clock.clone()).unwrap(), Blobs::default());
        for (name, lives_s, pass_s) in steps {
            let (name, expires) = (["claims/a", "claims/b", "c"][name], clock.now().plus_millis(lives_s * 1_000));
            let bytes = Bytes::from(name);
            let uri = model.put(name, bytes.clone(), expires);
            prop_assert_eq!(&uri, &now(real.put(name, bytes, expires)).unwrap());
            clock.advance(Duration::from_secs(pass_s));
            for uri in ["opsloop-blob:claims/a", "opsloop-blob:claims/b", "opsloop-blob:c", "claims/a", "x:c"] {
                prop_assert_eq!(model.get(uri, clock.now()), now(real.get(uri)).unwrap());
            }
        }
    }
}

/// With one message in `pages`, locked.
fn one_locked(max_deliveries: u32) -> (Broker, Lock) {
    let mut broker = Broker::new(&topology(max_deliveries));
    assert_eq!(broker.publish(&[queued("a")], START), [Outcome::Accepted]);
    let sequence = broker.available(START)[0].sequence;
    let taken = broker.receive(sequence, START, LOCK_MS).unwrap();
    assert_eq!((taken.lock.delivery, taken.delivered.deliveries), (1, 1));
    (broker, taken.lock)
}

#[test]
fn a_copy_handed_out_twice_has_one_valid_lock_and_two_deliveries() {
    let (mut broker, first) = one_locked(2);
    let second = broker.duplicate(first.sequence, START.plus_millis(5), LOCK_MS).unwrap();
    assert_eq!(second.delivered.deliveries, 2);
    assert!(broker.duplicate(first.sequence, START.plus_millis(5), LOCK_MS).is_none(), "that was the last delivery");
    assert!(!broker.complete(first, START.plus_millis(6)) && !broker.abandon(first, START.plus_millis(6)));
    assert!(broker.complete(second.lock, START.plus_millis(6)) && broker.is_empty());
    assert!(broker.duplicate(first.sequence, START.plus_millis(7), LOCK_MS).is_none(), "it is completed");
}

#[test]
fn a_delayed_copy_comes_later_and_waits_until_then() {
    let mut broker = Broker::new(&topology(5));
    broker.publish(&[queued("a"), queued("b")], START);
    let until = START.plus_millis(2_000);
    assert!(broker.delay(1, until) && !broker.delay(3, until));
    let sequences = |broker: &mut Broker, at| broker.available(at).iter().map(|r| r.sequence).collect::<Vec<_>>();
    assert_eq!(sequences(&mut broker, START), [2]);
    assert_eq!((broker.next_wake(), broker.waiting("pages", START)), (Some(until), 2));
    assert!(broker.receive(1, until.plus_millis(-1), LOCK_MS).is_none());
    assert_eq!(sequences(&mut broker, until), [1, 2]);
    assert!(broker.receive(1, until, LOCK_MS).is_some() && !broker.delay(1, until), "a locked one cannot be delayed");
}
