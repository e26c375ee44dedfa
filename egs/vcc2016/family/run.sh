#!/usr/bin/env bash
# Voice Conversion Challenge 2016: every method on a woman and a man (SF1, TM3), those of many speakers learning from two
# more (SM1, TF2), and the table of docs/methods.md; sentences as in ../vc2. --corpus FOLDER names the corpus; without
# it, it is downloaded (https://doi.org/10.7488/ds/1575, CC BY 4.0). Some four hours of one core; it uses all, a method each.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
recipes=$here/../../../recipes
exec "$recipes/family/run.sh" \
    --work "$here" \
    --prepare "$here/local/data.sh" \
    --source SF1 --target TM3 \
    --speakers "SF1 SM1 TF2 TM3" \
    --features_conf "$recipes/pair/conf/16k.yaml" \
    "$@"
