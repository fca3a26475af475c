#!/bin/sh
# Makes the results in this folder again: sh make.sh RUNS [OPTION …], options as of `guidebench run`.
# Trials recorded in RUNS are skipped. README.md shows short.md and orderings.md; copy them there.
set -eu
runs=$1
shift
here=$(cd "$(dirname "$0")" && pwd)

# Methods have no preset for mini-2d: each gets mini's, 25 steps and its learning rate, on the command line.
ladder() { guidebench run --testbed mini-2d --protocol celebahq-multi --salt 0 --out "$runs" --set steps=25 "$@" >&2; }
ladder --floors few --set lr=4e-3 --method mean-latent --method extrapolated --method extrapolated-adj "$@"
ladder --floors none --set lr=32e-3 --method guide "$@"

guidebench report "$runs" --layout short >"$here/short.md"
guidebench report "$runs" --layout full >"$here/full.md"
guidebench orderings "$runs" --protocol celebahq-multi >"$here/orderings.md"
columns=testbed,weights_version,protocol,conventions,label,identity,seed,metric,judge,value,n,lost_before,lost_after,seconds_total
guidebench scores "$runs" --columns "$columns" >"$here/scores.csv"
guidebench gallery "$runs" --protocol celebahq-multi --first 10 --out "$here/../../docs/mini-2d/gallery.jpg"
