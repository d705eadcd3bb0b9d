"""URLs of webhooks: which are accepted, and what happens if one can't be called."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings

from consent import ledger
from consent.delivery import endpoints, sending
from consent.errors import Invalid
from consent.models import WebhookAttempt, WebhookEndpoint
from consent.webhooks.addresses import checked_url
from tests.support import webhook_receiver
from tests.support.cast import Cast
from tests.support.ledger_guards import refusal
from tests.support.webhook_receiver import Receiver, receiver
from tests.support.webhooks import LOCAL, deliver, endpoint_for, happen

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def local(settings: Any) -> None:
    for name, value in LOCAL.items():
        setattr(settings, name, value)


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


# Each of them, in every spelling that a system understands.
REFUSED = [
    "127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "168.63.129.16", "198.18.0.1",
    "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]",
    "[ff02::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001:0:1::1]", "[::7f00:1]", "[fec0::1]",
]  # fmt: skip


@pytest.mark.parametrize("host", REFUSED)
def test_address__of_no_public_network__refused_when_made_and_when_connecting(cast: Cast, host: str) -> None:
    with override_settings(WEBHOOK_ALLOWED_NETWORKS=[]):
        with refusal(Invalid, "url", "url"):
            checked_url(f"https://{host}/hook")
        answer = sending.Sender().post(f"http://{host}:9/hook", {"host": "x"}, b"{}")
        assert answer.status is None and ("not sent to" in answer.error or "can't be found" in answer.error)


# No library takes all of these, and some take each: refused in whatever network.
NO_HOSTS = [
    "hooks..example", ".example.com", "example.com.", "example.com..", ".", "..", f"{'a' * 64}.example",
    f"{'a.' * 126}ab", "my_hook.example.com", "_dmarc.example.com", "~x.example.com", "-a.example.com",
    "a-.example.com", "xn--.example.com", "xn--a.example.com", "xn--99999999999.example", "xn--abc-.example",
    "XN--A.example.com", "exa mple.com", "example.com\t", "\texample.com", "example\x00.com", "example.com\x7f",
    "example\x1f.com", "%65xample.com", "exämple.com", "ｅxample.com", "example。com", "exam\u200bple.com",
    "example.com,other.com", "[fe80::1%25eth0]", "[fe80::1%eth0]", "[::1%0]",
    "[2606:4700::1111%1]", "[1:2]", "[]", "[::g]", "[127.0.0.1]", "[8.8.8.8]", "[example.com]", "2606:4700::1111",
    "[2606:4700::1111", "2606:4700::1111]", "[[2606:4700::1111]]", "[v1.a]", "134744072", "010.8.8.8", "0x08.8.8.8",
    "0x8080808", "8.8", "8.8.8", "8.8.8.8.8", "8.8.8.08", "256.256.256.256", "example.1", "example.0x1",
    "example.0x", "8.8.8.8.", "example.com:", "example.com:0", "example.com:65536", "example.com:-1",
    "example.com:8o", "example.com:+443", "example.com:0443", "example.com:443:443", "example.com: 443",
    "example.com:４４３", "user@example.com", "user:pw@example.com", "@example.com", ":@example.com", "", ":443",
]  # fmt: skip
HOSTS = [
    "example.com", "EXAMPLE.com", "a.b-c.d1", "xn--exmple-cua.com", f"{'a' * 63}.example", f"{'a.' * 126}a",
    "r3---sn.example.com", "8.8.8.8", "1.example.com", "0x1.example.com", "[2606:4700:4700::1111]",
    "example.com:443", "example.com:65535", "a.xn--p1ai",
]  # fmt: skip


@pytest.mark.parametrize("host", NO_HOSTS)
def test_address__host_that_not_every_library_takes__refused_when_made(host: str) -> None:
    with override_settings(WEBHOOK_ALLOWED_NETWORKS=["0.0.0.0/0", "::/0"], DEBUG=True):
        for url in (f"https://{host}/hook", f"http://{host}/hook"):
            with refusal(Invalid, "url", "url"):
                checked_url(url)


@pytest.mark.parametrize("host", HOSTS)
def test_address__host_that_every_library_takes__kept_as_it_is(host: str) -> None:
    assert checked_url(f" https://{host}/hook?a=b ") == f"https://{host}/hook?a=b"


# As a version before kept them, or as something fails that nobody thought of.
@pytest.mark.parametrize(
    "host", ["hooks..example", ".example.com", f"{'a' * 65}.example", "a\x00b", "\udcff.com", "[::g]"]
)
def test_delivery__of_a_row_whose_host_is_none__failed_attempt_with_its_reason(
    cast: Cast, there: Receiver, host: str
) -> None:
    endpoint = endpoint_for(cast, there)
    happen(cast)
    url = f"https://{host}/hook"
    if not {"\x00", "\udcff"} & set(host):  # which no database would have kept
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(url=url)
        deliver(rounds=1)
        attempt = WebhookAttempt.objects.get()
        endpoint.refresh_from_db()
        assert not attempt.delivered and attempt.error and attempt.status is None
        assert (endpoint.failures, endpoint.position < ledger.head()) == (1, True) and endpoint.next_attempt_at
    answer = sending.Sender().post(url, {}, b"{}")
    assert answer.error and answer.error.encode() and "\x00" not in answer.error


def test_delivery__error_that_nobody_thought_of__failed_attempt_and_the_thread_goes_on(
    cast: Cast, there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = endpoint_for(cast, there)
    happen(cast)

    def broken(*_arguments: Any) -> Any:
        raise RuntimeError("no\x00thing")

    monkeypatch.setattr(endpoints, "signatures", broken)
    deliver(rounds=1)
    assert WebhookAttempt.objects.get().error.startswith("RuntimeError: no\ufffdthing")
    endpoint.refresh_from_db()
    assert endpoint.failures == 1 and there.got == []


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "https://", "https:///x", "https://user:pw@example.com/",
        "https://example.com/#x", "https://example.com/#",
        "https://example.com:0/", "https://example.com:99999/", "https://exa mple.com/",
        "https://example.com/\r\nX: y", "javascript:alert(1)", "https://[::1", "https://ex\\ample.com/", "",
        "https://example.com/" + "x" * 500, "https://exämple.com/", "//example.com/",
    ],
)  # fmt: skip
def test_address__that_is_none__refused(url: str) -> None:
    with override_settings(DEBUG=False), refusal(Invalid, "url", "url"):
        checked_url(url)


def test_address__name_that_resolves_inside__refused_when_connecting(cast: Cast, there: Receiver) -> None:
    endpoint = endpoint_for(cast, there)
    with override_settings(WEBHOOK_ALLOWED_NETWORKS=[]):
        attempt = webhook_receiver.result_of_test(endpoint)
    assert there.got == [] and "not sent to" in attempt.error
