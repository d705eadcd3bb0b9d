"""The real server of `make serve`: slow, interrupted, too large and ambiguous requests block nobody, change nothing."""

import contextlib
import gzip
import json
import re
import signal
import socket
import time
from collections.abc import Iterator

import httpcore
import pytest

from tests.serving.servers import SECONDS, Server, body, received, served, status

OUT = json.dumps({"choice": "opted_out"}).encode()


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    with served() as running:
        yield running


@pytest.fixture
def server(shared: Server) -> Iterator[Server]:
    """Each test finds that nothing is chosen, and leaves it so unless it makes a server of its own."""
    assert shared.setting() == "default"
    yield shared
    assert shared.setting() == "default"
    assert shared.healthy()


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


# --- Slow ------------------------------------------------------------------------------------------------------------


def test_body__never_complete__is_408_and_nothing_is_changed(server: Server) -> None:
    answer = server.exchange(server.opting_out(f"Content-Length: {len(OUT) + 1}"), OUT)
    problem = json.loads(body(answer))
    assert (status(answer), problem["status"], problem["code"]) == (408, 408, "too_slow")
    assert b"x-request-id: " + problem["request_id"].encode() in answer.lower()


def test_body__dripped_byte_by_byte__is_408_however_lively(server: Server) -> None:
    with server.open(server.opting_out("Content-Length: 100000")) as connection:
        with contextlib.suppress(OSError):
            for _ in range(SECONDS * 40):
                connection.sendall(b" ")
                time.sleep(0.05)
        assert status(received(connection)) == 408


def test_page__body_never_complete__is_a_page_that_says_so(server: Server) -> None:
    head = b"POST /organizations/ HTTP/1.1\r\nHost: localhost\r\nAccept-Language: en\r\nContent-Length: 9\r\n\r\n"
    answer = server.exchange(head, b"a=b")
    assert status(answer) == 408
    assert b"text/html" in answer and b"The body did not arrive in time. Nothing was saved." in answer


