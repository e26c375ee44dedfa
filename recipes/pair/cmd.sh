# shellcheck shell=bash
# How jobs are run: $train_cmd is called as  $train_cmd [--gpu N] [--num-threads N] [JOB=1:N] LOG COMMAND ...
# Any command with Kaldi's calling convention fits here, in the environment, or after --train_cmd.
# Under Slurm, --nj is the processors asked for, and --device cpu asks for no GPU; conf/slurm.conf in the work folder, if
# there is one, says how to ask, as Kaldi's do: lines such as  command sbatch -p long  and  option gpu=* --gres gpu:$0
cmd_backend=${cmd_backend:-local}

case $cmd_backend in
local) export train_cmd=${train_cmd:-local.sh} ;; # this machine; recipes/utils/local.sh
slurm) export train_cmd=${train_cmd:-slurm.sh} ;; # a cluster; recipes/utils/slurm.sh
*)
    echo "cmd.sh: unknown cmd_backend '$cmd_backend'; known: local, slurm" >&2
    return 1
    ;;
esac
