"""The calls of README and docs/api.md by a client that openapi-python-client has generated: `make interop`.

python calls.py URL KEY
"""

import sys

from client import AuthenticatedClient
from client.api.api_keys import who_am_i
from client.api.bulk_jobs import create_bulk_job, get_bulk_job, list_bulk_jobs
from client.api.catalogue import list_event_kinds, list_products
from client.api.decisions import decide, decide_many, evaluate, evaluate_many
from client.api.events import list_events, stream_events
from client.api.members import add_member, list_members
from client.api.organizations import change_organization, create_organization, get_organization, subscribe
from client.api.privacy_settings import choose, get_setting
from client.api.webhooks import create_webhook, delete_webhook, list_attempts, replay_webhook, test_webhook
from client.models import (
    Action,
    BulkJobInput,
    ChoiceInput,
    Consent,
    EndpointInput,
    Evaluation,
    Evaluations,
    EventKind,
    EventKindFamily,
    MemberInput,
    OrganizationChange,
    OrganizationInput,
    OrganizationKind,
    PartialEvaluation,
    ProblemOutput,
    Product,
    Question,
    Questions,
    Reason,
    ReplayInput,
    Resource,
    Role,
    Selection,
    Subject,
    SubscriptionInput,
    Subscriptions,
    Surface,
)

OURS = "external:acme-python"
client = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2], raise_on_unexpected_status=True)


def got(answer):  # whatever was expected, never a problem
    assert answer is not None and not isinstance(answer, ProblemOutput), answer
    return answer


def ask() -> None:
    question = Question(organization="external:kvasir", member="external:ada", product="le_chat")
    answer = got(decide.sync(client=client, body=question, explain=True))
    assert answer.allowed is True and answer.reason == Reason.PLAN_DEFAULT and answer.layers, answer
    nobody = Question(organization="external:nobody", product="ai_studio")
    many = got(decide_many.sync(client=client, body=Questions(items=[question, nobody])))
    assert [each.allowed for each in many.decisions] == [True, False]
    assert many.decisions[1].reason == Reason.UNKNOWN_ORGANIZATION


def ask_by_authzen() -> None:
    member = got(list_members.sync("external:kvasir", client=client, limit=1)).results[0]
    subject, action = Subject(type_="member", id=str(member.id)), Action(name="train")
    le_chat, ai_studio = (Resource(type_="product", id=key) for key in ("le_chat", "ai_studio"))
    one = got(evaluate.sync(client=client, body=Evaluation(subject=subject, action=action, resource=le_chat)))
    assert one.decision in (True, False) and one.context.reason
    listed = [PartialEvaluation(resource=le_chat), PartialEvaluation(resource=ai_studio)]
    many = got(evaluate_many.sync(client=client, body=Evaluations(subject=subject, action=action, evaluations=listed)))
    assert len(many.evaluations) == 2


def keep_in_step() -> None:
    acme = OrganizationInput(
        name="Acme", kind=OrganizationKind.TEAM, external_id="acme-python", country="FR",
        subscriptions=Subscriptions(le_chat="le_chat_free"),
    )  # fmt: skip
    made = create_organization.sync_detailed(client=client, body=acme, idempotency_key="crm-4711-python")
    again = create_organization.sync_detailed(client=client, body=acme, idempotency_key="crm-4711-python")
    assert (made.status_code, made.parsed, made.headers["Location"]) == (201, again.parsed, again.headers["Location"])
    assert "Idempotent-Replayed" not in made.headers and again.headers["Idempotent-Replayed"] == "true"
    moved = got(subscribe.sync(OURS, Product.LE_CHAT, client=client, body=SubscriptionInput(plan="le_chat_teams")))
    assert moved.subscriptions.le_chat == "le_chat_teams" and moved.subscriptions.ai_studio is None
    ada = MemberInput(email="ada@acme-python.example", role=Role.ADMIN, name="Ada", external_id="ada")
    assert got(add_member.sync(OURS, client=client, body=ada)).role == Role.ADMIN
    assert got(get_organization.sync(OURS, client=client)).name == "Acme"


def choose_out() -> None:
    read = get_setting.sync_detailed(OURS, Surface.LE_CHAT_CONSOLE, client=client)
    choice = ChoiceInput(choice=Consent.OPTED_OUT)
    chosen = choose.sync_detailed(
        OURS, Surface.LE_CHAT_CONSOLE, client=client, body=choice, if_match=read.headers["ETag"]
    )
    assert chosen.parsed.effective == Consent.OPTED_OUT and chosen.headers["ETag"] != read.headers["ETag"]
    back = choose.sync_detailed(OURS, Surface.LE_CHAT_CONSOLE, client=client, body=ChoiceInput(choice=Consent.OPTED_IN))
    assert back.status_code in (400, 428) and back.parsed.code, back


def change_many() -> None:
    wanted = BulkJobInput(
        surface=Surface.LE_CHAT_CONSOLE, choice=Consent.OPTED_OUT, select=Selection(plan=["le_chat_pro"])
    )
    previewed = got(create_bulk_job.sync(client=client, body=wanted))
    assert previewed.summary is not None and previewed.author.label
    run = got(create_bulk_job.sync(client=client, body=BulkJobInput(dry_run=False, digest=previewed.digest)))
    assert got(get_bulk_job.sync(run.id, client=client)).id == run.id
    assert got(list_bulk_jobs.sync(client=client, limit=1)).results[0].id == run.id


def prove() -> None:
    page = got(list_events.sync(client=client, after=10, limit=2))
    assert [each.position for each in page.results] == [11, 12] and page.next_
    family = EventKindFamily("access.*")
    assert got(list_events.sync(client=client, kind=family, limit=1)).results[0].kind.startswith("access.")
    assert got(stream_events.sync(client=client, after=10)).count("\n") > 2


def be_told() -> None:
    hook = got(create_webhook.sync(client=client, body=EndpointInput(url="https://127.0.0.1:8900/", organization=OURS)))
    assert hook.secret.startswith("whsec_")
    got(change_organization.sync(OURS, client=client, body=OrganizationChange(name="Acme SAS")))
    assert got(test_webhook.sync(hook.id, client=client)).waiting is True
    assert got(list_attempts.sync(hook.id, client=client)).results[0].waiting is True
    assert got(replay_webhook.sync(hook.id, client=client, body=ReplayInput(after=0))).position == 0
    assert delete_webhook.sync_detailed(hook.id, client=client).status_code == 204


def look_up() -> None:
    assert got(who_am_i.sync(client=client)).operator is True
    assert {each.key for each in got(list_products.sync(client=client)).results} == set(Product)
    assert {each.kind for each in got(list_event_kinds.sync(client=client, limit=200)).results} == set(EventKind)


for call in (ask, ask_by_authzen, keep_in_step, choose_out, change_many, prove, be_told, look_up):
    call()
print("openapi-python-client's client made the calls of the docs.")
