"""Conventions that no other tool checks: checked in the source code, so that they hold for new code too."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps

ROOT = Path(__file__).parents[1]
PACKAGES = ("accounts", "config", "consent", "scripts")
WRITES = {"save", "create", "update", "delete", "get_or_create", "update_or_create", "acreate", "aupdate"} | {
    "bulk_create",
    "bulk_update",
    "_raw_delete",
}
# Tables that say what somebody chose or is: written by the services, and with them by the ledger, alone.
GUARDED = {"PrivacySetting", "Subscription", "Lock", "Member", "Organization", "ConsentEvent", "EventPosition"}
MAY_WRITE = {"consent/services/", "consent/ledger.py"}
LINES, TEST_LINES, FUNCTION_LINES = 400, 700, 50


def sources(*packages: str) -> list[Path]:
    """The product's own modules; migrations are Django's words, tests are tests."""
    found = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    return [path for path in found if "migrations" not in path.parts and "__pycache__" not in path.parts]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree(path)))


def functions(module: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@functools.cache
def all_tests() -> str:
    """All tests but this one."""
    paths = sorted((ROOT / "tests").rglob("*.py"))
    return "\n".join(path.read_text(encoding="utf-8") for path in paths if path != Path(__file__))


@functools.cache
def all_services() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sources("consent/services"))


# --- Everything has its test -----------------------------------------------------------------------------------------


def commands() -> list[str]:
    paths = [path for package in PACKAGES for path in (ROOT / package).glob("management/commands/*.py")]
    return sorted(path.stem for path in paths if not path.stem.startswith("_"))


@pytest.mark.parametrize("command", commands())
def test_management_command__has_a_test_file_that_runs_it(command: str) -> None:
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)]
    assert any(f'"{command}"' in path.read_text(encoding="utf-8") for path in files), f"no test runs {command}"


def services() -> list[tuple[str, str]]:
    return [
        (path.stem, function.name)
        for path in sources("consent/services")
        for function in tree(path).body
        if isinstance(function, ast.FunctionDef) and not function.name.startswith("_")
    ]


@pytest.mark.thorough
@pytest.mark.parametrize(("module", "function"), services())
def test_service__is_called_by_a_test_or_by_a_service_that_is(module: str, function: str) -> None:
    used = re.compile(rf"(?<!def )\b{function}\b")
    assert used.search(all_tests()) or used.search(all_services()), f"{module}.{function}"


# --- Settings ----------------------------------------------------------------------------------------------------


def test_settings__read_from_the_environment__are_those_that_env_example_documents() -> None:
    read = set()
    for path in [ROOT / "config/settings.py", *sources("scripts")]:
        for node in nodes(path):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                called = ast.unparse(node.func)
                if re.fullmatch(r"(env(\.\w+)?|os\.environ\.get|os\.getenv)", called):
                    read.add(node.args[0].value)
    documented = set(
        re.findall(r"^# ?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert {"SECRET_KEY", "DATABASE_URL"} <= read
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert read - documented == set(), "read, but not documented"
    assert {each for each in documented - read if each not in makefile} == set(), "documented, but not read"


def test_environment__of_the_process__is_read_in_settings_alone() -> None:
    # Lineage has no settings of ours: the variables are those by which every tool for OpenLineage is set up.
    allowed = {"config/settings.py", "config/wsgi.py", "consent/pipeline/lineage.py"}
    for path in sources("accounts", "config", "consent"):
        if name(path) not in allowed:
            text = path.read_text(encoding="utf-8")
            assert "os.environ" not in text and "getenv" not in text, name(path)


# --- Who writes --------------------------------------------------------------------------------------------------


def model_names(path: Path) -> dict[str, str]:
    """Names in this module → the guarded model that they stand for, followed through simple assignments."""
    known = {each: each for each in GUARDED}
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom):
            known |= {alias.asname: alias.name for alias in node.names if alias.name in GUARDED and alias.asname}
    return known


def writes(path: Path) -> Iterator[tuple[int, str, str]]:
    """(line, model or '?', verb) of each call that writes a row, by what stands before the verb."""
    known = model_names(path)
    for node in nodes(path):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITES):
            continue
        roots = {each.id for each in ast.walk(node.func.value) if isinstance(each, ast.Name)}
        managers = {each.attr for each in ast.walk(node.func.value) if isinstance(each, ast.Attribute)}
        for root in roots & set(known):
            yield node.lineno, known[root], node.func.attr
        if not roots & set(known) and managers & {"members", "privacy_settings", "subscriptions", "locks"}:
            yield node.lineno, "?", node.func.attr


def test_state__is_written_by_services_and_ledger_alone() -> None:
    offenders = [
        f"{name(path)}:{line} {model}.{verb}"
        for path in sources("accounts", "config", "consent")
        if not any(name(path).startswith(allowed) for allowed in MAY_WRITE)
        for line, model, verb in writes(path)
    ]
    assert offenders == []


def test_rows__saved_or_deleted_one_by_one__nowhere_but_in_services() -> None:
    """`row.save()` and `row.delete()` don't say which model: outside the services each has to be one that may."""
    allowed = {
        "accounts/models/users.py",  # UserManager.create_user
        "consent/models/ledger.py",  # ConsentEvent.save, which refuses
    }
    offenders = []
    for path in sources("accounts", "config", "consent"):
        if name(path) in allowed or any(name(path).startswith(each) for each in MAY_WRITE):
            continue
        for node in nodes(path):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                target = ast.unparse(node.func.value)
                if node.func.attr in {"save", "delete", "save_base"} and re.search(
                    r"(organization|member|setting|subscription|lock|event)s?$", target, re.IGNORECASE
                ):
                    offenders.append(f"{name(path)}:{node.lineno} {target}.{node.func.attr}")
    assert offenders == []


