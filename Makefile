# Every target makes the virtual environment it needs. `make demo` installs no development tools.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
SECONDS ?= 60
ROWS ?= 1000000
# Run by CI after the others, one after the other, and by `make crashes`.
LONG := $(patsubst %,tests/e2e/test_%.py,crashes crashes_later weather memory counter_streams demo)

# Four side by side even on two cores, since they wait a lot; what takes longest begins first.
TOGETHER := $(addprefix tests/,e2e browser heist interop certification architecture services)
# Hundreds of processes are started: none compiles what another one has compiled.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test bench lint format fuzz soak heist crashes screenshots requirements
.DEFAULT_GOAL := help

help: ## say what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1\t/' | expand -t 20

$(VENV)/pyvenv.cfg:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "Installing what the services need (once, about half a minute) …"
	@$(PIP) install --require-hashes -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "Installing what the tests need (once) …"
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@

demo: $(VENV)/.installed $(if $(filter oidc,$(LOGIN)),$(VENV)/.interop) ## the whole story on this machine; CHECK=1 ends by itself; LOGIN=oidc signs in at an OpenID Provider
	@$(BIN)/wallet-demo $(if $(CHECK),--check,) $(if $(LOGIN),--login $(LOGIN),)

$(VENV)/.interop: tests/interop/package.json tests/interop/package-lock.json | $(VENV)/pyvenv.cfg
	@command -v npm >/dev/null || { echo "No npm here: the tests with other projects' libraries will be skipped."; exit 0; }; \
	  cd tests/interop && npm ci --silent --no-audit --no-fund && touch ../../$@

$(VENV)/.components: | $(VENV)/pyvenv.cfg
	@command -v chromium >/dev/null && command -v softhsm2-util >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; } || { \
	  echo "No chromium or softhsm2-util here, and no right to install them: their tests will be skipped."; exit 0; }; \
	  command -v chromium >/dev/null && command -v softhsm2-util >/dev/null || { \
	  echo "Installing chromium and softhsm2 (once) …"; apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium softhsm2 >/dev/null; }; touch $@

test: lint $(VENV)/.interop $(VENV)/.components ## everything CI checks: linters, unit to end-to-end, SQLite and PostgreSQL
	$(BIN)/coverage erase
	$(BIN)/coverage run --source=shared --omit='shared/runtime/*,shared/demo/*' -m pytest tests/unit tests/properties -q -n 2
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --fail-under=95 --skip-covered
	$(BIN)/python -m pytest $(TOGETHER) -q -n 4 --no-loadscope-reorder $(LONG:%=--ignore=%)
	$(BIN)/python -m tests.fuzz.run --seconds $(if $(CI),75,30)
	$(if $(CI),$(BIN)/python -m pytest $(LONG) -q,@echo "With CI=true also: crashes, weather, memory, a thousand counters, demos (make crashes).")

bench: $(VENV)/.installed-dev ## the figures of docs/performance.md; JSON=path writes them, ROWS=n ends the curve (0: none)
	@$(BIN)/python -m bench --rows $(ROWS) $(if $(JSON),--json $(JSON),)

lint: $(VENV)/.installed-dev ## ruff, mypy --strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.installed-dev ## let ruff put the code in order
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fuzz: $(VENV)/.installed-dev ## noise at all parsers for SECONDS (default 60) together
	$(BIN)/python -m tests.fuzz.run --seconds $(SECONDS)

heist: $(VENV)/.installed-dev ## an attacker with every database, key and backup, and what they get
	@$(BIN)/python -m tests.heist

crashes: $(VENV)/.installed-dev ## services killed at every step boundary; databases, disks, clocks that fail; memory; a thousand counters; demos
	$(BIN)/python -m pytest $(LONG) -q

soak: $(VENV)/.installed-dev ## FLOWS flows (default 20000) and whether memory stays flat
	@$(BIN)/python -m bench.soak --flows $(or $(FLOWS),20000)

screenshots: $(VENV)/.installed-dev $(VENV)/.interop $(VENV)/.components ## pictures of every page in every language, light and dark, into screenshots/
	@rm -rf screenshots && mkdir screenshots
	@SHOTS=$(CURDIR)/screenshots $(BIN)/python -m pytest tests/browser -q -n 2 --dist loadfile
	@echo "$$(ls screenshots | wc -l) pictures in screenshots/: look at them."

requirements: $(VENV)/.installed-dev ## pin anew, with hashes and without index addresses
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --upgrade --quiet \
	  --extra postgres --extra hsm --extra build --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements.txt
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --quiet -c requirements.txt \
	  --extra postgres --extra hsm --extra build --extra dev --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements-dev.txt
