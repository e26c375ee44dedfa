# shellcheck shell=bash
# Pairs of speakers, or one model of many, and what is done for each of them. Source it after stages.sh.
#
# A list has a line for each job, SOURCE TARGET PAIR: $pair_list one for each model, $way_list one for each direction.
# PAIR names the experiment; of a model of many speakers it is all of them. A pair for which something fails is noted in
# the file $failed and left out from then on; the others go on.
# shellcheck disable=SC2034,SC2154 # nj, max_jobs, train_cmd, lists and failed are the recipe's; others read what is set

source_option=(--from '{1}') # of vc-convert; none where a model converts anyone
learnt_speakers=             # who must have training utterances; default: all speakers

# --pairs, or --sources and --targets, or --source and --target -> $pair_list, $way_list, $pair_count, $pair_speakers,
# and $list_name, which tells this list of pairs from others.
list_pairs() {
    local one other rest known=' '
    pair_list='' way_list='' pair_count=0 pair_speakers=''
    while read -r one other rest; do
        [ -n "$other" ] && [ -z "$rest" ] || fail "--pairs $pairs: expected SOURCE TARGET, found '$one${other:+ $other}${rest:+ $rest}'"
        need_names speaker "$one" "$other"
        [ "$one" != "$other" ] || fail "source and target are both $one"
        [[ $known != *" $one-$other "* ]] || fail "the pair $one-$other stands twice"
        if [[ $known == *" $other-$one "* ]]; then
            echo "$one-$other: $other-$one serves both ways"
            continue
        fi
        known+="$one-$other "
        pair_list+="$one $other $one-$other"$'\n'
        way_list+="$one $other $one-$other"$'\n'"$other $one $one-$other"$'\n'
        pair_count=$((pair_count + 1))
        for one in "$one" "$other"; do [[ " $pair_speakers" == *" $one "* ]] || pair_speakers+="$one "; done
    done < <(named_pairs)
    [ "$pair_count" -gt 0 ] || fail "give --source and --target, --sources and --targets, or --pairs FILE"
    list_name=${pair_list##* } list_name=${list_name%$'\n'}
    [ "$pair_count" -eq 1 ] || list_name=${pair_count}_pairs_$(cksum <<< "$pair_list" | cut -d ' ' -f 1)
}

named_pairs() {
    local one other
    if [ -n "$pairs" ]; then
        grep -v '^ *\(#\|$\)' -- "$pairs"
        return
    fi
    for one in ${sources:-$source}; do
        for other in ${targets:-$target}; do
            [ "$one" = "$other" ] && [ -n "$sources$targets" ] || echo "$one $other"
        done
    done
}

# --speakers and --ways -> the same of the one model that serves them all.
list_model() {
    local one other way names
    read -ra names <<< "$speakers"
    [ "${#names[@]}" -gt 1 ] || fail "give --speakers 'A B ...', two or more"
    need_names --speakers "${names[@]}"
    one=$(printf '%s\n' "${names[@]}" | sort | uniq -d | head -n 1)
    [ -z "$one" ] || fail "--speakers: $one stands twice"
    pair_speakers="${names[*]} " pair_count=1 way_list=''
    list_name=$(IFS=- && echo "${names[*]}")
    [ "${#names[@]}" -le 4 ] || list_name=${#names[@]}_speakers_$(cksum <<< "${names[*]}" | cut -d ' ' -f 1)
    pair_list="${names[0]} ${names[1]} $list_name"$'\n'
    for one in "${names[@]}"; do
        for other in "${names[@]}"; do
            if [ "$one" = "$other" ]; then continue; fi
            [ -n "$ways" ] && [[ " $ways " != *" $one:$other "* ]] || way_list+="$one $other $list_name"$'\n'
        done
    done
    for way in $ways; do
        [[ $'\n'$way_list == *$'\n'"${way%:*} ${way#*:} "* ]] || fail "--ways: '$way' is no SOURCE:TARGET of ${names[*]}"
    done
}

# --sources, --targets and --ways -> the same of one model for each target, which PAIR names.
list_targets() {
    local one other way known=' '
    [ -n "${sources// /}" ] && [ -n "${targets// /}" ] || fail "give --sources 'A B ...' and --targets 'A B ...'"
    pair_list='' way_list='' pair_count=0 pair_speakers='' learnt_speakers=$targets
    # shellcheck disable=SC2086 # words
    need_names speaker $sources $targets
    for other in $targets; do
        [[ $known != *" $other "* ]] || fail "--targets: $other stands twice"
        known+="$other "
        for one in $sources; do
            if [ "$one" = "$other" ]; then continue; fi
            [ -n "$ways" ] && [[ " $ways " != *" $one:$other "* ]] || way_list+="$one $other $other"$'\n'
        done
        one=$(awk -v who="$other" '$2 == who { print $1; exit }' <<< "$way_list")
        [ -n "$one" ] || fail "--targets: nobody is converted to $other"
        pair_list+="$one $other $other"$'\n' pair_count=$((pair_count + 1))
    done
    for way in $ways; do
        [[ $'\n'$way_list == *$'\n'"${way%:*} ${way#*:} "* ]] || fail "--ways: '$way' is no SOURCE:TARGET of these"
    done
    for one in $sources $targets; do [[ " $pair_speakers" == *" $one "* ]] || pair_speakers+="$one "; done
    list_name=${targets// /-}
    [ "$pair_count" -le 4 ] || list_name=${pair_count}_targets_$(cksum <<< "$targets" | cut -d ' ' -f 1)
}

# LIST: without the pairs that have failed.
remaining() {
    local one other pair
    while read -r one other pair; do
        if [ -n "$pair" ] && ! has_failed "$pair"; then echo "$one $other $pair"; fi
    done <<< "$1"
}

has_failed() { awk -F ': ' -v pair="$1" '$1 == pair { found = 1 } END { exit !found }' "$failed" 2> /dev/null; } # PAIR

# FUNCTION LIST: FUNCTION SOURCE TARGET PAIR for each line of the list; `for_remaining` leaves out failed pairs.
for_remaining() { for_each "$1" "$(remaining "$2")"; }
for_each() {
    local one other pair
    while read -r one other pair <&3; do
        [ -z "$pair" ] || "$1" "$one" "$other" "$pair"
    done 3<<< "$2"
}

# PAIR REASON: it is left out from now on; where it is the only one, nothing is left to do.
drop_pair() {
    [ "$pair_count" -gt 1 ] || fail "$2"
    mkdir -p "$lists"
    echo "$1: $2" | tee -a "$failed" >&2
}

# LIST: how many cores each of its jobs has; on a cluster they need not share.
cores_per_job() {
    local jobs
    jobs=$(grep -c . <<< "$1" || true)
    case ${train_cmd%% *} in
    local.sh | */local.sh | run.pl | */run.pl) echo "$((nj > jobs && jobs > 0 ? nj / jobs : jobs > 0 ? 1 : nj))" ;;
    *) echo "$nj" ;;
    esac
}

# FOLDER LIST OPTION ... -> $missing, the lines whose folder is not sealed or was made with other options, and is cleared;
# FOLDER SOURCE TARGET PAIR names it.
find_missing() {
    local one other pair folder
    missing=''
    while read -r one other pair <&3; do
        [ -n "$pair" ] || continue
        folder=$("$1" "$one" "$other" "$pair")
        if made_with "$folder" "${@:3}"; then
            echo "$folder: nothing to do"
        else
            clear_for "$folder" "${@:3}"
            missing+="$one $other $pair"$'\n'
        fi
    done 3<<< "$(remaining "$2")"
}

# NAME LIST [OPTION VALUE ...] -- COMMAND ...: the command for every remaining line, as one array of jobs whose logs
# are $lists/log/NAME.JOB.log; {1}, {2} and {3} in its words stand for SOURCE, TARGET and PAIR. Leaves in $succeeded the
# lines whose job ended well, and notes the others for drop_failed, which is to be called once the former are sealed.
array() {
    local name=$1 options=() words number=0 count list one other pair log
    succeeded=$(remaining "$2") lost=''
    shift 2
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    [ -n "$succeeded" ] || return 0
    count=$(wc -l <<< "$succeeded")
    while read -r one other pair <&3; do
        number=$((number + 1))
        fill_in "$one" "$other" "$pair" "$@"
        split_job "$lists" "$count" "$name.$number" "${words[@]}"
    done 3<<< "$succeeded"
    ! run_split "$lists" "$count" "$name" "${options[@]}" || return 0
    list=$succeeded number=0 succeeded=''
    while read -r one other pair <&3; do
        number=$((number + 1))
        log=$lists/log/$name.$number.log
        if ended_well "$log"; then
            succeeded+="$one $other $pair"$'\n'
        else
            lost+="$pair $name of $one to $other failed, log is in $PWD/$log"$'\n'
        fi
    done 3<<< "$list"
}

fill_in() { # SOURCE TARGET PAIR WORD ... -> $words
    words=("${@:4}")
    words=("${words[@]//"{1}"/"$1"}")
    words=("${words[@]//"{2}"/"$2"}")
    words=("${words[@]//"{3}"/"$3"}")
}

drop_failed() {
    local pair reason
    while read -r pair reason <&3; do
        [ -z "$pair" ] || drop_pair "$pair" "$reason"
    done 3<<< "$lost"
}

# What has failed, as the last word of a run.
report_failed() {
    local count
    [ -s "${failed:?}" ] || return 0
    count=$(cut -d : -f 1 "$failed" | sort -u | wc -l)
    cat "$failed" >&2
    fail "$count of $pair_count pairs failed, the others are done; the same command does only what is missing"
}