def test_events__are_made_by_the_ledger_alone() -> None:
    made = []
    for path in sources("accounts", "config", "consent"):
        calls = [node for node in nodes(path) if isinstance(node, ast.Call)]
        made += [name(path) for call in calls if ast.unparse(call.func).split(".")[-1] == "ConsentEvent"]
        made += [name(path) for _, model, _ in writes(path) if model == "ConsentEvent"]
    assert set(made) == {"consent/ledger.py"}


# Which modules may write to which tables of ours by raw SQL; what is not here, none.
LEDGER = "consent/ledger.py"
NEW_ORGANIZATIONS = "consent/imports/organizations.py"  # `create_organizations`, for a million rows
SQL_WRITES = {
    "consent_consentevent": {LEDGER},
    "consent_privacysetting": {LEDGER},
    "consent_eventposition": {LEDGER},
    "consent_pendingevent": {LEDGER, "consent/triggers.py"},
    "accounts_organization": {NEW_ORGANIZATIONS},
    "accounts_binding": {NEW_ORGANIZATIONS},
    "accounts_subscription": {NEW_ORGANIZATIONS},
    "consent_importrow": {NEW_ORGANIZATIONS},
    "consent_bulkjobrow": {"consent/jobs/rows.py", "consent/jobs/lists.py", "consent/jobs/sql.py"},
    "consent_askedcount": {"consent/services/asked.py"},  # numbers, which say nothing of anybody's setting
    "bulk_found": {"consent/jobs/lists.py"},  # a temporary table
    "sqlite_sequence": {LEDGER},  # which ids come next
}
# Those that copy rows as they are into a table that they are told.
COPIES = {"consent/files/loading.py"}
SQL_WRITE = re.compile(
    r"\b(?:INSERT INTO|COPY|UPDATE(?!\s+(?:OF|OR|ON|SET)\b)|DELETE FROM|TRUNCATE(?!\s+ON\b))"
    r"\s+(\{[^}]*\}|\w+)(?=\s|\(|$)"
)
TABLES = {"PENDING": "consent_pendingevent"} | {
    f"{model}._meta.db_table": f"consent_{model.lower()}" for model in ("ConsentEvent", "PrivacySetting")
}


