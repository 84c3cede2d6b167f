#!/bin/bash
# Starts a single-node Ceph RADOS gateway, a real S3 store with its data in memory: rgw-up.sh FOLDER MONITOR_PORT GATEWAY_PORT
#
# Prints `ready` when buckets can be made, then waits for its children. Everything stays in the process group of this script,
# whose number is in FOLDER/group: who kills the group has stopped it all. Packages: radosgw ceph-mon ceph-osd ceph-common.
# Keys: AK / SKSK. FOLDER must exist: it vanishes when the tests that wanted a server are gone.
set -e
folder=$1 monitor_port=$2 gateway_port=$3
cd "$folder"
echo $$ > group
mkdir mon osd run log rgw
fsid=11111111-2222-3333-4444-555555555555
osd_id=22222222-2222-3333-4444-555555555555

# The gateway does not start without cephx. The two `paxos` lines take the start from 17 seconds to 2.
cat > ceph.conf <<CONF
[global]
fsid = $fsid
keyring = $folder/keyring
mon initial members = a
mon host = 127.0.0.1:$monitor_port
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv4 = true
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
paxos propose interval = 0.02
paxos min wait = 0.01
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
osd objectstore = memstore
memstore device bytes = 8589934592
osd max object size = 134217728
run dir = $folder/run
log file = $folder/log/\$name.log
admin socket = $folder/run/\$name.asok
pid file = $folder/run/\$name.pid
mon data = $folder/mon
osd data = $folder/osd
[mon.a]
mon addr = 127.0.0.1:$monitor_port
[client]
rgw frontends = beast endpoint=127.0.0.1:$gateway_port
rgw crypt require ssl = false
rgw data = $folder/rgw
CONF
export CEPH_CONF=$folder/ceph.conf

ceph-authtool --create-keyring keyring --gen-key -n mon. --cap mon 'allow *' > /dev/null
ceph-authtool keyring --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' > /dev/null
ceph-authtool keyring --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *' > /dev/null
monmaptool --create --add a "127.0.0.1:$monitor_port" --fsid $fsid --clobber monmap > /dev/null
ceph-mon --mkfs -i a --monmap monmap --keyring keyring
ceph-mon -f -i a > log/mon.out 2>&1 &
timeout 60 ceph auth add osd.0 -i keyring 2> /dev/null
timeout 60 ceph osd new $osd_id > /dev/null
ceph-osd -i 0 --mkfs --osd-uuid $osd_id > log/osd-mkfs.out 2>&1
timeout 60 ceph osd crush add osd.0 1.0 root=default host=local 2> /dev/null
ceph-osd -f -i 0 > log/osd.out 2>&1 &

# The first call makes the default zone, to which the storage classes are added before the gateway reads it.
timeout 60 radosgw-admin user create --uid=tests --display-name=tests --access-key=AK --secret-key=SKSK > /dev/null 2> log/user.out
radosgw-admin zonegroup get --rgw-zonegroup default > zonegroup.json
radosgw-admin zone get --rgw-zone default > zone.json
python3 - <<'PYTHON'
import json
classes = ["STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"]
group = json.load(open("zonegroup.json"))
group["placement_targets"][0]["storage_classes"] = ["STANDARD", *classes]
json.dump(group, open("zonegroup.json", "w"))
zone = json.load(open("zone.json"))
pools = zone["placement_pools"][0]["val"]["storage_classes"]
pools.update({name: {"data_pool": "default.rgw.cold.data"} for name in classes})
json.dump(zone, open("zone.json", "w"))
PYTHON
radosgw-admin zonegroup set --rgw-zonegroup default --infile zonegroup.json > /dev/null
radosgw-admin zone set --rgw-zone default --infile zone.json > /dev/null 2>&1

radosgw -f -n client.admin > log/gateway.out 2>&1 &
gateway=$!
for _ in $(seq 600); do
  if curl -s -o /dev/null "http://127.0.0.1:$gateway_port"; then
    echo ready
    wait
    exit 0
  fi
  kill -0 $gateway || { cat log/gateway.out >&2; exit 1; }
  sleep 0.1
done
echo "the gateway does not answer" >&2
exit 1
