#!/usr/bin/env bash
# Conversion between two speakers, both ways: data, features, training, conversion, evaluation.
recipes=$(dirname "$(dirname "$(readlink -f "$0")")")
. "$recipes/pair/cmd.sh" || exit 1
. "$recipes/pair/path.sh" || exit 1

help_message="usage: run.sh [--name value ...]
  --stage N, --stop_stage N  from and up to: 0 data, 1 features, 2 train, 3 convert, 4 evaluate (default: all)
  --prepare SCRIPT      corpus -> data directories; called as SCRIPT CORPUS data SPEAKER ..., it makes
                        data/train (all speakers together) and data/eval/SPEAKER (each by himself),
                        and data/dev (all together) if the best model is to be chosen by held-out utterances
  --corpus FOLDER       handed to SCRIPT
  --source, --target    the two speakers
  --speakers 'A B ...'  all that data/train shall hold (default: the two)
  --conf YAML           method, network, training
  --features_conf YAML  its features: section is that of stage 1 (default: that of --conf)
  --work FOLDER         data/, dump/ and exp/ lie there (default: where you are)
  --nj N                processes (default: one a core)
  --device D            auto, cpu or cuda (default: auto)
  --tag NAME            told apart by it: exp/SOURCE-TARGET_CONF_NAME
  --train_opts 'WORDS'  further options of vc-train, such as '--set training.steps=100'
  --train_cmd 'WORDS'   how jobs are run (default: see cmd.sh)
  --config FILE         a shell file that sets any of these"

stage=0
stop_stage=4
prepare=
corpus=
source=
target=
speakers=
conf=
features_conf=
work=.
nj=$(env -u OMP_NUM_THREADS nproc)
device=auto
tag=
train_opts=

. "$recipes/utils/parse_options.sh" || exit 1
. "$recipes/utils/stages.sh" || exit 1
set -euo pipefail

make_data() {
    local speaker names
    [ -x "$prepare" ] || fail "--prepare: no such executable script: '$prepare'"
    read -ra names <<< "${speakers:-$source $target}"
    "$prepare" "$corpus" data "${names[@]}"
    for speaker in "$source" "$target"; do
        grep -q "^$speaker " data/train/spk2utt || fail "data/train has no utterance of $speaker"
        [ -s "data/eval/$speaker/wav.scp" ] || fail "$prepare made no data/eval/$speaker/wav.scp"
        echo "$speaker: $(grep -c " $speaker\$" data/train/utt2spk) utterances to learn from," \
            "$(wc -l < "data/eval/$speaker/wav.scp") to convert"
    done
}

extract_features() {
    extract train
    [ ! -f data/dev/wav.scp ] || extract dev
}

extract() { # SET
    local log=dump/log/$1.log
    need "data/$1/wav.scp" 0
    echo "Log, to follow with tail -f: $PWD/$log"
    job --num-threads "$nj" "$log" env OMP_NUM_THREADS=1 \
        vc-extract "data/$1" "dump/$1" --config "${features_conf:-$conf}" --jobs "$nj"
    printed "$log"
}

train() {
    local log=$exp/log/train.log gpu=1 words
    need dump/train/config.yaml 1
    need "data/eval/$source/wav.scp" 0
    [ "$device" != cpu ] || gpu=0
    read -ra words <<< "$train_opts"
    if [ -f data/dev/wav.scp ]; then
        need dump/dev/config.yaml 1
        words+=(--held-out dump/dev)
    fi
    echo "Log, to follow with tail -f: $PWD/$log"
    job --gpu "$gpu" --num-threads "$nj" "$log" \
        vc-train --config "$conf" --features dump/train --source "$source" --target "$target" --output "$exp" \
        --validation "data/eval/$source" --device "$device" "${words[@]}"
    need "$exp/model.safetensors" 2
    printed "$log" | tail -n 1
}

each_way() { # FUNCTION: of A B
    "$1" "$source" "$target"
    "$1" "$target" "$source"
}

convert() { each_way convert_one; }

convert_one() {
    local list=data/eval/$1/wav.scp output=$exp/converted/$1-$2 log=$exp/log/convert.$1-$2.log
    need "$exp/model.safetensors" 2
    need "$list" 0
    if sealed "$output.sha256"; then echo "$output: nothing to do" && return; fi
    rm -rf "$output"
    job --num-threads "$nj" "$log" vc-convert --model "$exp" --to "$2" --scp "$list" --output "$output"
    [ "$(find "$output" -name '*.wav' | wc -l)" -eq "$(wc -l < "$list")" ] || fail "$output: not one file for each line of $list"
    seal "$output.sha256" "$list" "$exp/model.safetensors" "$output"/*.wav
    echo "$output: $(wc -l < "$list") recordings converted"
}

evaluate_one() {
    local converted=$exp/converted/$1-$2 output=$exp/evaluation/$1-$2 log=$exp/log/evaluate.$1-$2.log
    if sealed "$output.sha256"; then echo "$output: nothing to do" && return; fi
    job --num-threads "$nj" "$log" env OMP_NUM_THREADS=1 \
        vc-evaluate --converted "$converted" --reference "data/eval/$2" --source "data/eval/$1" --model "$exp" \
        --output "$output" --jobs "$nj"
    need "$output/report.html" 4
    seal "$output.sha256" "$log" "$converted.sha256" "data/eval/$2/wav.scp" "$output"/{metrics.json,report.html}
}

print_table() { printed "$exp/log/evaluate.$1-$2.log"; }
print_report() { echo "Report: $PWD/$exp/evaluation/$1-$2/report.html"; }

# Sentences that both speakers are evaluated on; vc-evaluate names them likewise, by the id without the speaker.
shared_sentences() { comm -12 <(sentences "$source") <(sentences "$target"); }
sentences() {
    awk -v from="$((${#1} + 1))" '{ name = substr($1, from); sub(/^[-_.]+/, "", name); print name }' \
        "data/eval/$1/utt2spk" | sort
}

need_converted() {
    need "$exp/converted/$1-$2.sha256" 3
    need "data/eval/$1/utt2spk" 0
}

evaluate() {
    each_way need_converted
    if [ -z "$(shared_sentences)" ]; then
        echo "$source and $target share no evaluation sentence: nothing to measure; listen to $PWD/$exp/converted"
        return
    fi
    each_way evaluate_one
    each_way print_table
    each_way print_report
}

[ "$#" -eq 0 ] || fail "unexpected argument '$1'; options are --name value"
[ -n "$source" ] && [ -n "$target" ] || fail "give --source and --target"
[ -r "$conf" ] || fail "--conf: no such YAML file: '$conf'"
[ -z "$features_conf" ] || [ -r "$features_conf" ] || fail "--features_conf: no such YAML file: '$features_conf'"
for variable in prepare corpus conf features_conf work; do
    printf -v "$variable" '%s' "$(absolute "${!variable}")"
done
mkdir -p "$work"
cd "$work"
exp=exp/$source-${target}_$(basename "${conf%.*}")${tag:+_$tag}
run_stages "$stage" "$stop_stage" make_data extract_features train convert evaluate
