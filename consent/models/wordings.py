"""The words that people saw as they chose: each version of a surface's texts, in each language, as it was."""

import hashlib
import json
from typing import Any, NoReturn

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.fields import InstantField

from ..surfaces import SURFACES


def canonical(wording: str, language: str, texts: dict[str, str]) -> str:
    """The one spelling of these texts, over which their digest is: JSON, keys sorted, no spaces."""
    content = {"language": language, "texts": texts, "wording": wording}
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def digest(content: str) -> str:
    """The SHA-256 of a wording's canonical content, in hexadecimal digits."""
    return hashlib.sha256(content.encode()).hexdigest()


class WordingQuerySet(models.QuerySet["Wording"]):
    # The triggers refuse these too, once there are events; this gives an error that says why.
    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("wordings are only added to")

    update = delete = bulk_update = update_or_create = _refuse


class Wording(models.Model):
    """All texts of a surface under one tag, in one language. Only `wordings.sync` adds rows; none is ever changed."""

    wording = models.CharField(_("wording"), max_length=40)
    surface = models.CharField(_("surface"), max_length=40, choices=[(s.key, s.label) for s in SURFACES.values()])
    language = models.CharField(_("language"), max_length=16)
    content = models.TextField(_("words"))
    sha256 = models.CharField("SHA-256", max_length=64)
    valid_from = InstantField(_("valid from"))

    objects = WordingQuerySet.as_manager()

    class Meta:
        verbose_name = _("wording")
        verbose_name_plural = _("wordings")
        ordering = ["-valid_from", "wording", "language"]
        constraints = [
            models.UniqueConstraint(fields=["wording", "language"], name="wording_of_language"),
            models.CheckConstraint(
                condition=~models.Q(wording="") & ~models.Q(language="") & ~models.Q(content=""),
                name="wording_says_something",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.wording} {self.language}"

    @property
    def texts(self) -> dict[str, str]:
        """Part → text; the parts are those of `Surface.texts`, in no order."""
        texts: dict[str, str] = json.loads(self.content)["texts"]
        return texts

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("wordings are only added to")
        kwargs["force_insert"] = True
        super().save(*args, **kwargs)

    def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("wordings are only added to")