def sql_writes(path: Path) -> Iterator[str]:
    """The table of each statement of raw SQL that writes, as the text names it; {…} for one named by a variable."""
    module = tree(path)
    inside = {id(part) for node in ast.walk(module) if isinstance(node, ast.JoinedStr) for part in node.values}
    documented = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
    for node in ast.walk(module):
        if id(node) in inside | documented:
            continue
        if isinstance(node, ast.JoinedStr):
            pieces = [
                each.value if isinstance(each, ast.Constant) else f"{{{ast.unparse(each.value)}}}"
                for each in node.values
            ]
            text = "".join(map(str, pieces))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        for name_of_table in SQL_WRITE.findall(text):
            yield TABLES.get(name_of_table.strip("{}"), name_of_table)


def test_raw_sql__that_writes_a_table__stands_where_that_table_is_written() -> None:
    for path in sources("accounts", "config", "consent"):
        for table in sql_writes(path):
            allowed = COPIES if table.startswith("{") else SQL_WRITES.get(table, set())
            assert name(path) in allowed, f"{name(path)} writes {table}"


# What those copy, as it is: rows of jobs and imports, and the words of names, which say nothing of their own; and all
# of an installation that moves, its ledger too, which is empty here until then, and verified before anybody sees it.
COPIED = {
    "ImportRow._meta.db_table", "ImportProblem._meta.db_table", "NameWord._meta.db_table", "'bulk_list'",
    # Of the log: made of the ledger, and compared with it by `verify_ledger`.
    "EventSalt._meta.db_table", "LogTile._meta.db_table",
}  # fmt: skip
MOVES = "consent/transfer/state.py"


def test_rows__copied_as_they_are__into_tables_of_jobs_alone_but_by_the_move_of_an_installation() -> None:
    for path in sources("accounts", "config", "consent"):
        called = [node for node in nodes(path) if isinstance(node, ast.Call) and ast.unparse(node.func) == "load"]
        tables = {ast.unparse(call.args[0]) for call in called}
        assert name(path) == MOVES or tables <= COPIED, name(path)


def test_scan__of_raw_sql__finds_what_it_is_for(tmp_path: Path) -> None:
    module = tmp_path / "face.py"
    module.write_text(
        "def f(table, ids):\n"
        '    """UPDATE nothing: a docstring."""\n'
        "    run('INSERT INTO consent_consentevent (id) SELECT 1')\n"
        "    run(f'WITH t AS (SELECT 1) UPDATE consent_privacysetting SET x = {ids}')\n"
        "    run(f'INSERT INTO {table} VALUES (1)')\n"
        "    run('FOR NO KEY UPDATE OF s')\n"
    )
    assert sorted(sql_writes(module)) == ["consent_consentevent", "consent_privacysetting", "{table}"]


def test_csv__is_written_by_one_writer_that_guards_against_formulas() -> None:
    writing = [
        name(path)
        for path in sources(*PACKAGES)
        if re.search(r"csv\.(Dict)?[wW]riter", path.read_text(encoding="utf-8"))
    ]
    # The pipeline copies training data, which has to stay as it is.
    assert writing == ["consent/files/exports.py", "consent/pipeline/sinks.py"]


def hidden_texts(module: ast.AST) -> Iterator[int]:
    """Lines of texts marked for translation within an f-string, where xgettext does not look."""
    marks = ("_", "gettext", "ngettext", "pgettext")
    for string in (node for node in ast.walk(module) if isinstance(node, ast.JoinedStr)):
        calls = (node for node in ast.walk(string) if isinstance(node, ast.Call) and node.args)
        marked = (call for call in calls if isinstance(call.func, ast.Name) and call.func.id in marks)
        yield from (call.lineno for call in marked if isinstance(call.args[0], ast.Constant))


def test_texts__to_be_translated__stand_in_no_f_string() -> None:
    assert [*hidden_texts(ast.parse("f'{_(1)} {a}'"))] == [1]
    found = [f"{name(path)}:{line}" for path in sources(*PACKAGES) for line in hidden_texts(tree(path))]
    assert found == []


# A literal, or a constant of ours: what PostgreSQL gets as a list of values.
_FEW = re.compile(r"\(.*\)|\[.*\]|\{.*\}|\w*\.?_?[A-Z][A-Z_]*", re.DOTALL)


