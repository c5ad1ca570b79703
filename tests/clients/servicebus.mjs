// Microsoft's JavaScript client against a broker: `node servicebus.mjs CONNECTION_STRING`.
//
// The broker is `examples/amqp_broker.rs`: topic `events` with subscriptions by the property `kind`, queue `jobs`, locks
// of two seconds, a duplicate window. One line per operation; exits with 1 when one of them fails.

import { randomUUID } from "node:crypto";
import { ServiceBusClient } from "@azure/service-bus";
import assert from "node:assert/strict";

const [TOPIC, SUBSCRIPTION, OTHER, QUEUE] = ["events", "incidents", "feedback", "jobs"];
const PATIENCE_MS = 30_000;
const PROPERTIES = { kind: "AlertTriggered", int: 3, ratio: 0.5, flag: true, when: new Date("2026-11-21T10:00:00Z") };

const connect = () => new ServiceBusClient(process.argv[2], { retryOptions: { maxRetries: 0, timeoutInMs: 10_000 } });

const message = (body = {}, more = {}) => ({
  body,
  messageId: randomUUID(),
  applicationProperties: { kind: "AlertTriggered" },
  ...more,
});

async function send(client, to, ...messages) {
  const sender = client.createSender(to);
  await sender.sendMessages(messages);
  await sender.close();
}

async function one(receiver) {
  const [received] = await receiver.receiveMessages(1, { maxWaitTimeInMs: 5_000 });
  assert(received, "nothing was received");
  return received;
}

async function left(client, subscription, subQueueType) {
  const options = { subQueueType };
  const receiver = subscription
    ? client.createReceiver(TOPIC, subscription, options)
    : client.createReceiver(QUEUE, options);
  const peeked = await receiver.peekMessages(100);
  await receiver.close();
  return peeked.map((m) => m.body);
}

// With a client of its own: one that has peeked goes on from there.
async function empty() {
  const client = connect();
  for (const at of [[QUEUE], [TOPIC, SUBSCRIPTION], [TOPIC, OTHER]]) {
    for (const subQueueType of [undefined, "deadLetter"]) {
      const waiting = await left(client, at[1], subQueueType);
      if (!waiting.length) continue;
      const receiver = client.createReceiver(...at, { subQueueType, receiveMode: "receiveAndDelete" });
      await receiver.receiveMessages(100, { maxWaitTimeInMs: 3_000 });
      await receiver.close();
    }
  }
  await client.close();
}

