//! Sending when something goes wrong: nothing is lost, and nothing is called accepted that is not there.

use super::bed::{Bed, START, emulator, event, free, incidents, options, queue, to_queue};
use futures::future;
use opsloop_azure::{
    identity::Identity,
    servicebus::{BusError, Deadlines, ServiceBus},
};
use opsloop_embedded::{
    amqp::{Front, OnSend},
    clock::VirtualClock,
};
use opsloop_kernel::{Fault, Message, Outcome, ports::Publisher};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::net::TcpListener;

/// An answer that is lost is waited for no longer than this.
const SHORT: Deadlines = Deadlines { connect: Duration::from_secs(10), answer: Duration::from_millis(500) };

#[tokio::test]
async fn a_refused_batch_is_sent_one_by_one_and_the_right_message_bears_the_refusal() {
    let bed = Bed::new().await;
    let never = || OnSend::reject("com.microsoft:argument-error", "no");
    bed.front().faults().on_sends([never(), OnSend::Take, never(), OnSend::Take]);
    let outcomes = bed.bus.publish(&[event("a"), event("b"), event("c")]).await.unwrap();
    assert_eq!(outcomes[0], Outcome::Accepted);
    assert!(matches!(&outcomes[1], Outcome::Rejected { why } if why.contains("argument-error")), "{outcomes:?}");
    assert_eq!(outcomes[2], Outcome::Accepted);
    assert_eq!(bed.ids(&incidents()).await, ["a", "c"]);
}

#[tokio::test]
async fn a_busy_service_is_a_fault_that_says_when_to_come_again() {
    let bed = Bed::new().await;
    for condition in ["com.microsoft:server-busy", "amqp:resource-limit-exceeded"] {
        bed.front().faults().on_sends([OnSend::reject(condition, "later")]);
        let busy = bed.bus.publish(&[event("a"), event("b")]).await;
        assert_eq!(busy, Err(Fault::Throttled { retry_after: Duration::from_secs(10) }), "{condition}");
    }
    assert_eq!(bed.ids(&incidents()).await, Vec::<String>::new());
    bed.accepted(&[event("a"), event("b")]).await;
}

#[tokio::test]
async fn what_the_service_could_not_do_just_now_is_tried_again_at_once() {
    for what in [
        OnSend::reject("com.microsoft:timeout", "slow"),
        OnSend::reject("amqp:internal-error", "oops"),
        OnSend::close_link("amqp:link:detach-forced", false),
        OnSend::close_link("amqp:link:detach-forced", true),
        OnSend::close_link("amqp:unauthorized-access", false),
        OnSend::close_link("amqp:link:message-size-exceeded", false),
        OnSend::CloseConnection { taken: false },
        OnSend::CloseConnection { taken: true },
        OnSend::LoseReply,
    ] {
        let bed = Bed::with(SHORT).await;
        bed.accepted(&[event("before")]).await;
        bed.front().faults().on_sends([what.clone()]);
        bed.accepted(&[event("a"), event("b")]).await;
        assert_eq!(bed.ids(&incidents()).await, ["before", "a", "b"], "{what:?}");
    }
}

/// The engine below leaves what is in flight on a connection that vanished without an answer.
#[tokio::test]
async fn a_connection_that_vanishes_is_noticed_long_before_the_deadline() {
    let never = Duration::from_secs(3_600);
    let bed = Bed::with(Deadlines { connect: never, answer: never }).await;
    bed.front().faults().on_sends([OnSend::CloseConnection { taken: false }, OnSend::CloseConnection { taken: true }]);
    bed.accepted(&[event("a"), event("b")]).await;
    assert_eq!(bed.ids(&incidents()).await, ["a", "b"]);
    assert_eq!(bed.front().faults().connections(), 3);
}

#[tokio::test]
async fn a_service_that_never_recovers_is_a_fault_after_three_tries() {
    let bed = Bed::new().await;
    bed.front().faults().on_sends(vec![OnSend::reject("amqp:internal-error", "oops"); 4]);
    assert_eq!(bed.bus.publish(&[event("a")]).await, Err(Fault::Unavailable { dependency: Fault::BROKER }));
    assert_eq!(bed.front().faults().pending(), 1);
}

