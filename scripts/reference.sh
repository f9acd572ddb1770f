#!/bin/sh
# Writes everything that is generated from the code: the reference pages and the types of the client's results.
set -eu
cd "$(dirname "$0")/.."
write() {
    target=$1
    shift
    .venv/bin/python -m "$@" >"$target.new"
    mv "$target.new" "$target"
}
write src/pearlstreet/client/results.py pearlstreet.api.client_types
.venv/bin/ruff format -q src/pearlstreet/client/results.py
write docs/reference/client.md pearlstreet.client.reference
write docs/reference/api.md pearlstreet.api.reference api
write docs/reference/errors.md pearlstreet.api.reference errors
write docs/reference/cli.md pearlstreet.app.reference
write docs/reference/settings.md pearlstreet.app.settings_reference
write docs/reference/job.md pearlstreet.workload.spec.reference
