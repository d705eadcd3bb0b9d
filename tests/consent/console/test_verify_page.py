"""The page that checks a receipt: the same for everybody, from neither session nor database."""

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from tests.support.cast import Cast

pytestmark = pytest.mark.django_db


def test_page__anybody__no_query_and_no_cookie(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0):
        answer = Client().get("/verify/")
    assert answer.status_code == 200 and not answer.cookies
    assert (
        "script-src 'self'" in answer["Content-Security-Policy"] and "unsafe" not in answer["Content-Security-Policy"]
    )


def test_page__signed_in__the_same_bytes(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.owner)
    assert client.get("/verify/").content == Client().get("/verify/").content


def test_page__another_method__405() -> None:
    assert Client().post("/verify/").status_code == 405
