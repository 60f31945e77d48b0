#!/usr/bin/env python3
"""Speaks to a broker with pika as an application would, and fails when an answer is not the expected one.

    pika_scenario.py amqp://guest:guest@127.0.0.1:5672/ [SCENARIO TO LEAVE OUT]...

Each function below is one scenario with queues of its own, all deleted at the end. RabbitMQ passes all of them.
"""

import sys
import traceback

import pika
from pika.exceptions import ChannelClosedByBroker, NackError, UnroutableError

PERSISTENT = pika.BasicProperties(delivery_mode=2)


def expect(got, want, what):
    if got != want:
        raise AssertionError(f"{what}: got {got!r}, want {want!r}")


def take(channel, queue, **options):
    method, properties, body = channel.basic_get(queue, **options)
    if method is None:
        raise AssertionError(f"{queue} is empty")
    return method, properties, body


def scenario_declare(connection):
    channel = connection.channel()
    ok = channel.queue_declare("pika.declare", durable=True, arguments={"x-max-length": 100}).method
    expect((ok.queue, ok.message_count, ok.consumer_count), ("pika.declare", 0, 0), "declare-ok")
    expect(channel.queue_declare("pika.declare", passive=True).method.queue, "pika.declare", "passive declare")
    first = channel.queue_declare("", exclusive=True).method.queue
    second = channel.queue_declare("", exclusive=True).method.queue
    expect(first.startswith("amq.gen-") and first != second, True, "names made by the server")

    channel.exchange_declare("pika.topic", "topic", durable=True)
    channel.queue_bind("pika.declare", "pika.topic", "a.*.c")
    channel.basic_publish("pika.topic", "a.b.c", b"one", PERSISTENT)
    channel.basic_publish("pika.topic", "a.b.d", b"lost", PERSISTENT)
    expect(take(channel, "pika.declare", auto_ack=True)[2], b"one", "topic binding")
    expect(channel.basic_get("pika.declare")[0], None, "get from an empty queue")
    channel.queue_unbind("pika.declare", "pika.topic", "a.*.c")
    channel.exchange_delete("pika.topic", if_unused=True)

    for attempt, code, text in (
        (lambda c: c.queue_declare("pika.declare", durable=False), 406, "inequivalent arg 'durable'"),
        (lambda c: c.queue_declare("pika.absent", passive=True), 404, "no queue 'pika.absent' in vhost '/'"),
        (lambda c: c.exchange_declare("pika.x", "nonsense"), None, "nonsense"),
        (lambda c: c.queue_declare("amq.mine"), 403, "reserved prefix 'amq.*'"),
    ):
        # RabbitMQ before 4 closes the connection for an unknown exchange type, so each attempt has its own.
        other = pika.BlockingConnection(PARAMETERS)
        try:
            attempt(other.channel())
        except (ChannelClosedByBroker, pika.exceptions.ConnectionClosedByBroker) as error:
            if code is not None:
                expect(error.reply_code, code, text)
            expect(text in error.reply_text, True, f"{text!r} in {error.reply_text!r}")
        else:
            raise AssertionError(f"no error with {text}")
        finally:
            if other.is_open:
                other.close()
    expect(channel.queue_delete("pika.declare").method.message_count, 0, "delete-ok")


def scenario_properties(connection):
    channel = connection.channel()
    channel.queue_declare("pika.properties", exclusive=True)
    sent = pika.BasicProperties(
        content_type="text/plain",
        content_encoding="utf-8",
        headers={
            "text": "äöü",
            "whole": -5,
            "large": 2**40,
            "flag": True,
            "none": None,
            "list": [1, "two", [3]],
            "table": {"inner": {"deep": b"\x00\xff".decode("latin1")}},
        },
        delivery_mode=2,
        priority=7,
        correlation_id="c",
        reply_to="r",
        expiration="60000",
        message_id="m",
        timestamp=1700000000,
        type="t",
        user_id="guest",
        app_id="a",
        cluster_id="x",
    )
    for body in (b"", b"x", bytes(range(256)) * 4096):  # the last one takes several frames
        channel.basic_publish("", "pika.properties", body, sent)
        _, got, content = take(channel, "pika.properties", auto_ack=True)
        expect(content, body, "body")
        expect(got, sent, "properties")


