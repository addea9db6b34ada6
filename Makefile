# `make up` starts a cluster on this machine, `make test` proves the project. Both install what the
# system lacks first. One build profile for everything: RocksDB alone takes over ten minutes.

SHELL := /bin/bash
export CARGO_TARGET_DIR ?= $(HOME)/.cache/kabuki/target
export CXX := ccache g++
export CC := ccache gcc
KABUKI := $(CARGO_TARGET_DIR)/release/kabuki
DATA_DIR ?= /var/lib/kabuki

.PHONY: setup build up down images test bench fmt lint

setup:
	@scripts/setup.sh

build: setup
	@cargo build --release --bin kabuki

up: build
	@scripts/up.sh $(KABUKI) $(DATA_DIR)

down:
	@scripts/down.sh $(KABUKI) $(DATA_DIR)

images: setup
	@cargo run --release --quiet --example images -- $(DATA_DIR)/examples

test: setup
	@scripts/test.sh

# Needs Debian's etcd-server and wrk beside what setup installs; takes about eight minutes.
bench: setup
	@cargo bench --quiet -p kabuki-raft --bench store
	@cargo bench --quiet --bench api

fmt:
	@cargo fmt --all

lint:
	@cargo fmt --all --check
	@cargo clippy --release --workspace --all-targets -- -D warnings
