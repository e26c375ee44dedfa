# shellcheck shell=bash
# What the recipes that convert share: options, and the stages data, features, training, conversion, evaluation. Source it
# before parse_options.sh. A recipe then lists its models and the ways that each serves (see pairs.sh), says in the words
# $who how vc-train is told a model's speakers, lists the functions of its stages in $stages, and calls run_conversion.
# shellcheck disable=SC2034,SC2154 # pairs.sh shares variables with this

stage=0
stop_stage=4
prepare=
corpus=
speakers=
conf=
features_conf=
work=.
nj=$(env -u OMP_NUM_THREADS nproc)
max_jobs=
device=auto
tag=
train_opts=
convert_opts=
evaluate_opts=

prepare_help="  --stage N, --stop_stage N  from and up to: 0 data, 1 features, 2 train, 3 convert, 4 evaluate (default: all)
  --prepare SCRIPT      corpus -> data directories; called as SCRIPT CORPUS data SPEAKER ..., it makes
                        data/train (all speakers together) and data/eval/SPEAKER (each by himself),
                        and data/dev (all together) if the best model is to be chosen by held-out utterances
  --corpus FOLDER       handed to SCRIPT"
shared_help="  --conf YAML           method, network, training
  --features_conf YAML  its features: section is that of stage 1 (default: that of --conf)
  --work FOLDER         data/, dump/ and exp/ lie there (default: where you are); stages 0 and 1 of one run at a time
  --nj N                processes; on this machine, cores that the jobs of a stage share; on a cluster, cores of
                        each job (default: as many as this machine has)
  --max_jobs N          jobs at once (default: what the backend does)
  --device D            auto, cpu or cuda (default: auto)
  --tag NAME            told apart by it: exp/NAMES_CONF_NAME
  --train_opts 'WORDS'  further options of vc-train, such as '--set training.steps=100'
  --convert_opts 'WORDS'  further options of vc-convert, such as '--vocoder hifigan'; others convert again
  --evaluate_opts 'WORDS'  further options of vc-evaluate, such as '--measures none --conventions sprocket'; others
                        evaluate again
  --train_cmd 'WORDS'   how jobs are run (default: on this machine; under Slurm after  export cmd_backend=slurm,
                        with WORK/conf/slurm.conf if there is one; see cmd.sh)
  --config FILE         a shell file that sets any of these"

make_data() {
    local speaker names count
    [ -x "$prepare" ] || fail "--prepare: no such executable script: '$prepare'"
    read -ra names <<< "${speakers:-$pair_speakers}"
    "$prepare" "$corpus" data "${names[@]}"
    for speaker in $pair_speakers; do
        count=$(awk -v who="$speaker" '$2 == who' data/train/utt2spk | wc -l)
        [ "$count" -gt 0 ] || [[ " ${learnt_speakers:-$pair_speakers} " != *" $speaker "* ]] ||
            fail "data/train has no utterance of $speaker"
        [ -s "data/eval/$speaker/wav.scp" ] || fail "$prepare made no data/eval/$speaker/wav.scp"
        echo "$speaker: $count utterances to learn from," \
            "$(wc -l < "data/eval/$speaker/wav.scp") to convert"
    done
}

extract_features() {
    extract train --config "${features_conf:-$conf}"
    [ ! -f data/dev/wav.scp ] || extract dev --like dump/train # the same rate, where none is given
}

extract() { # SET OPTION ...
    local log=dump/log/$1.log
    need "data/$1/wav.scp" 0
    echo "Log, to follow with tail -f: $PWD/$log"
    job --num-threads "$nj" "$log" env OMP_NUM_THREADS=1 \
        vc-extract "data/$1" "dump/$1" "${@:2}" --jobs "$nj"
    printed "$log"
}

train() {
    local gpu=1 cores words
    need dump/train/config.yaml 1
    for_remaining need_list "$way_list"
    [ "$device" != cpu ] || gpu=0
    read -ra words <<< "$train_opts"
    if [ -f data/dev/wav.scp ]; then
        need dump/dev/config.yaml 1
        words+=(--held-out dump/dev)
    fi
    words=(vc-train --config "$conf" --features dump/train "${who[@]}" --output "$exp_pattern" --validation 'data/eval/{1}'
        --device "$device" "${words[@]}")
    cores=$(cores_per_job "$pair_list")
    if [ "$pair_count" -gt 1 ]; then # else the user's own setting, or all cores
        words=(env OMP_NUM_THREADS="$cores" "${words[@]}")
        report_estimate "$(for_remaining name_untrained "$pair_list")" --gpu "$gpu" --num-threads "$cores" -- "${words[@]}"
    fi
    array train "$pair_list" --gpu "$gpu" --num-threads "$cores" -- "${words[@]}"
    for_each seal_trained "$succeeded"
    drop_failed
    for_remaining print_model "$pair_list"
}

need_list() { need "data/eval/$1/wav.scp" 0; }

experiment() { echo "${exp_pattern//"{3}"/$3}"; } # SOURCE TARGET PAIR -> its folder

name_untrained() { sealed "$(experiment "$@")/trained.sha256" || echo "$*"; }

report_estimate() { # LIST OPTION ... -- COMMAND ...: of many pairs, before they are begun; measured on the first
    local list=$1 options=() words log=$lists/log/cost.log
    shift
    [ -n "$list" ] || return 0
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    # shellcheck disable=SC2046 # the first line is three words
    fill_in $(head -n 1 <<< "$list") "${@:2}" --estimate
    if job "${options[@]}" "$log" "${words[@]}"; then
        printed "$log"
    else
        echo "No estimate of the cost; its log is $PWD/$log"
    fi
    echo "$(wc -l <<< "$list") such pairs are to be trained, as many at once as cores and queue allow"
}

