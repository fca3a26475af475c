#!/bin/sh
# Makes the results in this folder again: sh make.sh RUNS [OPTION …], options as of `guidebench run`.
# Trials recorded in RUNS are skipped.
set -eu
runs=$1
shift
here=$(cd "$(dirname "$0")" && pwd)

ladder() { guidebench run --testbed mini-2d --protocol celebahq-multi --salt 0 --out "$runs" "$@" >&2; }
ladder --identities 20 --floors few --set steps=25 --set lr=RATE_LOCAL --method mean-latent --method extrapolated --method extrapolated-adj "$@"
ladder --identities 20 --floors none --set steps=25 --set lr=RATE_GLOBAL --method guide "$@"
