"""An object store on this machine for `tests/lake`: moto's S3, over HTTP, which can be told to do something first."""

import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import boto3
import fsspec
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET = "lake"
THERE = ("--filesystem", "s3", "--allowed", "s3://lake/allowed", "--denied", "s3://lake/denied")
REPORT = ("--report", "s3://lake/report.json")
Objects = Callable[[], dict[str, bytes]]
# What is asked: PUT or GET, and the path with its query. The answer is a status, or None: the store's own.
Before = Callable[[str, str], int | None]
_DENIED = b"<Error><Code>%s</Code><Message>key-of-nobody</Message></Error>"
LOST = 500  # it is done, and nobody hears of it
_CODES = {403: b"AccessDenied", LOST: b"InternalError"}


class _Quiet(WSGIRequestHandler):
    def log(self, *_given: Any) -> None:
        pass


class Store:
    """The store's address, what it was asked, and what happens `before` it answers."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.before: Before = lambda _method, _path: None
        self._app = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        query = environ.get("QUERY_STRING", "")
        asked = (environ["REQUEST_METHOD"], environ["PATH_INFO"] + (f"?{query}" if query else ""))
        self.asked.append(asked)
        status = self.before(*asked)
        if status is None:
            return self._app(environ, start)
        if status == LOST:
            list(self._app(environ, lambda *_given: None))
        else:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start(f"{status} No", [("Content-Type", "application/xml")])
        return [] if asked[0] == "HEAD" else [_DENIED % _CODES[status]]


@contextlib.contextmanager
def serving() -> Iterator[tuple[Store, str]]:
    """A store on a free port of 127.0.0.1, and its address."""
    store = Store()
    made = make_server("127.0.0.1", 0, store, threaded=True, request_handler=_Quiet)
    made.daemon_threads = True
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield store, f"http://127.0.0.1:{made.server_port}"
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


def configure(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Let s3fs use this store, as its users would tell it."""
    settings = {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "key-of-nobody",
        "AWS_DEFAULT_REGION": "eu-west-3",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_MAX_ATTEMPTS": "1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


def empty(client: Any) -> None:
    """A bucket with nothing in it, and nothing half uploaded; there is no other one."""
    for bucket in client.list_buckets()["Buckets"]:
        name = bucket["Name"]
        for each in client.list_objects_v2(Bucket=name).get("Contents", []):
            client.delete_object(Bucket=name, Key=each["Key"])
        for each in client.list_multipart_uploads(Bucket=name).get("Uploads", []):
            client.abort_multipart_upload(Bucket=name, Key=each["Key"], UploadId=each["UploadId"])
        client.delete_bucket(Bucket=name)
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-3"})


@contextlib.contextmanager
def willing(store: Store) -> Iterator[None]:
    """The store does as it is asked, whatever it was told."""
    told, store.before = store.before, lambda _method, _path: None
    try:
        yield
    finally:
        store.before = told


def once(store: Store, method: str, part: str, act: Callable[[], object]) -> None:
    """Do something just before the store answers the first such request."""
    left = [act]

    def before(asked: str, path: str) -> None:
        if left and asked == method and part in path:
            left.pop()()

    store.before = before


def files(*names: str) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for name in names for path in sorted(Path(name).rglob("*")) if path.is_file()}


def usual() -> list[str]:
    (snapshot,) = Path("snapshots").iterdir()
    return ["--snapshot", str(snapshot), "--verify-key", "key.pem"]


# --- Fixtures of tests/lake -------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def served() -> Iterator[tuple[Store, str]]:
    with serving() as served:
        yield served


@pytest.fixture(scope="session")
def client(served: tuple[Store, str]) -> Any:
    """A store's client that is not the one of the filter."""
    return boto3.client(
        "s3", endpoint_url=served[1], region_name="eu-west-3", aws_access_key_id="a", aws_secret_access_key="b"
    )


@pytest.fixture
def store(served: tuple[Store, str], client: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A bucket with `records/`, which s3fs finds by its environment; `tmp/` is for what is fetched."""
    found, address = served
    found.before = lambda _method, _path: None
    client.meta.events  # noqa: B018
    configure(monkeypatch, address)
    empty(client)
    for path in Path("records").iterdir():
        client.put_object(Bucket=BUCKET, Key=f"records/{path.name}", Body=path.read_bytes())
    Path("tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "tmp"))
    monkeypatch.setenv("TMPDIR", str(folder / "tmp"))
    found.asked.clear()
    return found


@pytest.fixture
def objects(store: Store, client: Any) -> Objects:
    """What is in the bucket, whatever the store refuses: the key and the bytes of each object."""

    def found() -> dict[str, bytes]:
        with willing(store):
            listed = client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
            return {each["Key"]: client.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read() for each in listed}

    return found


@pytest.fixture
def memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Objects]:
    """fsspec's store in memory, for what is the same on each: `lake/records/`, and what is in it."""
    found = fsspec.filesystem("memory")
    found.put("records", "/lake/records", recursive=True)
    for name in ("there/x", "other.txt"):
        found.pipe_file(f"/lake/{name}", b"-")
    Path("tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "tmp"))
    yield lambda: {key: found.cat_file(key) for key in found.find("/")}
    found.rm("/lake", recursive=True)
