# shellcheck shell=bash
# How jobs are run: $train_cmd is called as  $train_cmd [--gpu N] [--num-threads N] [JOB=1:N] LOG COMMAND ...
# Any command with Kaldi's calling convention fits here, or after --train_cmd.
cmd_backend=${cmd_backend:-local}

case $cmd_backend in
local) export train_cmd=local.sh ;; # this machine; recipes/utils/local.sh
*)
    echo "cmd.sh: unknown cmd_backend '$cmd_backend'; known: local" >&2
    return 1
    ;;
esac
