#!/usr/bin/env python3
"""A worker that leases jobs over the contract of a JobQueue and makes a report of each.

It needs the standard library only. TRELLIS_URL is the queue's address, TRELLIS_TOKEN_FILE holds its token.
SIGTERM lets the job under way end, and no further one begin.
"""

import json
import logging
import os
import re
import signal
import socket
import threading
import time
import urllib.error
import urllib.request

URL = os.environ["TRELLIS_URL"].rstrip("/")
TOKEN_FILE = os.environ["TRELLIS_TOKEN_FILE"]
NAME = socket.gethostname()
ERROR_BYTES = 4096

log = logging.getLogger("worker")
stopping = threading.Event()


class Lost(Exception):
    """The lease is over: what the job came to here does not count."""


class Cancelled(Exception):
    """Somebody asked for the job to be ended."""


class Wrong(Exception):
    """The payload is wrong, and would be at every further attempt."""


def seconds(text):
    """Reads a duration as the contract writes it, e.g. 1m30s or 500ms."""
    units = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
    return sum(float(n) * units[u] for n, u in re.findall(r"([0-9.]+)(h|ms|us|µs|ns|m|s)", text))


def call(path, body, timeout=30):
    """Posts body, and returns the answer. A lease that is over is Lost; anything else may be tried again."""
    with open(TOKEN_FILE, encoding="ascii") as file:  # for every call: it may be rotated
        token = file.read().strip()
    request = urllib.request.Request(
        URL + path,
        data=json.dumps(body).encode(),
        headers={"Authorization": "Bearer " + token, "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return json.loads(response.read() or b"null")
    except urllib.error.HTTPError as error:
        if error.code in (404, 409):
            raise Lost(error.read(ERROR_BYTES).decode(errors="replace")) from error
        raise


class Heartbeats(threading.Thread):
    """Keeps a lease until it is stopped, carries progress, and notes when the job is to end."""

    def __init__(self, lease):
        super().__init__(daemon=True)
        self.lease = lease
        self.every = seconds(lease["heartbeatEvery"])
        self.progress = None
        self.ended = None
        self.done = threading.Event()
        # A lease lasts three heartbeats. Our own clock is enough, however the queue's is set.
        self.expires = time.monotonic() + 3 * self.every
        self.deadline = time.monotonic() + seconds(lease["job"]["timeout"])

    def run(self):
        while not self.done.wait(self.every):
            self.beat()

    def beat(self):
        progress, self.progress = self.progress, None
        body = {"token": self.lease["token"]}
        if progress:
            body["progress"] = progress
        sent = time.monotonic()
        try:
            reply = call(f"/v1/jobs/{self.lease['job']['id']}:heartbeat", body, timeout=self.every)
            self.expires = sent + 3 * self.every
            if reply["cancelled"]:
                self.ended = Cancelled("the job is cancelled")
        except Lost as error:
            self.ended = error
        except OSError as error:
            log.warning("a heartbeat failed: %s", error)
            self.progress = self.progress or progress

    def check(self):
        """Raises when the job is to end; a job calls it between its steps."""
        now = time.monotonic()
        if self.ended:
            raise self.ended
        if now > self.expires:
            raise Lost("no heartbeat came through")
        if now > self.deadline:
            raise TimeoutError("the job's timeout is over")

    def say(self, percent, message):
        self.progress = {"percent": percent, "message": message}
        self.check()


def report(payload, say):
    """Makes the report. It may run more than once for a job: it changes nothing but its result."""
    try:
        title, rows = payload["title"], [float(row) for row in payload["rows"]]
    except (KeyError, TypeError, ValueError) as error:
        raise Wrong(f"the payload is not an order: {error!r}") from error
    total = 0.0
    for i, row in enumerate(rows, start=1):
        total += row
        say(100 * i / len(rows), f"row {i} of {len(rows)}")
    return {"title": title, "rows": len(rows), "sum": total}


def run(lease):
    """Runs one job, and returns how the queue is told: the verb and the body."""
    token = {"token": lease["token"]}
    beats = Heartbeats(lease)
    beats.start()
    try:
        result = report(lease.get("payload"), beats.say)
        beats.check()
        return beats.expires, "complete", token | {"value": result}
    except Lost:
        raise
    except Cancelled as error:
        reason, permanent = "cancelled", False
        said = error
    except TimeoutError as error:
        reason, permanent = "timeout", False
        said = error
    except Wrong as error:
        reason, permanent = "error", True
        said = error
    except Exception as error:  # a fault of ours is a failure of the job, not the end of the worker
        log.exception("job %s failed", lease["job"]["id"])
        reason, permanent = "error", False
        said = error
    finally:
        beats.done.set()
        beats.join()
    text = (str(said) or repr(said))[:ERROR_BYTES // 4]
    return beats.expires, "fail", token | {"error": text, "reason": reason, "permanent": permanent}


def tell(lease, expires, verb, body):
    """Tells the queue what a job came to, again and again until the lease is over."""
    while True:
        try:
            call(f"/v1/jobs/{lease['job']['id']}:{verb}", body)
            log.info("job %s: %s", lease["job"]["id"], verb)
            return
        except OSError as error:
            if time.monotonic() > expires:
                raise Lost(str(error)) from error
            log.warning("the queue can not be told: %s", error)
            time.sleep(0.5)


def work():
    while not stopping.is_set():
        try:
            leases = call("/v1/jobs:lease", {"worker": NAME, "max": 1, "wait": "5s"}, timeout=15)["leases"]
        except (OSError, Lost) as error:
            log.warning("the queue hands out no jobs: %s", error)
            stopping.wait(1)
            continue
        for lease in leases:
            try:
                tell(lease, *run(lease))
            except Lost as error:
                log.warning("job %s is lost, what it came to is dropped: %s", lease["job"]["id"], error)
        if not leases:
            stopping.wait(0.1)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    signal.signal(signal.SIGINT, lambda *_: stopping.set())
    work()
