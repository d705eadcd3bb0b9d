"""The words of a surface as somebody saw them: any version, in any language, for whoever is signed in."""

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import get_language
from django.views.decorators.http import require_safe

from accounts.access import Actor

from ..models import Wording
from ..presentation.wordings import language_name, told
from ..wording_digests import NOT_KEPT
from .pages import page, person_page


@require_safe
@person_page
def words(request: HttpRequest, actor: Actor, surface: str, number: str) -> HttpResponse:
    """In the language that `?language=` names, or else the reader's; words that nobody kept are said to be lost."""
    tag = f"{surface}/{number}"
    kept = {row.language: row for row in Wording.objects.filter(wording=tag).order_by("language")}
    asked = request.GET.get("language", "")
    if not kept and tag in NOT_KEPT and not asked:
        return page(request, actor, "console/words.html", {"tag": tag, "told": None, "others": []})
    language = asked or get_language() or ""
    row = kept.get(language) if asked else kept.get(language, next(iter(kept.values()), None))
    if row is None:
        raise Http404
    others = [(code, language_name(code)) for code in kept if code != row.language]
    return page(request, actor, "console/words.html", {"tag": tag, "told": told(row), "others": others})
