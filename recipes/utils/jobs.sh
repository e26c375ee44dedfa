# shellcheck shell=bash
# What local.sh and slurm.sh share, so that a call means the same to both; source it. The calling convention is Kaldi's:
#
#   BACKEND [options] [JOB=1:N] LOG COMMAND [WORD ...]
#
# JOB (any name) stands in LOG and COMMAND for the job's number. A word that is a shell operator (| || && ; < > >> 2>&1)
# acts as one; every other word reaches the command as it is. Exit status: 0, or 1 if some job failed, that is, if its
# log does not end with "# Ended (code 0) ...".

fail() {
    echo "${0##*/}: $1" >&2
    exit 1
}

# The command line -> $options (--num-threads is num_threads there), $short_options (-p, its value, ...), $name, $first,
# $last, $log, $command.
parse() {
    declare -gA options=()
    short_options=() name='' first=1 last=1
    while [ "$#" -gt 0 ]; do
        [[ $1 != -* || $# -gt 1 ]] || fail "option $1 needs a value"
        case $1 in
        --*) set_option "$1" "$2" ;;
        -tc) set_option --max-jobs-run "$2" ;;
        -*) short_options+=("$1" "$2") ;;
        *=*)
            [[ $1 =~ ^([A-Za-z_][A-Za-z0-9_]*)=([0-9]+)(:([0-9]+))?$ ]] || break
            name=${BASH_REMATCH[1]} first=${BASH_REMATCH[2]} last=${BASH_REMATCH[4]:-${BASH_REMATCH[2]}}
            [ "$first" -ge 1 ] && [ "$last" -ge "$first" ] || fail "bad range of jobs: $1 (numbers start at 1)"
            shift
            continue
            ;;
        *) break ;;
        esac
        [ "$1" != -pe ] || shift # takes two values
        shift 2
    done
    [ "$#" -ge 2 ] || fail "usage: ${0##*/} [options] [JOB=1:N] LOG COMMAND [WORD ...]"
    log=$1 command=("${@:2}")
    [ "$first" = "$last" ] || [[ $log == *"$name"* ]] || fail "$name does not occur in the log's name $log: jobs would share it"
}

set_option() { # OPTION VALUE
    local option=${1#--}
    case $1 in
    --max-jobs-run | --num-threads) [[ $2 =~ ^[0-9]+$ ]] || fail "option $1 needs a whole number, got '$2'" ;;
    esac
    # shellcheck disable=SC2034 # read by who sources this
    options[${option//-/_}]=$2
}

for_job() { # NUMBER TEXT -> text of that job
    if [ -n "$name" ]; then printf '%s' "${2//"$name"/$1}"; else printf '%s' "$2"; fi
}

new_log() { # NUMBER: makes that job's log, empty
    local job_log
    job_log=$(for_job "$1" "$log")
    { mkdir -p "$(dirname "$job_log")" && : > "$job_log"; } || fail "cannot write $job_log"
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

run_job() { # NUMBER THREADS: runs it to its end, also when interrupted, so that the log says how it ended
    local line code=0 begin=$SECONDS
    line=$(command_line "$1")
    trap : TERM
    echo "# $line"
    echo "# Running on $(uname -n)"
    echo "# Started at $(date)"
    echo '#'
    bash -o pipefail -c "$line" || code=$?
    echo "# Accounting: time=$((SECONDS - begin)) threads=$2"
    echo "# Ended (code $code) at $(date), elapsed time $((SECONDS - begin)) seconds"
    return "$code"
}

report() { # once all jobs have ended: leaves with their status, and says which failed
    local number job_log failed=()
    for ((number = first; number <= last; number++)); do
        job_log=$(for_job "$number" "$log")
        tail -n 1 "$job_log" | grep -q '^# Ended (code 0) ' || failed+=("$job_log")
    done
    [ "${#failed[@]}" -gt 0 ] || exit 0
    grep -av '^#' "${failed[0]}" | tail -n 5 >&2
    fail "${#failed[@]} / $((last - first + 1)) failed, log is in $(for_job '*' "$log")"
}