def scenario_confirm(connection):
    channel = connection.channel()
    channel.queue_declare("pika.confirm", durable=True)
    channel.confirm_delivery()
    for i in range(50):
        channel.basic_publish("", "pika.confirm", b"%d" % i, PERSISTENT, mandatory=True)
    expect(channel.queue_declare("pika.confirm", passive=True).method.message_count, 50, "confirmed messages")
    try:
        channel.basic_publish("", "pika.absent", b"lost", PERSISTENT, mandatory=True)
    except UnroutableError as error:
        returned = error.messages[0]
        expect((returned.method.reply_code, returned.method.reply_text), (312, "NO_ROUTE"), "basic.return")
        expect((returned.method.routing_key, returned.body), ("pika.absent", b"lost"), "returned message")
    else:
        raise AssertionError("a mandatory message without a queue was not returned")
    expect(channel.queue_purge("pika.confirm").method.message_count, 50, "purge-ok")
    channel.queue_delete("pika.confirm")


def scenario_limit(connection):
    channel = connection.channel()
    channel.queue_declare("pika.full", exclusive=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    channel.confirm_delivery()
    channel.basic_publish("", "pika.full", b"1")
    try:
        channel.basic_publish("", "pika.full", b"2")
    except NackError:
        pass
    else:
        raise AssertionError("a full queue took a message")


def scenario_prefetch(connection):
    channel = connection.channel()
    channel.queue_declare("pika.prefetch", exclusive=True)
    for i in range(25):
        channel.basic_publish("", "pika.prefetch", b"%d" % i)
    channel.basic_qos(prefetch_count=10)
    got = []
    tag = channel.basic_consume("pika.prefetch", lambda _c, method, _p, body: got.append((method.delivery_tag, body)))
    pump(connection, lambda: len(got) >= 10)
    connection.process_data_events(time_limit=0.3)
    expect([body for _, body in got], [b"%d" % i for i in range(10)], "deliveries within the prefetch")
    channel.basic_ack(got[4][0], multiple=True)
    pump(connection, lambda: len(got) >= 15)
    connection.process_data_events(time_limit=0.3)
    expect([body for _, body in got], [b"%d" % i for i in range(15)], "five more after five acknowledgements")
    channel.basic_cancel(tag)
    channel.basic_ack(0, multiple=True)
    expect(channel.queue_declare("pika.prefetch", passive=True).method.message_count, 10, "left in the queue")


def scenario_requeue(connection):
    channel = connection.channel()
    channel.queue_declare("pika.requeue", exclusive=True)
    for body in (b"a", b"b", b"c"):
        channel.basic_publish("", "pika.requeue", body)
    first, _, body = take(channel, "pika.requeue")
    expect((body, first.redelivered, first.message_count), (b"a", False, 2), "first get")
    channel.basic_reject(first.delivery_tag, requeue=True)
    again, _, body = take(channel, "pika.requeue")
    expect((body, again.redelivered), (b"a", True), "requeued to its old place")
    channel.basic_nack(again.delivery_tag, requeue=False)
    second, _, body = take(channel, "pika.requeue")
    expect((body, second.redelivered), (b"b", False), "after the drop")
    take(channel, "pika.requeue")
    channel.basic_nack(0, multiple=True, requeue=True)
    order = [take(channel, "pika.requeue", auto_ack=True) for _ in range(2)]
    expect([(body, m.redelivered) for m, _, body in order], [(b"b", True), (b"c", True)], "order after requeue of all")

    other = connection.channel()
    other.basic_publish("", "pika.requeue", b"left")
    take(other, "pika.requeue")
    other.close()
    method, _, body = take(channel, "pika.requeue", auto_ack=True)
    expect((body, method.redelivered), (b"left", True), "requeued when its channel closed")

    try:
        channel.basic_ack(4711)
        channel.queue_declare("pika.requeue", passive=True)  # waits for an answer, and gets the error
    except ChannelClosedByBroker as error:
        expect(error.reply_code, 406, "unknown delivery tag")
        expect("unknown delivery tag 4711" in error.reply_text, True, error.reply_text)
    else:
        raise AssertionError("an unknown delivery tag was accepted")


def scenario_dead_letter(connection):
    channel = connection.channel()
    channel.queue_declare("pika.dead", exclusive=True)
    channel.queue_declare(
        "pika.alive", exclusive=True, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "pika.dead"}
    )
    channel.basic_publish("", "pika.alive", b"ill", PERSISTENT)
    method, _, _ = take(channel, "pika.alive")
    channel.basic_reject(method.delivery_tag, requeue=False)
    dead = []
    channel.basic_consume("pika.dead", lambda _c, _m, properties, body: dead.append((properties, body)), auto_ack=True)
    pump(connection, lambda: dead)
    properties, body = dead[0]
    death = properties.headers["x-death"][0]
    expect(
        (body, death["count"], death["reason"], death["queue"], death["exchange"], death["routing-keys"]),
        (b"ill", 1, "rejected", "pika.alive", "", ["pika.alive"]),
        "x-death",
    )
    expect(properties.headers["x-first-death-reason"], "rejected", "x-first-death-reason")


