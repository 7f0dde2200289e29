PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Anything pip understands, for machines that get torch from somewhere else than their default index,
# e.g. make install TORCH="torch==2.13.0 --index-url URL-OF-PYTORCH'S-CPU-INDEX"
TORCH ?= torch==2.13.0
export OMP_NUM_THREADS ?= 2

.PHONY: install demo test test-slow test-fault lint benchmark lock clean

install: $(STAMP)

# torch first and alone: the lock then finds it installed and cannot pull another build of it (a CUDA one on a CPU machine).
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $(STAMP)

# A small synthetic corpus, a short training, and one unseen sentence of an unseen speaker in the styles of two others.
demo: install
	$(BIN)/python prepare.py synthetic --out demo/corpus --speakers 80 --clips-per-speaker 8 --val-speakers 4 --test-speakers 4 --seed 7
	$(BIN)/python train.py demo run.folder=demo/run
	$(BIN)/python score.py demo/run --split test
	$(BIN)/python animate.py demo/corpus#synthetic-7-079-0003 --expression demo/run \
		--style demo/corpus#synthetic-7-078-0001 demo/corpus#synthetic-7-077-0001 --out demo/two_styles.mp4
	@echo
	@echo "video:    demo/two_styles.mp4   (an unseen sentence of an unseen speaker, in the styles of two other unseen speakers)"
	@echo "numbers:  demo/run/scores-test.json and demo/run/metrics.jsonl   (synthetic speech: they measure the implementation)"
	@echo "W&B:      demo/run/wandb   (offline; upload with: $(BIN)/wandb sync demo/run/wandb/offline-run-*)"

# Two processes of one thread each are faster than one of two.
test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "slow or real" -n 2 --dist loadfile --no-loadscope-reorder

# Real processes that are killed, cut off, or run out of disk; needs root for network namespaces and small file systems.
test-fault: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m fault -n 2 --dist loadfile --no-loadscope-reorder

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: install
	$(BIN)/python -m benchmarks.run

lock: install
	mkdir -p build
	$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe --all-extras --no-header \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --unsafe-package torch \
		--output-file build/resolved.lock pyproject.toml
	{ sed -n '1,/^$$/p' requirements.lock; sed '/considered to be unsafe/,$$d' build/resolved.lock; } > requirements.lock.tmp
	mv requirements.lock.tmp requirements.lock

clean:
	rm -rf demo build .pytest_cache .mypy_cache .ruff_cache
