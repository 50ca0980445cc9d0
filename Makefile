# Everything runs in .venv/, made on first use. PYTHON may name another Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RECIPE := workflows/recipes/climate_forecast.yaml

.PHONY: demo test trials bench complexity comparison scaling docs lint clean

$(VENV)/ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Chronovox needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

# The climate recipe, from NetCDF to a scored forecast; prints where the report is. Run again, it skips what is finished.
demo: $(VENV)/ready
	$(BIN)/chronovox run $(RECIPE)

# Lint, import contracts, tests in two processes, each file in one of them. Threads that wait leave the processor to others.
test: lint
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2 --dist loadfile

# Slow trials: workers lost in every phase, nodes that go, training over meshes, peak memory, the recipe with all its steps.
trials: $(VENV)/ready
	$(BIN)/python -m pytest -m slow

# How fast the scan is against what a user would write today, and over workers, how fast archives come in, what a training
# step takes of memory by the length of its window, and forecasts of moving digits against a ConvLSTM; writes docs/speed.md,
# docs/cluster.md, docs/archives.md, docs/length.md and docs/moving_digits.md. About an hour.
bench: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	$(BIN)/python -m tests.benchmarks.scan_speed
	$(BIN)/python -m tests.benchmarks.cluster_speed
	$(BIN)/python -m tests.benchmarks.archive_speed
	$(BIN)/python -m tests.benchmarks.length
	$(BIN)/python -m tests.benchmarks.moving_digits

# How time and memory of every mixer grow with frames, voxels and taps; writes docs/complexity.md. About half an hour.
complexity: $(VENV)/ready
	$(BIN)/python -m tests.benchmarks.complexity

# Eight mixers on winds and on moving digits, three seeds each; writes docs/comparison.md. About an hour and three quarters.
# WINDS is monthly_navy_winds.cdf of the Debian package ferret-datasets.
comparison: $(VENV)/ready
	test -f "$(WINDS)" || { echo "name the file of winds: make comparison WINDS=PATH/monthly_navy_winds.cdf"; exit 2; }
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	$(BIN)/python -m tests.benchmarks.comparison "$(WINDS)"

# The walk over 8 to 1024 GPUs in simulated time; writes the tables of cluster/DESIGN.md. About a minute.
scaling: $(VENV)/ready
	$(BIN)/python -m tests.benchmarks.cluster_scaling

# The reference from help texts, settings and docstrings (and the schema of recipes), the drawings from numbers.
docs: $(VENV)/ready
	$(BIN)/python -m tests.docs.reference
	$(BIN)/python -m tests.docs.drawings

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .hypothesis
