#!/bin/bash
# The first process of a small Linux that runs on the files of this machine (user-mode Linux). It has an NFS server, two
# clients in network namespaces of their own, and two writers of heads on each. It restarts the server, drops packets and
# cuts a client off, while they write. OPTIONS are the options of the mount, OUT is a directory for the results.
cd "$ROOT" || exit
mount -t proc proc /proc
mount -t sysfs sysfs /sys
for each in /run /var/lib /mnt /media; do mount -t tmpfs tmpfs "$each"; done
mkdir -p /var/lib/nfs/v4recovery /var/lib/nfs/rpc_pipefs /run/nfs /mnt/a /mnt/b /media/share/heads
touch /var/lib/nfs/etab /var/lib/nfs/rmtab
for each in nfsd nfsv4 veth sch_netem; do modprobe -d "$MODULES" "$each" || echo "no module $each"; done
mount -t nfsd nfsd /proc/fs/nfsd
mount -t rpc_pipefs pipefs /var/lib/nfs/rpc_pipefs
echo 10 >/proc/fs/nfsd/nfsv4leasetime
echo 10 >/proc/fs/nfsd/nfsv4gracetime
ip link set lo up

rpc.mountd -N 2 -N 3 -F 2>/dev/null &
exportfs -o rw,sync,fsid=0,no_root_squash,insecure,no_subtree_check 10.0.0.0/8:/media/share
rpc.nfsd -N 3 8
number=0
for name in a b; do
  number=$((number + 1))
  ip netns add "$name"
  ip link add "to-$name" type veth peer name eth0 netns "$name"
  ip address add "10.0.$number.1/24" dev "to-$name"
  ip link set "to-$name" up
  ip -n "$name" address add "10.0.$number.2/24" dev eth0
  ip -n "$name" link set eth0 up
  # Without a name of its own, the server would take both clients for one.
  ip netns exec "$name" sh -c "echo host-$name >/sys/fs/nfs/net/nfs_client/identifier"
  nsenter "--net=/run/netns/$name" mount -i -t nfs4 "10.0.$number.1:/" "/mnt/$name" \
    -o "vers=4.2,proto=tcp,addr=10.0.$number.1,clientaddr=10.0.$number.2,$OPTIONS" || echo "no mount $name"
done
grep nfs4 /proc/mounts

for writer in a1 a2 b1 b2; do
  "$PYTHON" -m tests.audit.nfs_writer "$writer" "/mnt/${writer%?}/heads" "$SECONDS_OF_TEST" "$OUT/$writer" &
  writers="$writers $!"
done
(
  while sleep 3; do
    tc qdisc add dev to-b root netem loss 20%
    sleep 5
    tc qdisc delete dev to-b root
    ip link set to-a down
    sleep 5
    ip link set to-a up
    sleep 3
    # All clients wait until the time of grace has passed.
    rpc.nfsd 0
    sleep 1
    rpc.nfsd -N 3 8
    sleep 12
    echo "disturbed"
  done
) &
wait $writers
echo "written"
sync
halt -f
