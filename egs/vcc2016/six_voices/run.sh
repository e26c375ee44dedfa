#!/usr/bin/env bash
# One decoder of six voices of VCC2016, none of them those of ../any_to_one. The package carries it in float16: it
# converts to each of the six, and the decoder of another voice may begin from it. It learns twice:
#     ./run.sh --corpus vcc2016 --work W/distilled --stop_stage 2 --conf "$PWD/conf/on_distilled.yaml"
#     ./run.sh --corpus vcc2016 --work W --train_opts "--set objective.start=$(echo W/distilled/exp/*_on_distilled)"
#     ../../../recipes/target/compact_model.py W/exp/*_on_quantised six_voices.safetensors --licence '...'
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
exec "$here/../../../recipes/many/run.sh" \
    --work "$here" \
    --prepare "$here/../vc2/local/data.sh" \
    --speakers "SF2 SF3 SM2 TF1 TM1 TM2" \
    --conf "$here/conf/on_quantised.yaml" \
    --convert_opts '--precision auto' \
    "$@"
