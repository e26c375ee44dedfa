#!/usr/bin/env bash
# Run a command, or an array of them, under Slurm and log it; jobs.sh says how it is called:
#
#   slurm.sh [options] [JOB=1:N] LOG COMMAND [WORD ...]
#
# Options: --max-jobs-run M (at once), --gpu N, --mem M, --time T, --num-threads T, and --config FILE, which says what they
# mean to sbatch, as Kaldi's do (default: conf/slurm.conf, if there is one where you are; else the lines below). A short
# option and its value (-p long) go to sbatch as they are. Interrupted, it cancels its jobs and waits for their end.
#
# A task that Slurm requeues (pre-empted, node lost, scontrol requeue) starts again: its log goes on, and its last run
# counts. A minute before its time is up, a task is sent SIGTERM; like any task that ends so, it has then failed.
set -uo pipefail
recipes=$(dirname "$(dirname "$(readlink -f "$0")")")
. "$recipes/utils/jobs.sh" || exit 1

# shellcheck disable=SC2016 # $0 is what Kaldi's configurations call the option's value
default_config='command sbatch
option mem=* --mem-per-cpu $0
option time=* --time $0
option num_threads=* --cpus-per-task $0
option gpu=0
option gpu=* --gres gpu:$0'

read_config() { # FILE NAME -> $submit, the words of its `command`, and $meaning[NAME=VALUE], of its `option` lines
    local line key rest
    declare -gA meaning=()
    submit=()
    while IFS= read -r line || [ -n "$line" ]; do
        read -r key rest <<< "${line%%#*}"
        case $key in
        '') ;;
        command) read -ra submit <<< "$rest" ;;
        option) meaning[${rest%%[[:space:]]*}]=${rest#"${rest%%[[:space:]]*}"} ;;
        default) [ -n "${options[${rest%%=*}]+given}" ] || options[${rest%%=*}]=${rest#*=} ;;
        *) fail "$2: cannot read the line '$line'" ;;
        esac
    done < "$1"
    [ "${#submit[@]}" -gt 0 ] || fail "$2 has no line 'command sbatch ...'"
}

add_options() { # CONFIG'S NAME: the options in sbatch's words -> $submit
    local option value words
    for option in "${!options[@]}"; do
        value=${options[$option]}
        case $option in config | max_jobs_run) continue ;; esac
        words=${meaning[$option=$value]-${meaning[$option=*]-none}}
        [ "$words" != none ] || fail "option --${option//_/-} $value is not described in $1"
        read -ra words <<< "${words//\$0/$value}"
        submit+=("${words[@]}")
    done
    submit+=("${short_options[@]}")
}

# shellcheck disable=SC2329 # part of the script that Slurm runs
run_task() { # NUMBER THREADS
    # Slurm's SIGTERM reaches all processes of the task, so this shell has only to wait until they have ended; its warning
    # of the time limit, SIGUSR1, reaches this shell alone.
    trap : TERM
    trap 'kill -s TERM 0' USR1
    run_job "$@" < /dev/null &
    while [ -n "$(jobs -rp)" ]; do wait "$!"; done
    wait "$!"
}

task() { # -> a script that needs no other file: what Slurm runs for each number
    echo '#!/usr/bin/env bash'
    declare -p name command
    declare -f for_job command_line run_job run_task
    # shellcheck disable=SC2016 # Slurm sets it
    printf 'run_task "$SLURM_ARRAY_TASK_ID" %s\n' "${options[num_threads]-1}"
}

queue_tasks() { # -> $id, what Slurm calls them
    local array=$first-$last
    [ "${options[max_jobs_run]-0}" -eq 0 ] || array+=%${options[max_jobs_run]}
    submit+=(--parsable --array "$array" --job-name "$(basename "${log%.*}")")
    submit+=(--open-mode append --output "$(for_job %a "${log//%/%%}")")
    # What the configuration may choose otherwise is given by variables, which are weaker. An interruption must not come
    # between the submission and its answer.
    id=$(
        trap '' INT TERM HUP
        task | SBATCH_REQUEUE=1 SBATCH_SIGNAL=B:USR1@60 "${submit[@]}"
    ) || fail "not submitted: ${submit[*]}"
    id=${id%%;*} # the cluster's name
}

queued() { # is any task waiting or running? A controller that does not answer is no sign of the end, for an hour.
    local answer
    if answer=$(squeue --noheader --format %i --jobs "$id" 2>&1); then
        unanswered=0
        [ -n "$answer" ]
    else
        [[ $answer != *'Invalid job id'* ]] || return 1
        unanswered=$((unanswered + 1))
        [ "$unanswered" -lt 120 ] || fail "lost sight of job $id: $answer"
    fi
}

wait_for_tasks() { # asks often at first
    local seconds=1 unanswered=0
    while queued; do
        sleep "$seconds" &
        wait "$!" # which a signal interrupts, unlike sleep
        seconds=$((seconds < 30 ? seconds + 1 : 30))
    done
}

# shellcheck disable=SC2329 # called by the traps
cancel() { # STATUS
    trap 'exit '"$1" INT TERM HUP # asked again: no more patience
    echo "slurm.sh: interrupted, cancelling job $id" >&2
    scancel "$id"
    wait_for_tasks
    exit "$1"
}

parse "$@"
config=${options[config]-conf/slurm.conf}
if [ -r "$config" ]; then
    read_config "$config" "$config"
elif [ -n "${options[config]+given}" ]; then
    fail "--config $config: no such file"
else
    read_config <(echo "$default_config") "the default configuration"
    config="the default configuration"
fi
add_options "$config"
for ((number = first; number <= last; number++)); do new_log "$number"; done
trap 'cancel 130' INT
trap 'cancel 143' TERM
trap 'cancel 129' HUP
queue_tasks
wait_for_tasks
report
