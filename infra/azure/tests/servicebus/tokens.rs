//! Tokens are put before they run out, also in the middle of a stream of sends.

use super::bed::{Bed, TOKEN_LIFE, event, incidents, to_queue};

#[tokio::test]
async fn a_token_is_put_anew_in_the_middle_of_a_stream_and_the_link_stays() {
    let bed = Bed::new().await;
    for n in 0..20 {
        bed.accepted(&[event(format!("evt-{n}"))]).await;
        bed.clock.advance(TOKEN_LIFE / 4);
    }
    assert_eq!(bed.ids(&incidents()).await.len(), 20);
    // Good for two steps of the clock each.
    assert_eq!((bed.front().faults().tokens().len(), bed.issued.count()), (10, 10));
    assert_eq!((bed.front().faults().connections(), bed.front().faults().links()), (1, 1));
}

#[tokio::test]
async fn each_entity_has_a_token_of_its_own() {
    let bed = Bed::new().await;
    bed.accepted(&[event("evt-1"), to_queue("pages", "p", 1), to_queue("otlp-traces", "t", 1)]).await;
    let mut audiences: Vec<String> = bed.front().faults().tokens().into_iter().map(|t| t.audience).collect();
    audiences.sort();
    let of = |entity: &str| format!("amqps://127.0.0.1/{entity}");
    assert_eq!(audiences, [of("events"), of("otlp-traces"), of("pages")]);
    assert!(bed.front().faults().tokens().iter().all(|t| t.kind == "jwt"));
}

#[tokio::test]
async fn a_refused_token_is_asked_for_again_by_the_next_call() {
    let bed = Bed::new().await;
    bed.front().faults().refuse_tokens(1);
    bed.bus.ping().await.unwrap_err();
    bed.accepted(&[event("evt-1")]).await;
}
