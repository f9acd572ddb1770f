#!/bin/sh
# Pins every package by version and hash for every platform. The files name no index: any mirror will do.
set -eu
cd "$(dirname "$0")/.."
options="--universal --generate-hashes --no-header --no-annotate -q"
# shellcheck disable=SC2086  a list of options
.venv/bin/uv pip compile pyproject.toml $options "$@" -o requirements.lock
# shellcheck disable=SC2086
.venv/bin/uv pip compile pyproject.toml --group dev $options "$@" -o requirements-dev.lock
# Apart from the others: see scripts/generator.sh.
# shellcheck disable=SC2086
echo "openapi-python-client>=0.29" | .venv/bin/uv pip compile - --python-version 3.11 $options "$@" -o requirements-generator.lock
