"""Error pages: an answer even without collected style sheets, and all in the reader's language."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import RequestFactory
from django.utils.translation import gettext_lazy

from config import problems


@pytest.mark.parametrize("path", ["/", "/admin/", "/organizations/"])
def test_server_error__style_sheets_not_collected__is_said_in_plain_text(
    settings: Any, tmp_path: Path, path: str
) -> None:
    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    }
    response = problems.server_error(RequestFactory().get(path))
    assert (response.status_code, response.headers["Content-Type"]) == (500, "text/plain; charset=utf-8")
    assert "Nothing was saved." in response.content.decode()


def test_server_error__otherwise__is_the_page(settings: Any) -> None:
    response = problems.server_error(RequestFactory().get("/"))
    assert response.status_code == 500 and "<h1>" in response.content.decode()


def test_refused__asked_for_in_french__is_all_in_french() -> None:
    request = RequestFactory().get("/", headers={"accept-language": "fr"})
    response = problems.refused(request, 503, "unavailable", gettext_lazy("The database did not answer."))
    title = re.search(r"<title>\s*(.*?)\s*<", response.content.decode(), re.DOTALL)
    assert response.status_code == 503 and "La base de données n’a pas répondu." in response.content.decode()
    assert title and title[1].startswith("Cela n’a pas marché")
