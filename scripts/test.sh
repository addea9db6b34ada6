#!/usr/bin/env bash
# Formatting, lints, and every test of the workspace, in the one profile everything is built with.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all --check
cargo clippy --release --workspace --all-targets --quiet -- -D warnings
# Tests of several hosts share the machine's two cores and its namespaces: one test binary and one
# test of it at a time. Decisions and parsers run in parallel within their crates.
if cargo nextest --version >/dev/null 2>&1; then
    exec cargo nextest run --release --workspace --no-fail-fast --config-file .config/nextest.toml
fi
exec cargo test --release --workspace --no-fail-fast
