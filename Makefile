# The portal's targets; `make` or `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
PY := $(VENV)/bin/python
SOURCES := accounts config consent scripts tests $(wildcard benchmarks) manage.py
# Arguments for pytest: make test ARGS="-k ledger -x"
ARGS ?=
# Processes that run the tests in parallel; "logical" is one per logical core.
WORKERS ?= logical

# The first Python on the PATH that is new enough. A name that does not run (a shim without its version) is skipped.
find_python = $(shell for name in python3.11 python3; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$name" && break; done)
PYTHON ?= $(find_python)
need_python = test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo "Python 3.11 or newer is needed, as python3.11 or python3 on the PATH, or named: make PYTHON=/path/to/python" >&2; exit 1; }

need_npm = @command -v npm >/dev/null || { echo "That needs node and npm (Debian: apt-get install npm)." >&2; exit 1; }

# An environment for checks that load the settings: random secrets, and nothing from a developer's own .env.
SECRETS = $$($(PY) -c 'import secrets; print(*(f"{name}={secrets.token_urlsafe(48)}" for name in \
	("SECRET_KEY", "API_KEY_PEPPER", "ENCRYPTION_KEYS", "WEBHOOK_KEYS")))')
CLEAN_ENV = env -u DEBUG -u HTTPS -u HSTS_SECONDS -u LOG_LEVEL ENV_FILE=/dev/null DATABASE_URL=sqlite:///:memory: $(SECRETS)

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  Settings (PORT, DATABASE_URL, …): .env.example"

# --- Set-up -------------------------------------------------------------------------------------------------------

$(VENV)/made:
	@$(need_python)
	@$(PY) -m pip --version >/dev/null 2>&1 || { echo "Making $(VENV) with $$("$(PYTHON)" --version) …"; \
		"$(PYTHON)" -m venv --clear $(VENV) || { echo "That needs Python's venv (Debian: apt-get install python3-venv)." >&2; exit 1; }; }
	@touch $@

# Python compiles what it imports, when it does; pip would compile everything.
define install
	@echo "Installing $< into $(VENV) (once) …"
	@$(PY) -m pip install --disable-pip-version-check --no-input --no-compile --progress-bar off --require-hashes -r $< 2>&1 | tee $(VENV)/install.log \
		| awk '/^Collecting / { print "  " $$2; fflush() } /^Installing collected/ { print "  unpacking …"; fflush() }' \
		|| { grep -v '^  \|^Looking\|^Requirement already' $(VENV)/install.log | tail -n 20 >&2; echo "Installing $< failed; all of it: $(VENV)/install.log" >&2; exit 1; }
endef

$(VENV)/installed: requirements.txt $(VENV)/made
	$(install)
	@touch $@

$(VENV)/installed-production: requirements/production.txt $(VENV)/made
	$(install)
	@touch $(VENV)/installed $@

$(VENV)/installed-pipeline: requirements/pipeline.txt $(VENV)/installed
	$(install)
	@touch $@

$(VENV)/installed-dev: requirements/dev.txt $(VENV)/made
	$(install)
	@touch $(VENV)/installed $(VENV)/installed-production $(VENV)/installed-pipeline $@

# Locks hashes of all distributions, for every platform and for Python 3.11 and later (log: 3.12, as aics-tlog needs).
# UPGRADE=1 takes the newest version of packages whose version the .in files don't fix. Only the public index is used,
# whatever this machine's settings say.
LOCKED := runtime production pipeline dev fuzz lake log spark tools
.PHONY: lock
lock: ## lock requirements/*.in: write all versions with hashes (UPGRADE=1 for newer ones)
	@$(need_python)
	@test -x .venv-tools/bin/uv || { "$(PYTHON)" -m venv --clear .venv-tools && .venv-tools/bin/python -m pip install \
		--disable-pip-version-check --no-input --quiet --progress-bar off -r requirements/tools.in; }
	@for name in $(LOCKED); do \
		file=requirements/$$name.txt; if [ "$$name" = runtime ]; then file=requirements.txt; fi; \
		echo "$$file"; \
		same=; case "$$name" in production|pipeline|dev) same="--constraint requirements.txt";; esac; \
		python=3.11; if [ "$$name" = log ]; then python=3.12; fi; \
		env -u UV_INDEX -u UV_DEFAULT_INDEX -u UV_INDEX_URL -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS .venv-tools/bin/uv pip compile \
			--no-config --quiet --universal --python-version $$python --generate-hashes --no-annotate \
			--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) $$same \
			requirements/$$name.in --output-file "$$file" || exit 1; \
	done

