"""Conversations with a mail server that this process can cut off."""

import smtplib
from typing import Any

import pytest
from django.core.mail import EmailMessage

from accounts import smtp
from tests.support.mail_receiver import Behave, mail_server, prompt

MESSAGE = EmailMessage("s", "b", "portal@provider.example", ["ada@kvasir.example"])


def cutting_off(conversation: Any) -> None:
    conversation.say("220 here")
    conversation.rfile.readline()  # so the client has connected
    smtp.cut_off()


@pytest.mark.parametrize(("behave", "sent"), [(prompt, True), (cutting_off, False)])
def test_send__connection_cut_off__fails_and_nothing_is_left_to_cut_off(behave: Behave, sent: bool) -> None:
    with mail_server(behave) as server:
        host, port = server.server_address[:2]
        backend = smtp.LimitedBackend(host=str(host), port=port, timeout=smtp.STEP)
        if sent:
            assert backend.send_messages([MESSAGE]) == 1
        else:
            with pytest.raises((smtplib.SMTPException, OSError)):
                backend.send_messages([MESSAGE])
        assert server.recipients == (MESSAGE.to if sent else [])
    assert not smtp._conversations
