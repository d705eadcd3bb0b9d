"""Products and training defaults: the enums that both apps share. Needs no database."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Product(models.TextChoices):
    LE_CHAT = "le_chat", "Le Chat"
    AI_STUDIO = "ai_studio", _("AI Studio and API")


class TrainingDefault(models.TextChoices):
    OPTED_IN = "opted_in", _("Opted in")
    OPTED_OUT = "opted_out", _("Opted out")


# The only plans whose default may be "in" (R2). Teams, Enterprise and Scale, and any plan added later without
# being named here, are out by default: a database constraint is made from this tuple.
MAY_DEFAULT_IN = ("ai_studio_experiment", "le_chat_free", "le_chat_pro", "le_chat_student")