def scenario_transaction(connection):
    channel = connection.channel()
    channel.queue_declare("pika.tx", durable=True)
    count = lambda: connection_count(connection, "pika.tx")
    channel.tx_select()
    channel.basic_publish("", "pika.tx", b"1", PERSISTENT)
    channel.basic_publish("", "pika.tx", b"2", PERSISTENT)
    expect(count(), 0, "before the commit")
    channel.tx_commit()
    expect(count(), 2, "after the commit")
    channel.basic_publish("", "pika.tx", b"3", PERSISTENT)
    channel.tx_rollback()
    expect(count(), 2, "after the rollback")

    method, _, body = take(channel, "pika.tx")
    expect(body, b"1", "get")
    channel.basic_ack(method.delivery_tag)
    channel.tx_rollback()
    channel.basic_ack(method.delivery_tag)  # the rollback made it unacknowledged again
    channel.tx_commit()
    channel.close()
    expect(count(), 1, "after the acknowledgement is committed")
    connection.channel().queue_delete("pika.tx")


def connection_count(connection, queue):
    channel = connection.channel()
    count = channel.queue_declare(queue, passive=True).method.message_count
    channel.close()
    return count


def scenario_cancel(connection):
    channel = connection.channel()
    channel.queue_declare("pika.cancel")
    cancelled = []
    channel.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
    tag = channel.basic_consume("pika.cancel", lambda *_: None)
    connection.channel().queue_delete("pika.cancel")
    pump(connection, lambda: cancelled)
    expect(cancelled, [tag], "basic.cancel after the queue was deleted")
    channel.queue_declare("", exclusive=True)  # the channel is still usable


def scenario_exclusive(connection):
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    other = pika.BlockingConnection(PARAMETERS)
    try:
        other.channel().queue_declare(queue, passive=True)
    except ChannelClosedByBroker as error:
        expect(error.reply_code, 405, "exclusive queue of another connection")
    else:
        raise AssertionError("an exclusive queue was open to another connection")
    mine = other.channel().queue_declare("", exclusive=True).method.queue
    other.close()
    try:
        channel.queue_declare(mine, passive=True)
    except ChannelClosedByBroker as error:
        expect(error.reply_code, 404, "exclusive queue after its connection")
    else:
        raise AssertionError("an exclusive queue outlived its connection")


def pump(connection, done):
    """Handles what comes in until done holds, for at most ten seconds."""
    for _ in range(1000):
        if done():
            return
        connection.process_data_events(time_limit=0.01)
    raise AssertionError("nothing came for ten seconds")


def main():
    failed = 0
    scenarios = {n.removeprefix("scenario_"): f for n, f in globals().items() if n.startswith("scenario_")}
    for name in sys.argv[2:]:
        del scenarios[name]
    for name, scenario in scenarios.items():
        connection = pika.BlockingConnection(PARAMETERS)
        try:
            scenario(connection)
        except Exception:  # every failure is reported, whatever its kind
            traceback.print_exc()
            print(f"{name}: FAILED")
            failed += 1
        else:
            print(f"{name}: ok")
        if connection.is_open:
            connection.close()
    return 1 if failed else 0


if len(sys.argv) < 2:
    sys.exit(__doc__)
PARAMETERS = pika.URLParameters(sys.argv[1] + "%2F?blocked_connection_timeout=10&socket_timeout=10")
sys.exit(main())
