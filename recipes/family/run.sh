#!/usr/bin/env bash
# Every method of a folder of configurations on the same speakers: trained, converted, evaluated side by side.
recipes=$(dirname "$(dirname "$(readlink -f "$0")")")
. "$recipes/family/cmd.sh" || exit 1
. "$recipes/family/path.sh" || exit 1
. "$recipes/utils/conversion.sh" || exit 1

unset conf tag # each method has its own, or none
stop_stage=3
source=
target=
pair_confs=$recipes/pair/conf/family
many_confs=$recipes/many/conf/family
methods=
encoder=

help_message="usage: run.sh [--name value ...]
  --stage N, --stop_stage N  from and up to: 0 data, 1 features, 2 train and convert, 3 evaluate (default: all)
  --prepare SCRIPT, --corpus FOLDER  as for recipes/pair/run.sh
  --source, --target    the pair that is compared, both ways
  --speakers 'A B ...'  those of the models of many, source and target among them
  --features_conf YAML  its features: section is that of stage 1
  --pair_confs FOLDER, --many_confs FOLDER  configurations, one a method (default: those of ten minutes on one core)
  --methods 'X Y ...'   names of those that are taken (default: all)
  --encoder NAME        method of many speakers whose code pairs with objective.content use (default: they use the
                        content encoder distilled)
  --max_jobs N          methods at once, a core each (default: what the backend does)
  --work, --nj, --device, --train_opts, --convert_opts, --evaluate_opts, --train_cmd, --config
                        as for recipes/pair/run.sh"

. "$recipes/utils/parse_options.sh" || exit 1
. "$recipes/utils/stages.sh" || exit 1
. "$recipes/utils/pairs.sh" || exit 1
set -euo pipefail

yaml_files() { (cd "$1" && compgen -G '*.yaml' | sort) || true; } # FOLDER: their names

make_data() { many --stage 0 --stop_stage 0; }

extract_features() { many --stage 1 --stop_stage 1; }

many() {
    "$recipes/many/run.sh" --work "$work" --prepare "$prepare" --corpus "$corpus" --speakers "$speakers" --ways "$ways" \
        --conf "$features_conf" --nj "$nj" --device "$device" --train_cmd "$train_cmd" "$@"
}

train_and_convert() {
    local conf failed=()
    need dump/train/config.yaml 1
    array_of many "${of_many[@]}"
    for conf in "${of_pairs[@]}"; do # an encoder is one of those of many
        ! takes_encoder "$conf" || [ -s "$(folder_of many "$encoder")/model.safetensors" ] ||
            fail "$(basename "$conf") is to use $encoder: train it first, or name another --encoder"
    done
    array_of pair "${of_pairs[@]}"
    [ "${#failed[@]}" -eq 0 ] || fail "these failed: ${failed[*]}; the others are done"
}

array_of() { # RECIPE CONF ...: an array of jobs, each of which trains one method and converts by it; adds to $failed
    local folder=exp/${list_name}_family gpu=1 count=$(($# - 1)) number=0 conf who
    [ "$count" -gt 0 ] || return 0
    case $1 in
    many) who=(--ways "$ways") ;;
    pair) who=(--source "$source" --target "$target") ;;
    esac
    [ "$device" != cpu ] || gpu=0
    for conf in "${@:2}"; do
        number=$((number + 1))
        # Within its job a method's own jobs run where it runs.
        split_job "$folder" "$count" "$1.$number" env OMP_NUM_THREADS=1 "$recipes/$1/run.sh" --work "$work" \
            --speakers "$speakers" "${who[@]}" --conf "$conf" --features_conf "$features_conf" --nj 1 --device "$device" \
            --train_opts "$(options "$conf")" --convert_opts "$convert_opts" --train_cmd local.sh --stage 2 --stop_stage 3
        echo "$(basename "$conf" .yaml): log, to follow with tail -f: $PWD/$folder/log/$1.$number.log"
    done
    ! run_split "$folder" "$count" "$1" --gpu "$gpu" --num-threads 1 || return 0
    number=0
    for conf in "${@:2}"; do
        number=$((number + 1))
        ended_well "$folder/log/$1.$number.log" || failed+=("$(basename "$conf" .yaml)")
    done
}

