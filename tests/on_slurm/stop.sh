#!/bin/sh
# stop.sh DIR: ends the SLURM that start.sh started in the folder DIR.
for name in slurmd slurmctld munged; do
    [ -s "$1/$name.pid" ] && kill "$(cat "$1/$name.pid")" 2>/dev/null
done
rm -f "$1"/gpu0 "$1"/gpu1
exit 0
