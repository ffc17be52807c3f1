# The verbs people look for. Everything goes through the lock file into .venv; only Python 3.11+ is needed.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
UV := $(VENV)/bin/uv
# Modules are compiled once, and not by each of the hundreds of commands that the tests call.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup demo serve test test-deploy chaos endurance accounts browser faketime systemd keycloak jupyterhub axe assets pictures docs docs-links lint format types contracts audit wheel bench lock clean

help:  ## Say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

$(VENV)/.ready: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Pressroom needs Python 3.11 or newer; name one with make PYTHON=...")'
	@test -x $(UV) || { $(PYTHON) -m venv $(VENV) && $(VENV)/bin/pip install --quiet --disable-pip-version-check uv; }
	@$(UV) sync --quiet --frozen --all-extras --inexact --compile-bytecode
	@$(VENV)/bin/python -m bash_kernel.install --sys-prefix >/dev/null 2>&1 || $(VENV)/bin/python -m bash_kernel.install --prefix $(VENV)
	@touch $@

setup: $(VENV)/.ready  ## Make .venv with everything in it

demo: setup  ## Execute an example with parameters, show its history, and leave the service running
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" bash examples/demo.sh

serve: setup  ## Run the service
	$(VENV)/bin/pressroom serve

test: setup accounts browser faketime systemd keycloak jupyterhub axe  ## Run all the tests
	$(VENV)/bin/pytest -n 3 --dist worksteal --ignore tests/chaos
	$(VENV)/bin/pytest -n 3 --dist worksteal tests/chaos

test-deploy: setup browser keycloak  ## Build the images, start the stack and use it; needs root, for a Docker Engine where none runs
	@environment="$$(tests/deploy/engine.sh)" && eval "$$environment" && tests/deploy/stand_ins.sh \
	  && PRESSROOM_PICTURES= $(VENV)/bin/pytest -x -s -o norecursedirs=".*" tests/deploy

chaos: setup faketime  ## Run the chaos tests alone; PRESSROOM_CHAOS_EXECUTIONS=300 for a larger storm
	$(VENV)/bin/pytest -s tests/chaos

endurance: setup  ## Execute 2,000 notebooks in a row and look for what is left of them
	PRESSROOM_ENDURANCE=2000 $(VENV)/bin/pytest tests/integration/test_press_endurance.py

accounts: setup  ## Let the accounts that the tests make come to Python, where a folder above it is closed to them
	@$(VENV)/bin/python tests/accounts.py

browser:  ## Install the Chromium that a test looks at pages with, where there is none
	@test -x /usr/bin/chromium || { apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium >/dev/null; }

faketime:  ## Install what puts a worker's clock minutes off in a test, where there is none
	@test -x /usr/bin/faketime || { apt-get update -qq && apt-get install -qq -y --no-install-recommends faketime >/dev/null; }

systemd:  ## Install what checks the units of systemd in a test, where there is none
	@test -x /usr/bin/systemd-analyze || { apt-get update -qq && apt-get install -qq -y --no-install-recommends systemd >/dev/null; }

keycloak: setup  ## Fetch the Keycloak that people sign in at in the tests, where there is none
	@{ command -v java && command -v mvn; } >/dev/null || { apt-get update -qq && apt-get install -qq -y --no-install-recommends default-jre-headless maven >/dev/null; }
	@$(VENV)/bin/python tests/keycloak.py >/dev/null

jupyterhub: setup  ## Fetch the proxy of the JupyterHub that the tests start, where there is none; needs Node 20 or newer
	@{ command -v node && command -v npm; } >/dev/null || { apt-get update -qq && apt-get install -qq -y --no-install-recommends nodejs npm >/dev/null; }
	@$(VENV)/bin/python tests/hub.py

$(VENV)/.docs: $(VENV)/.ready
	@$(UV) sync --quiet --frozen --all-extras --group docs --inexact
	@touch $@

docs: $(VENV)/.docs  ## Build the site of the documentation in docs/_build/html; warnings are errors
	$(VENV)/bin/sphinx-build --quiet -n -W --keep-going docs docs/_build/html

docs-links: docs  ## Look whether the pages elsewhere that the documentation names are there, where they can be reached
	$(VENV)/bin/python .ci/links.py

assets: setup  ## Fetch what pages load of others', from its pinned npm packages; needs npm
	$(VENV)/bin/python .ci/assets.py

pictures: setup browser axe keycloak  ## Take the pictures of the pages that stand in the docs
	$(VENV)/bin/python .ci/pictures.py

axe: setup  ## Fetch axe-core, which a test looks for barriers in pages with, where there is none; needs npm
	@$(VENV)/bin/python tests/axe.py >/dev/null

lint: setup  ## Check style
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

format: setup  ## Mend style
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

types: setup  ## Check types
	$(VENV)/bin/pyright

contracts: setup  ## Check that imports point one way
	$(VENV)/bin/lint-imports

audit: setup  ## Look for known vulnerabilities of what is locked, where the advisories can be reached
	$(VENV)/bin/python .ci/audit.py

wheel: setup  ## Build the wheel, install it into an empty environment, and start it there
	rm -rf dist && $(UV) build --quiet --wheel
	rm -rf dist/venv && $(PYTHON) -m venv dist/venv
	$(UV) pip install --quiet --python dist/venv/bin/python dist/*.whl
	dist/venv/bin/pressroom --version

bench: setup  ## Measure against peers
	@$(UV) sync --quiet --frozen --all-extras --group bench --inexact
	$(VENV)/bin/python bench/press.py
	$(VENV)/bin/python bench/api.py
	$(VENV)/bin/python bench/queue.py
	$(VENV)/bin/python bench/followers.py
	$(VENV)/bin/python bench/history.py --rows 200000
	$(VENV)/bin/python bench/identity.py
	$(VENV)/bin/python bench/grid.py
	$(VENV)/bin/python bench/compare.py
	$(VENV)/bin/python bench/pages.py

lock:  ## Choose the newest dependencies
	$(UV) lock --upgrade

clean:  ## Remove what was built
	rm -rf $(VENV) dist .demo docs/_build docs/reference/api docs/reference/commands
