# shellcheck shell=bash
# What the stages of a recipe share. Source it after parse_options.sh.

fail() {
    echo "run.sh: error: $1" >&2
    exit 1
}

# shellcheck source=recipes/utils/names.sh
. "$(dirname "${BASH_SOURCE[0]}")/names.sh" || exit 1

# FILE STAGE: an input that an earlier stage makes.
need() { [ -s "$1" ] || fail "$PWD/$1 is missing: stage $2 makes it"; }

# OPTION VALUE: refuse a value that is no count.
need_count() { [[ $2 =~ ^[1-9][0-9]*$ ]] || fail "$1 takes a whole number from 1 on, not '$2'"; }

# PATH -> absolute, as seen from the caller's folder; nothing stays nothing.
absolute() { [ -z "$1" ] || realpath -m -- "$1"; }

# [OPTIONS] LOG COMMAND ...: run a job through the backend, which is a list of words. To a backend a word that is an
# operator of the shell acts as one; no recipe has such words, and what it is given may not bring them in.
job() {
    local words word
    for word in "$@"; do
        case $word in
        '|' | '||' | '&' | '&&' | ';' | '<' | '>' | '>>' | '2>&1') fail "'$word': options hold no operators of the shell" ;;
        esac
    done
    read -ra words <<< "${train_cmd:?}"
    "${words[@]}" "$@"
}

# FOLDER COUNT NAME.JOB COMMAND ...: what job number JOB of COUNT is to do, as FOLDER/log/splitCOUNT/JOB/NAME.sh, which can
# also be run by hand. Each JOB has its part of the work in a folder of its own, as after Kaldi's split_data.sh.
split_job() {
    local script=$1/log/split$2/${3##*.}/${3%.*}.sh
    mkdir -p "${script%/*}"
    {
        echo '#!/usr/bin/env bash'
        # shellcheck disable=SC2016 # it is the script that reads itself: its log begins with the command
        echo 'sed -n "\$s/^exec/#/p" "$0"'
        printf exec
        printf ' %q' "${@:4}"
        echo
    } > "$script"
}

# FOLDER COUNT NAME [OPTION VALUE ...]: run these scripts as one array of jobs, of which $max_jobs at once, if it is set; their
# logs are FOLDER/log/NAME.JOB.log, of which it shows how far they are.
run_split() {
    local status=0 watcher
    rm -f "$1/log/$3".*.log # of an earlier run
    echo "Logs, to follow with tail -f: $PWD/$1/log/$3.*.log"
    watch_logs "$1" "$3" &
    watcher=$!
    job "${@:4}" ${max_jobs:+--max-jobs-run "$max_jobs"} JOB=1:"$2" "$1/log/$3.JOB.log" bash "$1/log/split$2/JOB/$3.sh" || status=$?
    kill "$watcher"
    wait "$watcher" 2> /dev/null || true
    [ "$status" -eq 0 ] || [ -e "$1/log/$3.1.log" ] || fail "$train_cmd did not run the jobs"
    return "$status"
}

# FOLDER NAME: at intervals, the last lines of the logs that have been written to most lately. No `sleep`, which would outlive it.
watch_logs() {
    local lines before='' never
    exec {never}<> <(:)
    while kill -0 "$$" 2> /dev/null && ! read -r -t "${watch_seconds:-60}" -u "$never"; do
        # shellcheck disable=SC2012 # by time
        lines=$(ls -t "$1/log/$2".*.log 2> /dev/null | head -n 4 | xargs -r -d '\n' tail -qn 1 | grep -av '^#') || lines=$before
        [ "$lines" = "$before" ] || echo "$lines"
        before=$lines
    done
}

# LOG: whether its job ended with status 0, as Kaldi's run.pl or queue.pl say it.
ended_well() { tail -n 1 "$1" 2> /dev/null | grep -q '^# \(Ended (code 0) \|Finished at .* with status 0\)'; }

# LOG: what a job printed.
printed() { grep -av '^#' "$1" || true; }

# SEAL FILE ...: remember these very files; `sealed SEAL` is true as long as none has changed or gone.
seal() {
    sha256sum -- "${@:2}" > "$1.part"
    mv -- "$1.part" "$1"
}
sealed() { [ -s "$1" ] && sha256sum --check --status "$1" 2> /dev/null; }

# FOLDER OPTION ...: whether a folder that is sealed when it is complete has been made with these options.
made_with() { sealed "$1.sha256" && cmp -s "$1.options" <(printf '%s\n' "${*:2}"); }

# FOLDER OPTION ...: remove a folder that is to be made with these options. Its seal goes before they are noted, so that
# a job that fails leaves nothing that counts as made with them.
clear_for() {
    rm -rf -- "$1" "$1.sha256"
    mkdir -p -- "$(dirname -- "$1")"
    printf '%s\n' "${*:2}" > "$1.options"
}

# FIRST LAST FUNCTION ...: run the functions numbered FIRST to LAST (from 0 on), each timed, in a process group of its own.
run_stages() {
    local first=$1 last=$2 number=-1 function began
    [[ $1 =~ ^-?[0-9]+$ && $2 =~ ^-?[0-9]+$ ]] || fail "--stage and --stop_stage take whole numbers, not '$1' and '$2'"
    [ "$first" -le $(($# - 3)) ] || fail "--stage $1: the last stage is $(($# - 3))"
    trap 'interrupt 130' INT
    trap 'interrupt 143' TERM
    trap 'interrupt 129' HUP
    for function in "${@:3}"; do
        number=$((number + 1))
        if [ "$first" -gt "$number" ] || [ "$last" -lt "$number" ]; then continue; fi
        echo "Stage $number: ${function//_/ }"
        began=$SECONDS
        supervised "$function"
        echo "Stage $number took $((SECONDS - began)) s"
    done
}

# FUNCTION: in the background, so that a signal to the recipe is acted upon at once and reaches all that it started.
supervised() {
    set -m
    {
        trap 'exit 143' TERM # once what runs has ended
        "$1"
    } < /dev/null &
    set +m
    stage_group=$!
    wait "$stage_group"
}

# shellcheck disable=SC2329 # called by the traps
interrupt() {
    trap '' INT TERM HUP
    if [ -n "${stage_group-}" ]; then
        kill -s TERM -- "-$stage_group" 2> /dev/null || true
        wait "$stage_group" || true
    fi
    echo "run.sh: interrupted; the same command goes on from here" >&2
    exit "$1"
}
