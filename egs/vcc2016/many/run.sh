#!/usr/bin/env bash
# Voice Conversion Challenge 2016, two women and two men in one model, each to each; sentences as in ../vc2. --corpus
# FOLDER names the corpus; without it, it is downloaded (https://doi.org/10.7488/ds/1575, CC BY 4.0).
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
recipes=$here/../../../recipes
exec "$recipes/many/run.sh" \
    --work "$here" \
    --prepare "$here/../vc2/local/data.sh" \
    --speakers "SF1 SM1 TF2 TM3" \
    --conf "$recipes/many/conf/stargan_vc2_narrow.yaml" \
    --features_conf "$recipes/pair/conf/16k.yaml" \
    "$@"
