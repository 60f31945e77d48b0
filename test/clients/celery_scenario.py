#!/usr/bin/env python3
"""Runs workers of Celery against a broker and fails when they do not do what they do with RabbitMQ.

    celery_scenario.py amqp://guest:guest@127.0.0.1:5672/

The functions scenario_* run in order with the same workers: "main", which has up to four processes, and
"lone", which has one and is killed once. They are done within a minute. RabbitMQ passes all of them.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback

if len(sys.argv) != 2:
    sys.exit(__doc__)
os.environ["SCENARIO_BROKER"] = sys.argv[1]
sys.dont_write_bytecode = True

from amqp.exceptions import NotFound  # noqa: E402
from celery import group  # noqa: E402
from kombu import Exchange, Queue  # noqa: E402

import celery_tasks as tasks  # noqa: E402
from celery_tasks import app  # noqa: E402

PATIENCE = 20  # seconds for what must happen soon, on a machine that may be busy with other things
MAIN, LONE = "main@scenario", "lone@scenario"
PROCESSES = 4  # of the main worker at most; with a multiplier of 1 also its prefetch count at first
PR_SET_PDEATHSIG = 1

prctl = ctypes.CDLL(None, use_errno=True).prctl


def expect(holds, what):
    if not holds:
        raise AssertionError(what)


def eventually(what, attempt):
    """Calls attempt until it returns something true, and returns that."""
    deadline = time.monotonic() + PATIENCE
    while True:
        got = attempt()
        if got:
            return got
        if time.monotonic() > deadline:
            raise AssertionError(f"not after {PATIENCE} s: {what}")
        time.sleep(0.05)


class Processes:
    """The commands of celery that run now. Each has a process group of its own, and a file for what it writes."""

    def __init__(self, directory):
        self.directory = directory
        self.running = {}

    def start(self, name, *arguments):
        # The workers end with this process, however it ends.
        with open(self.log(name), "ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "celery_tasks", *arguments],
                cwd=os.path.dirname(os.path.abspath(__file__)),
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
            )

    def worker(self, name, queues, *arguments):
        self.start(name, "worker", "-n", name, "-Q", queues, "-E", "-l", "info", *arguments)

    def log(self, name):
        return os.path.join(self.directory, name + ".log")

    def output(self, name):
        with open(self.log(name), encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait(self, name):
        """Returns the exit status of a process that ends by itself."""
        status = self.running[name].wait(PATIENCE)
        del self.running[name]
        return status

    def kill(self, name):
        process = self.running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answer(name, command, *arguments, **keywords):
    """Asks one worker until it answers."""

    def ask():
        inspect = app.control.inspect(destination=[name], timeout=2, limit=1)
        return getattr(inspect, command)(*arguments, **keywords)

    return eventually(f"{name} answers {command}", ask)[name]


def order(name, command, *arguments, **keywords):
    """Gives one worker a command of remote control that must go well."""
    replies = getattr(app.control, command)(
        *arguments, **keywords, destination=[name], reply=True, timeout=PATIENCE, limit=1
    )
    expect(len(replies) == 1 and "ok" in replies[0][name], f"{command}: {replies}")


def up(name):
    eventually(f"{name} is up", lambda: app.control.ping(destination=[name], timeout=0.5, limit=1))


def ready(queue):
    """Returns how many messages of a queue no worker has."""
    with app.connection_for_read() as connection:
        return connection.default_channel.queue_declare(queue, passive=True).message_count


def processes_of(name):
    return answer(name, "stats")["pool"]["processes"]


def consumes(name, queue):
    return queue in [q["name"] for q in answer(name, "active_queues")]


def scenario_plain(_):
    results = group(tasks.add.s(i, i) for i in range(200))()
    expect(results.get(timeout=PATIENCE) == [2 * i for i in range(200)], "sums of 200 tasks")


def scenario_autoscale(processes):
    path = os.path.join(processes.directory, "release")
    held = [tasks.hold.delay(path) for _ in range(PROCESSES)]
    ids = {result.id for result in held}
    eventually(
        f"{PROCESSES} tasks run at the same time",
        lambda: {task["id"] for task in answer(MAIN, "active") if task["worker_pid"]} == ids,
    )
    with open(path, "x", encoding="ascii"):
        pass
    for result in held:
        result.get(timeout=PATIENCE)


def scenario_countdown(_):
    """Tasks for later stay with the worker, which has to raise its prefetch count to see what comes behind them."""
    count = 5 * PROCESSES
    begin = time.time()
    late = [tasks.now.apply_async(countdown=6) for _ in range(count)]
    ids = {result.id for result in late}
    eventually(
        "the worker has all tasks that are for later",
        lambda: {task["request"]["id"] for task in answer(MAIN, "scheduled")} == ids,
    )
    expect(time.time() - begin < 6, "the worker did not get the tasks before they were due")
    raised = answer(MAIN, "stats")["prefetch_count"]
    expect(raised > count, f"prefetch count {raised} with {count} tasks that wait")
    expect(tasks.add.delay(1, 2).get(timeout=PATIENCE) == 3, "a task behind them")
    times = [result.get(timeout=PATIENCE) for result in late]
    expect(min(times) >= begin + 6, f"a task ran {min(times) - begin} s after it was sent")
    eventually("the prefetch count is low again", lambda: answer(MAIN, "stats")["prefetch_count"] < raised)


def scenario_retry(_):
    expect(tasks.stubborn.delay().get(timeout=PATIENCE) == 3, "number of retries")


def scenario_rate_limit(_):
    order(MAIN, "rate_limit", "celery_tasks.now", "5/s")
    times = group(tasks.now.s() for _ in range(6))().get(timeout=PATIENCE)
    expect(max(times) - min(times) > 0.8, f"6 tasks at 5/s took {max(times) - min(times)} s")
    order(MAIN, "rate_limit", "celery_tasks.now", "0")


def scenario_autoscale_range(_):
    order(MAIN, "autoscale", PROCESSES + 1, PROCESSES + 1)
    eventually("the pool has one process more", lambda: len(processes_of(MAIN)) == PROCESSES + 1)


def scenario_consumers(_):
    order(MAIN, "cancel_consumer", "celery.plain")
    eventually("the consumer is not listed", lambda: not consumes(MAIN, "celery.plain"))  # a worker answers first
    result = tasks.add.delay(20, 22)
    eventually("the task stays in its queue", lambda: ready("celery.plain") == 1)
    order(MAIN, "add_consumer", "celery.plain")
    expect(result.get(timeout=PATIENCE) == 42, "a task sent while nobody consumed")
    expect(consumes(MAIN, "celery.plain"), "the new consumer is not listed")


def scenario_acks_late(processes):
    """A task whose worker dies runs again."""
    path = os.path.join(processes.directory, "crash")
    processes.worker(LONE, "celery.crash", "-c", "1")
    result = tasks.crash.apply_async((path,), queue="celery.crash")
    eventually("the task runs", lambda: os.path.exists(path))
    expect(ready("celery.crash") == 0, "the message is with the worker")
    processes.kill(LONE)
    eventually("the message is back", lambda: ready("celery.crash") == 1)
    processes.worker(LONE, "celery.crash", "-c", "1")
    expect(result.get(timeout=PATIENCE) is True, "the message says that it is delivered again")


def scenario_priority(_):
    priorities = [1, 9, 0, 5, 3, 9, 7, 1, 0, 4]
    with app.connection_for_write() as connection:
        app.amqp.queues["celery.priority"].bind(connection.default_channel).declare()
    sent = [tasks.position.apply_async(queue="celery.priority", priority=p) for p in priorities]
    eventually("the tasks are in their queue", lambda: ready("celery.priority") == len(priorities))
    up(LONE)
    order(LONE, "add_consumer", "celery.priority")
    places = [result.get(timeout=PATIENCE) for result in sent]
    want = sorted(range(len(priorities)), key=lambda i: (-priorities[i], i))
    expect(sorted(range(len(places)), key=places.__getitem__) == want, f"order of {priorities}: {places}")


def scenario_pool_grow(_):
    before = answer(LONE, "stats")["prefetch_count"]
    order(LONE, "pool_grow", 2)
    eventually("the pool has two processes more", lambda: len(processes_of(LONE)) == 3)
    eventually("the prefetch count grows with it", lambda: answer(LONE, "stats")["prefetch_count"] == before + 2)
    order(LONE, "pool_shrink", 1)
    eventually("the pool has one process less", lambda: len(processes_of(LONE)) == 2)


def scenario_events(processes):
    """Events are seen by celery events, and pass by a queue that keeps them and itself for a short time only."""
    processes.start("events", "events", "--dump")
    exchange = Exchange("celeryev", type="topic")
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        brief = Queue("celeryev.brief", exchange, "#", channel=channel, durable=False, message_ttl=2, expires=3)
        brief.declare()
        result = tasks.add.delay(2, 3)
        result.get(timeout=PATIENCE)
        eventually("events are in the queue", lambda: brief.queue_declare(passive=True).message_count > 0)
        brief.unbind_from(exchange, "#")
        eventually("the events expire", lambda: brief.queue_declare(passive=True).message_count == 0)

        def seen():
            event = tasks.add.delay(3, 4)
            event.get(timeout=PATIENCE)
            return f"task succeeded: celery_tasks.add({event.id})" in processes.output("events")

        eventually("celery events writes that a task was done", seen)

        def expired():
            time.sleep(3.5)  # asking for the queue is a use of it
            with connection.channel() as probe:
                try:
                    probe.queue_declare("celeryev.brief", passive=True)
                except NotFound:
                    return True
            return False

        eventually("the unused queue expires", expired)
    process = processes.running["events"]
    process.send_signal(signal.SIGINT)
    processes.wait("events")


def scenario_shutdown(processes):
    for name in (MAIN, LONE):
        app.control.shutdown(destination=[name])
    for name in (MAIN, LONE):
        expect(processes.wait(name) == 0, f"exit status of {name}")
    for queue in ("celery.plain", "celery.crash", "celery.priority"):
        expect(ready(queue) == 0, f"messages left in {queue}")


def main():
    with tempfile.TemporaryDirectory() as directory:
        processes = Processes(directory)
        try:
            processes.worker(MAIN, "celery.plain", f"--autoscale={PROCESSES},1")
            up(MAIN)
            for name, scenario in list(globals().items()):
                if name.startswith("scenario_"):
                    begin = time.monotonic()
                    scenario(processes)
                    print(f"{name.removeprefix('scenario_')}: ok, {time.monotonic() - begin:.1f} s", flush=True)
        except Exception:  # every failure is reported, whatever its kind
            traceback.print_exc()
            for entry in sorted(os.listdir(directory)):
                if entry.endswith(".log"):
                    print(f"-- {entry}\n{processes.output(entry.removesuffix('.log'))[-4000:]}")
            return 1
        finally:
            for name in list(processes.running):
                processes.kill(name)
    return 0


sys.exit(main())
