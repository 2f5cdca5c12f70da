# The commands of the project; CI calls the same ones. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /usr/bin/env bash
PYTHON ?= python3
SECONDS_ ?= $(or $(SECONDS),60)

.PHONY: help demo check test bench fuzz tools schema oracles bless

help: ## lists the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: ## builds, starts the embedded cluster with the sample shop, shows a live table until Ctrl-C
	cargo build -p kiban --locked
	"$$(tools/target-dir)/debug/kiban" demo

check: ## format, lints, invariants, unit and golden tests: what every commit must pass
	cargo fmt --all --check
	$(PYTHON) tools/check.py
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo test --workspace --exclude kiban-it --locked

# One selection of packages for all tests: another one means other features of what they share, and
# building that twice. The binary comes with the tests of its package.
test: tools ## everything: check's tests, and the real clients against the real binary
	$(PYTHON) tools/test.py

bench: tools ## benchmarks, one line a figure: name, ours, peer, ratio
	cargo build --release --workspace --examples --bins --locked
	$(PYTHON) tools/bench.py

fuzz: ## all fuzz targets for a bounded time: make fuzz SECONDS=60
	cargo run --release --locked -p kiban-fuzz -- --seconds $(SECONDS_)

tools: ## real clients and peers into .tools/, with their versions
	$(PYTHON) tools/fetch.py

schema: ## makes the Kubernetes type table anew (needs the package indexes)
	$(PYTHON) tools/schema/generate.py

oracles: ## makes the golden answers of Kubernetes' own libraries anew (needs Go)
	cd tools/schema && go run ./oracle ../../crates/schema/tests/golden
	cd tools/oracle/merge && go run . -out ../../../crates/schema/tests/golden/merge
	cd tools/oracle/kstatus && go run . > ../../../crates/kube/tests/golden/kstatus.jsonl

bless: ## rewrites golden files and JSON Schemas from what the code makes now: read the diff
	KIBAN_BLESS=1 cargo test --workspace --exclude kiban-it
