# The project's verbs. Each builds the environment that it needs, once, in .venv.
#   make demo      train pix2pix (MODEL=cyclegan) on the embedded task and translate held-out pictures
#   make test      the test suite           make test-slow   the proofs that take minutes
#   make wheel-test the wheel in an empty environment and folder
#   make quality   the style and type checks that CI runs      make style   mend what can be mended
#   make benchmark training, loading and inference speed against a plain loop
# PYTHON chooses the interpreter (>= 3.10); PIP_ARGS goes to every pip install (a CPU-only torch index, say).
PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
BIN := $(VENV)/bin
CORES ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
NAME ?= demo
MODEL ?= pix2pix

.PHONY: demo test test-slow wheel-test quality style benchmark clean
.DEFAULT_GOAL := demo

# Debian ships venv without ensurepip: then the system's pip puts a pip into the environment.
$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "img2img needs Python 3.10 or newer")'
	$(PYTHON) -m venv $(VENV) || ( $(PYTHON) -m venv --clear --without-pip $(VENV) && \
		$(PYTHON) -m pip install $(PIP_ARGS) --quiet pip --target \
		"$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" )

$(VENV)/.installed: $(BIN)/python setup.cfg pyproject.toml
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install $(PIP_ARGS) --quiet --disable-pip-version-check --editable '.[all]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install $(PIP_ARGS) --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/python -m accelerate.commands.launch --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no \
		--num_cpu_threads_per_process $(CORES) tools/train.py --model $(MODEL) --name $(NAME) --overwrite
	$(BIN)/python tools/infer.py $(NAME) $(if $(filter cyclegan,$(MODEL)),--cycle)
	@echo "log         $(BIN)/tensorboard --logdir runs/$(NAME)/tensorboard"

# the suite's processes use a thread each; those of worksteal are busy to the end
test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow

# builds the wheel, and uses it in an empty environment and an empty folder
wheel-test: $(BIN)/python
	rm -rf build/wheel
	$(BIN)/python -m pip wheel $(PIP_ARGS) --quiet --disable-pip-version-check --no-deps --wheel-dir build/wheel .
	$(BIN)/python tests/wheel/check.py build/wheel/*.whl --pip-args='$(PIP_ARGS)'

quality: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports setup.cfg --no-cache

style: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: $(VENV)/.installed
	$(BIN)/python tools/benchmark.py
	$(BIN)/python tools/benchmark.py --model cyclegan --size 128 --ngf 32
	$(BIN)/python tools/benchmark.py --model pix2pixhd --size 256x128 --ngf 32
	$(BIN)/python tools/benchmark.py --degraded true
	$(BIN)/python tools/benchmark.py --starts true
	$(BIN)/python tools/benchmark.py --model stargan --size 128 --batch_size 4 --ngf 32 --steps 1
	$(BIN)/python tools/benchmark.py --model srgan --size 128 --batch_size 2 --ngf 32 --steps 1

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
