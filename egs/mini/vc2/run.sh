#!/usr/bin/env bash
# Two synthetic voices that share no training sentence, from the corpus in this repository: a demo for two CPU cores.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
exec "$here/../../../recipes/pair/run.sh" \
    --work "$here" \
    --prepare "$here/local/data.sh" \
    --corpus "$here/../corpus" \
    --source slt --target rms \
    --conf "$here/conf/nearest.yaml" \
    "$@"
