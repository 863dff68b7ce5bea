# Every target sets itself up: a virtual environment in .venv from pinned, hashed requirements/.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
RUNTIME := $(VENV)/.installed-runtime
DEV := $(VENV)/.installed-dev
SITE := $(VENV)/.installed-site
TEST_WORKERS ?= 6
export OPENBLAS_NUM_THREADS := 1
export OMP_NUM_THREADS := 1
# Python keeps what it compiles, whatever it is told outside: tests start hundreds of processes of ours, and each would compile
# the program anew, each worker the tests too.
export PYTHONDONTWRITEBYTECODE :=
# Another row of the version matrix: `make controlplane K8S=1.37`, `make unit K8S=1.37`.
ifdef K8S
export HEAT_DISPATCH_KUBERNETES := $(K8S)
endif

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint controlplane which-helm realnode promtool plant-peers browser image image-tools uninstalls unit week bench bench-operator bench-agent bench-signals docs site requirements clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "heat-dispatch needs Python 3.11 or newer; '$(PYTHON)' is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@echo "setting up $(VENV)"; $(PYTHON) -m venv $(VENV)

$(RUNTIME): requirements/runtime.txt requirements/build.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing what running needs (pinned, hashes checked)" >&2
	@$(PIP) install --quiet --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): requirements/dev.txt $(RUNTIME)
	@echo "installing what testing needs (pinned, hashes checked)" >&2
	@$(PIP) install --quiet --require-hashes -r requirements/dev.txt
	@touch $@

$(SITE): requirements/site.txt $(DEV)
	@echo "installing what the documentation needs (pinned, hashes checked)" >&2
	@$(PIP) install --quiet --require-hashes -r requirements/site.txt
	@touch $@

setup: $(DEV) ## make .venv with everything

demo: $(RUNTIME) ## run a virtual GPU cluster as a heat plant for a week (about two minutes)
	@$(BIN)/heat-dispatch demo --output demo-output

lint: $(DEV) ## ruff, mypy, the import rules of the house, stale generated files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python scripts/generate.py --check

controlplane: $(RUNTIME) ## build etcd, Kubernetes, kwok and Kueue for tests (Go 1.26; 11 to 15 minutes, once), and fetch Prometheus
	@$(BIN)/heat-dispatch dev cluster build $(CONTROLPLANE)
	@scripts/promtool-setup --optional $(BIN)

which-helm: $(RUNTIME) ## print the path of a helm, which is built beside the control plane
	@$(BIN)/heat-dispatch dev cluster build --with helm >&2
	@$(BIN)/python -c "from scheduler.adapters.devcluster.build import find; print(find().program('helm'))"

realnode: CONTROLPLANE := --with kubelet
realnode: controlplane ## what a real node needs: the kubelet, and packages of Debian (root; seconds, once)
	@scripts/real-node-setup $(REALNODE)

promtool: $(DEV) ## promtool and prometheus, for tests, from Debian (seconds, once)
	@scripts/promtool-setup $(PROMTOOL) $(BIN)

plant-peers: ## mbpoll and mosquitto, for tests of Modbus and MQTT, from Debian (root; seconds, once)
	@scripts/plant-peers-setup $(PEERS)

image: $(RUNTIME) image-tools ## build the container image with buildah, on a base of Debian packages (root; minutes, seconds where nothing changed)
	@scripts/build-image

image-tools: ## buildah and mmdebstrap, which build the image, from Debian (root; seconds, once)
	@scripts/image-setup $(IMAGE)

browser: ## chromium from Debian and axe-core by npm, for tests of pages (root; a minute, once)
	@scripts/browser-setup $(BROWSER)

# Where it cannot be built its tests are skipped; CI sets HEAT_DISPATCH_REQUIRE_CONTROLPLANE and gets neither. Only root has a
# real node, whose tests are skipped elsewhere.
unit: CONTROLPLANE := $(if $(HEAT_DISPATCH_REQUIRE_CONTROLPLANE),,--optional) $(if $(filter 0,$(shell id -u)),--with kubelet) --with helm
unit: REALNODE := --optional
unit: PROMTOOL := --optional
unit: PEERS := --optional
unit: BROWSER := --optional
unit: IMAGE := --optional
unit: $(DEV) controlplane realnode promtool plant-peers browser image-tools ## the test suite alone
	@$(BIN)/python scripts/run_tests.py -n $(TEST_WORKERS)

test: lint site unit ## everything CI runs

week: $(DEV) controlplane ## a random week beside a real API server, longer or another one: WEEK_SECONDS=600 WEEK_SEED=7
	@HEAT_DISPATCH_WEEK_SECONDS=$(or $(WEEK_SECONDS),60) HEAT_DISPATCH_WEEK_SEED=$(or $(WEEK_SEED),1) \
	  $(BIN)/python -m pytest -s tests/controlplane/test_random_week.py

bench: $(DEV) ## measure the planner, CBC's naive model beside it (tables under bench-output/); quick: SIZES=100 SEEDS=2
	@mkdir -p bench-output
	@$(BIN)/heat-dispatch bench plan $(if $(SIZES),--jobs $(SIZES)) $(if $(SEEDS),--seeds $(SEEDS)) \
	  --naive $(if $(NAIVE_SIZES),--naive-jobs $(NAIVE_SIZES)) $(if $(NAIVE_LIMIT_S),--naive-limit-s $(NAIVE_LIMIT_S)) \
	  --json bench-output/plan.json --markdown bench-output/plan.md

uninstalls: $(DEV) realnode image-tools ## uninstall the chart at a hundred moments of its life, on a real node (hours; fewer: COUNT=5)
	@HEAT_DISPATCH_UNINSTALLS=$(or $(COUNT),100) $(BIN)/python -m pytest -q -s -p no:xdist tests/realnode/test_uninstall_moments.py

bench-operator: $(DEV) controlplane ## measure the operator at 1,000 nodes and 5,000 Jobs (half an hour); quick: SIZE="--nodes 50 --jobs 200"
	@mkdir -p bench-output
	@$(BIN)/python -m benchmarks.operator $(SIZE) --json bench-output/operator.json --markdown bench-output/operator.md

bench-agent: $(DEV) ## measure the agent of a node and a thousand fault runs (half an hour); quick: RUNS=50
	@mkdir -p bench-output
	@$(BIN)/python -m benchmarks.agent $(if $(RUNS),--runs $(RUNS)) --keep bench-output/agent-runs \
	  --json bench-output/agent.json --markdown bench-output/agent.md

bench-signals: $(DEV) ## measure resampling, stitching and polling of signals (half a minute)
	@mkdir -p bench-output
	@$(BIN)/python -m benchmarks.signals --json bench-output/signals.json --markdown bench-output/signals.md

docs: $(DEV) ## regenerate schemas, CRDs and reference pages
	@$(BIN)/python scripts/generate.py

site: $(SITE) ## the documentation as pages under build/site; a link that leads nowhere is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

requirements: $(DEV) ## pin requirements/*.txt anew from requirements/*.in
	@cd requirements && for name in build runtime image-build image dev site; do \
	  ../$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links \
	    --no-emit-trusted-host --strip-extras --no-header --output-file $$name.txt $$name.in || exit 1; done

clean: ## remove what the targets made
	@rm -rf $(VENV) demo-output bench-output build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
