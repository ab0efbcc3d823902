# The commands for people and CI. `make` alone lists the targets.
LAB := python3 -m lab
RUN := $(LAB) run
# The runtime package from the tree, for programs that import it; pytest and mypy find it by pyproject.toml.
WITH_RUNTIME := $(RUN) env PYTHONPATH=python/src
MODEL ?=
SCENARIO ?=
BENCH ?=
# Upgrades and ways back: a row of NVIDIA's software and the one before, a cluster's version, and a cluster that is formed anew
# and gets its snapshot back.
RECORDED := nvidia_driver-upgrade kubernetes-upgrade kubernetes-default etcd_backup-default
ARGS ?=
PORT ?=
export QUESTION

.DEFAULT_GOAL := help
.PHONY: help serve chat up down status check _gateway _unit _lint _static molecule vm contract bundle clients autoscaling logs faults recorded fuzz bench test lock picture clean-cache

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

serve: ## the small model on 127.0.0.1:8200, from a bare machine, without Go, containers or a cluster; PORT=8300
	@$(LAB) serve $(if $(PORT),--port $(PORT))

chat: ## talk to what `make serve` serves; QUESTION="..." asks once
	@$(LAB) chat $(if $(PORT),--port $(PORT)) "$$QUESTION"

up: ## build the lab from a bare machine and ask it a question; MODEL=smollm2 or qwen2.5-coder-1.5b
	@$(LAB) up $(if $(MODEL),--model $(MODEL))

down: ## remove the lab (FORCE=1: also one of another clone); caches stay
	@$(LAB) down $(if $(FORCE),--force)

status: ## hosts, nodes, pods, stack, endpoint and health
	@$(LAB) status

check: ## lint, static rules, unit, Pulumi and gateway tests; needs no lab
	@echo "tests of the gateway, unit tests, lint, static rules and Pulumi tests, three at a time; each prints at its end"
	@$(MAKE) --no-print-directory --jobs=3 --output-sync=target _gateway _unit _lint _static

# Its tests wait more than they compute, so they run beside those that compute.
_gateway:
	@$(RUN) pytest -q tests/gateway

_unit:
	@$(RUN) pytest -q tests/unit

_lint:
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) yamllint --strict .
	@$(RUN) mypy lab controller images mirror python/src python/calibration pulumi
	@$(RUN) ansible-lint --offline -q ansible
	@$(RUN) python -m images.render --check

_static:
	@$(RUN) pytest -q tests/static tests/pulumi

molecule: ## try roles on bare scratch hosts beside a lab that is up; SCENARIO=one of molecule/*-*
	@$(RUN) molecule --base-config molecule/shared/base.yml test $(if $(SCENARIO),-s $(SCENARIO),--all --exclude nvme-vm)

vm: ## try on an emulated machine what needs its own kernel: RAID, reboot (slow; beside a lab that is up)
	@$(RUN) molecule --base-config molecule/shared/base.yml test -s nvme-vm

contract: ## compare plans, answers and refusals with the engines themselves; installs their environment (3 GB) once
	@$(LAB) serving
	@$(RUN) pytest -q tests/contract tests/engines

faults: ## lose hosts, pods, groups and rollouts of a lab that is up: what is too long for `make test`
	@$(RUN) pytest -q -m long tests/faults

bundle: ## carry a layer of 6 GB; carry the lab's bundle into a site without a route, and serve one, beside a lab that is up
	@$(RUN) pytest -q -s tests/lifecycle/test_large_layer.py tests/lifecycle/test_bundle.py tests/lifecycle/test_mirror_server.py

clients: ## try libraries and coding agents at the gateway; installs them (1.5 GB) and the engines' environment once
	@$(LAB) serving
	@$(LAB) clients
	@$(RUN) pytest -q tests/clients

autoscaling: ## let KEDA decide on the stack's objects in a control plane without nodes; builds it once (ten minutes or more)
	@$(LAB) keda
	@$(RUN) pytest -q tests/autoscaled

logs: ## keep the logs of a lab that is up and search them, by VictoriaLogs; builds it once (about a minute)
	@$(LAB) logs
	@$(RUN) pytest -q tests/logs

recorded: ## reboot, upgrade, go back, roll and measure a lab that is up; then hold what its mirror was asked to the list
	@$(RUN) pytest -q tests/faults/test_power_cut.py tests/faults/test_rolling_change.py tests/faults/test_monthly_measurement.py
	@for scenario in $(RECORDED); do $(RUN) molecule --base-config molecule/shared/base.yml test -s $$scenario || exit; done
	@$(RUN) pytest -q -s tests/lifecycle/test_mirror_was_enough.py

fuzz: ## search for about a minute for inputs that break the parsers of a mirror's files
	@$(WITH_RUNTIME) python -m tests.fuzz.safetensors_header
	@$(WITH_RUNTIME) python -m tests.fuzz.model_configuration

bench: ## measure against the plain alternative, side by side; BENCH=one of tests/bench/*.py, ARGS="--size-gb 2"
	@$(RUN) env PYTHONPATH=python/src:pulumi python -m tests.bench.$(or $(BENCH),$(error BENCH is one of: $(basename $(notdir $(wildcard tests/bench/*.py))))) $(ARGS)

test: check ## everything: check, the lab from nothing, its tests, a second run, and its removal
	@$(LAB) down
	@$(RUN) python -m tests.lifecycle.trace
	@$(LAB) up
	@$(LAB) serving
	@$(RUN) pytest -q -m "not long" tests/e2e tests/served tests/contract tests/engines tests/faults tests/images tests/testinfra tests/lifecycle/test_first_answer.py tests/lifecycle/test_second_up.py tests/lifecycle/test_lost_controller.py tests/lifecycle/test_mirror_was_enough.py tests/lifecycle/test_down.py

lock: ## write locks/*.txt again from locks/*.in
	@locks/compile

dashboards: ## the lab's dashboards in a browser until Ctrl-C; PICTURES=folder takes a picture of each, TO=folder writes Grafana's files
	@$(if $(TO),$(RUN) env PYTHONPATH=python/src:pulumi python -m qwen_stack.dashboards $(TO),$(LAB) dashboards $(if $(PICTURES),--pictures $(PICTURES)))

picture: ## draw the README's picture again, from docs/picture/draw.py
	@uv run --quiet --no-project --isolated --with-requirements locks/picture.txt python docs/picture/draw.py

clean-cache: ## remove what `make up` keeps between labs (about 15 GB)
	@$(LAB) clean-cache
