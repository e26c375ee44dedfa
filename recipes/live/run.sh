#!/usr/bin/env bash
# What it costs to convert while one speaks: the same models offline and live at several delays, measured side by side.
recipes=$(dirname "$(dirname "$(readlink -f "$0")")")
. "$recipes/live/cmd.sh" || exit 1
. "$recipes/live/path.sh" || exit 1

stage=0
stop_stage=2
prepare=
corpus=
work=.
sources=
targets=
conf=$recipes/../vc/conf/nearest.yaml
features_conf=$recipes/pair/conf/16k_fine.yaml
systems='diff_offline diff_50 world_offline world_50 world_80'
sentences=10
nj=1
device=cpu
train_opts=
evaluate_opts=

help_message="usage: run.sh [--name value ...]
  --stage N, --stop_stage N  from and up to: 0 data, features, training, 1 convert, 2 evaluate (default: all)
  --prepare, --corpus, --sources, --targets, --conf, --features_conf, --work, --nj, --device, --train_opts, --train_cmd
                        as for recipes/pair/run.sh; the method must be one that vc-live takes
  --systems 'A B ...'   a method of vc-live, and a delay in ms or the word offline (default: $systems)
  --sentences N         the first N of the evaluation set (default: $sentences)
  --evaluate_opts 'WORDS'  further options of vc-evaluate
  --config FILE         a shell file that sets any of these"

. "$recipes/utils/parse_options.sh" || exit 1
. "$recipes/utils/stages.sh" || exit 1
set -euo pipefail

train() {
    "$recipes/pair/run.sh" --work "$PWD" --prepare "$prepare" --corpus "$corpus" --sources "$sources" --targets "$targets" \
        --conf "$conf" --features_conf "$features_conf" --nj "$nj" --device "$device" --train_opts "$train_opts" \
        --train_cmd "$train_cmd" --stage 0 --stop_stage 2
}

convert() {
    local way system
    each_way
    for way in "${ways[@]}"; do
        for system in $systems; do convert_way "${way%:*}" "${way#*:}" "${system%_*}" "${system#*_}"; done
    done
}

convert_way() { # SOURCE TARGET METHOD DELAY
    local folder=live/$1-$2/$3_$4 list=live/$1.scp id path direction
    need "data/eval/$1/wav.scp" 0
    direction=(--model "$(model_of "$1" "$2")" --from "$1" --to "$2" --method "$3")
    rm -rf -- "$folder"
    mkdir -p "$folder" live/log
    head -n "$sentences" "data/eval/$1/wav.scp" > "$list"
    if [ "$4" = offline ]; then
        vc-convert "${direction[@]}" --scp "$list" --output "$folder" --jobs 1
    else
        while read -r id path; do
            vc-live "${direction[@]}" --delay "$4" --input "$path" --output "$folder/$id.wav" 2> "live/log/$id.log" ||
                fail "$(cat "live/log/$id.log")"
        done < "$list"
    fi
}

evaluate() {
    local way system converted words=() metrics=()
    each_way
    read -ra words <<< "$evaluate_opts"
    for way in "${ways[@]}"; do
        converted=()
        for system in $systems; do converted+=("$system=live/${way/:/-}/$system"); done
        job --num-threads "$nj" "live/log/${way/:/-}.log" env OMP_NUM_THREADS=1 vc-evaluate \
            --converted "${converted[@]}" --reference "data/eval/${way#*:}" --source "data/eval/${way%:*}" \
            --from "${way%:*}" --to "${way#*:}" --output "live/evaluation/${way/:/-}" \
            --cache exp/speech_model_results --jobs "$nj" "${words[@]}"
        metrics+=("live/evaluation/${way/:/-}/metrics.json")
    done
    results.py "${metrics[@]}" | tee live/results.md
}

model_of() { # SOURCE TARGET
    local folder
    for folder in "exp/$1-$2" "exp/$2-$1"; do
        folder=${folder}_$(basename "$conf" .yaml)
        [ ! -s "$folder/model.safetensors" ] || { echo "$folder" && return; }
    done
    fail "no model of $1 and $2 in $PWD/exp: stage 0 makes it"
}

each_way() { # leaves SOURCE:TARGET of both ways in $ways
    local source target way
    ways=()
    for source in $sources; do
        for target in $targets; do
            if [ "$source" = "$target" ]; then continue; fi
            for way in "$source:$target" "$target:$source"; do
                [[ " ${ways[*]} " == *" $way "* ]] || ways+=("$way")
            done
        done
    done
}

[ "$#" -eq 0 ] || fail "unexpected argument '$1'; options are --name value"
for name in sources targets systems; do [ -n "${!name}" ] || fail "give --$name"; done
read -ra speakers <<< "$sources $targets"
read -ra names <<< "$systems"
need_names speaker "${speakers[@]}"
need_names --systems "${names[@]}"
need_count --sentences "$sentences"
need_count --nj "$nj"
for variable in prepare corpus conf features_conf work; do
    printf -v "$variable" '%s' "$(absolute "${!variable}")"
done
mkdir -p "$work"
cd "$work" || exit 1
stages=(
    train    # 0: recordings -> dump/train, exp/NAME
    convert  # 1: data/eval -> live/SOURCE-TARGET/SYSTEM
    evaluate # 2: these -> live/evaluation/SOURCE-TARGET
)
run_stages "$stage" "$stop_stage" "${stages[@]}"
