#!/usr/bin/env bash
# Lint, then pytest on all cores with the arguments given.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
PATH="$PWD/tools/venv/bin:$PATH"

tools/lint.sh
exec python -m pytest --numprocesses auto "$@"
