#!/usr/bin/env bash
# A synthetic voice learnt from its own recordings, which says what another one says: a demo for two CPU cores.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
exec "$here/../../../recipes/target/run.sh" \
    --work "$here" \
    --prepare "$here/../vc2/local/data.sh" \
    --corpus "$here/../corpus" \
    --sources slt --targets rms \
    --conf "$here/../../../recipes/target/conf/recognition_synthesis.yaml" \
    --convert_opts '--precision auto' \
    "$@"
