// Speaks to a broker with amqplib as an application would, and fails when an answer is not the expected one.
//
//     node amqplib_scenario.js amqp://guest:guest@127.0.0.1:5672/ [SCENARIO TO LEAVE OUT]...
//
// Each scenario has a connection and queues of its own, all gone at the end. RabbitMQ passes all of them. amqplib has no
// transactions.
"use strict";

const assert = require("node:assert/strict");
const { once } = require("node:events");
const amqp = require("amqplib");

const [url, ...excluded] = process.argv.slice(2);
if (!url) {
  console.error("usage: amqplib_scenario.js AMQP_URL");
  process.exit(64);
}

const patience = 10000;

// within fails when promise takes too long, so that a lost answer does not hang the script.
function within(promise, what) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing after ${patience} ms`)), patience);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

// collect consumes until count messages are there.
async function collect(channel, queue, count, options) {
  const got = [];
  let enough;
  const full = new Promise((resolve) => (enough = resolve));
  const { consumerTag } = await channel.consume(
    queue,
    (message) => {
      got.push(message);
      if (got.length >= count) enough();
    },
    options,
  );
  if (count > 0) await within(full, `${count} messages from ${queue}`);
  return { got, consumerTag };
}

const text = (message) => message.content.toString();

// refused runs attempt on a channel of its own, which the broker must close with code.
async function refused(connection, code, pattern, attempt) {
  const channel = await connection.createChannel();
  const closed = once(channel, "error");
  await assert.rejects(attempt(channel));
  const [error] = await within(closed, "channel error");
  assert.equal(error.code, code);
  assert.match(error.message, pattern);
}

const scenarios = {
  async declare(connection) {
    const channel = await connection.createChannel();
    const ok = await channel.assertQueue("js.declare", { durable: true, maxLength: 100 });
    assert.deepEqual({ ...ok }, { queue: "js.declare", messageCount: 0, consumerCount: 0 });
    const { queue: first } = await channel.assertQueue("", { exclusive: true });
    const { queue: second } = await channel.assertQueue("", { exclusive: true });
    assert.match(first, /^amq\.gen-/);
    assert.notEqual(first, second);

    await channel.assertExchange("js.fan", "fanout", { durable: true });
    await channel.assertExchange("js.head", "headers", { durable: true });
    await channel.bindQueue("js.declare", "js.fan", "");
    await channel.bindExchange("js.fan", "js.head", "", { "x-match": "any", color: "red", size: 3 });
    channel.publish("js.head", "k", Buffer.from("red"), { headers: { color: "red" } });
    channel.publish("js.head", "k", Buffer.from("blue"), { headers: { color: "blue" } });
    channel.publish("js.head", "k", Buffer.from("three"), { headers: { size: 3 } });
    const { got } = await collect(channel, "js.declare", 2, { noAck: true });
    assert.deepEqual(got.map(text), ["red", "three"]);
    assert.deepEqual([got[0].fields.exchange, got[0].fields.routingKey], ["js.head", "k"]);

    await refused(connection, 406, /inequivalent arg 'durable' for queue 'js\.declare' in vhost '\/'/, (c) =>
      c.assertQueue("js.declare", { durable: false }),
    );
    await refused(connection, 404, /no queue 'js\.absent' in vhost '\/'/, (c) => c.checkQueue("js.absent"));
    await refused(connection, 404, /no exchange 'js\.absent' in vhost '\/'/, (c) => c.checkExchange("js.absent"));
    await refused(connection, 406, /in use/, (c) => c.deleteQueue("js.declare", { ifUnused: true }));
    await channel.deleteQueue("js.declare");
    await channel.deleteExchange("js.fan");
    await channel.deleteExchange("js.head");
  },

  async properties(connection) {
    const channel = await connection.createChannel();
    const { queue } = await channel.assertQueue("", { exclusive: true });
    const options = {
      contentType: "text/plain",
      contentEncoding: "utf-8",
      headers: { text: "äöü", whole: -5, large: 2 ** 40, real: 1.5, flag: true, list: [1, "two"], table: { inner: {} } },
      persistent: true,
      priority: 7,
      correlationId: "c",
      replyTo: "r",
      expiration: "60000",
      messageId: "m",
      timestamp: 1700000000,
      type: "t",
      userId: "guest",
      appId: "a",
    };
    for (const body of [Buffer.alloc(0), Buffer.from("x"), Buffer.alloc(1 << 20, "0123456789")]) {
      channel.sendToQueue(queue, body, options);
      const { got, consumerTag } = await collect(channel, queue, 1, { noAck: true });
      assert.ok(got[0].content.equals(body));
      const { properties } = got[0];
      for (const [key, value] of Object.entries(options)) {
        if (key === "persistent") assert.equal(properties.deliveryMode, 2);
        else assert.deepEqual(JSON.parse(JSON.stringify(properties[key])), value, key);
      }
      await channel.cancel(consumerTag);
    }
  },

  async confirm(connection) {
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue("js.confirm", { durable: true });
    let answered = 0;
    for (let i = 0; i < 200; i++) {
      channel.sendToQueue("js.confirm", Buffer.from(`${i}`), { persistent: true }, (error) => {
        assert.equal(error, null);
        answered++;
      });
    }
    await within(channel.waitForConfirms(), "confirms");
    assert.equal(answered, 200);
    assert.equal((await channel.checkQueue("js.confirm")).messageCount, 200);

    const returned = once(channel, "return");
    channel.sendToQueue("js.absent", Buffer.from("lost"), { mandatory: true });
    const [message] = await within(returned, "basic.return");
    assert.deepEqual([message.fields.replyCode, message.fields.replyText, text(message)], [312, "NO_ROUTE", "lost"]);
    await within(channel.waitForConfirms(), "confirm of an unroutable message");
    assert.equal((await channel.purgeQueue("js.confirm")).messageCount, 200);
    await channel.deleteQueue("js.confirm");
  },

  async limit(connection) {
    const channel = await connection.createConfirmChannel();
    const { queue } = await channel.assertQueue("", {
      exclusive: true,
      maxLength: 1,
      arguments: { "x-overflow": "reject-publish" },
    });
    channel.sendToQueue(queue, Buffer.from("1"));
    channel.sendToQueue(queue, Buffer.from("2"));
    await assert.rejects(within(channel.waitForConfirms(), "nack"), /nacked/);
  },

  async prefetch(connection) {
    const channel = await connection.createChannel();
    const { queue } = await channel.assertQueue("", { exclusive: true });
    for (let i = 0; i < 25; i++) channel.sendToQueue(queue, Buffer.from(`${i}`));
    await channel.prefetch(10);
    const { got, consumerTag } = await collect(channel, queue, 10);
    // The answer to a declare comes after anything that was delivered in excess.
    assert.equal((await channel.checkQueue(queue)).messageCount, 15);
    assert.equal(got.length, 10);
    channel.ack(got[4], true);
    const deadline = Date.now() + patience;
    while (got.length < 15) {
      assert.ok(Date.now() < deadline, "five more after five acknowledgements");
      await channel.checkQueue(queue);
    }
    assert.deepEqual(
      got.map(text),
      Array.from({ length: 15 }, (_, i) => `${i}`),
    );
    await channel.cancel(consumerTag);
    channel.ackAll();
    assert.equal((await channel.checkQueue(queue)).messageCount, 10);
  },

  async requeue(connection) {
    const channel = await connection.createChannel();
    const { queue } = await channel.assertQueue("", { exclusive: true });
    for (const body of ["a", "b", "c"]) channel.sendToQueue(queue, Buffer.from(body));
    const first = await channel.get(queue);
    assert.deepEqual([text(first), first.fields.redelivered, first.fields.messageCount], ["a", false, 2]);
    channel.reject(first, true);
    const again = await channel.get(queue);
    assert.deepEqual([text(again), again.fields.redelivered], ["a", true]);
    channel.nack(again, false, false);
    const second = await channel.get(queue);
    assert.deepEqual([text(second), second.fields.redelivered], ["b", false]);
    await channel.get(queue);
    channel.nackAll(true);
    for (const body of ["b", "c"]) {
      const message = await channel.get(queue, { noAck: true });
      assert.deepEqual([text(message), message.fields.redelivered], [body, true]);
    }
    assert.equal(await channel.get(queue), false);

    const other = await connection.createChannel();
    other.sendToQueue(queue, Buffer.from("left"));
    assert.equal(text(await other.get(queue)), "left");
    await other.close();
    const left = await channel.get(queue, { noAck: true });
    assert.deepEqual([text(left), left.fields.redelivered], ["left", true]);

    const closed = once(channel, "error");
    channel.ack({ fields: { deliveryTag: 4711 } });
    const [error] = await within(closed, "channel error");
    assert.equal(error.code, 406);
    assert.match(error.message, /unknown delivery tag 4711/);
  },

  async cancel(connection) {
    const channel = await connection.createChannel();
    const { queue } = await channel.assertQueue("js.cancel", { durable: false });
    const cancelled = new Promise((resolve) => {
      channel.consume(queue, (message) => message === null && resolve());
    });
    const other = await connection.createChannel();
    await other.deleteQueue(queue);
    await within(cancelled, "basic.cancel");
    await channel.assertQueue("", { exclusive: true }); // the channel is still usable
  },

  async rpc(connection) {
    const server = await connection.createChannel();
    const { queue } = await server.assertQueue("", { exclusive: true });
    await server.consume(
      queue,
      ({ content, properties }) =>
        server.sendToQueue(properties.replyTo, Buffer.from(`${content} indeed`), { correlationId: properties.correlationId }),
      { noAck: true },
    );
    const client = await connection.createChannel();
    const answer = new Promise((resolve) => {
      client.consume("amq.rabbitmq.reply-to", resolve, { noAck: true });
    });
    client.sendToQueue(queue, Buffer.from("well"), { replyTo: "amq.rabbitmq.reply-to", correlationId: "7" });
    const message = await within(answer, "answer");
    assert.deepEqual([text(message), message.properties.correlationId], ["well indeed", "7"]);
  },
};

(async () => {
  for (const name of excluded) {
    assert.ok(name in scenarios, `no scenario ${name}`);
    delete scenarios[name];
  }
  let failed = 0;
  for (const [name, scenario] of Object.entries(scenarios)) {
    const connection = await within(amqp.connect(url), "connect");
    connection.on("error", (error) => console.error(`${name}: connection: ${error.message}`));
    try {
      await scenario(connection);
      console.log(`${name}: ok`);
    } catch (error) {
      console.error(error);
      console.log(`${name}: FAILED`);
      failed++;
    }
    await connection.close().catch(() => {}); // the broker may have closed it
  }
  process.exit(failed ? 1 : 0);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
