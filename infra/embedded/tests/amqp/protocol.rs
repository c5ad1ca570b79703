//! Strangers: what is no AMQP, or AMQP out of order, closes the connection with an error that says so.

use super::peer::*;
use opsloop_embedded::amqp::codec::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The condition with which the connection is closed.
async fn closed(peer: &mut Peer) -> String {
    loop {
        let frame = peer.next().await.unwrap();
        if frame.code == CLOSE {
            assert!(peer.next().await.is_none(), "the socket is closed, too");
            return condition(frame.fields.field(0)).unwrap();
        }
    }
}

#[tokio::test]
async fn sasl_is_offered_to_who_wants_it() {
    let bed = Bed::new().await;
    let mut peer = Peer::connected(&bed).await;
    peer.socket.write_all(b"AMQP\x03\x01\0\0").await.unwrap();
    let mut header = [0; 8];
    peer.socket.read_exact(&mut header).await.unwrap();
    assert_eq!(&header, b"AMQP\x03\x01\0\0");
    let mechanisms = peer.next().await.unwrap();
    let names: Vec<_> = mechanisms.fields.field(0).items().iter().filter_map(Value::as_str).collect();
    assert_eq!((mechanisms.code, names), (0x40, vec!["MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"]));
    let init = Value::described(0x41, Value::List(vec![Value::symbol("ANONYMOUS")])).to_bytes();
    peer.send_raw(1, 0, &init).await;
    let outcome = peer.next().await.unwrap();
    assert_eq!((outcome.code, outcome.fields.field(0)), (0x44, &Value::U8(0)));
    peer.socket.write_all(b"AMQP\0\x01\0\0").await.unwrap();
    peer.socket.read_exact(&mut header).await.unwrap();
    peer.send(OPEN, vec![Value::text("peer")], &[]).await;
    assert_eq!(peer.next().await.unwrap().code, OPEN);
}

#[tokio::test]
async fn malformed_bytes_close_the_connection_with_a_typed_error() {
    for bytes in [
        &b"\xff\xff\xff\xff\x02\0\0\0"[..],
        b"\0\0\0\x09\x02\0\0\0\xff",
        b"\0\0\0\x08\xff\0\0\0",
        b"\0\0\0\x0a\x02\0\0\0\0\x53",
        b"AMQP\0\x09\x09\x09",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let bed = Bed::new().await;
        let mut peer = bed.peer().await;
        peer.socket.write_all(bytes).await.unwrap();
        assert_eq!(closed(&mut peer).await, "amqp:decode-error", "{bytes:?}");
    }
}

#[tokio::test]
async fn frames_out_of_order_close_the_connection() {
    let link = |handle: u32| vec![Value::text("x"), Value::U32(handle), Value::Bool(false)];
    let wrong: [(u64, Vec<Value>); 7] = [
        (OPEN, vec![Value::text("twice")]),
        (BEGIN, begin(1)),
        (ATTACH, link(256)),
        (ATTACH, vec![Value::text("x")]),
        (TRANSFER, vec![]),
        (TRANSFER, vec![Value::U32(5), Value::Null]),
        (ATTACH, link(5)),
    ];
    for (code, fields) in wrong {
        let bed = Bed::new().await;
        let mut peer = bed.peer().await;
        peer.sender(5, "jobs").await;
        peer.send(code, fields, &[]).await;
        assert_eq!(closed(&mut peer).await, "amqp:illegal-state", "{code:#x}");
    }
}

#[tokio::test]
async fn a_frame_on_a_channel_without_a_session_closes_the_connection() {
    let bed = Bed::new().await;
    let mut peer = bed.peer().await;
    let attach = Value::described(ATTACH, Value::List(vec![Value::text("x"), Value::U32(0)])).to_bytes();
    peer.send_raw(0, 7, &attach).await;
    assert_eq!(closed(&mut peer).await, "amqp:illegal-state");
}

#[tokio::test]
async fn who_sends_without_credit_loses_the_link() {
    let bed = Bed::new().await;
    let mut peer = bed.peer().await;
    peer.sender(0, "jobs").await;
    // Never answered, so that no credit comes back while the transfers are written.
    let first =
        vec![Value::U32(0), Value::U32(0), Value::Binary(vec![0]), Value::U32(0), Value::Null, Value::Bool(true)];
    for handle in 1..=2 {
        peer.sender(handle, "jobs").await;
    }
    peer.send(TRANSFER, first, b"x").await;
    let mut aborted = vec![Value::U32(0)];
    aborted.resize(9, Value::Null);
    aborted.push(Value::Bool(true));
    peer.send(TRANSFER, aborted, &[]).await;
    peer.transfer(0, 1, 0, &message("after-the-aborted-one", vec![], b"x")).await;
    assert_eq!(peer.outcome().await, (0x24, None));
}

#[tokio::test]
async fn a_dropped_front_closes_its_connections() {
    let bed = Bed::new().await;
    let mut peer = bed.peer().await;
    let addr = bed.front.addr();
    drop(bed);
    assert!(peer.next().await.is_none());
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
}
