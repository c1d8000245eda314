# make lab       JupyterLab on the quickstart notebook
# make course    JupyterLab on the course; make course-app opens it as an app, the code hidden
# make test      all tests, the browser's among them
# make check     ruff, mypy --strict, and who may import whom
# make frontend  the table's script and style, built from frontend/ with Node
# make bench     the benchmark tables
# make lowest    the tests again with the oldest versions that pyproject.toml admits
# make screenshots   the README's pictures, taken anew
# make clean     away with the environments
#
# Each makes the environment that it needs in .venv. PYTHON is the Python that makes it, 3.11 or newer.

PYTHON ?= python3
BIN := .venv/bin
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
export CHROMIUM
# JupyterLab does not start for root unless it is told to.
ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab course course-app test check docs frontend bench lowest screenshots browser clean

lab: .venv/lab.ready
	$(BIN)/jupyter lab $(ROOT) notebooks/quickstart.ipynb

course: .venv/lab.ready
	$(BIN)/jupyter lab $(ROOT) notebooks/course/01-words-and-points.ipynb

course-app: .venv/course.ready
	$(BIN)/voila notebooks/course

# As many processes as there are cores, four at most, of one thread each; a file's tests stay in one of them.
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 1); echo $$((n < 4 ? n : 4)))

test: .venv/test.ready browser
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile

check: .venv/test.ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

# The notice that it silences is about the next version of mkdocs.
docs: .venv/test.ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Every ">=" becomes "==": the lower bounds are versions that the tests have seen.
lowest: browser
	$(PYTHON) -m venv .venv-lowest
	$(PYTHON) -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
		extras = project["optional-dependencies"]; \
		print(*[bound.replace(">=", "==") for bound in project["dependencies"] + extras["lab"]], sep="\n")' \
		> .venv-lowest/lowest.txt
	.venv-lowest/bin/pip install --quiet $$(grep '^torch==' .venv-lowest/lowest.txt)
	.venv-lowest/bin/pip install --quiet -c .venv-lowest/lowest.txt -e '.[lab,test]'
	.venv-lowest/bin/pytest

# What it builds is in git and in the wheel, so that nobody who uses qwidgets needs Node.
frontend:
	cd frontend && npm ci --silent && npm run --silent check && npm test --silent && npm run --silent build

bench: .venv/test.ready
	for table in tests/benchmarks/*.py; do $(BIN)/python -m $$(echo $${table%.py} | tr / .) || exit 1; done

screenshots: .venv/test.ready browser
	SCREENSHOTS=docs $(BIN)/pytest tests/browser -k screenshot

# torch comes first and alone, so that the build of it that is there stays: a CPU build, say, from an index of its own.
.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("qwidgets needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv

.venv/torch.ready: constraints.txt | .venv/bin/pip
	@echo "Installing $$(grep '^torch==' constraints.txt) into .venv; this takes minutes where it is not in pip's cache"
	@$(BIN)/pip install --quiet $$(grep '^torch==' constraints.txt)
	touch $@

.venv/lab.ready: extras = lab
.venv/course.ready: extras = lab,course
.venv/test.ready: extras = lab,test,dev,docs,benchmark
.venv/%.ready: pyproject.toml constraints.txt .venv/torch.ready
	@echo "Installing qwidgets with the extras $(extras) into .venv"
	@$(BIN)/pip install --quiet -c constraints.txt -e '.[$(extras)]'
	touch $@

browser:
	@if [ -n "$(CHROMIUM)" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium; \
	else \
		echo "The browser tests need Chromium and found none. Install it (Debian: sudo apt-get install chromium)," >&2; \
		echo "or say where it is: make test CHROMIUM=/path/to/chrome. Without it: .venv/bin/pytest -m 'not browser'" >&2; \
		exit 1; \
	fi

clean:
	rm -rf .venv .venv-lowest site frontend/node_modules frontend/build