def excluding(module: ast.AST) -> Iterator[str]:
    """What is left out by `exclude(x__in=…)` or `~Q(x__in=…)`."""
    for node in ast.walk(module):
        call = node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert) else node
        if not isinstance(call, ast.Call):
            continue
        excludes = isinstance(call.func, ast.Attribute) and call.func.attr == "exclude"
        if excludes or (call is not node and ast.unparse(call.func).endswith("Q")):
            yield from (ast.unparse(word.value) for word in call.keywords if (word.arg or "").endswith("__in"))


def test_exclude__of_what_a_query_finds__is_written_as_exists() -> None:
    """NOT IN over a sub-select is worked through row by row on PostgreSQL: hours, where NOT EXISTS takes a second."""
    assert [*excluding(ast.parse("a.exclude(b__in=c.values('d')); ~models.Q(b__in=e)"))] == ["c.values('d')", "e"]
    for path in sources(*PACKAGES):
        assert [found for found in excluding(tree(path)) if not _FEW.fullmatch(found)] == [], name(path)
        assert not re.search(r"NOT IN\s*\(\s*SELECT", path.read_text(encoding="utf-8"), re.IGNORECASE), name(path)


def test_signals__change_nothing__only_migrate_has_a_receiver() -> None:
    for path in sources("accounts", "config", "consent"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\b(pre|post)_(save|delete|init)\b|m2m_changed", text), name(path)


def test_triggers_and_door__no_product_code_lifts_them() -> None:
    for path in sources(*PACKAGES):
        text = path.read_text(encoding="utf-8")
        assert "DISABLE TRIGGER" not in text and "session_replication_role" not in text, name(path)


# --- The tests themselves --------------------------------------------------------------------------------------------


def test_modules_of_tests__import_nothing_from_each_other() -> None:
    """What several share lies in tests/support, or beside them in a module that has no tests."""
    for path in sources("tests"):
        for node in nodes(path):
            named = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            named += [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            from_tests = isinstance(node, ast.ImportFrom) and (node.level or named[0].startswith("tests"))
            others = [each for each in named if from_tests and each.rpartition(".")[2].startswith("test_")]
            assert others == [], f"{name(path)} imports {others}"


def test_cast__one_fixture_of_this_name() -> None:
    made = [name(path) for path in sources("tests") for each in functions(tree(path)) if each.name == "cast"]
    assert made == ["tests/conftest.py"]


# Made by a factory or a service; those of the ledger's state only where a test forges a row for the ledger to refuse.
BY_FACTORY = (
    r"(User|Authenticator|OutgoingMessage|Invitation|BulkJob|ImportRow|ImportFile|ImportProblem|WebhookEndpoint)"
)
BY_HAND = re.compile(
    rf"\b({BY_FACTORY}\.objects\.(bulk_create|create|create_user|create_superuser)|{BY_FACTORY}\([^()]*\)\.save)\("
)


def test_rows__that_tests_need__are_made_by_factories() -> None:
    assert BY_HAND.search("User.objects." + "create_user('a@b.example')")
    made = [name(path) for path in sources("tests") if BY_HAND.search(path.read_text(encoding="utf-8"))]
    assert made == ["tests/accounts/test_sessions.py"], "that one writes in a process of its own"


# --- Templates ---------------------------------------------------------------------------------------------------


def templates() -> list[Path]:
    folders = [ROOT / "templates", *(ROOT / package / "templates" for package in PACKAGES)]
    return [path for folder in folders for path in sorted(folder.rglob("*.html"))]


@pytest.mark.thorough
@pytest.mark.parametrize("path", templates(), ids=name)
def test_template__nothing_inline__as_the_content_security_policy_wants_it(path: Path) -> None:
    text = re.sub(r"{#.*?#}|{% comment.*?endcomment %}", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not re.search(r"<style\b", text, re.IGNORECASE)
    # JSON is data, which no browser runs: allauth's scripts read their options from it.
    assert not re.search(r"<script\b(?![^>]*\bsrc=|[^>]*type=\"application/json\")", text, re.IGNORECASE)
    assert not re.search(r"<[^>]*\sstyle\s*=", text, re.IGNORECASE)
    assert not re.search(r"<[^>]*\son[a-z]+\s*=", text, re.IGNORECASE)
    assert not re.search(r"\bhx-on\b|javascript:|hx-vals=[\"']js:", text, re.IGNORECASE)
    assert not re.search(r"(src|href|action)\s*=\s*[\"']?(https?:)?//", text, re.IGNORECASE), (
        "nothing from another host"
    )


# --- What the repository says --------------------------------------------------------------------------------------


def repository() -> list[Path]:
    """Every text that is, or is going to be, in the repository: no environment, cache or database of a developer's."""
    ignored = {"node_modules", "staticfiles", "__pycache__"}
    hidden = {".env.example", ".ci", ".github", ".gitignore", ".editorconfig", ".pre-commit-config.yaml"}
    kinds = {
        ".py",
        ".md",
        ".html",
        ".css",
        ".js",
        ".toml",
        ".txt",
        ".po",
        ".yml",
        ".yaml",
        ".json",
        ".jsonc",
        ".csv",
        ".sh",
        "",
    }
    found = []
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        if any(part in ignored or (part.startswith(".") and part not in hidden) for part in parts):
            continue
        if path.is_file() and path.suffix in kinds:
            found.append(path)
    return found


# Put together here, so that this file does not have what it looks for.
MACHINE = re.compile(
    "|".join(("/" + "work/", "/" + "root/", r"/home/\w+/", "/" + r"tmp/(brief|pgdev)", r"\.\./" + "shared"))
)


def test_repository__mentions_no_machine_of_ours() -> None:
    for path in repository():
        found = MACHINE.search(path.read_text(encoding="utf-8", errors="replace"))
        assert found is None, f"{name(path)}: {found and found[0]}"


def test_files__shorter_than_the_limit() -> None:
    paths = [*sources(*PACKAGES, "tests", "benchmarks"), *templates(), *sorted((ROOT / "static").rglob("*.[cj]s*"))]
    lengths = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    limit = {each: TEST_LINES if each.startswith("tests/") else LINES for each in lengths}
    assert {each: length for each, length in lengths.items() if length > limit[each]} == {}


def test_functions__shorter_than_the_limit() -> None:
    lengths = {
        f"{name(path)}:{function.name}": (function.end_lineno or 0) - function.lineno + 1
        for path in sources(*PACKAGES)
        for function in functions(tree(path))
    }
    assert {each: length for each, length in lengths.items() if length > FUNCTION_LINES} == {}


def test_todo__nothing_is_left_for_later_in_the_code() -> None:
    word = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")
    for path in sources(*PACKAGES, "tests"):
        assert not word.search(path.read_text(encoding="utf-8")), name(path)


def test_apps__init_exports_nothing() -> None:
    for package in ("accounts", "config", "consent", "consent/services"):
        [docstring] = tree(ROOT / package / "__init__.py").body
        assert isinstance(docstring, ast.Expr) and isinstance(docstring.value, ast.Constant)


def test_packages__say_what_is_inside() -> None:
    silent = [path for path in sources("accounts", "config", "consent") if path.name == "__init__.py"]
    assert [name(path) for path in silent if not ast.get_docstring(tree(path))] == []


def test_guarded_models__are_there_by_these_names() -> None:
    known = {model.__name__ for model in apps.get_models()}
    assert known >= GUARDED


def test_scan__of_writes__finds_what_it_is_for(tmp_path: Path) -> None:
    module = tmp_path / "face.py"
    module.write_text(
        "from consent.models import PrivacySetting as State\n"
        "State.objects.filter(pk=1).update(choice='opted_in')\n"
        "Member(pk=1).save()\n"
        "Lock._base_manager.bulk_create([])\n"
        "organization.members.all().delete()\n"
        "State.objects.filter(pk=1).first()\n"
        "Plan.objects.update(position=1)\n",
        encoding="utf-8",
    )
    assert list(writes(module)) == [
        (2, "PrivacySetting", "update"),
        (3, "Member", "save"),
        (4, "Lock", "bulk_create"),
        (5, "?", "delete"),
    ]