.PHONY: audit
audit: .venv-tools/installed ## look up the locked packages in an advisory database of vulnerabilities
	@.venv-tools/bin/python scripts/audit.py requirements.txt $(filter-out requirements/runtime.txt,$(wildcard requirements/*.txt))

.PHONY: hooks
hooks: .venv-tools/installed ## install git hooks that check the changed files and the commit's subject
	@.venv-tools/bin/pre-commit install

.PHONY: port env
port:
	@$(need_python)
	@"$(PYTHON)" scripts/start.py port

env:
	@"$(PYTHON)" scripts/start.py env

# --- Run ----------------------------------------------------------------------------------------------------------

.PHONY: run
run: ## set up what is missing, and run the server on http://localhost:8000 (PORT=…) and a worker
	@$(MAKE) port
	@$(MAKE) --silent $(VENV)/installed
	@$(MAKE) env
	@exec $(PY) scripts/start.py serve

.PHONY: serve
serve: ## serve as in production: DEBUG off, WEB_CONCURRENCY processes (PORT=…, DATABASE_URL=…), without a worker
	@$(MAKE) port
	@$(MAKE) --silent $(VENV)/installed-production
	@$(MAKE) env
	@exec $(PY) scripts/start.py production

.PHONY: demo
demo: $(VENV)/installed env ## load the demo into a database that has no organizations
	@$(PY) manage.py migrate --verbosity 0
	@$(PY) manage.py demo

.PHONY: pipeline-demo
pipeline-demo: $(VENV)/installed-pipeline ## filter 200,000 records on a portal of its own, register a run, opt out, remove (ROWS=200000)
	@$(PY) scripts/pipeline_demo.py --rows $(if $(filter command line environment,$(origin ROWS)),$(ROWS),200000)

.PHONY: pipeline-wheel
pipeline-wheel: $(VENV)/installed ## build a wheel of the pipeline alone, without Django, into dist/
	@$(PY) scripts/pipeline_wheel.py

.PHONY: demo-password
demo-password: $(VENV)/installed env ## give the demo's operator a new password and show it
	@$(PY) manage.py demo --new-password

# --- Test ---------------------------------------------------------------------------------------------------------

PYTEST = $(PY) -m pytest -n $(WORKERS) --dist worksteal
# What tests/conftest.py counts as enough on one of the databases runs there alone; with EVERY_CASE=1 or ARGS on both.
EVERY_CASE ?=
SAMPLED = $(if $(EVERY_CASE)$(ARGS),,SAMPLED=1)
# COVERAGE=1 measures the tests on SQLite, which takes longer by a third.
COVERAGE ?=
MEASURED = $(PY) -m coverage run -m pytest -p tests.measuring -n $(WORKERS) --dist worksteal

.PHONY: test
test: $(VENV)/installed-dev ## the tests, on SQLite and on a PostgreSQL of its own or TEST_DATABASE_URL (EVERY_CASE=1: every case on both)
	@failed=; \
	$(MAKE) test-sqlite || failed="$$failed SQLite"; \
	$(MAKE) test-postgres || failed="$$failed PostgreSQL"; \
	if [ -n "$$failed" ]; then echo "Failed on:$$failed" >&2; exit 1; fi

.PHONY: test-fast
test-fast: $(VENV)/installed-dev ## what changes most often breaks: on SQLite, without a browser and slow tests
	@env -u DATABASE_URL $(PYTEST) -m "not soak and not browser and not slow and not thorough" $(ARGS)

.PHONY: test-sqlite
test-sqlite: $(VENV)/installed-dev ## the tests on SQLite, browser tests included, without migrations (EVERY_CASE=1: with them)
	@echo "== Tests on SQLite"
	@$(if $(COVERAGE),rm -f .coverage .coverage.*)
	@env -u DATABASE_URL $(SAMPLED) $(if $(COVERAGE),$(MEASURED),$(PYTEST)) -m "not soak" $(ARGS)
	@$(if $(COVERAGE),$(PY) scripts/coverage_report.py)

.PHONY: coverage
coverage: ## tests on SQLite, and how many branches of accounts and consent they take
	@$(MAKE) test-sqlite COVERAGE=1

# Exit code 77 of with_postgres.py: there is no PostgreSQL for this platform, and this is not CI.
.PHONY: test-postgres
test-postgres: $(VENV)/installed-dev ## the tests on PostgreSQL; a third of most tables of cases (EVERY_CASE=1: all); of the browser tests only the smoke tests
	@echo "== Tests on PostgreSQL"
	@code=0; $(SAMPLED) $(PY) tests/with_postgres.py $(PYTEST) -m "not soak and (not browser or smoke)" $(ARGS) || code=$$?; \
	if [ "$$code" = 77 ]; then echo "SKIPPED: all tests on PostgreSQL"; else exit "$$code"; fi

.PHONY: test-spark
test-spark: .venv-spark/installed ## the filter on Spark gives the verdicts of DuckDB (needs Java 17)
	@command -v java >/dev/null || { echo "That needs Java 17 (Debian: apt-get install openjdk-17-jre-headless)." >&2; exit 1; }
	@.venv-spark/bin/python -m pytest -c tests/spark/pytest.ini --rootdir . --confcutdir tests/spark tests/spark $(ARGS)

.PHONY: test-lake
test-lake: .venv-lake/installed ## the recipes of docs/pipeline.md with Hugging Face datasets, Delta Lake, MLflow, OpenLineage, Croissant and S3
	@.venv-lake/bin/python -m pytest -c tests/lake/pytest.ini --rootdir . --confcutdir tests/lake tests/lake $(ARGS)

# Debian's packages of Go and of the library that Go's own checksum database is checked with.
GO_PATH := /usr/share/gocode
.PHONY: test-proofs
test-proofs: $(VENV)/installed-dev ## Go's libraries check signatures and proofs of the log (needs golang-go and golang-golang-x-mod-dev)
	@missing=; command -v go >/dev/null || missing=" golang-go"; \
	test -d $(GO_PATH)/src/golang.org/x/mod/sumdb || missing="$$missing golang-golang-x-mod-dev"; \
	if [ -n "$$missing" ]; then \
		echo "$(if $(CI),,SKIPPED: Go does not check the log. )That needs Debian's packages: apt-get install$$missing" >&2; exit $(if $(CI),1,0); \
	fi; \
	$(PY) -m tests.proofs_go | CGO_ENABLED=0 GO111MODULE=off GOFLAGS= GOPATH=$(GO_PATH) go run tests/proofs_go/main.go

.PHONY: soak
soak: $(VENV)/installed-dev ## property tests with long random histories: 50,000 steps on each database
	@SOAK=1 env -u DATABASE_URL $(PYTEST) -m soak $(ARGS)
	@SOAK=1 $(PY) tests/with_postgres.py $(PYTEST) -m soak $(ARGS)

# Generated test cases per API operation.
CASES ?= 100

# A separate virtual environment for each separate requirements file (fuzz, log, tools).
.venv-%/installed: requirements/%.txt
	@$(need_python)
	@echo "Installing $< into .venv-$* (once) …"
	@"$(PYTHON)" -m venv --clear .venv-$*
	@.venv-$*/bin/python -m pip install --disable-pip-version-check --no-input --no-compile --quiet --progress-bar off --require-hashes -r $<
	@touch $@

.PHONY: fuzz
fuzz: $(VENV)/installed-dev .venv-fuzz/installed ## fuzz the running API with generated requests, valid and invalid (CASES=100)
	@$(PY) scripts/fuzz.py .venv-fuzz/bin/st --cases $(CASES)

# --- Words and looks ----------------------------------------------------------------------------------------------

.PHONY: messages
messages: $(VENV)/installed-dev ## collect texts to translate, and compile the translations (needs gettext)
	@$(CLEAN_ENV) $(PY) manage.py makemessages -l fr --no-obsolete --no-location --no-wrap -i .venv -i .venv-fuzz -i .venv-lake -i .venv-log -i .venv-spark -i .venv-tools -i node_modules -i tests -i benchmarks -i scripts -i staticfiles
	@$(CLEAN_ENV) $(PY) manage.py compilemessages -l fr -i .venv -i .venv-fuzz -i .venv-lake -i .venv-log -i .venv-spark -i .venv-tools -i node_modules

.PHONY: axe
axe: $(VENV)/installed-dev ## check accessibility of every page in every language, colour scheme and width (CI checks a quarter)
	@AXE=all $(PYTEST) tests/browser/test_everywhere.py -k axe

.PHONY: interop
interop: $(VENV)/installed-dev .venv-fuzz/installed .node-interop/installed ## try third-party linters, client generators and a webhook library on a running portal (needs node and npm); interop-log
	@$(PY) scripts/interop.py .node-interop/node_modules .venv-fuzz/bin
	@$(MAKE) interop-log

# aics-tlog needs a newer Python than the portal: one of the PATH or of pyenv, or named: make interop-log NEW_PYTHON=/path.
NEW_PYTHON = $(shell for name in python3.14 python3.13 python3.12 python3 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/*/bin/python3; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1 && echo "$$name" && break; done)
no_new_python = echo "$(if $(CI),,SKIPPED: aics-tlog does not check the log. )That needs Python 3.12 or newer: make interop-log NEW_PYTHON=/path/to/python" >&2; \
	exit $(if $(CI),1,0)
.venv-log/installed: override PYTHON = $(NEW_PYTHON)

.PHONY: interop-log
interop-log: $(VENV)/installed-dev ## let aics-tlog, a verifier of others, check the log of a running portal (needs Python 3.12)
	@$(if $(NEW_PYTHON),$(MAKE) --silent .venv-log/installed,$(no_new_python))
	@$(if $(NEW_PYTHON),$(PY) scripts/interop_log.py .venv-log/bin)

.node-interop/installed: tests/interop/package-lock.json
	$(need_npm)
	@echo "Installing $< into .node-interop (once) …"
	@mkdir -p .node-interop && cp tests/interop/package.json tests/interop/package-lock.json .node-interop
	@cd .node-interop && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

# Completes names of commands, their verbs, options and values.
.PHONY: completion
completion: $(VENV)/installed-dev ## generate shell completion for manage.py, for bash and zsh
	@$(CLEAN_ENV) $(PY) scripts/completion.py bash > $(VENV)/completion.bash
	@$(CLEAN_ENV) $(PY) scripts/completion.py zsh > $(VENV)/_manage.py
	@echo 'bash: source $(CURDIR)/$(VENV)/completion.bash'
	@echo 'zsh:  fpath=($(CURDIR)/$(VENV) $$fpath); autoload -Uz compinit; compinit'

# --- Measure ------------------------------------------------------------------------------------------------------

# Rows of each measurement; a million takes half an hour.
ROWS ?= 1000000
PAIRS ?= 3
ROUNDS ?= 100
BENCH = $(PY) tests/with_postgres.py --durable $(PY) -m

.PHONY: bench drill restore-drill
bench: $(VENV)/installed-dev ## measure every performance claim, both sides in one run (ROWS=1000000 PAIRS=3)
	@$(BENCH) benchmarks.bulk --rows $(ROWS) --pairs $(PAIRS)
	@env -u DATABASE_URL $(PY) -m benchmarks.bulk --rows $(ROWS) --pairs $(PAIRS)
	@$(BENCH) benchmarks.imports --rows $(ROWS) --pairs $(PAIRS)
	@$(BENCH) benchmarks.snapshots --rows $(ROWS) --pairs $(PAIRS)
	@env -u DATABASE_URL $(PY) -m benchmarks.snapshots --rows $(ROWS) --pairs $(PAIRS)
	@$(PY) -m benchmarks.filtering --rows $$((20 * $(ROWS))) --organizations $(ROWS) --members $$((2 * $(ROWS))) --pairs $(PAIRS)
	@$(BENCH) benchmarks.removals --rows $(ROWS) --pairs $(PAIRS)
	@env -u DATABASE_URL $(PY) -m benchmarks.removals --rows $(ROWS) --pairs $(PAIRS)
	@$(BENCH) benchmarks.verifying
	@$(BENCH) benchmarks.log --rows $(ROWS) --pairs $(PAIRS)
	@env -u DATABASE_URL $(PY) -m benchmarks.log --rows $(ROWS) --pairs $(PAIRS)
	@$(BENCH) benchmarks.toggles --rows $(ROWS)
	@$(BENCH) benchmarks.questions --large $(ROWS) --pairs $(PAIRS)
	@env -u DATABASE_URL $(PY) -m benchmarks.questions --pairs $(PAIRS)
	@$(BENCH) benchmarks.spent
	@$(BENCH) benchmarks.counting
	@env -u DATABASE_URL $(PY) -m benchmarks.counting
	@$(BENCH) benchmarks.slow --pairs $(PAIRS)
	@$(BENCH) benchmarks.webhooks
	@$(BENCH) benchmarks.pages --large $(ROWS) --pairs $(PAIRS)

drill: $(VENV)/installed-dev ## kill -9 workers at 100 random moments, on both databases, and prove that nothing is lost
	@$(BENCH) benchmarks.drill

restore-drill: $(VENV)/installed-dev ## kill a portal, set its database back to a random moment, adopt it: nothing is un-said (ROUNDS=100)
	@$(PY) -m benchmarks.restoring --rounds $(ROUNDS)

# --- Check --------------------------------------------------------------------------------------------------------

CHECKS := check-format check-lint check-types check-templates check-assets check-imports check-migrations check-deploy

.PHONY: check $(CHECKS)
check: $(VENV)/installed-dev ## check formatting, lint, types, templates, style sheets and scripts, import contracts, migrations, deployment settings
	@failed=; \
	for name in $(CHECKS); do echo "== $$name"; $(MAKE) "$$name" || failed="$$failed $$name"; done; \
	if [ -n "$$failed" ]; then echo "Failed:$$failed" >&2; exit 1; fi; \
	echo "All checks passed."

check-format: $(VENV)/installed-dev
	@$(PY) -m ruff format --check --output-format concise $(SOURCES)

check-lint: $(VENV)/installed-dev
	@$(PY) -m ruff check $(SOURCES)

check-types: $(VENV)/installed-dev
	@$(CLEAN_ENV) $(PY) -m mypy

check-templates: $(VENV)/installed-dev
	@$(PY) -m djlint --quiet --lint templates
	@$(PY) -m djlint --check templates

# Lints style sheets and scripts with Biome, an npm package. The portal itself does not need npm.
node_modules/installed: package-lock.json
	$(need_npm)
	@echo "Installing $< into node_modules (once) …"
	@npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

BIOME = node_modules/.bin/biome
have_npm := $(shell command -v npm)
no_npm = echo "SKIPPED: style sheets and scripts are not checked, for npm is not installed." >&2

check-assets: $(if $(have_npm)$(CI),node_modules/installed)
	@$(if $(have_npm)$(CI),$(BIOME) ci --error-on-warnings --reporter=concise --colors=off,$(no_npm))

check-imports: $(VENV)/installed-dev
	@$(PY) -c 'from importlinter.cli import lint_imports_command as check; check()' --no-logo

check-migrations: $(VENV)/installed-dev
	@$(CLEAN_ENV) $(PY) manage.py makemigrations --check --dry-run

# Checks settings like those of production: PostgreSQL (nothing connects to it) and HTTPS.
check-deploy: $(VENV)/installed-dev
	@$(CLEAN_ENV) DEBUG=false ALLOWED_HOSTS=portal.example DATABASE_URL=postgresql://portal@db.example/portal EMAIL_URL=smtp+tls://mail.example:587 WITNESS=/mnt/witness/portal \
		$(PY) manage.py check --deploy --fail-level WARNING

.PHONY: format
format: $(VENV)/installed-dev $(if $(have_npm),node_modules/installed) ## format the code, and fix what the linters can fix
	@$(PY) -m ruff check --fix $(SOURCES) || true
	@$(PY) -m ruff format $(SOURCES)
	@$(PY) -m djlint --quiet --reformat templates || true
	@$(if $(have_npm),$(BIOME) check --write --reporter=concise --colors=off,$(no_npm))

.PHONY: screenshots
screenshots: $(VENV)/installed-dev env ## take the screenshots in docs/screenshots again
	@$(PY) scripts/screenshots.py

# --- Tidy ---------------------------------------------------------------------------------------------------------

.PHONY: clean
clean: ## remove .venv, caches and collected files; keeps the database and .env
	rm -rf $(VENV) .venv-fuzz .venv-lake .venv-log .venv-spark .venv-tools .node-interop node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .schemathesis staticfiles
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

.PHONY: clean-data
clean-data: ## remove the embedded database portal.sqlite3 with everything in it
	rm -f portal.sqlite3 portal.sqlite3-wal portal.sqlite3-shm