const OPERATIONS = {
  async send_receive_complete(client) {
    const sent = message({ a: 1 }, { subject: "s", correlationId: "c", contentType: "application/json", applicationProperties: PROPERTIES });
    await send(client, QUEUE, sent);
    const receiver = client.createReceiver(QUEUE);
    const got = await one(receiver);
    assert.deepEqual([got.messageId, got.subject, got.correlationId, got.body], [sent.messageId, "s", "c", { a: 1 }]);
    // This client writes a date as a timestamp and reads that as a number.
    assert.deepEqual({ ...got.applicationProperties }, { ...PROPERTIES, when: PROPERTIES.when.getTime() });
    assert(got.lockToken && got.sequenceNumber && got.enqueuedTimeUtc && got.deliveryCount === 0);
    await receiver.completeMessage(got);
    assert.deepEqual(await left(client), []);
    return `sequence ${got.sequenceNumber}, types as sent`;
  },
  async bodies_of_any_section(client) {
    const sender = client.createSender(QUEUE);
    const bodies = [["value", { n: [1, "x"] }], ["sequence", [[1, 2]]], ["data", Buffer.from([0, 255])]];
    for (const [bodyType, body] of bodies) await sender.sendMessages({ bodyType, body, messageId: randomUUID() });
    const receiver = client.createReceiver(QUEUE, { receiveMode: "receiveAndDelete" });
    for (const [bodyType, body] of bodies) {
      const got = await one(receiver);
      assert.equal(got._rawAmqpMessage.bodyType, bodyType);
      assert.deepEqual(got.body, body);
    }
  },
  async send_batch(client) {
    const sender = client.createSender(QUEUE);
    const batch = await sender.createMessageBatch();
    for (let n = 0; n < 50; n++) assert(batch.tryAddMessage(message(n)));
    await sender.sendMessages(batch);
    const receiver = client.createReceiver(QUEUE, { receiveMode: "receiveAndDelete" });
    const got = [];
    while (got.length < 50) got.push(...(await receiver.receiveMessages(50, { maxWaitTimeInMs: 2_000 })).map((m) => m.body));
    assert.deepEqual(got, [...Array(50).keys()]);
    return `50 in order, at most ${batch.maxSizeInBytes} bytes`;
  },
  async abandon(client) {
    await send(client, QUEUE, message());
    const receiver = client.createReceiver(QUEUE);
    const first = await one(receiver);
    await receiver.abandonMessage(first, { tries: 1 });
    const again = await one(receiver);
    await receiver.completeMessage(again);
    assert.deepEqual([first.deliveryCount, again.deliveryCount, again.applicationProperties.tries], [0, 1, 1]);
  },
  async dead_letter_peek_and_replay(client) {
    const sent = message("bad");
    await send(client, QUEUE, sent);
    const receiver = client.createReceiver(QUEUE);
    const why = { deadLetterReason: "SchemaInvalid", deadLetterErrorDescription: "field x", seen: "here" };
    await receiver.deadLetterMessage(await one(receiver), why);
    const dead = client.createReceiver(QUEUE, { subQueueType: "deadLetter" });
    const [peeked] = await dead.peekMessages(1);
    assert.deepEqual([peeked.deadLetterReason, peeked.deadLetterErrorDescription], ["SchemaInvalid", "field x"]);
    const grave = await one(dead);
    assert.deepEqual([grave.deadLetterSource, grave.applicationProperties.seen], [QUEUE, "here"]);
    await send(client, QUEUE, message(grave.body, { messageId: `${grave.messageId}:r1` }));
    await dead.completeMessage(grave);
    const again = await one(receiver);
    assert.equal(again.messageId, `${sent.messageId}:r1`);
    await receiver.completeMessage(again);
    assert.deepEqual(await left(client, undefined, "deadLetter"), []);
  },
  async schedule_and_cancel(client) {
    const sender = client.createSender(QUEUE);
    const soon = new Date(Date.now() + 1_500);
    const numbers = await sender.scheduleMessages([message("a"), message("b")], soon);
    await sender.cancelScheduledMessages(numbers[0]);
    await sender.sendMessages(message("c", { scheduledEnqueueTimeUtc: soon }));
    const receiver = client.createReceiver(QUEUE, { receiveMode: "receiveAndDelete" });
    assert.equal((await receiver.receiveMessages(1, { maxWaitTimeInMs: 300 })).length, 0, "before its time");
    const got = [await one(receiver), await one(receiver)].map((m) => m.body);
    assert.deepEqual(got.sort(), ["b", "c"]);
    return `numbers ${numbers}`;
  },
  async defer_and_receive_deferred(client) {
    await send(client, QUEUE, message("later"));
    const receiver = client.createReceiver(QUEUE);
    const first = await one(receiver);
    await receiver.deferMessage(first);
    assert.equal((await receiver.peekMessages(1))[0].state, "deferred");
    const [again] = await receiver.receiveDeferredMessages([first.sequenceNumber]);
    await receiver.completeMessage(again);
    assert.equal(again.body, "later");
    assert.deepEqual(await left(client), []);
  },
  async renew_lock(client) {
    await send(client, QUEUE, message());
    const receiver = client.createReceiver(QUEUE, { maxAutoLockRenewalDurationInMs: 0 });
    const got = await one(receiver);
    assert((await receiver.renewMessageLock(got)) >= got.lockedUntilUtc);
    await receiver.completeMessage(got);
  },
  async lock_lost(client) {
    await send(client, QUEUE, message());
    const receiver = client.createReceiver(QUEUE, { maxAutoLockRenewalDurationInMs: 0 });
    const first = await one(receiver);
    const again = await one(receiver);
    await assert.rejects(receiver.completeMessage(first), (error) => error.code === "MessageLockLost");
    await receiver.completeMessage(again);
    assert.equal(again.deliveryCount, 1);
  },
  async subscribe(client) {
    const receiver = client.createReceiver(QUEUE);
    const got = [];
    const done = new Promise((resolve, reject) => {
      const processMessage = async (m) => got.push(m.body) === 3 && resolve();
      receiver.subscribe({ processMessage, processError: async ({ error }) => reject(error) });
    });
    await send(client, QUEUE, message(1), message(2), message(3));
    await done;
    await receiver.close();
    assert.deepEqual(await left(client), []);
  },
  async duplicate_detection(client) {
    const same = message("once");
    await send(client, QUEUE, same);
    await send(client, QUEUE, same);
    assert.deepEqual(await left(client), ["once"]);
  },
  async size_limit(client) {
    const refused = (error) => error.code === "MessageSizeExceeded";
    await assert.rejects(client.createSender(QUEUE).sendMessages(message("x".repeat(2 << 20))), refused);
    assert.deepEqual(await left(client), []);
  },
  async rules_that_the_client_makes(client) {
    const rules = client.createRuleManager(TOPIC, OTHER);
    const names = async () => {
      const found = [];
      for await (const rule of rules.listRules()) found.push(rule.name);
      return found;
    };
    assert.deepEqual(await names(), ["$Default"]);
    await rules.deleteRule("$Default");
    await rules.createRule("paid", { sqlExpression: "total >= 10 AND sys.Label LIKE 'order.%' AND NOT EXISTS(test)" });
    await rules.createRule("mine", { subject: "page", applicationProperties: { tenant: "acme" } });
    await assert.rejects(rules.createRule("paid", { sqlExpression: "1=1" }), (e) => e.code === "MessagingEntityAlreadyExists");
    await assert.rejects(rules.createRule("none", { sqlExpression: "total >=" }));
    const sent = (body, subject, applicationProperties) => message(body, { subject, applicationProperties });
    await send(client, TOPIC,
      sent("yes", "order.created", { total: 10 }), sent("cheap", "order.created", { total: 9 }),
      sent("tried", "order.created", { total: 99, test: true }), sent("label", "invoice", { total: 99 }),
      sent("page", "page", { tenant: "acme" }), sent("theirs", "page", { tenant: "globex" }),
      sent("deployed", "", { kind: "AlertTriggered" }));
    assert.deepEqual(await left(client, OTHER), ["yes", "page"]);
    const listed = [];
    for await (const rule of rules.listRules()) listed.push(rule);
    assert.deepEqual(listed.map((r) => r.name), ["paid", "mine"]);
    assert.equal(listed[1].filter.subject, "page");
    assert.equal(listed[1].filter.applicationProperties.tenant, "acme");
    for (const name of await names()) await rules.deleteRule(name);
    await rules.createRule("$Default", { sqlExpression: "kind IN ('AlertTriggered', 'TraceRecorded')" });
  },
  async subscriptions_take_what_their_rules_say(client) {
    const kind = (kind) => message(kind, { applicationProperties: { kind } });
    await send(client, TOPIC, kind("AlertTriggered"), kind("TraceRecorded"), kind("Other"));
    assert.deepEqual(await left(client, SUBSCRIPTION), ["AlertTriggered"]);
    assert.deepEqual(await left(client, OTHER), ["AlertTriggered", "TraceRecorded"]);
  },
  async unknown_entity(client) {
    const refused = (error) => error.code === "MessagingEntityNotFound";
    await assert.rejects(client.createSender("nowhere").sendMessages(message()), refused);
  },
};

function patiently(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took more than ${PATIENCE_MS} ms`)), PATIENCE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

let failed = 0;
for (const [name, run] of Object.entries(OPERATIONS)) {
  const begun = performance.now();
  const client = connect();
  let [word, told] = ["ok    ", ""];
  try {
    told = (await patiently(run(client))) ?? "";
  } catch (error) {
    failed += 1;
    [word, told] = ["FAILED", `${error.code ?? error.name}: ${error.message}`];
  }
  await patiently(empty());
  await patiently(client.close());
  console.log(`${word} javascript ${name.padEnd(36)} ${((performance.now() - begun) / 1000).toFixed(1).padStart(5)} s  ${told}`);
}
process.exit(failed ? 1 : 0);
