#!/usr/bin/env bash
# What has to hold on a GPU, within 8 minutes: tests/gpu/check.sh [--dry-run] [PART...]
# Nothing is installed, and no network is needed: any python3 with PyTorch will do. Results go to
# $OUT, or to build/gpu-check; `check.sh PART...` runs parts again and keeps the results of others.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
python=.venv/bin/python
[ -x "$python" ] || python=python3
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}" PYTHONUNBUFFERED=1
exec "$python" tests/gpu/check.py "$@"
