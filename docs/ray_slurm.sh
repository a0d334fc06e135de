#!/bin/bash
# One suite on all nodes of a Slurm job: sbatch docs/ray_slurm.sh SUITE [key=value ...] [OPTIONS]
# Submit again to go on: finished cells are not repeated. The folder must be on a shared file system.
#SBATCH --job-name=headroom
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
set -euo pipefail

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address="$(srun --nodes=1 --ntasks=1 -w "$head" hostname --ip-address | awk '{print $1}'):6379"

# Only this job's processes may start tasks; the token is readable by its owner alone.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$PWD/.ray-token-$SLURM_JOB_ID"
(umask 077 && python -c 'import secrets; print(secrets.token_hex(32), end="")' >"$RAY_AUTH_TOKEN_PATH")
trap 'rm -f "$RAY_AUTH_TOKEN_PATH"' EXIT
export RAY_USAGE_STATS_ENABLED=0

# Two minutes before the job's end the run is ended as by Ctrl-C: cells write their checkpoints.
left=$((${SLURM_JOB_END_TIME:-$(($(date +%s) + 86400))} - $(date +%s) - 120))

srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \
    ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus "${SLURM_CPUS_PER_TASK:-1}" --num-gpus "${SLURM_GPUS_ON_NODE:-0}" \
    --temp-dir "/tmp/ray-$SLURM_JOB_ID" --include-dashboard=false -- \
    timeout --signal=TERM "$left" headroom run "$@" --engine ray --address "$address"
