# The commands of the project. `make` without arguments lists them.

PYTHON := .venv/bin/python
UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo .tool/bin/uv)
# Bytecode is compiled here, once. Where PYTHONDONTWRITEBYTECODE is set, every process would compile all packages again.
SYNC := $(UV) pip sync --quiet --python $(PYTHON) --require-hashes --compile-bytecode
COMPILE := $(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header -p 3.11 pyproject.toml
# One worker more than processors, because tests of whole processes mostly wait. Each worker has an S3 server and a
# browser of its own, so more than four workers do not make the tests faster.
WORKERS := $(shell echo $$(( $$(nproc) < 3 ? $$(nproc) + 1 : 4 )))
PYTEST := pytest --numprocesses=$(WORKERS) --dist=worksteal --quiet $(ARGS)

# Use the certificates of the system, which may include those of a company's proxy. (The two names are those of older and
# newer versions of uv.)
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export UV_SYSTEM_CERTS := true
export UV_NATIVE_TLS := true
endif

.DEFAULT_GOAL := help
.PHONY: help install run test lint format lock docs chaos seeded-bugs mutation bench structure clean dev services

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: ## Install what Limn needs to run
	@cmp -s requirements-dev.lock .venv/dev.lock || cmp -s requirements.lock .venv/runtime.lock || \
		$(MAKE) --no-print-directory .venv/runtime

run: install ## Start Limn: web pages, API, workers, and the fal simulator unless FAL_KEY is set
	@$(PYTHON) manage.py up

test: dev services lint ## Run all tests on SQLite and on PostgreSQL. ARGS="-k ledger" is passed to pytest
	@rm -f .coverage .coverage.*
	@echo "Testing on SQLite" && TEST_DATABASE=sqlite $(PYTHON) -m coverage run -m $(PYTEST)
	@echo "Testing on PostgreSQL" && TEST_DATABASE=postgresql $(PYTHON) -m $(PYTEST) --coverage-report

lint: dev ## Check style, types and imports
	@.venv/bin/ruff check --quiet .
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo

format: dev ## Format the code
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

lock: $(filter .tool/bin/uv,$(UV)) ## Pin the dependencies of pyproject.toml. ARGS=--upgrade takes the newest permitted versions
	@$(COMPILE) $(ARGS) --output-file requirements.lock >/dev/null
	@$(COMPILE) $(ARGS) --group dev --output-file requirements-dev.lock >/dev/null

docs: dev ## Build the documentation in site/. A broken link is an error
	@$(PYTHON) -m zensical build --strict --clean

chaos: dev ## Run Limn under load for an hour while faults are injected. ARGS="--seed 7 --seconds 300"
	@$(PYTHON) -m quality.chaos $(ARGS)

seeded-bugs: dev services ## Insert known bugs into a copy and check that tests catch each. ARGS="3a 17" selects bugs
	@$(PYTHON) -m quality.seeded_bugs $(ARGS)

mutation: dev services ## Mutate the ledger and the lifecycle and list the mutants that no test kills. ARGS=placing: one module
	@$(PYTHON) -m quality.mutation $(ARGS)

bench: dev ## Measure what docs/performance.md shows. ARGS="order status --seconds 2" selects rows
	@$(PYTHON) -m quality.benchmarks $(ARGS)

structure: dev ## Measure packages, imports and functions, and list what is over a limit. ARGS="--compare HEAD~9"
	@$(PYTHON) -m quality.structure $(ARGS)

clean: ## Remove everything that make created, except the data in var/
	rm -rf .venv .tool site .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- Environments and services ---

dev:
	@cmp -s requirements-dev.lock .venv/dev.lock || $(MAKE) --no-print-directory .venv/dev

# Both environments are in .venv: the development environment includes the runtime environment.
.PHONY: .venv/runtime .venv/dev
.venv/runtime: $(PYTHON)
	@echo "Installing Limn"
	@rm -f .venv/*.lock && $(SYNC) requirements.lock && cp requirements.lock .venv/runtime.lock

.venv/dev: $(PYTHON)
	@echo "Installing Limn and its tools"
	@rm -f .venv/*.lock && $(SYNC) requirements-dev.lock && cp requirements-dev.lock .venv/dev.lock

$(PYTHON): $(filter .tool/bin/uv,$(UV))
	@$(UV) venv --quiet --allow-existing .venv

# Debian's Python has no venv module, and its pip installs nothing outside a virtual environment.
.tool/bin/uv:
	@python3 -c "import ensurepip, venv" 2>/dev/null || $(call apt,python3-venv) || \
		{ echo "Limn needs Python 3.11 with venv. On Debian: apt-get install python3-venv"; exit 1; }
	@python3 -m venv .tool && .tool/bin/pip install --quiet --disable-pip-version-check uv

# Services that some tests need. Without them, these tests are skipped with a message.
services:
	@missing=""; \
	test -x "$${CHROMIUM:-/usr/bin/chromium}" || missing="chromium fonts-noto-color-emoji"; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	test -x /usr/sbin/nginx || missing="$$missing nginx-light"; \
	test -x /usr/sbin/pgbouncer || missing="$$missing pgbouncer"; \
	command -v faketime >/dev/null || missing="$$missing faketime"; \
	command -v curl >/dev/null || missing="$$missing curl"; \
	test -z "$$missing" || $(call apt,$$missing) || \
		echo "Some tests will be skipped. To run them too: apt-get install $$missing"

apt = { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "Installing $(1)" && apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(1) >/dev/null; }
