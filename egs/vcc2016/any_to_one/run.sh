#!/usr/bin/env bash
# Voice Conversion Challenge 2016: a model of each target's recordings alone; sentences as in ../vc2. --corpus FOLDER
# names the corpus; without it, it is downloaded (https://doi.org/10.7488/ds/1575, CC BY 4.0).
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
recipe=$here/../../../recipes/target
exec "$recipe/run.sh" \
    --work "$here" \
    --prepare "$here/../vc2/local/data.sh" \
    --sources "SF1 SM1 TF2 TM3" --targets "SF1 SM1 TF2 TM3" \
    --ways "SF1:TF2 SF1:TM3 SM1:TF2 SM1:TM3 TF2:SF1 TM3:SF1 TF2:SM1 TM3:SM1" \
    --conf "$recipe/conf/recognition_synthesis.yaml" \
    --convert_opts '--precision auto' \
    "$@"
