# The project's commands. `make demo` and `make test` are all that a newcomer needs.
SHELL := /bin/bash
N ?= 300000
SEED ?= 1
SEEDS ?= 2000
DEMO ?= demo

# A second CI run on the same machine is incremental.
ifdef CI
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/millstream/target
endif
export PATH := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/millstream/venv/bin:$(PATH)

.PHONY: help deps test lint demo oracle nexmark

help:
	@echo "make demo [N=$(N)] [SEED=$(SEED)]   build, write N invoices, run the store-invoices pipeline, reconcile"
	@echo "make test                       install what is missing, lint, run every test"
	@echo "make nexmark                    run Nexmark queries, held against a recount, with their CPU"
	@echo "make oracle [SEEDS=$(SEEDS)]       hold queries over random worlds against a batch engine"
	@echo "make deps                       only install what is missing"

deps:
	@bash .ci/deps

# The profile that the demo is built in: see [profile.demo] in Cargo.toml.
DEMO_PROFILE ?= demo
DEMO_BIN = $(or $(CARGO_TARGET_DIR),target)/$(if $(filter dev,$(DEMO_PROFILE)),debug,$(DEMO_PROFILE))

demo:
	@bash .ci/deps demo
	cargo build --profile $(DEMO_PROFILE) -p millstream -p millstream-object-store --bins --example count_rows
	N=$(N) SEED=$(SEED) DEMO=$(DEMO) MILLSTREAM=$(DEMO_BIN)/millstream \
		COUNT_ROWS=$(DEMO_BIN)/examples/count_rows bash tests/e2e/store-invoices/demo.sh

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	cargo run --quiet -p xtask -- tidy
	yamllint -d relaxed $$(git ls-files '*.yaml' '*.yml' | grep -v testdata)

test: deps
	bash .ci/test

# Events through nine queries, held against a recount and then timed; with Flink and Kafka Streams in the same run where PEERS names the
# folder of their harnesses, or FLINK, KSTREAMS and LOADER commands (tests/nexmark/run.sh).
nexmark: export PEERS ?= $(wildcard ../shared/peers/nexmark)
nexmark:
	cargo build --release -p millstream --bins --example nexmark_events
	MILLSTREAM=target/release/millstream NEXMARK_EVENTS=target/release/examples/nexmark_events bash tests/nexmark/run.sh

# Any batch split, interleaving, crash, move of a key group and cut of a changelog gives the batch answer; a failure prints its seed.
oracle:
	MILLSTREAM_SEEDS=$(SEEDS) cargo test -p millstream-engine --lib _the_batch_answer -- --nocapture
