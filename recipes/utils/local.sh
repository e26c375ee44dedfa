#!/usr/bin/env bash
# Run a command, or an array of them, on this machine and log it; Kaldi's calling convention:
#
#   local.sh [options] [JOB=1:N] LOG COMMAND [WORD ...]
#
# JOB (any name) stands in LOG and COMMAND for the job's number. A word that is a shell operator (| || && ; < > >> 2>&1)
# acts as one; every other word reaches the command as it is. Options: --max-jobs-run M (at once; default: one a core,
# with a GPU one), --num-threads T (noted in the log), and --gpu N; --mem, --time, --config and others with a value are
# for clusters and mean nothing here. Exit status: 0, or 1 if some job failed. Interrupted, it stops its jobs and waits.
set -uo pipefail

fail() {
    echo "local.sh: $1" >&2
    exit 1
}

parse() { # the command line -> max_jobs, threads, name, first, last, log, command
    max_jobs=0 threads=1 name='' first=1 last=1
    while [ "$#" -gt 0 ]; do
        [[ $1 != -* || $# -gt 1 ]] || fail "option $1 needs a value"
        case $1 in
        --max-jobs-run | -tc) set_number max_jobs "$@" ;;
        --num-threads) set_number threads "$@" ;;
        --gpu) [ "${2-}" = 0 ] || max_jobs=${max_jobs/#0/1} ;;
        -pe) shift ;; # takes two values
        -*) ;;
        *=*)
            [[ $1 =~ ^([A-Za-z_][A-Za-z0-9_]*)=([0-9]+)(:([0-9]+))?$ ]] || break
            name=${BASH_REMATCH[1]} first=${BASH_REMATCH[2]} last=${BASH_REMATCH[4]:-${BASH_REMATCH[2]}}
            [ "$first" -ge 1 ] && [ "$last" -ge "$first" ] || fail "bad range of jobs: $1 (numbers start at 1)"
            shift
            continue
            ;;
        *) break ;;
        esac
        shift 2
    done
    [ "$max_jobs" -gt 0 ] || max_jobs=$(env -u OMP_NUM_THREADS nproc) # which would print that number instead
    [ "$#" -ge 2 ] || fail "usage: local.sh [options] [JOB=1:N] LOG COMMAND [WORD ...]"
    log=$1 command=("${@:2}")
    [ "$first" = "$last" ] || [[ $log == *"$name"* ]] || fail "$name does not occur in the log's name $log: jobs would share it"
}

set_number() { # VARIABLE OPTION VALUE
    [[ ${3-} =~ ^[0-9]+$ ]] || fail "option $2 needs a whole number, got '${3-}'"
    printf -v "$1" '%s' "$3"
}

for_job() { # NUMBER TEXT -> text of that job
    if [ -n "$name" ]; then printf '%s' "${2//"$name"/$1}"; else printf '%s' "$2"; fi
}

command_line() { # NUMBER -> the command as a line for bash
    local word
    for word in "${command[@]}"; do
        case $word in
        '|' | '||' | '&&' | ';' | '<' | '>' | '>>' | '2>&1') printf '%s ' "$word" ;;
        *) printf '%q ' "$(for_job "$1" "$word")" ;;
        esac
    done
}

run_job() { # NUMBER: runs it to its end, also when interrupted, so that the log says how it ended
    local line code=0 begin=$SECONDS
    line=$(command_line "$1")
    trap : TERM
    echo "# $line"
    echo "# Running on $(uname -n)"
    echo "# Started at $(date)"
    echo '#'
    bash -o pipefail -c "$line" || code=$?
    echo "# Accounting: time=$((SECONDS - begin)) threads=$threads"
    echo "# Ended (code $code) at $(date), elapsed time $((SECONDS - begin)) seconds"
}

running() { jobs -rp | wc -l; }

# shellcheck disable=SC2329 # called by the traps
stop_jobs() { # STATUS [SIGNAL]: pass the signal to each job's process group, wait, leave
    local group
    trap 'stop_jobs '"$1"' KILL' INT TERM HUP # asked again: no more patience
    echo "local.sh: interrupted, stopping $(running) jobs" >&2
    for group in $(jobs -rp); do kill -s "${2:-TERM}" -- "-$group" 2> /dev/null; done
    wait
    exit "$1"
}

parse "$@"
set -m # each job becomes a process group of its own, which can be stopped as a whole
trap 'stop_jobs 130' INT
trap 'stop_jobs 143' TERM
trap 'stop_jobs 129' HUP
for ((number = first; number <= last; number++)); do
    while [ "$(running)" -ge "$max_jobs" ]; do wait -n; done
    job_log=$(for_job "$number" "$log")
    { mkdir -p "$(dirname "$job_log")" && : > "$job_log"; } || fail "cannot write $job_log"
    run_job "$number" < /dev/null > "$job_log" 2>&1 &
done
wait

failed=()
for ((number = first; number <= last; number++)); do
    job_log=$(for_job "$number" "$log")
    tail -n 1 "$job_log" | grep -q '^# Ended (code 0) ' || failed+=("$job_log")
done
[ "${#failed[@]}" -gt 0 ] || exit 0
grep -av '^#' "${failed[0]}" | tail -n 5 >&2
echo "local.sh: ${#failed[@]} / $((last - first + 1)) failed, log is in $(for_job '*' "$log")" >&2
exit 1
