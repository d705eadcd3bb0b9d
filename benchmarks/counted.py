"""Answers decisions in this process, with and without counting them: python -m benchmarks.counted SECONDS PAIRS.

A step of `benchmarks.counting`; DATABASE_URL is a loaded database. The questions are read from stdin, as the module
`asked` prints them. The WSGI application is called directly, so that nothing but counting differs: not the process, its
memory, or its connection. Prints the seconds of CPU and of the clock for each side and kind of request, as JSON.
"""

import io
import json
import sys
import time
from typing import Any

from django.conf import settings

from config.wsgi import application
from consent.services import asked

BATCH = 1_000
TURN = 0.05  # seconds of CPU after which the other side has its turn
Cost = dict[str, float]


def main(seconds: float, pairs: int) -> None:
    given = json.loads(sys.stdin.read().splitlines()[-1])
    questions, key = given["questions"], given["key"]
    items = [questions[n : n + BATCH] for n in range(0, len(questions), BATCH)]
    kinds = {
        "decision": ("/api/v1/decisions/", [json.dumps(each).encode() for each in questions]),
        "batch": ("/api/v1/decisions/batch/", [json.dumps({"items": each}).encode() for each in items]),
    }
    rounds = [
        {kind: _measured(path, bodies, key, seconds) for kind, (path, bodies) in kinds.items()} for _ in range(pairs)
    ]
    print(json.dumps(rounds))


def _measured(path: str, bodies: list[bytes], key: str, seconds: float) -> dict[str, Cost]:
    """Side → CPU and clock seconds of a request, storing the counts included, once every ASKED_FLUSH_SECONDS."""
    settings.ASKED_FLUSH_SECONDS = 0  # stored below, so that it is measured where it belongs
    spent = {side: [0.0, 0.0, 0.0] for side in ("with", "without")}
    number, until = 0, time.process_time() + seconds
    while time.process_time() < until:
        for side, sums in spent.items():
            settings.COUNT_QUESTIONS = side == "with"
            begun, clock, first = time.process_time(), time.perf_counter(), number
            while time.process_time() - begun < TURN:
                _ask(path, bodies[number % len(bodies)], key)
                number += 1
            sums[0] += time.process_time() - begun
            sums[1] += time.perf_counter() - clock
            sums[2] += number - first
    stored = time.process_time(), time.perf_counter()
    asked.flush()
    # What a flush takes is spread over the requests of five seconds of a busy process, with as many counts as these.
    share = min(1.0, seconds / 2 / 5)
    spent["with"][0] += (time.process_time() - stored[0]) * share
    spent["with"][1] += (time.perf_counter() - stored[1]) * share
    return {side: {"cpu": sums[0] / sums[2], "clock": sums[1] / sums[2]} for side, sums in spent.items()}


def _ask(path: str, body: bytes, key: str) -> None:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST", "PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": "", "SERVER_NAME": "localhost",
        "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1",
        "HTTP_AUTHORIZATION": f"Bearer {key}", "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body), "wsgi.errors": sys.stderr, "wsgi.url_scheme": "http", "wsgi.version": (1, 0),
        "wsgi.multithread": True, "wsgi.multiprocess": True, "wsgi.run_once": False,
    }  # fmt: skip
    b"".join(application(environ, _started))


def _started(status: str, _headers: Any, _error: Any = None) -> Any:
    if not status.startswith("200"):
        raise RuntimeError(f"answered {status}")
    return lambda _data: None


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
