# The two commands of the README are `make demo` and `make test`; they need python3 >= 3.11 with venv, and make.
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= auto
RUNNER ?= pytest

.PHONY: demo test check chart bench lock clean

demo: .venv/run
	@$(BIN)/gmi-gateway demo $(if $(ONCE),--once)

test: .venv/test
	$(BIN)/$(RUNNER) -n $(WORKERS) $(ARGS)

# Vulture is never surer than 60 % of a function. Of variables it would name every field that only a template reads.
check: .venv/lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/vulture
	! $(BIN)/vulture --min-confidence 60 | grep -E 'unused (function|method|class|property)'

# The rendered chart, as a policy scanner sees it. It wants other versions of our own dependencies, so it lives apart.
chart: .venv/chart build/checkov/done
	$(BIN)/python -m tests.helm.rendered build/chart
	build/checkov/bin/checkov --config-file helm/.checkov.yaml --directory build/chart

bench: .venv/test
	$(BIN)/python -m tests.bench $(ARGS)

# The lock names versions and hashes, never where they were downloaded from.
lock: .venv/lint
	$(BIN)/uv pip compile pyproject.toml --extra postgresql --extra otel --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
		--upgrade -q -o requirements.lock

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gmi-gateway needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv

.venv/run: requirements.lock pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

.venv/test: .venv/run
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test,clients]'
	@touch $@

.venv/chart: .venv/test
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[chart]'
	@touch $@

build/checkov/done:
	$(PYTHON) -m venv build/checkov
	build/checkov/bin/pip install --quiet --disable-pip-version-check checkov==3.*
	@touch $@

.venv/lint: .venv/test
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[lint]'
	@touch $@

clean:
	rm -rf .venv build dist *.egg-info .coverage .coverage.* htmlcov .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
