#!/usr/bin/env bash
# Voice Conversion Challenge 2016: `nearest` offline and live, eight directions; sentences as in ../vc2. --corpus FOLDER
# names the corpus; without it, it is downloaded (https://doi.org/10.7488/ds/1575, CC BY 4.0).
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
exec "$here/../../../recipes/live/run.sh" \
    --work "$here" \
    --prepare "$here/../vc2/local/data.sh" \
    --sources "SF1 SM1" --targets "TF2 TM3" \
    "$@"