@pytest.mark.parametrize("start", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: local"])
def test_head__never_complete__is_closed_without_an_answer(server: Server, start: bytes) -> None:
    assert server.exchange(start) == b""


def test_many_slow__bodies_and_heads__others_are_answered(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(64):
            stack.enter_context(server.open(server.opting_out("Content-Length: 100"), b"{"))
            stack.enter_context(server.open(b"GET /healthz HTTP/1.1\r\nHo"))
        assert server.healthy() and server.setting() == "default"


# --- Cut off ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framed", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("how", [socket.SHUT_WR, socket.SHUT_RDWR])
def test_body__cut_off__is_never_answered_as_if_it_were_whole(server: Server, framed: str, how: int) -> None:
    content = OUT if framed.startswith("Content") else chunked(OUT)  # what has come would be a request by itself
    with server.open(server.opting_out(framed), content) as connection:
        connection.shutdown(how)
        if how == socket.SHUT_WR:
            assert status(received(connection)) == 400


# --- Size ------------------------------------------------------------------------------------------------------------


def test_body__declared_too_large__is_413(server: Server) -> None:
    answer = server.exchange(server.opting_out("Content-Length: 17000001"), OUT)
    assert (status(answer), json.loads(body(answer))["code"]) == (413, "too_large")


def test_body__chunked_and_too_large__is_413_once_it_is(server: Server) -> None:
    with server.open(server.opting_out("Transfer-Encoding: chunked")) as connection:
        with contextlib.suppress(OSError):
            for _ in range(18):
                connection.sendall(chunked(b" " * 1_000_000))
        assert status(received(connection)) in {0, 413}  # 0: it was reset while the rest was on its way


# --- Framing ---------------------------------------------------------------------------------------------------------

HIDDEN = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: hidden\r\n\r\n"


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        pytest.param(("Content-Length: 4", "Transfer-Encoding: chunked"), b"0\r\n\r\n" + HIDDEN, id="both"),
        pytest.param(("Transfer-Encoding: chunked", "Content-Length: 4"), b"0\r\n\r\n" + HIDDEN, id="both, turned"),
        pytest.param(("Content-Length: 0", f"Content-Length: {len(HIDDEN)}"), HIDDEN, id="two lengths"),
        pytest.param((f"Content-Length: 0, {len(HIDDEN)}",), HIDDEN, id="two lengths in one"),
        pytest.param(("Content-Length: +0",), HIDDEN, id="length with a sign"),
        pytest.param(("Content-Length: 0x0",), HIDDEN, id="length in hexadecimal"),
        pytest.param(("Transfer-Encoding: identity",), HIDDEN, id="identity"),
        pytest.param(("Transfer-Encoding: xchunked",), b"0\r\n\r\n" + HIDDEN, id="unknown coding"),
        pytest.param(("Transfer-Encoding: gzip, chunked",), b"0\r\n\r\n" + HIDDEN, id="coded"),
        pytest.param(("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), b"0\r\n\r\n" + HIDDEN, id="twice"),
        pytest.param(("Transfer-Encoding : chunked",), b"0\r\n\r\n" + HIDDEN, id="space before the colon"),
        pytest.param(("Transfer-Encoding:\x0bchunked",), b"0\r\n\r\n" + HIDDEN, id="other space"),
        pytest.param(("X: y\r\n Transfer-Encoding: chunked",), b"0\r\n\r\n" + HIDDEN, id="folded"),
        pytest.param(("Transfer-Encoding: chunked",), b"-1\r\n\r\n" + HIDDEN, id="negative chunk"),
        pytest.param(("Transfer-Encoding: chunked",), b"ffffffffffffffffff\r\n" + HIDDEN, id="huge chunk"),
        pytest.param(("Transfer-Encoding: chunked",), b"0_0\r\n\r\n" + HIDDEN, id="odd chunk"),
    ],
)  # fmt: skip
def test_framing__ambiguous__no_second_request_is_seen(
    server: Server, headers: tuple[str, ...], content: bytes
) -> None:
    answer = server.exchange(server.opting_out(*headers), content)
    assert b"hidden" not in answer.lower()
    assert 400 <= status(answer) <= 501


def test_body__too_large__the_rest_is_no_request(server: Server) -> None:
    answer = server.exchange(server.opting_out("Content-Length: 17000001"), HIDDEN)
    assert status(answer) == 413 and answer.count(b"HTTP/1.1") == 1


def test_header__with_underscores__is_not_taken_for_one_with_dashes(server: Server) -> None:
    asked = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX_Request_ID: spelled-otherwise\r\nConnection: close\r\n\r\n"
    answer = server.exchange(asked)
    assert status(answer) == 200 and b"spelled-otherwise" not in answer


# --- What has to go on working ---------------------------------------------------------------------------------------


def test_body__chunked__reaches_the_application(server: Server) -> None:
    path = f"/api/v1/organizations/{server.brage}/privacy-settings/le_chat_console/"
    sent = chunked(OUT[:5], OUT[5:]) + b"0\r\n\r\n"
    answer = server.exchange(server.head("PUT", path, "Transfer-Encoding: chunked", "Connection: close"), sent)
    assert (status(answer), json.loads(body(answer))["choice"]) == (200, "opted_out")


def country(server: Server) -> str | None:
    answer = server.exchange(server.head("GET", f"/api/v1/organizations/{server.labs}/", "Connection: close"))
    return json.loads(body(answer))["country"]  # type: ignore[no-any-return]


def streamed(server: Server, *pieces: bytes) -> httpcore.Response:
    """A PATCH as clients send a stream: in chunks, of a length that nobody knows before."""
    return httpcore.request(
        "PATCH", f"http://127.0.0.1:{server.port}/api/v1/organizations/{server.labs}/", content=iter(pieces),
        headers={"Host": "localhost", "Authorization": f"Bearer {server.key}", "Content-Type": "application/json"},
    )  # fmt: skip


# What a client says of a body that it never sends, or sends too late for anybody to know.
UNSENT = [
    pytest.param("HTTP/1.1", ("Content-Length: 0",), b"", id="of length 0"),
    pytest.param("HTTP/1.1", (), b"", id="of no length"),
    pytest.param("HTTP/1.0", (), b'{"country": "SE"}', id="HTTP/1.0, of no length"),
    pytest.param("HTTP/1.1", ("Transfer-Encoding: chunked",), b"0\r\n\r\n", id="in no chunks"),
]


def unsent(server: Server, version: str, headers: tuple[str, ...], content: bytes) -> bytes:
    path = f"/api/v1/organizations/{server.labs}/"
    head = server.head("PATCH", path, "Connection: close", *headers).replace(b"HTTP/1.1", version.encode(), 1)
    return server.exchange(head, content)


def expecting(server: Server) -> bytes:
    """Sends the body once the server says that it will read it."""
    sent = b'{"country": "DK"}'
    more = (f"Content-Length: {len(sent)}", "Expect: 100-continue", "Connection: close")
    with server.open(server.head("PATCH", f"/api/v1/organizations/{server.labs}/", *more)) as connection:
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 100")
        connection.sendall(sent)
        return received(connection)


def test_patch__as_a_stream__changes_what_it_says(server: Server) -> None:
    answer = streamed(server, b'{"coun', b'try": "FR"}')
    assert (answer.status, country(server)) == (200, "FR")
    assert streamed(server, b'{"country"', b": null}").status == 200
    assert country(server) is None


@pytest.mark.parametrize(("version", "headers", "content"), UNSENT)
def test_patch__body_never_sent__400_and_never_200(
    server: Server, version: str, headers: tuple[str, ...], content: bytes
) -> None:
    answer = unsent(server, version, headers, content)
    assert (status(answer), json.loads(body(answer))["code"]) == (400, "empty_body")
    assert country(server) is None


def test_body__that_waits_to_be_asked_for__is_read(server: Server) -> None:
    assert (status(expecting(server)), country(server)) == (200, "DK")
    assert streamed(server, b'{"country": null}').status == 200


def test_answer__packed_and_then_unchanged__over_the_wire(server: Server) -> None:
    """As a client does that keeps answers: the second time there is nothing after the head."""
    asked = ("GET", "/api/v1/events/?limit=5", "Accept-Encoding: gzip")
    first = server.exchange(server.head(*asked, "Connection: close"))
    tag = re.search(rb'etag: ("[0-9a-f]{32}-gzip")', first)
    assert b"content-encoding: gzip" in first and tag
    assert json.loads(gzip.decompress(body(first)))["results"]
    again = server.exchange(server.head(*asked, f"If-None-Match: {tag[1].decode()}", "Connection: close"))
    assert (status(again), body(again)) == (304, b"") and tag[1] in again
    head = server.exchange(server.head("HEAD", *asked[1:], "Connection: close"))
    assert (status(head), body(head)) == (200, b"")


def test_body__slow_but_whole_in_time__is_answered(server: Server) -> None:
    asked = json.dumps({"organization": server.brage, "product": "ai_studio"}).encode()
    head = server.head("POST", "/api/v1/decisions/", f"Content-Length: {len(asked)}", "Connection: close")
    with server.open(head, asked[:5]) as connection:
        time.sleep(SECONDS / 4)
        connection.sendall(asked[5:])
        answer = received(connection)
    assert (status(answer), json.loads(body(answer))["allowed"]) == (200, False)


def test_upload__large_in_parts__reaches_the_page(server: Server) -> None:
    token = "0" * 32
    rows = b"id,name\n" + b"".join(b"acct-%d,Organization %d\n" % (n, n) for n in range(150_000))
    parts = [("csrfmiddlewaretoken", token.encode()), ("table", b"organizations"), ('file"; filename="rows.csv', rows)]
    sent = b"".join(
        b'--edge\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)
        for name, value in parts
    ) + b"--edge--\r\n"  # fmt: skip
    head = (
        "POST /admin/import/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept-Language: en\r\n"
        f"Cookie: sessionid={server.session}\r\nCookie: csrftoken={token}\r\n"
        f"Content-Type: multipart/form-data; boundary=edge\r\nContent-Length: {len(sent)}\r\n\r\n"
    )
    answer = server.exchange(head.encode(), sent)
    assert status(answer) == 302, body(answer)
    assert b"location: /admin/import/" in answer.lower()
    assert len(sent) > 3_000_000


def test_sigterm__while_a_body_arrives__it_is_answered_first() -> None:
    with served(REQUEST_SECONDS="20") as server:
        with server.open(server.opting_out(f"Content-Length: {len(OUT)}"), OUT[:5]) as connection:
            assert server.healthy()
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            connection.sendall(OUT[5:])
            assert status(received(connection)) == 200
        assert server.process.wait(60) == 0


# --- The server of `make run` ----------------------------------------------------------------------------------------


def test_development__slow_and_chunked__others_are_answered_and_nothing_changes() -> None:
    with served(development=True) as server, contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(server.open(server.opting_out("Content-Length: 100"), OUT))
            stack.enter_context(server.open(b"GET /healthz HTTP/1.1\r\nHo"))
        answer = server.exchange(server.opting_out("Transfer-Encoding: chunked"), chunked(OUT) + b"0\r\n\r\n" + HIDDEN)
        assert (status(answer), json.loads(body(answer))["code"]) == (411, "length_required")
        assert b"hidden" not in answer.lower()
        assert server.healthy() and server.setting() == "default"
        assert streamed(server, b'{"country"', b': "FR"}').status == 411
        for case in UNSENT:
            answer = unsent(server, *case.values)
            assert status(answer) == (411 if "Transfer-Encoding: chunked" in case.values[1] else 400), case.id
        assert country(server) is None
        assert (status(expecting(server)), country(server)) == (200, "DK")
