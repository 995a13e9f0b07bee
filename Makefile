# make results   sets up the environment from the lock, then makes the whole run up to the report; a second call does nothing
# make paper     compares the results of Krippendorf et al. (2023) with ours: results/paper/paper.html; takes hours (docs/explanation/paper.md)
# make release   trains, tests and packs the ensemble that is part of the package: src/clustermass/ensemble/released.zip; takes an hour
# make wheel     builds the package that pip installs: dist/clustermass-*.whl
# make validate-sky  compares the simulated sky with published numbers: results/validation
# make test      sets up the environment, then runs the tests except those that take minutes
# make test-all  sets up the environment, then runs all tests, with further whole runs and kills
# make campaign  tests 2,400 damaged input files, ten times the number in `make test`, and 2,000 hostile ones; kills a whole run 20 times; changes every key of the configuration
# make test-slurm  tests the workflow on a SLURM cluster whose only node is this machine; needs root and Debian's slurm-wlm and munge
# make docs      builds the documentation as web pages, with executed notebooks: docs/_build/html/index.html; a broken link is an error
# make benchmark sets up the environment, then runs benchmarks/*.py; the times go to results/benchmarks
# Only Python >= 3.11 with venv, make and git are needed. CONFIG=config/paper_size.yaml sets the configuration, CORES=8 the number of cores.
PYTHON ?= python3
CORES ?= all
CONFIG ?=
BIN := .venv/bin
# two processes; --dist loadscope keeps the tests of a module in one process, because they share what they prepare
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder
export UV_PYTHON_DOWNLOADS := never

# on a GPU: make paper PAPER=config/paper.yaml
PAPER ?= config/paper.yaml config/paper_laptop.yaml

.PHONY: paper release wheel rivals-environment results validate-sky test test-all test-slurm campaign docs benchmark environment moved check clean
.DEFAULT_GOAL := results

results: environment
	@$(BIN)/python workflow/run.py --cores $(CORES) $(if $(CONFIG),--configfile $(CONFIG))

paper: environment
	@$(BIN)/python workflow/run.py --cores $(CORES) --configfile $(PAPER) $(CONFIG) -- paper

release: environment
	@$(BIN)/python workflow/run.py --cores $(CORES) --configfile config/release.yaml $(CONFIG) -- release
	@echo "Made: src/clustermass/ensemble/released.zip, and docs/reference/released_ensemble.md. Look at its numbers, then commit both."

wheel: environment
	@.uv/bin/uv build --quiet --wheel && ls dist/*.whl

validate-sky: environment
	@$(BIN)/python workflow/run.py --cores $(CORES) --configfile config/validation.yaml $(CONFIG) -- validate_sky
	@cat results/validation/sky.md

test: environment
	@$(PYTEST) -m "not long"

test-all: environment
	@$(PYTEST) --durations=40

campaign: environment
	@CLUSTERMASS_FUZZ_CASES=2400 CLUSTERMASS_HOSTILE_CASES=2000 CLUSTERMASS_KILLS=20 CLUSTERMASS_CAMPAIGN=results/campaigns \
		CLUSTERMASS_KEYS_EVERY=1 \
		$(BIN)/python -m pytest -n 2 tests/unit/test_fuzz_*.py tests/unit/test_hostile.py tests/workflow/test_kills.py \
		tests/workflow/test_rerun_matrix.py

test-slurm: environment
	@$(BIN)/python -m pytest tests/slurm

docs: .venv/docs
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -c docs -d docs/_build/doctrees . docs/_build/html
	@echo "Open docs/_build/html/index.html in a browser."

benchmark: environment
	@$(BIN)/python benchmarks/runner.py

check: environment
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/snakefmt --check Snakefile workflow
	@$(BIN)/snakemake --lint
	@.uv/bin/uv lock --check
	@$(BIN)/python envs/pin.py --check
	@$(BIN)/python config/describe.py --check
	@$(BIN)/python docs/regenerate.py --check

rivals-environment: results/benchmarks/rivals-venv/ready

results/benchmarks/rivals-venv/ready: benchmarks/requirements.txt
	$(PYTHON) -m venv $(@D) && $(@D)/bin/python -m pip --disable-pip-version-check install --quiet -r $< && touch $@

environment: .venv/ready

# .venv/ready holds the folder where the environment was made: a copied or moved environment would run the code in that folder
MOVED := $(shell [ ! -s .venv/ready ] || [ "$$(cat .venv/ready)" -ef . ] || echo moved)

moved:
	@echo "This folder was moved or copied: its environment is made again."
	@rm -rf .venv

.venv/ready: pyproject.toml uv.lock $(MOVED)
	@test -x .uv/bin/uv || { echo "Fetching uv ..."; $(PYTHON) -m venv .uv && .uv/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --only-binary :all: -r envs/uv.txt; }
	@echo "Setting up the environment from uv.lock: downloads 320 MB unless they are cached (1 minute at 50 Mbit/s), then 1 minute on 2 cores ..."
	@.uv/bin/uv sync $$(test -t 2 || echo --quiet) --locked --compile-bytecode --python $(PYTHON)  # shows its progress on a terminal
	@pwd > $@

# what builds the documentation isn't part of the environment, which needs it for nothing else
.venv/docs: .venv/ready
	@.uv/bin/uv sync --quiet --locked --compile-bytecode --group docs && touch $@

clean:
	rm -rf .venv .uv .snakemake results/skies docs/_build
