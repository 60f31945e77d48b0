"""The Celery application of celery_scenario.py: its configuration and the tasks that its workers run.

The environment names the broker (SCENARIO_BROKER). Transport is AMQP with py-amqp, results come back by rpc://.
"""

import itertools
import os
import time

from celery import Celery
from kombu import Queue

app = Celery("celery_tasks", broker=os.environ["SCENARIO_BROKER"], backend="rpc://")
app.conf.update(
    broker_connection_timeout=10,
    broker_transport_options={"confirm_publish": True},
    event_queue_ttl=5,
    event_queue_expires=20,
    result_expires=60,
    task_default_queue="celery.plain",
    task_queues=(
        Queue("celery.plain"),
        Queue("celery.crash"),
        Queue("celery.priority", max_priority=9),
    ),
    worker_prefetch_multiplier=1,
)

finished = itertools.count()


@app.task
def add(x, y):
    return x + y


@app.task
def now():
    """Returns the time of its run, in seconds since 1970."""
    return time.time()


@app.task
def hold(path):
    """Runs until the file path is there, for at most 20 seconds."""
    deadline = time.monotonic() + 20
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise TimeoutError(path)
        time.sleep(0.02)


@app.task(bind=True, max_retries=3)
def stubborn(self):
    """Fails three times; returns how often it was retried."""
    if self.request.retries < 3:
        raise self.retry(countdown=0.3)
    return self.request.retries


@app.task(bind=True, acks_late=True)
def crash(self, path):
    """Makes the file path and hangs, unless it is delivered again: then it returns whether its message says so."""
    if os.path.exists(path):
        return self.request.delivery_info["redelivered"]
    with open(path, "x", encoding="ascii"):
        time.sleep(60)
    return None


@app.task
def position():
    """Returns how many calls of it this worker process has finished before."""
    return next(finished)
