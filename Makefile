# The front of every task. `make help` lists them; each does the set-up it needs.

BIN := .venv/bin
STAMP := .venv/.setup-done
TRANSLATIONS := src/pearlstreet/locale/zh_CN/LC_MESSAGES/pearlstreet.mo
JOBS ?= 3
CYCLES ?= 100
SECONDS ?= 90
WORKERS ?= 2
N ?= 100000
OPS ?= 1000000
CASES ?= 100000
SEED ?= 1
MINUTES ?= 10
SAMPLE ?= 300
PART ?=
BENCHMARKS ?=
PYTEST := $(BIN)/python -m pytest -p no:cacheprovider

# Tests start hundreds of Python processes. Without kept bytecode each of them would compile everything anew: twice the time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: hub-clients help setup demo demo-stop demo-cluster demo-cluster-stop test check lint types imports tidy fmt unit prop planner sim crash fuzz s3 slurm laws upgrades security soak mutants ledger-scale browser e2e screenshots judges bench engines generator fresh reference messages lock migration clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) $(TRANSLATIONS) ## Make .venv with the locked packages (needs only Python >= 3.11)

$(STAMP): requirements-dev.lock pyproject.toml scripts/setup.sh
	@sh scripts/setup.sh
	@touch $@

$(TRANSLATIONS): $(STAMP) $(wildcard src/pearlstreet/locale/*/LC_MESSAGES/*.po)
	@$(BIN)/python -m pearlstreet.base.translation_compiler

demo: setup ## Start a center, run a real training job on it, show its invoice
	@$(BIN)/pearl demo

demo-stop: setup ## Stop the center that make demo left running
	@$(BIN)/pearl demo --stop

demo-cluster: setup ## Start a real Slurm of 8 virtual nodes, train on two of them, show the invoice (as root; skips without Slurm)
	@$(BIN)/pearl demo --cluster

demo-cluster-stop: setup ## Stop the center and the Slurm that make demo-cluster left running
	@$(BIN)/pearl demo --cluster --stop

test: lint types imports unit $(if $(PKG),,browser) ## Everything a change must pass, in minutes; PKG=ledger: only that package's tests

check: ## What CI runs: install the real parts (as root), then every suite, absent parts being failures
	bash .ci/run

lint: setup ## Style and common mistakes
	$(BIN)/ruff check src tests benchmarks recipes scripts
	$(BIN)/ruff format --check src tests benchmarks recipes scripts

types: setup ## Strict typing
	$(BIN)/mypy

imports: setup ## Check that packages import only packages of lower layers
	$(BIN)/lint-imports

unit: setup ## The tests alone, without lint and types (ARGS=... is passed to pytest)
	@$(if $(PKG),paths=$$($(BIN)/python -m tests.package_tests $(PKG)) || exit 1;) set -x; \
	$(PYTEST) -n $(JOBS) --dist worksteal -m "not slow" --ignore=tests/e2e $(if $(PKG),$$paths) $(ARGS)

browser: setup ## The console's main stories in Chromium, one center for all
	$(PYTEST) -m "not slow" tests/e2e

e2e: setup ## Every page of the console as every role, in both languages and themes, at both widths, with axe-core
	$(PYTEST) -m "slow or not slow" tests/e2e $(ARGS)

screenshots: setup ## Take the pictures of docs/images/console anew (ARGS="quote energy" for some)
	$(BIN)/python -m tests.e2e.screenshots $(ARGS)

tidy: setup ## Project rules: banned calls and words, translations, file names, links; lists of names to be read
	$(PYTEST) tests/tidy
	@$(BIN)/python -m tests.tidy.report

fmt: setup ## Format the code and fix what ruff can fix
	$(BIN)/ruff check --fix src tests benchmarks recipes scripts
	$(BIN)/ruff format src tests benchmarks recipes scripts

planner: setup ## The planner's laws on random centers and queues (CASES=100000 of each)
	PEARL_PLANNER_CASES=$(CASES) $(PYTEST) -n $(JOBS) -m slow tests/property/test_laws.py $(ARGS)

prop: setup ## Property tests with many more examples
	$(PYTEST) -n $(JOBS) --hypothesis-profile=thorough tests/property tests/unit tests/store/test_audit.py

sim: setup ## Simulate centers under faults, from fresh seeds on (SECONDS=90, WORKERS=2; FIRST=… begins at that seed)
	$(BIN)/pearl sim run --seconds $(SECONDS) --workers $(WORKERS) $(if $(FIRST),--first $(FIRST))

crash: setup ## Kill the server, and PostgreSQL, at random moments under load (CYCLES=100; ARGS=... is passed to pytest)
	PEARL_CRASH_CYCLES=$(CYCLES) $(PYTEST) -m "slow or not slow" tests/crash tests/store/test_kill.py tests/store/jobs/test_storage_kill.py tests/faults/test_postgres_server.py tests/faults/test_backup_drill.py $(ARGS)

fuzz: setup ## Schemathesis over the whole API by five roles, and what it once found (N=100000 SEED=1 WORKERS=2)
	PEARL_FUZZ_REQUESTS=$(N) PEARL_FUZZ_SEED=$(SEED) PEARL_FUZZ_WORKERS=$(WORKERS) $(PYTEST) -m "slow or not slow" tests/fuzz $(ARGS)

hub-clients: setup ## Official Hugging Face clients of three generations against a live hub
	@sh scripts/hub_clients.sh
	PEARL_REQUIRE_ENGINES=1 $(PYTEST) -m "slow or not slow" tests/hub_clients $(ARGS)

s3: setup ## The store of blobs on a real S3 server (Ceph's gateway, which the test starts)
	PEARL_REQUIRE_ENGINES=1 $(PYTEST) -m "slow or not slow" tests/unit/objects tests/faults/test_s3.py $(ARGS)

slurm: setup ## Every law of engines, and failures of Slurm, on a real Slurm cluster of 8 virtual nodes (as root)
	PEARL_REQUIRE_ENGINES=1 $(PYTEST) -n 2 -m "slow or not slow" -k slurm tests/conformance tests/engines tests/unit/engines_slurm $(ARGS)

slurm-24: setup ## The laws of engines on Slurm 24.11 of Debian 13 with REST v0.0.42 (as root; skips with a reason; ROOT=folder)
	@root=$$(sh scripts/slurm_24.sh) || { [ $$? -eq 77 ] && exit 0; exit 1; }; \
	PEARL_SLURM_ROOT=$$root PEARL_REQUIRE_ENGINES=1 $(PYTEST) -m "slow or not slow" \
	-k "slurm and not slurm-command and not slurm-exchange" tests/conformance tests/engines/test_slurm_engine.py $(ARGS)

laws: setup ## Every law of engines on the local and simulated ones, in every mode of placement
	$(PYTEST) -n $(JOBS) -m "slow or not slow" -k "not slurm" tests/conformance $(ARGS)

upgrades: setup ## Filled databases of every earlier schema brought to this one, on SQLite and PostgreSQL
	$(PYTEST) -n $(JOBS) -m "slow or not slow" tests/store/old $(ARGS)

security: setup ## Every file name, address, attempt to leave the sandbox, attack on the server, and search for secrets
	PEARL_SECURITY_ALL=1 $(PYTEST) -m "slow or not slow" tests/security
	$(BIN)/python -m tests.security.http_siege

soak: setup ## One tenant submits without rest beside 200 followed logs: the other's starts, memory, descriptors (MINUTES=10)
	$(BIN)/python -m tests.scale.soak --minutes $(MINUTES)

mutants: setup ## Plant small wrong changes and see whether tests notice (PART=leases SEED=1 SAMPLE=300 WORKERS=2 WIDE=1; resumes)
	$(BIN)/python -m tests.mutation $(PART) --sample $(SAMPLE) --seed $(SEED) --workers $(WORKERS) $(if $(WIDE),--wide)

ledger-scale: setup ## Random operations on the books with everything going wrong (OPS=1000000 SEED=1)
	$(BIN)/python -m tests.scale.ledger --ops $(OPS) --seed $(SEED)

judges: setup ## Whole schedules of public traces before outside judges (PEARL_SHARED=folder with data/traces and referee)
	$(PYTEST) -m "slow or not slow" tests/unit/replay/test_referees.py $(ARGS)

bench: setup ## Benchmarks, then one table: figure, peer or bound, ratio (BENCHMARKS="benchmarks/quote.py …" for some)
	@$(BIN)/python benchmarks/run_all.py $(BENCHMARKS)

engines: setup ## Install PostgreSQL, Slurm, Ceph's S3 gateway, Chromium, bubblewrap, Node.js from Debian (as root), and the hub's official clients
	@sh scripts/engines.sh
	@sh scripts/hub_clients.sh

generator: setup ## Install openapi-python-client, with which a test generates a client from the OpenAPI document
	@sh scripts/generator.sh

fresh: ## Run the README's commands on a fresh Debian 13 as an ordinary user (as root; STEPS, SUITE, PYTHON, CACHE)
	@sh scripts/fresh.sh

reference: setup ## Write the generated reference pages and the types of the client's results anew
	@sh scripts/reference.sh

messages: setup ## Add new messages to the translations, remove those that are gone, list what is left to translate
	@$(BIN)/python -m tests.tidy.update_messages

lock: setup ## Write the hash-locked requirements anew from pyproject.toml
	@sh scripts/lock.sh

migration: setup ## Write the next migration from a change of the tables (SLUG=notices MESSAGE="Notices.")
	$(BIN)/python scripts/migration.py "$(SLUG)" "$(MESSAGE)"

clean: ## Remove what the tools made, .venv included
	rm -rf .venv .generator .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
