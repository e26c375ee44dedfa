#!/usr/bin/env bash
# Run a command, or an array of them, on this machine and log it; jobs.sh says how it is called:
#
#   local.sh [options] [JOB=1:N] LOG COMMAND [WORD ...]
#
# Options: --max-jobs-run M (at once; default: one a core, with a GPU one), --num-threads T (noted in the log), and
# --gpu N; --mem, --time, --config and others with a value are for clusters and mean nothing here. Interrupted, it stops
# its jobs and waits.
set -uo pipefail
recipes=$(dirname "$(dirname "$(readlink -f "$0")")")
. "$recipes/utils/jobs.sh" || exit 1

at_once() { # -> how many jobs run at once
    if [ "${options[max_jobs_run]-0}" -gt 0 ]; then
        echo "${options[max_jobs_run]}"
    elif [ "${options[gpu]-0}" != 0 ] && nvidia-smi -L &> /dev/null; then
        echo 1
    else
        env -u OMP_NUM_THREADS nproc # which would print that number instead
    fi
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
max_jobs=$(at_once)
set -m # each job becomes a process group of its own, which can be stopped as a whole
trap 'stop_jobs 130' INT
trap 'stop_jobs 143' TERM
trap 'stop_jobs 129' HUP
for ((number = first; number <= last; number++)); do
    while [ "$(running)" -ge "$max_jobs" ]; do wait -n; done
    new_log "$number"
    run_job "$number" "${options[num_threads]-1}" < /dev/null >> "$(for_job "$number" "$log")" 2>&1 &
done
wait
report
