#!/usr/bin/env bash
# install_torch.sh PYTHON cpu|cuda [OPTION of pip ...]: the pinned torch and torchaudio for an environment's Python.
#
# For a CPU alone: PyTorch's own wheels, or where their index cannot be reached the plain index's, whose 2.5 GB of
# NVIDIA's libraries are loaded and never called. Python loads extensions with all their functions bound at once; bound
# when they are called, they need libraries of those names alone. A function called all the same ends the process with
# its name.
set -euo pipefail
python=$1 kind=$2
shift 2
tools=$(dirname "$(readlink -f "$0")")
cpu_index=https://download.pytorch.org/whl/cpu

install() { "$python" -m pip --disable-pip-version-check --no-input install "$@"; }

if [ "$kind" = cuda ] || [ "$(uname -s)" != Linux ]; then
    install --requirement "$tools/requirements-torch.txt" "$@"
    exit
fi
if install --quiet --no-deps --index-url "$cpu_index" --timeout 10 --retries 1 \
    --requirement <(sed 's/^\(torch[a-z]*==[0-9.]*\).*/\1+cpu/' "$tools/requirements-torch.txt") &> /dev/null; then
    exit
fi
echo "install_torch.sh: PyTorch's wheels for CPUs cannot be had from $cpu_index: taking the plain index's"
if [ "$(uname -m)" != x86_64 ]; then
    install --requirement "$tools/requirements-torch.txt" "$@"
    exit
fi
install --no-deps --requirement "$tools/requirements-torch.txt" --requirement "$tools/requirements-torch-cpu.txt" "$@"
site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
echo 'import os, sys; sys.setdlopenflags(os.RTLD_LAZY)' > "$site/torch_without_gpu.pth"
for name in cublas.so.13 cublasLt.so.13 cudnn.so.9 cufft.so.12 cufile.so.0 cupti.so.13 curand.so.10 cusparse.so.12 \
    cusparseLt.so.0 nccl.so.2; do
    ln -sf libtorch_global_deps.so "$site/torch/lib/lib$name" # which holds no function, and is loaded anyway
done
