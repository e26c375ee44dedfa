#!/usr/bin/env bash
# One decoder of six voices of VCC2016, none of them those of ../any_to_one. The package carries it in float16: it
# converts to each of the six, and the decoder of another voice may begin from it:
#     ../../../recipes/target/compact_model.py exp/6_speakers_*_six_voices six_voices.safetensors --licence '...'
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
exec "$here/../../../recipes/many/run.sh" \
    --work "$here" \
    --prepare "$here/../vc2/local/data.sh" \
    --speakers "SF2 SF3 SM2 TF1 TM1 TM2" \
    --conf "$here/conf/six_voices.yaml" \
    --convert_opts '--precision auto' \
    "$@"
