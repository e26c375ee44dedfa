#!/usr/bin/env bash
# Your own recordings, a folder for each speaker:  run.sh --corpus FOLDER --source anna --target bert
# The two need not say the same sentences. local/data.sh says what is held out. The settings are those for a CPU; for a
# GPU:  --conf recipes/pair/conf/cyclegan_vc2.yaml
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
recipe=$here/../../../recipes/pair
exec "$recipe/run.sh" \
    --work "$here" \
    --prepare "$here/local/data.sh" \
    --conf "$recipe/conf/cyclegan_vc2_narrow.yaml" \
    --features_conf "$recipe/conf/16k.yaml" \
    "$@"
