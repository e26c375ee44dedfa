# shellcheck shell=bash
# Pairs of speakers, and what is done for each of them. Source it after stages.sh.
#
# A list has a line for each job, SOURCE TARGET PAIR: $pair_list one for each pair, $way_list one for each direction.
# PAIR names the experiment. A pair for which something fails is noted in the file $failed and left out from then on; the
# others go on.
# shellcheck disable=SC2154 # nj, lists and failed are the recipe's

# --pairs, or --sources and --targets, or --source and --target -> $pair_list, $way_list, $pair_count, $pair_speakers.
list_pairs() {
    local one other rest known=' '
    pair_list='' way_list='' pair_count=0 pair_speakers=''
    while read -r one other rest; do
        [ -n "$other" ] && [ -z "$rest" ] || fail "--pairs $pairs: expected SOURCE TARGET, found '$one${other:+ $other}${rest:+ $rest}'"
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

# LIST: without the pairs that have failed.
alive() {
    local one other pair
    while read -r one other pair; do
        if [ -n "$pair" ] && ! grep -qs "^$pair: " "$failed"; then echo "$one $other $pair"; fi
    done <<< "$1"
}

# FUNCTION LIST: FUNCTION SOURCE TARGET PAIR for each line of the list that is alive.
each() {
    local one other pair
    while read -r one other pair <&3; do
        "$1" "$one" "$other" "$pair"
    done 3< <(alive "$2")
}

# PAIR REASON: it is left out from now on; where it is the only one, nothing is left to do.
lose() {
    [ "$pair_count" -gt 1 ] || fail "$2"
    mkdir -p "$(dirname "$failed")"
    echo "$1: $2" | tee -a "$failed" >&2
}

# LIST: how many cores each of its jobs has for itself.
share() {
    local jobs
    jobs=$(grep -c . <<< "$1" || true)
    echo "$((nj > jobs && jobs > 0 ? nj / jobs : 1))"
}

# NAME LIST [OPTION VALUE ...] -- COMMAND ...: the command for every line that is alive, as one array of jobs whose logs
# are $lists/NAME.JOB.log; {1}, {2} and {3} in its words stand for SOURCE, TARGET and PAIR.
array() {
    local name=$1 list options=() number one other pair log
    list=$(alive "$2")
    shift 2
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    [ -n "$list" ] || return 0
    mkdir -p "$lists"
    echo "$list" > "$lists/$name.list"
    echo "Logs, to follow with tail -f: $PWD/$lists/$name.*.log"
    number=$(wc -l < "$lists/$name.list")
    job "${options[@]}" JOB=1:"$number" "$lists/$name.JOB.log" on_line.sh "$lists/$name.list" JOB "$@" && return
    number=0
    while read -r one other pair <&3; do
        number=$((number + 1))
        log=$lists/$name.$number.log
        ended_well "$log" || lose "$pair" "$name of $one to $other failed, log is in $PWD/$log"
    done 3< "$lists/$name.list"
}

# LOG: whether its job ended with status 0, as Kaldi's run.pl or queue.pl say it.
ended_well() { tail -n 1 "$1" 2> /dev/null | grep -q '^# \(Ended (code 0) \|Finished at .* with status 0\)'; }

# What has failed, as the last word of a run.
say_failed() {
    local count
    [ -s "${failed:?}" ] || return 0
    count=$(cut -d : -f 1 "$failed" | sort -u | wc -l)
    cat "$failed" >&2
    fail "$count of $pair_count pairs failed, the others are done; the same command does only what is missing"
}
