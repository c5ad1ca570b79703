"""Microsoft's Python client against a broker: `servicebus.py CONNECTION_STRING`.

The broker is `examples/amqp_broker.rs`: topic `events` with subscriptions by the property `kind`, queue `jobs`, locks of
two seconds, a duplicate window. One line per operation; exits with 1 when one of them fails.
"""

import datetime
import logging
import sys
import time
import uuid

from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusReceiveMode, ServiceBusSubQueue
from azure.servicebus.exceptions import MessageLockLostError, MessageSizeExceededError, ServiceBusError

TOPIC, SUBSCRIPTION, OTHER, QUEUE = "events", "incidents", "feedback", "jobs"
DEAD = ServiceBusSubQueue.DEAD_LETTER
PROPERTIES = {
    "kind": "AlertTriggered",
    "tenant": "acme",
    "int": 3,
    "flag": True,
    "ratio": 0.1,
    "when": datetime.datetime(2026, 11, 21, 10, 0, tzinfo=datetime.timezone.utc),
    "uuid": uuid.UUID(int=7),
}
OPERATIONS = []
# The client tells its own story of what is refused here on purpose.
logging.getLogger("azure").setLevel(logging.CRITICAL)


def operation(function):
    OPERATIONS.append(function)
    return function


def message(body="{}", **more):
    more.setdefault("message_id", str(uuid.uuid4()))
    more.setdefault("application_properties", {"kind": "AlertTriggered"})
    return ServiceBusMessage(body, **more)


def send(client, *messages, queue=True):
    with client.get_queue_sender(QUEUE) if queue else client.get_topic_sender(TOPIC) as sender:
        sender.send_messages(list(messages) if len(messages) > 1 else messages[0])


def receiver(client, subscription=None, **more):
    more.setdefault("max_wait_time", 5)
    if subscription:
        return client.get_subscription_receiver(TOPIC, subscription, **more)
    return client.get_queue_receiver(QUEUE, **more)


def one(receiver, wait=5):
    received = receiver.receive_messages(1, max_wait_time=wait)
    assert received, "nothing was received"
    return received[0]


def left(client, sub_queue=None):
    with receiver(client, sub_queue=sub_queue) as peeking:
        return [str(m.message_id) for m in peeking.peek_messages(100)]


def empty(client):
    for subscription in (None, SUBSCRIPTION, OTHER):
        for sub_queue in (None, DEAD):
            mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
            with receiver(client, subscription, sub_queue=sub_queue) as peeking:
                waiting = peeking.peek_messages(100)
            if waiting:
                with receiver(client, subscription, sub_queue=sub_queue, receive_mode=mode) as taking:
                    taking.receive_messages(100, max_wait_time=3)


@operation
def send_receive_complete(client):
    sent = message('{"a":1}', subject="s", correlation_id="c", content_type="application/json", application_properties=PROPERTIES)
    send(client, sent)
    with receiver(client) as r:
        got = one(r)
        assert (got.message_id, got.subject, got.correlation_id) == (sent.message_id, "s", "c")
        assert got.content_type == "application/json" and b"".join(got.body) == b'{"a":1}'
        have = {k.decode(): v.decode() if k in (b"kind", b"tenant") else v for k, v in got.application_properties.items()}
        have["when"] = datetime.datetime.fromtimestamp(have["when"] / 1000, datetime.timezone.utc) if isinstance(have["when"], int) else have["when"]
        assert have == PROPERTIES, have
        assert got.sequence_number and got.enqueued_time_utc and got.locked_until_utc and got.delivery_count == 0
        r.complete_message(got)
    assert left(client) == []
    return f"sequence {got.sequence_number}, types as sent"


@operation
def send_batch(client):
    with client.get_queue_sender(QUEUE) as sender:
        batch = sender.create_message_batch()
        for n in range(50):
            batch.add_message(message(str(n)))
        sender.send_messages(batch)
    with receiver(client) as r:
        got, deadline = [], time.monotonic() + 10
        while len(got) < 50 and time.monotonic() < deadline:
            for m in r.receive_messages(50, max_wait_time=2):
                got.append(str(m))
                r.complete_message(m)
    assert got == [str(n) for n in range(50)], got
    return f"50 in order, at most {batch.max_size_in_bytes} bytes"


@operation
def receive_and_delete(client):
    send(client, message("1"), message("2"))
    with receiver(client, receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE) as r:
        got = [one(r), one(r)]
    assert [str(m) for m in got] == ["1", "2"] and left(client) == []


@operation
def abandon(client):
    send(client, message())
    with receiver(client) as r:
        first = one(r)
        r.abandon_message(first)
        again = one(r)
        r.complete_message(again)
    assert (first.delivery_count, again.delivery_count) == (0, 1)


