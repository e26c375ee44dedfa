#!/usr/bin/env bash
# Voice Conversion Challenge 2020, task 1, in English: sources SEF1, SEF2, SEM1, SEM2, targets TEF1, TEF2, TEM1, TEM2
# --corpus FOLDER names the corpus; without it, it is downloaded (https://github.com/nii-yamagishilab/VCC2020-database,
# which states the terms). The settings are those for a CPU; for a GPU:  --conf recipes/pair/conf/cyclegan_vc2.yaml
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
recipe=$here/../../../recipes/pair
exec "$recipe/run.sh" \
    --work "$here" \
    --prepare "$here/local/data.sh" \
    --source SEF1 --target TEM1 \
    --conf "$recipe/conf/cyclegan_vc2_narrow.yaml" \
    "$@"
