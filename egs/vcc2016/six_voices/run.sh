#!/usr/bin/env bash
# One decoder of six voices of VCC2016, none of them those of ../any_to_one. The package carries it in float16: it
# converts to each of the six, and the decoder of another voice may begin from it. It learns twice: on vectors of the
# encoder `distilled`, through which losses of conversions have gradients, in WORK/distilled; then on those of
# `quantised`.
#     ../../../recipes/target/compact_model.py WORK/exp/*_on_quantised six_voices.safetensors --licence '...'
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
work=$here
train_opts=
options=()
while [ $# -gt 0 ]; do
    case $1 in
        --help) exec "$here/../../../recipes/many/run.sh" --help ;;
        --work) work=$(realpath -m "$2") && shift 2 ;;
        --train_opts) train_opts=$2 && shift 2 ;;
        *) options+=("$1") && shift ;;
    esac
done
learn() { # WORK CONF OPTION ...
    "$here/../../../recipes/many/run.sh" \
        --work "$1" \
        --prepare "$here/../vc2/local/data.sh" \
        --speakers "SF2 SF3 SM2 TF1 TM1 TM2" \
        --conf "$here/conf/$2.yaml" \
        --convert_opts '--precision auto' \
        --stop_stage "${stop_stage:-4}" \
        "${@:3}" "${options[@]}"
}
stop_stage=2 learn "$work/distilled" on_distilled --train_opts "$train_opts"
start=$(echo "$work"/distilled/exp/*_on_distilled)
learn "$work" on_quantised --train_opts "--set objective.start=$start $train_opts"
