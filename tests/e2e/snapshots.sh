#!/usr/bin/env bash
# Snapshots of state in a folder and in S3 (where moto_server is there): sales with repeats are deduped, and summed by product for ever and by
# store and window. Workers die at each step of a snapshot, and two of them at random times; the store goes away and comes back; its objects are
# damaged and taken away, which is told; what is kept is asked, saved and put back; the pipeline leaves the store and comes back to it. In the end
# the last rows are those of a recount, and the store holds little more than one snapshot. N sales, KILLS, SEED; MILLSTREAM names the program.
# BROKER=host:port is another cluster (Apache Kafka), fresh for each call.
. "$(dirname "$0")/lib.sh"
n="${N:-30000}" seed="${SEED:-1}" kills="${KILLS:-3}"
work="$(mktemp -d)"
pids=()
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; wait 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL: $1 (SEED=$seed)"; tail -n 20 "$work"/*.log "$work"/*.err; exit 1; }
cat > "$work/plain.yaml" << 'X'
version: 1
name: kept
broker: ${env:BROKER}
defaults:
  commit_interval: 50ms
  snapshot_after: 1KiB
schemas:
  sale:
    fields:
      id:    { type: string, required: true }
      sku:   { type: string, required: true }
      store: { type: string, required: true }
      qty:   { type: int64, required: true }
      at:    { type: timestamp_ms, required: true }
topics:
  sales: { partitions: 8, key: sku }
  sums:  { partitions: 2, key: sku, cleanup: compact }
  hours: { partitions: 2, key: sku, retention: forever }
sources:
  sales: { type: topic, topic: sales, schema: sale, watermark: { column: at, delay: 2s } }
transforms:
  fresh: { type: dedupe, inputs: [sales], key: [sku, id], within: 30d }
  summed:
    type: sql
    inputs: [fresh]
    sql: SELECT sku, COUNT(*) AS n, SUM(qty) AS qty FROM fresh GROUP BY sku
    emit: { on_update: 100ms }
  hourly:
    type: sql
    inputs: [fresh]
    sql: |
      SELECT sku, window_start, window_end, COUNT(*) AS n, SUM(qty) AS qty
      FROM TUMBLE(fresh, at, INTERVAL '6 hours') GROUP BY sku, window_start, window_end
sinks:
  sums:  { type: topic, inputs: [summed], topic: sums }
  hours: { type: topic, inputs: [hourly], topic: hours }