# Whether a pair's method has a content loss, whose encoder can be replaced.
takes_encoder() { [ -n "$encoder" ] && [[ $1 == "$pair_confs"/* ]] && grep -Eq '^ +content: *0*\.?0*[1-9]' "$1"; } # CONF

options() { # CONF: the encoder's path is as seen from the folder of work
    printf '%s ' "$train_opts"
    if takes_encoder "$1"; then echo "--set objective.encoder=exp/${list_name}_$encoder"; fi
}

folder_of() { # KIND NAME
    if [ "$1" = many ]; then echo "exp/${list_name}_$2"; else echo "exp/$source-${target}_$2"; fi
}

evaluate() {
    local words=() systems=() models=() way kind name folder
    read -ra words <<< "$evaluate_opts"
    for way in "$source $target" "$target $source"; do
        systems=() models=()
        for name in "${names[@]}"; do
            kind=many
            [ -f "$many_confs/$name.yaml" ] || kind=pair
            folder=$(folder_of "$kind" "$name")
            need "$folder/model.safetensors" 2
            sealed "$folder/converted/${way/ /-}.sha256" ||
                fail "$PWD/$folder/converted/${way/ /-}.sha256 is missing or out of date: stage 2 makes it"
            systems+=("$name=$folder/converted/${way/ /-}")
            models+=("$name=$folder")
        done
        # shellcheck disable=SC2086 # the way is two words
        evaluate_way $way "${systems[@]}"
    done
    python3 "$recipes/utils/family.py" evaluation/"$source-$target"/metrics.json \
        evaluation/"$target-$source"/metrics.json --models "${models[@]}" | tee evaluation/table.md
    echo "Reports: $PWD/evaluation/{$source-$target,$target-$source}/report.html"
}

evaluate_way() { # SOURCE TARGET NAME=FOLDER ...
    job --num-threads "$nj" "evaluation/log/$1-$2.log" env OMP_NUM_THREADS=1 vc-evaluate --converted "${@:3}" \
        --reference "data/eval/$2" --source "data/eval/$1" --from "$1" --to "$2" --model "${models[0]#*=}" \
        --output "evaluation/$1-$2" --cache exp/speech_model_results --jobs "$nj" "${words[@]}"
}

[ "$#" -eq 0 ] || fail "unexpected argument '$1'; options are --name value"
for name in source target speakers; do [ -n "${!name}" ] || fail "give --$name"; done
need_names speaker "$source" "$target"
[ -z "$encoder" ] || need_names --encoder "$encoder"
need_count --nj "$nj"
for name in pair_confs many_confs; do [ -d "${!name}" ] || fail "--$name: no such folder: '${!name}'"; done
[ -r "$features_conf" ] || fail "--features_conf: no such YAML file: '$features_conf'"
for variable in prepare corpus features_conf work pair_confs many_confs; do
    printf -v "$variable" '%s' "$(absolute "${!variable}")"
done
of_pairs=() of_many=() names=()
for name in ${methods:-$(yaml_files "$many_confs") $(yaml_files "$pair_confs")}; do
    name=$(basename "$name" .yaml)
    [[ " ${names[*]} " != *" $name "* ]] || continue # of both folders
    if [ -f "$many_confs/$name.yaml" ]; then
        of_many+=("$many_confs/$name.yaml")
    elif [ -f "$pair_confs/$name.yaml" ]; then
        of_pairs+=("$pair_confs/$name.yaml")
    else
        fail "--methods: no $name.yaml in $many_confs or $pair_confs"
    fi
    names+=("$name")
done
[ "${#names[@]}" -gt 0 ] || fail "--many_confs, --pair_confs: no *.yaml in $many_confs or $pair_confs"
if [ -n "$encoder" ]; then
    used=
    for conf in "${of_pairs[@]}"; do ! takes_encoder "$conf" || used=1; done
    [ -n "$used" ] ||
        echo "run.sh: warning: nothing uses --encoder $encoder: no chosen pair's configuration has objective.content" >&2
fi
ways="$source:$target $target:$source"
list_model
mkdir -p "$work"
cd "$work" || exit 1
stages=(
    make_data         # 0: recordings -> data/train, data/eval/SPEAKER
    extract_features  # 1: data/train -> dump/train
    train_and_convert # 2: dump/train -> exp/NAME of every method
    evaluate          # 3: both ways side by side -> evaluation/
)
run_stages "$stage" "$stop_stage" "${stages[@]}"
