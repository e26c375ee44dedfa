#!/usr/bin/env bash
# Vocoders: data, training or fine-tuning, copy-synthesis by every vocoder and setting, and one table of how they sound.
recipes=$(dirname "$(dirname "$(readlink -f "$0")")")
. "$recipes/vocoder/cmd.sh" || exit 1
. "$recipes/vocoder/path.sh" || exit 1

help_message="usage: run.sh [--name value ...]
  --stage N, --stop_stage N  from and up to: 0 data, 1 train, 2 copy, 3 evaluate (default: all)
  --prepare SCRIPT      corpus -> data directories; called as SCRIPT CORPUS data SPEAKER ..., it makes data/train
                        and data/eval/SPEAKER, and data/dev if utterances are held out to choose the best model
  --corpus FOLDER       handed to SCRIPT
  --speakers 'A B ...'  who is learnt from and copied
  --heard 'A B ...'     of these, who is copied (default: all)
  --sentences N         of each, the first N (default: all)
  --confs 'YAML ...'    each is a vocoder to train; exp/<its name>
  --start VOCODER       what training starts from (default: nothing)
  --systems LIST        what is compared: lines 'NAME OPTIONS of vc-vocoder copy' (default: conf/systems.list, without
                        hifigan where it is not imported); beside them what --confs trained
  --rate HZ             of WORLD's analysis (default: the recordings')
  --work FOLDER         data/, exp/, copies/ and evaluation/ lie there (default: where you are)
  --nj N                processes (default: as many as this machine has cores)
  --device D            auto, cpu or cuda (default: auto)
  --train_opts 'WORDS'  further options of vc-vocoder train
  --evaluate_opts 'WORDS'  further options of vc-evaluate
  --train_cmd 'WORDS'   how jobs are run; see cmd.sh
  --config FILE         a shell file that sets any of these"

stage=0
stop_stage=3
prepare=
corpus=
speakers=
heard=
sentences=
confs=
start=
systems=
rate=
work=.
nj=$(env -u OMP_NUM_THREADS nproc)
device=auto
train_opts=
evaluate_opts=

. "$recipes/utils/parse_options.sh" || exit 1
. "$recipes/utils/stages.sh" || exit 1
set -euo pipefail

make_data() {
    local speaker names
    [ -x "$prepare" ] || fail "--prepare: no such executable script: '$prepare'"
    read -ra names <<< "$speakers"
    "$prepare" "$corpus" data "${names[@]}"
    for speaker in $heard; do
        [ -s "data/eval/$speaker/wav.scp" ] || fail "$prepare made no data/eval/$speaker/wav.scp"
    done
}

train() {
    local conf words name log gpu=1
    [ "${#conf_files[@]}" -gt 0 ] || return 0
    need data/train/wav.scp 0
    [ "$device" != cpu ] || gpu=0
    read -ra words <<< "$train_opts"
    [ -z "$start" ] || words+=(--start "$start")
    [ ! -f data/dev/wav.scp ] || words+=(--held-out data/dev)
    for conf in "${conf_files[@]}"; do
        name=$(basename "$conf" .yaml)
        log=exp/$name/log/train.log
        echo "Log, to follow with tail -f: $PWD/$log"
        job --gpu "$gpu" --num-threads "$nj" "$log" \
            vc-vocoder train --config "$conf" --data data/train --output "exp/$name" --device "$device" "${words[@]}"
        printed "$log"
    done
}

# A line 'NAME OPTIONS' for each system.
listed() {
    local conf without='^ *\(#\|$\)'
    [ -n "$systems" ] || vocoder_known || without+='\|hifigan$'
    grep -v "$without" -- "${systems:-$recipes/vocoder/conf/systems.list}" || true # the list may be comments alone
    for conf in "${conf_files[@]}"; do
        echo "$(basename "$conf" .yaml) --vocoder exp/$(basename "$conf" .yaml)"
    done
}

vocoder_known() { python3 -c 'from vc.vocoders.choice import choose; choose("hifigan")' 2> /dev/null; }

copy() {
    local speaker name words more=()
    [ -n "$systems" ] || vocoder_known || echo "hifigan is not imported and left out: see vc-vocoder import --help"
    for speaker in $heard; do
        need "data/eval/$speaker/wav.scp" 0
        choose_sentences "$speaker"
        while read -r name words <&3; do
            read -ra more <<< "$words"
            copy_by "$speaker" "$name" "${more[@]}"
        done 3< <(listed)
    done
}