X
sed 's|^  snapshot_after: 1KiB|&\n  snapshots: { url: "${env:STORE}", grace: 3s }|' "$work/plain.yaml" > "$work/stored.yaml"
sed 's|grace: 3s|take: false|' "$work/stored.yaml" > "$work/leaving.yaml"
sed 's|grace: 3s|s3: { endpoint: "${env:S3}", access_key_id: "${env:KEY}", secret_access_key: any, allow_http: true }|' "$work/stored.yaml" > "$work/s3.yaml"
python3 - "$n" "$seed" "$work" << 'X'
import collections, datetime, random, sys
n, seed, work = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rng = random.Random(seed)
sums = collections.defaultdict(lambda: [0, 0])
now, sent = 1_700_000_400_000, []
with open(f"{work}/sales", "w") as out:
    for i in range(n):
        now += rng.randrange(72_000_000 // n)
        if sent and rng.random() < 0.1:
            # A repeat of one that is recent enough not to be late.
            out.write(rng.choice(sent[-200:]))
            continue
        # Few products change at a time, so that key groups rest.
        sku, store, qty = f"p{(i // 2000 * 37 + min(rng.randrange(60), rng.randrange(60))) % 500}", f"s{rng.randrange(20)}", rng.randrange(1, 9)
        line = f'{sku}\t{{"id":"{i}","sku":"{sku}","store":"{store}","qty":{qty},"at":{now - rng.randrange(1_000)}}}\n'
        sent.append(line)
        out.write(line)
        sums[sku][0] += 1
        sums[sku][1] += qty
with open(f"{work}/wanted", "w") as out:
    out.writelines(sorted(f"{sku} {count} {qty}\n" for sku, (count, qty) in sums.items()))
X
split -n l/40 -d "$work/sales" "$work/sales-"
export BROKER="${BROKER:-}" STORE="$work/store"
if [ -z "$BROKER" ]; then
    start_broker "$work/broker" --set group.consumer.session.timeout.ms=3000 --set group.consumer.heartbeat.interval.ms=500
    pids+=("$broker_pid")
    BROKER="$broker"
fi
make_topic sales --partitions 8 > "$work/create.log"
part=0
next() { # The next of the sales.
    "$millstream" produce sales --bootstrap "$BROKER" --key-separator $'\t' --file "$work/sales-$(printf %02d $part)" > "$work/produce.log" || fail "producing"
    part=$((part + 1))
}
run() { # FILE [ARGUMENT...]: to the end of what there is
    local file="$1"
    shift
    "$millstream" run "$work/$file.yaml" --data "$work/data" --set sources.sales.until=end "$@" > "$work/run.log" 2> "$work/run.err"
}
good() { run "$@" || fail "the run of $1 failed"; }
refused() { # WORDS COMMAND...: it fails, and says these words
    local words="$1"
    shift
    if "$@" > "$work/refused.log" 2> "$work/refused.err"; then fail "'$*' was done"; fi
    grep -qs -- "$words" "$work/refused.err" "$work/run.err" || fail "'$*' does not say '$words'"
}
ask() { # FILE: the sums, as a recount writes them, from what is kept
    "$millstream" query "$work/$1.yaml" --data "$work/data" --format csv "SELECT sku, n, qty FROM summed" 2> "$work/query.err" | tail -n +2 | tr ',' ' ' | sort
}
# recount: the sums of what was produced so far.
recount() {
    for at in $(seq 0 $((part - 1))); do cat "$work/sales-$(printf %02d "$at")"; done | sort -u | python3 -c '
import collections, json, sys
sums = collections.defaultdict(lambda: [0, 0])
for line in sys.stdin:
    sku, sale = line.split("\t")
    sums[sku][0] += 1
    sums[sku][1] += json.loads(sale)["qty"]
for sku, (count, qty) in sums.items():
    print(sku, count, qty)' | sort > "$work/recounted"
}
whole() { # FILE WHAT: what is kept is what a recount gives
    recount
    ask "$1" > "$work/found"
    cmp -s "$work/recounted" "$work/found" || fail "$2: sums are not as recounted: $(diff "$work/recounted" "$work/found" | head -n 4)"
}
dies() { # POINT FILE: rows come until a snapshot is due and the worker dies there
    local tries=0
    until next; ! MILLSTREAM_FAIL_AT="sales.snapshot_$1:1" run "$2"; do
        tries=$((tries + 1))
        [ $tries -lt 5 ] || fail "the worker did not die at $1"
    done
    grep -q "stopped at sales.snapshot_$1" "$work/run.err" || fail "the worker did not die at $1"
}
objects() { find "$STORE" -name '*.state' | wc -l; }

# The first snapshots; and an operator's changelog is deleted below them.
next
good stored
[ "$(objects)" -gt 0 ] || fail "nothing is in the store"
whole stored "the first run"
"$millstream" explain "$work/stored.yaml" > "$work/explained"
grep -q "snapshots of state go to $STORE" "$work/explained" || fail "the store is not explained"

# A worker dies at each step; the next run goes on.
for point in written before_publish after_publish before_delete before_sweep; do
    dies "$point" stored
    # What is committed can be asked meanwhile.
    ask stored > /dev/null || fail "what is kept cannot be asked behind a death at $point: $(cat "$work/query.err")"
    good stored
    whole stored "killed at $point"
done

# What is missing or damaged is told, and nothing begins without it.
damage() { # FILE WORDS
    cp "$1" "$work/whole"
    python3 -c '
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[len(data) // 2] ^= 1
open(sys.argv[1], "wb").write(data)' "$1"
    refused "$(basename "$1") in $STORE is damaged" "$2"
    rm "$1"
    refused "$(basename "$1") in $STORE is not there" "$2"
    cp "$work/whole" "$1"
}
run_it() { run stored; }
ask_it() { "$millstream" query "$work/stored.yaml" "SELECT COUNT(*) FROM summed"; }
# One that a manifest which counts names: the newest one of a place has them.
newest() { ls "$STORE"/kept-summed-state~*/0/*."$1" | tail -n 1; }
named() { python3 -c '
import json, os, sys
manifest = json.load(open(sys.argv[1]))
print(os.path.join(os.path.dirname(sys.argv[1]), manifest["parts"][0]["object"]))' "$(newest manifest)"; }
damage "$(named)" run_it
damage "$(named)" ask_it
damage "$(newest manifest)" run_it
# Without the setting: it is said where state is.
refused "are in a snapshot at $STORE, and the file has no" run plain
refused "are in a snapshot at $STORE, and the file has no" "$millstream" query "$work/plain.yaml" "SELECT COUNT(*) FROM summed"
whole stored "what was damaged is mended"

# A savepoint has a copy of it; put back, what came since is gone, and comes again.
savepoint() { "$millstream" savepoint "$1" "$work/stored.yaml" --data "$work/data" "${@:2}" > "$work/savepoint.log" 2> "$work/savepoint.err"; }
savepoint create then --wait 30s || fail "no savepoint was taken"
ask stored > "$work/then"
next
good stored
whole stored "behind the savepoint"
savepoint restore then --yes --wait 30s || fail "the savepoint was not put back"
ask stored > "$work/now"
cmp -s "$work/then" "$work/now" || fail "what is kept is not what the savepoint had"
good stored
whole stored "put back"

# Two workers, one killed again and again, each with half of the key groups; questions all the while.
worker() { # NAME
    "$millstream" run "$work/stored.yaml" --data "$work/data-$1" --instance "$1" >> "$work/$1.log" 2>> "$work/$1.err" &
    pids+=($!)
    workers+=($!)
}
workers=()
RANDOM="$seed"
killed=0
worker a
worker b
victim="${pids[-1]}"
again() { worker b; }
for _ in 1 2 3; do
    next
    kill_again "$victim" "$kills" again
    victim="$pid"
    "$millstream" query "$work/stored.yaml" "SELECT COUNT(*) FROM summed, (SELECT COUNT(*) FROM fresh)" > "$work/asked.log" 2>&1 || fail "a question failed: $(cat "$work/asked.log")"
done
[ "$killed" -gt 0 ] || fail "nothing was killed"
recount
all() {
    local deadline=$((SECONDS + 120))
    until ask stored > "$work/found" && cmp -s "$work/recounted" "$work/found"; do
        [ $SECONDS -lt $deadline ] || fail "$1: sums are not as recounted: $(diff "$work/recounted" "$work/found" | head -n 4)"
        pause 0.2
    done
}
all "two workers"

# The store goes away: rows come all the same, it is told; it comes back, and is written to again.
mv "$STORE" "$work/away"
echo "no folder" > "$STORE"
next
recount
pipes="$work/sums.out"
sums() {
    "$millstream" consume sums --bootstrap "$BROKER" --from beginning --until-end --isolation read_committed 2> "$work/consume.err" | python3 -c '
import json, sys
last = {}
for line in sys.stdin:
    row = json.loads(line)
    last[row["sku"]] = row
for sku, row in last.items():
    print(sku, row["n"], row["qty"])' | sort
}
deadline=$((SECONDS + 60))
until sums > "$pipes" && cmp -s "$work/recounted" "$pipes"; do
    [ $SECONDS -lt $deadline ] || fail "rows did not come while the store was away: $(diff "$work/recounted" "$pipes" | head -n 4)"
    pause 0.2
done
until grep -q "could not be written to $STORE" "$work"/[ab].err "$work"/[ab].log; do
    [ $SECONDS -lt $deadline ] || fail "that the store is away was not told"
    pause 0.2
done
manifests() { (cd "$1" && find . -name '*.manifest' | sort | sha256sum); }
# Before it is back: the workers write to it at once.
before="$(manifests "$work/away")"
rm "$STORE"
mv "$work/away" "$STORE"
until [ "$(manifests "$STORE")" != "$before" ]; do
    [ $SECONDS -lt $((deadline + 60)) ] || fail "the store came back and was not written to"
    pause 0.2
done
all "the store came back"
for at in "${workers[@]}"; do kill -TERM "$at" 2> /dev/null || true; done
for at in "${workers[@]}"; do wait "$at" 2> /dev/null || true; done

# What no snapshot names goes when its grace is over: much was written, little is there.
next
good stored
pause 3.5
next
good stored
left="$(objects)"
[ "$left" -le 120 ] || fail "$left objects are in the store: what no snapshot names is not deleted"

# A store that is not there, or refuses, is told before the first row.
next
STORE="/proc/nowhere" refused "trying out .defaults.snapshots. at /proc/nowhere" run stored

# The pipeline leaves the store, and comes back to it.
good leaving
grep -q "may be taken out of the file" "$work/run.err" "$work/run.log" || fail "it is not said that the store is left"
good plain
whole plain "without the store"
mv "$STORE" "$work/gone"
next
good plain
whole plain "the store is gone"
next
good stored
[ "$(objects)" -gt 0 ] || fail "nothing is in the store again"
whole stored "back to the store"

# In an object store.
moto="${MILLSTREAM_MOTO_SERVER:-$(command -v moto_server || ls target/tools/moto/bin/moto_server 2> /dev/null || true)}"
in_s3=''
if [ -x "$moto" ]; then
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    "$moto" -H 127.0.0.1 -p "$port" > "$work/moto.log" 2>&1 &
    pids+=($!)
    deadline=$((SECONDS + 60))
    until python3 -c 'import sys, urllib.request as r; r.urlopen(r.Request(f"http://127.0.0.1:{sys.argv[1]}/state", method="PUT"), timeout=5)' "$port" 2> /dev/null; do
        kill -0 "${pids[-1]}" 2> /dev/null && [ $SECONDS -lt $deadline ] || { cat "$work/moto.log"; fail "moto_server did not start"; }
        pause 0.2
    done
    export S3="http://127.0.0.1:$port" KEY=any
    # It lies in the folder, and the file names the bucket: what is missing is named with where it was written.
    STORE=s3://state/here refused "it was written to $STORE) is not there" run s3
    good leaving
    export STORE=s3://state/here
    STORE=s3://nothing/here refused "trying out .defaults.snapshots. at s3://nothing/here" run s3
    next
    good s3
    whole s3 "in S3"
    dies after_publish s3
    good s3
    whole s3 "killed in S3"
    python3 -c 'import sys, urllib.request as r; print(r.urlopen(f"http://127.0.0.1:{sys.argv[1]}/state?list-type=2").read().decode())' "$port" > "$work/listed"
    grep -q "here/kept-summed-state~" "$work/listed" || fail "nothing is in the bucket"
    in_s3=", and in S3"
else
    echo "SKIPPED: snapshots in S3: moto_server is not there (pip install 'moto[server,s3]')"
    [ -z "${SKIPPED:-}" ] || echo "snapshots in S3: no moto_server" >> "$SKIPPED"
    [ -z "${REQUIRE_ALL:-}" ] || exit 1
fi
while [ "$part" -lt 40 ]; do next; done
if [ -n "$in_s3" ]; then good s3; whole s3 "the end"; else good stored; whole stored "the end"; fi
cmp -s "$work/wanted" "$work/found" || fail "the end is not the recount of all sales"
sums > "$work/found"
cmp -s "$work/wanted" "$work/found" || fail "the last rows are not the recount of all sales: $(diff "$work/wanted" "$work/found" | head -n 4)"
echo "$n sales, $killed kills and a death at each step: as recounted, with state in a folder$in_s3; $left objects left of all that was written"