@operation
def dead_letter_peek_and_replay(client):
    sent = message("bad", application_properties=PROPERTIES)
    send(client, sent)
    with receiver(client) as r:
        r.dead_letter_message(one(r), reason="SchemaInvalid", error_description="field x")
    with receiver(client, sub_queue=DEAD) as r:
        peeked = r.peek_messages(10)
        assert [(m.dead_letter_reason, m.dead_letter_error_description) for m in peeked] == [("SchemaInvalid", "field x")]
        grave = one(r)
        assert grave.dead_letter_source == QUEUE and grave.application_properties[b"int"] == 3
        copy = message(b"".join(grave.body), message_id=f"{grave.message_id}:r1")
        send(client, copy)
        r.complete_message(grave)
    with receiver(client) as r:
        again = one(r)
        assert again.message_id == f"{sent.message_id}:r1"
        r.complete_message(again)
    assert left(client, DEAD) == []


@operation
def dead_after_the_last_delivery(client):
    send(client, message())
    with receiver(client) as r:
        for _ in range(5):
            r.abandon_message(one(r))
    with receiver(client, sub_queue=DEAD) as r:
        grave = one(r)
        assert grave.dead_letter_reason == "MaxDeliveryCountExceeded", grave.dead_letter_reason
        r.complete_message(grave)


@operation
def schedule_and_cancel(client):
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
    with client.get_queue_sender(QUEUE) as sender:
        numbers = sender.schedule_messages([message("a"), message("b")], soon)
        sender.cancel_scheduled_messages(numbers[0])
    send(client, message("c", scheduled_enqueue_time_utc=soon))
    with receiver(client) as r:
        got = [one(r), one(r)]
        for m in got:
            r.complete_message(m)
    assert sorted(str(m) for m in got) == ["b", "c"]
    assert datetime.datetime.now(datetime.timezone.utc) >= soon, "before its time"
    return f"numbers {numbers}"


@operation
def defer_and_receive_deferred(client):
    send(client, message("later"))
    with receiver(client) as r:
        first = one(r)
        r.defer_message(first)
        (again,) = r.receive_deferred_messages([first.sequence_number])
        r.complete_message(again)
    assert str(again) == "later" and left(client) == []


@operation
def renew_lock(client):
    send(client, message())
    with receiver(client) as r:
        got = one(r)
        until = r.renew_message_lock(got)
        assert until >= got.locked_until_utc
        r.complete_message(got)


@operation
def lock_lost(client):
    send(client, message())
    with receiver(client) as r:
        first = one(r)
        begun = time.monotonic()
        again = one(r, wait=10)
        waited = time.monotonic() - begun
        try:
            r.complete_message(first)
            raise AssertionError("a lost lock completed a message")
        except MessageLockLostError:
            pass
        r.complete_message(again)
    assert again.delivery_count == 1 and left(client) == []
    return f"delivered again after {waited:.1f} s"


@operation
def duplicate_detection(client):
    same = str(uuid.uuid4())
    send(client, message(message_id=same))
    send(client, message(message_id=same))
    assert left(client) == [same]
    empty(client)


@operation
def size_limit(client):
    try:
        send(client, message("x" * 2 * 1024 * 1024))
        raise AssertionError("2 MiB were taken")
    except (MessageSizeExceededError, ServiceBusError) as refused:
        told = type(refused).__name__
    assert left(client) == []
    return told


@operation
def subscriptions_take_what_their_rules_say(client):
    send(client, message("1"), message("2", application_properties={"kind": "TraceRecorded"}), queue=False)
    send(client, message("3", application_properties={"kind": "Other"}), queue=False)
    for subscription, expected in ((SUBSCRIPTION, ["1"]), (OTHER, ["1", "2"])):
        with receiver(client, subscription, receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE) as r:
            got = [str(one(r)) for _ in expected]
            assert got == expected and not r.peek_messages(1), (subscription, got)


@operation
def unknown_entity(client):
    try:
        with client.get_queue_receiver("nowhere", max_wait_time=1) as r:
            r.receive_messages(1)
        raise AssertionError("an entity that is not there")
    except ServiceBusError as refused:
        return type(refused).__name__


def main() -> int:
    failed = 0
    for run in OPERATIONS:
        begun = time.monotonic()
        with ServiceBusClient.from_connection_string(sys.argv[1], retry_total=0, socket_timeout=10) as client:
            try:
                told, word = run(client) or "", "ok    "
            except Exception as error:  # noqa: BLE001, each operation stands for itself
                told, word = f"{type(error).__name__}: {error}", "FAILED"
                failed += 1
                empty(client)
        print(f"{word} python {run.__name__:40} {time.monotonic() - begun:5.1f} s  {told}", flush=True)
    return 1 if failed else 0


sys.exit(main())
