#!/bin/sh
# start.sh DIR: a SLURM of one node with two cores and two made-up GPUs on this machine, in the folder DIR.
# For tests, as root, on Debian: apt-get install -y --no-install-recommends slurm-wlm munge
# Then SLURM_CONF=DIR/slurm.conf makes sbatch and the others find it; `sh stop.sh DIR` ends it.
set -eu
dir=$(mkdir -p "$1" && cd "$1" && pwd)
host=$(hostname -s)
mkdir -p "$dir/state" "$dir/spool" /run/munge
[ -s /etc/munge/munge.key ] || { dd if=/dev/urandom of=/etc/munge/munge.key bs=1 count=1024 2>/dev/null; }
chown -R munge: /etc/munge /run/munge /var/lib/munge /var/log/munge
chmod 400 /etc/munge/munge.key
chmod 755 /run/munge
if ! munge -n >/dev/null 2>&1; then
    setpriv --reuid=munge --regid=munge --clear-groups /usr/sbin/munged --force --pid-file=/run/munge/munged.pid
    cp /run/munge/munged.pid "$dir/munged.pid"
fi
for number in 0 1; do
    [ -e "$dir/gpu$number" ] || mknod "$dir/gpu$number" c 1 3
done
cat > "$dir/slurm.conf" <<END
ClusterName=guidebench
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=1,sched_interval=5
ReturnToService=2
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=120 State=UP
END
cat > "$dir/gres.conf" <<END
Name=gpu File=$dir/gpu[0-1]
END
export SLURM_CONF="$dir/slurm.conf"
slurmctld -f "$SLURM_CONF"
slurmd -f "$SLURM_CONF"
for _ in $(seq 60); do
    sinfo --noheader --format=%t 2>/dev/null | grep -qx idle && exit 0
    sleep 0.5
done
echo "start.sh: the node of this SLURM does not become idle; see $dir/slurmctld.log and $dir/slurmd.log" >&2
exit 1