#[tokio::test]
async fn under_load_nothing_is_lost_and_nothing_is_called_accepted_that_is_not_there() {
    let bed = Bed::with(SHORT).await;
    let faults = [
        OnSend::Take,
        OnSend::LoseReply,
        OnSend::Take,
        OnSend::close_link("amqp:link:detach-forced", true),
        OnSend::Delay(Duration::from_millis(5)),
        OnSend::reject("com.microsoft:timeout", "slow"),
        OnSend::CloseConnection { taken: true },
        OnSend::Take,
        OnSend::busy(),
        OnSend::close_link("com.microsoft:timeout", false),
        OnSend::CloseConnection { taken: false },
    ];
    bed.front().faults().on_sends(faults.iter().cycle().take(110).cloned());
    let calls: Vec<Vec<Message>> =
        (0..100).map(|call| (0..5).map(|n| event(format!("{call}-{n}"))).collect()).collect();
    let mut owed: Vec<&[Message]> = calls.iter().map(Vec::as_slice).collect();
    let mut accepted = BTreeSet::new();
    for _ in 0..40 {
        let sent = future::join_all(owed.iter().map(|messages| bed.bus.publish(messages))).await;
        let there: BTreeSet<String> = bed.ids(&incidents()).await.into_iter().collect();
        let mut left = Vec::new();
        for (messages, outcomes) in owed.into_iter().zip(sent) {
            match outcomes {
                Ok(outcomes) => {
                    assert_eq!(outcomes, vec![Outcome::Accepted; messages.len()]);
                    assert!(messages.iter().all(|m| there.contains(&m.id)), "accepted and not there");
                    accepted.extend(messages.iter().map(|m| m.id.clone()));
                }
                Err(_) => left.push(messages),
            }
        }
        owed = left;
        if owed.is_empty() {
            break;
        }
    }
    assert_eq!(accepted.len(), 500, "{} calls are still owed", owed.len());
    assert_eq!(bed.ids(&incidents()).await.len(), 500, "each is there once");
}

#[tokio::test]
async fn a_restart_of_the_broker_in_the_middle_loses_nothing() {
    let mut bed = Bed::new().await;
    let (first, second): (Vec<_>, Vec<_>) =
        (0..200).map(|n| event(format!("evt-{n}"))).partition(|m| m.id.len() % 2 == 0);
    bed.accepted(&first).await;
    let addr = bed.front().addr();
    drop(bed.front.take());
    let down = bed.bus.publish(&second).await;
    assert_eq!(down, Err(Fault::Unavailable { dependency: Fault::BROKER }), "nobody listens");
    bed.front = Some(Front::listen(bed.broker.clone(), addr).await.unwrap());
    bed.accepted(&second).await;
    assert_eq!(bed.ids(&incidents()).await.len(), 200);
}

#[tokio::test]
async fn a_peer_that_takes_the_connection_and_says_nothing_is_a_fault_at_the_deadline() {
    let silent = TcpListener::bind(free()).await.unwrap();
    let text = format!("Endpoint=sb://{};UseDevelopmentEmulator=true", silent.local_addr().unwrap());
    let deadline = Duration::from_millis(50);
    let clock = Arc::new(VirtualClock::at(START));
    let credential = Identity::Loopback.credential().unwrap();
    let deadlines = Deadlines { connect: deadline, answer: deadline };
    let bus = ServiceBus::new(options(emulator(&text), &clock, credential, deadlines));
    assert_eq!(bus.publish(&[event("a")]).await, Err(Fault::TimedOut { dependency: Fault::BROKER }));
    assert!(matches!(bus.ping().await, Err(BusError::TimedOut { .. })));
}

#[tokio::test]
async fn a_caller_who_stops_waiting_leaves_everything_in_order() {
    let bed = Bed::new().await;
    let messages: Vec<Message> = (0..50).map(|n| to_queue("pages", format!("p{n}"), 100)).collect();
    for message in &messages {
        // Polled once, as the relay's hint may do, and dropped wherever it has come to.
        let publish = bed.bus.publish(std::slice::from_ref(message));
        future::select(publish, future::ready(())).await;
        tokio::task::yield_now().await;
    }
    bed.accepted(&messages).await;
    let mut ids = bed.ids(&queue("pages")).await;
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), bed.held(&queue("pages")).await.len()), (50, 50));
    assert_eq!(bed.front().faults().connections(), 1);
}

#[tokio::test]
async fn a_namespace_that_is_not_there_is_named() {
    let address = emulator("Endpoint=sb://127.0.0.1:1;UseDevelopmentEmulator=true");
    let clock = Arc::new(VirtualClock::at(START));
    let credential = Identity::Loopback.credential().unwrap();
    let bus = ServiceBus::new(options(address, &clock, credential, Deadlines::default()));
    let refused = bus.ping().await.unwrap_err();
    assert!(
        matches!(refused, BusError::Unreachable { .. }) && refused.to_string().contains("127.0.0.1:1"),
        "{refused}"
    );
}
