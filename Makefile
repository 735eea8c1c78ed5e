# Sightline: `make` lists what can be made.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# A folder of wheels that pip knows is one that uv should know, too.
PIP_WHEELS := $(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null)
export UV_FIND_LINKS ?= $(or $(PIP_FIND_LINKS),$(PIP_WHEELS))
export PATH := $(CURDIR)/.venv/bin:$(PATH)
UV := .venv/bin/uv pip install --quiet --python .venv --compile-bytecode --override docker/stages/overrides.txt

VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
labelled = --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(shell git rev-parse HEAD) \
  --tag sightline/$(1):$(VERSION) --tag sightline/$(1):latest

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

demo: .venv/stages ## sample labels to a published detector, then the verdict
	python -m tasks.sample --to samples
	dvc repro report
	@# Behind a rejection publish fails, and the verdict says why; any other failure has ended this before.
	@dvc repro; published=$$?; python -m tasks.sample.verdict; exit $$published

test: check .venv-kubeflow/ready ## every test; those of containers need an engine and `make images`
	@# One process more than cores, as whole runs also wait, each with one thread: where several share a core, threads
	@# wait for each other (a training took 88 s instead of 18), asleep (an evaluation of torch took 22 s of CPU, not 8).
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE python -m pytest tests --numprocesses $$(($$(nproc) + 1)) --maxprocesses 8 --dist loadgroup --no-loadscope-reorder

check: .venv/tests .venv-airflow/ready ## style, types and import rules
	ruff check .
	ruff format --check .
	mypy
	cd dags && mypy --config-file ../pyproject.toml --cache-dir ../.mypy_cache/dags \
	  --python-executable ../.venv-airflow/bin/python .
	lint-imports --no-cache --no-logo

airflow: .venv/stages .venv-airflow/ready ## Airflow with its page on http://127.0.0.1:8080, until Ctrl-C
	@ls samples/*.zip >/dev/null 2>&1 || python -m tasks.sample --to samples
	@.venv-airflow/bin/python dags/airflow_site/standalone.py

images: ## the images sightline/stages and sightline/airflow; DOCKER_BUILD_ARGS goes to docker build
	docker build $(DOCKER_BUILD_ARGS) $(call labelled,stages) --file docker/stages/Dockerfile .
	docker build $(DOCKER_BUILD_ARGS) $(call labelled,airflow) --file docker/airflow/Dockerfile .

kubeflow: .venv-kubeflow/ready ## the same pipeline for Kubeflow, as training_kubeflow.yaml
	@PYTHONPATH=dags .venv-kubeflow/bin/kfp dsl compile --py dags/training_kubeflow.py --function training \
	  --output training_kubeflow.yaml

bench: .venv/tests ## speed and memory as ratios, into reports/bench.json
	python -m tests.bench

tracking: .venv/stages ## the MLflow page on http://127.0.0.1:5000
	@# A new store is made aside: one half made by a kill could neither be used nor upgraded.
	flock mlflow.db.lock sh -c 'if test -s mlflow.db; then mlflow db upgrade sqlite:///mlflow.db; \
	  else rm -f .mlflow.db.new*; mlflow db upgrade sqlite:///.mlflow.db.new && mv .mlflow.db.new mlflow.db; fi'
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow ui --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --port 5000

lock: .venv/tests ## resolve pyproject.toml again into the pinned requirements
	uv pip compile pyproject.toml --quiet --upgrade --all-extras --override docker/stages/overrides.txt \
	  --python-version 3.11 --no-annotate --custom-compile-command "make lock" -o docker/stages/requirements.txt
	sed -i 's/+cpu$$//' docker/stages/requirements.txt
	uv pip compile --group dev --quiet --upgrade -c docker/stages/requirements.txt --override docker/stages/overrides.txt \
	  --python-version 3.11 --no-annotate --custom-compile-command "make lock" -o tests/requirements.txt
	for name in airflow/requirements airflow/requirements-tests kubeflow/requirements kubeflow/requirements-tests; do \
	  uv pip compile docker/$$name.in --quiet --upgrade --python-version 3.11 --no-annotate \
	  --custom-compile-command "make lock" -o docker/$$name.txt; done

.venv/stages: docker/stages/requirements.txt docker/stages/overrides.txt tasks/command/sightline.py
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet uv==0.13.9
	$(UV) -r docker/stages/requirements.txt
	@# The command; setuptools, which builds it, is there by now.
	$(UV) --no-deps --no-build-isolation .
	@touch $@

.venv/tests: .venv/stages tests/requirements.txt
	$(UV) -r docker/stages/requirements.txt -r tests/requirements.txt
	@touch $@

.venv-airflow/ready: .venv/stages docker/airflow/requirements.txt docker/airflow/requirements-tests.txt
	.venv/bin/uv venv --quiet --allow-existing --python .venv/bin/python .venv-airflow
	.venv/bin/uv pip install --quiet --python .venv-airflow --compile-bytecode \
	  -r docker/airflow/requirements.txt -r docker/airflow/requirements-tests.txt
	@touch $@

.venv-kubeflow/ready: .venv/stages docker/kubeflow/requirements.txt docker/kubeflow/requirements-tests.txt
	.venv/bin/uv venv --quiet --allow-existing --python .venv/bin/python .venv-kubeflow
	.venv/bin/uv pip install --quiet --python .venv-kubeflow --compile-bytecode \
	  -r docker/kubeflow/requirements.txt -r docker/kubeflow/requirements-tests.txt
	@touch $@

.PHONY: help demo test check airflow images kubeflow bench tracking lock