seal_trained() { seal "$(experiment "$@")/trained.sha256" "$(experiment "$@")/model.safetensors"; }

need_model() {
    local folder
    folder=$PWD/$(experiment "$@")
    if [ ! -s "$folder/model.safetensors" ]; then
        drop_pair "$3" "$folder/model.safetensors is missing: stage 2 makes it"
    elif ! sealed "$folder/trained.sha256"; then
        echo "$3: training has not ended; the model so far is taken"
    fi
}

print_model() { echo "$3: $PWD/$(experiment "$@")/model.safetensors"; }

convert() {
    local cores more=()
    read -ra more <<< "$convert_opts"
    for_remaining need_model "$pair_list"
    for_remaining need_list "$way_list"
    find_missing converted "$way_list" "${more[@]}"
    cores=$(cores_per_job "$missing")
    array convert "$missing" --num-threads "$cores" -- vc-convert --model "$exp_pattern" "${source_option[@]}" --to '{2}' \
        --scp 'data/eval/{1}/wav.scp' --output "$exp_pattern/converted/{1}-{2}" --jobs "$cores" "${more[@]}"
    for_each seal_converted "$succeeded"
    drop_failed
}

converted() { echo "$(experiment "$@")/converted/$1-$2"; } # SOURCE TARGET PAIR -> its folder

seal_converted() {
    local list=data/eval/$1/wav.scp output
    output=$(converted "$@")
    if [ "$(find "$output" -name '*.wav' | wc -l)" -eq "$(wc -l < "$list")" ]; then
        seal "$output.sha256" "$list" "$(experiment "$@")/model.safetensors" "$output"/*.wav
        echo "$output: $(wc -l < "$list") recordings converted"
    else
        drop_pair "$3" "$output: not one file for each line of $list"
    fi
}

evaluate() {
    local cores more=()
    for_remaining need_converted "$way_list"
    for_remaining need_speakers "$way_list"
    read -ra more <<< "$evaluate_opts"
    find_missing evaluation "$way_list" "${more[@]}"
    cores=$(cores_per_job "$missing")
    array evaluate "$missing" --num-threads "$cores" -- env OMP_NUM_THREADS=1 vc-evaluate \
        --converted "$exp_pattern/converted/{1}-{2}" --reference 'data/eval/{2}' --source 'data/eval/{1}' \
        --model "$exp_pattern" --output "$exp_pattern/evaluation/{1}-{2}" --cache exp/speech_model_results \
        --jobs "$cores" "${more[@]}"
    for_each seal_evaluated "$succeeded"
    drop_failed
    print_results "$(remaining "$way_list")"
}

need_converted() {
    local seal
    seal=$(converted "$@").sha256
    sealed "$seal" || drop_pair "$3" "$PWD/$seal is missing or out of date: stage 3 makes it"
}

need_speakers() { need "data/eval/$1/utt2spk" 0; }

evaluation() { echo "$(experiment "$@")/evaluation/$1-$2"; } # SOURCE TARGET PAIR -> its folder

seal_evaluated() {
    local output
    output=$(evaluation "$@")
    need "$output/report.html" 4
    seal "$output.sha256" "$(converted "$@").sha256" "data/eval/$2/wav.scp" "$output"/{metrics.json,report.html}
}

print_results() { # LIST
    local files
    mapfile -t files < <(for_remaining name_metrics "$1")
    [ "${#files[@]}" -gt 0 ] || return 0
    mkdir -p "$lists"
    python3 "$recipes/utils/results.py" "${files[@]}" > "$lists/results.md"
    if [ "${#files[@]}" -gt 4 ]; then
        python3 "$recipes/utils/results.py" --means "${files[@]}"
    else
        sed '/^$/q' "$lists/results.md" # the first table, of what decides
    fi
    echo "All metrics: $PWD/$lists/results.md"
    if [ "${#files[@]}" -gt 1 ]; then
        vc-evaluate --pairs "${files[@]%/metrics.json}" --output "$lists/pairs" || echo "No page of all pairs"
    fi
    python3 "$recipes/utils/headlines.py" "${files[@]}"
    echo "Open it and play source, converted and target: is it the target's voice, is every word there, does it buzz?"
}

name_metrics() { echo "$(evaluation "$@")/metrics.json"; }

# Check what all such recipes are given, go to the folder of work, and run the stages that are asked for.
run_conversion() {
    local variable suffix
    [ "$#" -eq 0 ] || fail "unexpected argument '$1'; options are --name value"
    # shellcheck disable=SC2086 # words
    need_names --speakers $speakers
    [ -z "$tag" ] || need_names --tag "$tag"
    need_count --nj "$nj"
    [ -r "$conf" ] || fail "--conf: no such YAML file: '$conf'"
    [ -z "$features_conf" ] || [ -r "$features_conf" ] || fail "--features_conf: no such YAML file: '$features_conf'"
    for variable in prepare corpus conf features_conf work; do
        printf -v "$variable" '%s' "$(absolute "${!variable}")"
    done
    mkdir -p "$work"
    cd "$work" || exit 1
    suffix=$(basename "${conf%.*}")${tag:+_$tag}
    exp_pattern='exp/{3}'_$suffix
    lists=exp/${list_name}_$suffix # of a single model its experiment directory
    failed=$lists/failed
    rm -f "$failed"
    run_stages "$stage" "$stop_stage" "${stages[@]}"
    report_failed
}