choose_sentences() { # SPEAKER: the recordings that are copied, in copies/SPEAKER/data
    local data=copies/$1/data
    rm -rf "$data"
    if [ -n "$sentences" ]; then
        vc-prepare "data/eval/$1" "$data" --first "$sentences"
    else
        mkdir -p "$data"
        cp "data/eval/$1"/* "$data"
    fi
}

copy_by() { # SPEAKER NAME OPTION ...
    local output=copies/$1/$2 log=copies/log/$1_$2.log option made_by=()
    for option in "${@:3}"; do
        if [ -f "$option/model.safetensors" ]; then made_by+=("$option/model.safetensors"); fi
    done
    if made_with "$output" "${@:3}" "$rate"; then return 0; fi
    clear_for "$output" "${@:3}" "$rate"
    # One thread: seconds of CPU can be compared. The last of equal options counts: a list cannot say what is written where.
    job --num-threads 1 "$log" env OMP_NUM_THREADS=1 vc-vocoder copy --set "features.sample_rate=$(world_rate "$1")" \
        "${@:3}" --scp "copies/$1/data/wav.scp" --output "$output" --report "$output.json"
    printed "$log" | sed "s|^|$1, $2: |"
    seal "$output.sha256" "copies/$1/data/wav.scp" "${made_by[@]}" "$output.json" "$output"/*.wav
}

# SPEAKER: the rate of WORLD's analysis.
world_rate() { # SPEAKER
    [ -n "$rate" ] && echo "$rate" && return
    python3 -c 'import sys; from pathlib import Path; from vc.corpus import audio, data_directory
print(min(audio.info(each.path).sample_rate for each in data_directory.read(Path(sys.argv[1]))))' "copies/$1/data"
}

evaluate() {
    local speaker name words=() log
    for speaker in $heard; do
        words=()
        while read -r name _; do
            sealed "copies/$speaker/$name.sha256" ||
                fail "$PWD/copies/$speaker/$name.sha256 is missing or out of date: stage 2 makes it"
            words+=("$name=copies/$speaker/$name")
        done < <(listed)
        log=evaluation/log/$speaker.log
        echo "Log, to follow with tail -f: $PWD/$log"
        # shellcheck disable=SC2086 # words
        job --num-threads "$nj" "$log" env OMP_NUM_THREADS=1 vc-evaluate --converted "${words[@]}" \
            --reference "copies/$speaker/data" --output "evaluation/$speaker" --jobs "$nj" $evaluate_opts
        echo "Report: $PWD/evaluation/$speaker/report.html"
    done
    table
}

table() {
    local speaker words=()
    for speaker in $heard; do words+=("evaluation/$speaker/metrics.json"); done
    python3 "$recipes/utils/vocoders.py" "${words[@]}" > evaluation/table.md
    cat evaluation/table.md
}

[ "$#" -eq 0 ] || fail "unexpected argument '$1'; options are --name value"
[ -n "$speakers" ] || fail "give --speakers"
heard=${heard:-$speakers}
# shellcheck disable=SC2086 # words
need_names speaker $speakers $heard
need_count --nj "$nj"
[ -z "$sentences" ] || need_count --sentences "$sentences"
[ -z "$rate" ] || need_count --rate "$rate"
prepare=$(absolute "$prepare") corpus=$(absolute "$corpus") systems=$(absolute "$systems")
[ ! -e "$start" ] || start=$(absolute "$start")
conf_files=()
for conf in $confs; do
    [ -r "$conf" ] || fail "--confs: no such YAML file: '$conf'"
    conf_files+=("$(absolute "$conf")")
done
[ -z "$systems" ] || [ -r "$systems" ] || fail "--systems: no such list: '$systems'"
mkdir -p "$work"
cd "$work"
while read -r name words; do
    need_names "a system's name" "$name"
    for word in $words; do
        [[ $word =~ ^[][A-Za-z0-9._/=:,+@%~-]+$ ]] || fail "--systems: $name: '$word' can be no option of vc-vocoder copy"
    done
done < <(listed)
twice=$(listed | awk '{ print $1 }' | sort | uniq -d)
[ -z "$twice" ] || fail "two systems have one name: $twice; rename the YAML file, or give another --systems"
stages=(
    make_data # 0: recordings -> data/train, data/eval/SPEAKER
    train     # 1: data/train -> exp/NAME of each of --confs
    copy      # 2: data/eval -> copies/SPEAKER/SYSTEM
    evaluate  # 3: copies -> evaluation/SPEAKER, one table
)
run_stages "$stage" "$stop_stage" "${stages[@]}"
