#!/bin/sh
# Makes the results in this folder again: sh make.sh RUNS [OPTION …], options as of `guidebench run`.
# Trials recorded in RUNS are skipped. README.md shows short.md.
set -eu
runs=$1
shift
here=$(cd "$(dirname "$0")" && pwd)

# Methods have no preset for mini-2d: each gets mini's 25 steps and learning rate.
ladder() {
    guidebench run --testbed mini-2d --protocol celebahq-multi --identities 20 --salt 0 --out "$runs" --set steps=25 "$@" >&2
}
ladder --set lr=4e-3 --method mean-latent --method extrapolated --method extrapolated-adj "$@"
ladder --set lr=32e-3 --method guide --floors none "$@"

guide="guide(lr=0.032,steps=25)" baseline="mean-latent(lr=0.004,steps=25)"
guidebench report "$runs" --layout short >"$here/short.md"
guidebench report "$runs" --layout full --against "$baseline" >"$here/full.md"
guidebench compare "$runs" "$guide" "$baseline" --protocol celebahq-multi --format markdown >"$here/guide-against-mean-latent.md"
columns=testbed,weights_version,protocol,conventions,label,identity,seed,metric,judge,value,n,lost_before,lost_after,seconds_total
guidebench scores "$runs" --columns "$columns" >"$here/scores.csv"
guidebench gallery "$runs" --first 10 --out "$here/../../docs/mini-2d/gallery.jpg"
