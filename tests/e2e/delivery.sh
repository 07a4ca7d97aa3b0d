#!/usr/bin/env bash
# Delivery as a choice: one query into three topics, exactly once, at least once and at most once. While rows come in and no commit is due,
# those that are promised at least once are there and the others are not; then the worker dies, and dies again KILLS times at random. In
# the end each row is there once, at least once, and at most once, and a count that the query's group keeps is exact in all of them.
# N rows; MILLSTREAM names the program. BROKER=host:port is another cluster (Apache Kafka), fresh for each call.
. "$(dirname "$0")/lib.sh"
n="${N:-200000}" kills="${KILLS:-5}"
RANDOM="${SEED:-1}"
work="$(mktemp -d)"
pids=()
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; wait 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL (SEED=${SEED:-1}): $1"; tail -n 20 "$work"/*.log "$work"/*.err; exit 1; }
broker="${BROKER:-}"
if [ -z "$broker" ]; then
    start_broker "$work/broker" --set group.consumer.session.timeout.ms=3000 --set group.consumer.heartbeat.interval.ms=500
    pids+=("$broker_pid")
fi
cat > "$work/three.yaml" <<'X'
version: 1
name: three
broker: ${env:BROKER}
defaults: { commit_interval: 60s }
schemas:
  click: { fields: { n: { type: int64, required: true }, page: { type: string, required: true }, at: { type: timestamp_ms, required: true } } }
topics:
  clicks: { partitions: 2, key: page }
  exact:  { partitions: 1 }
  early:  { partitions: 1 }
  late:   { partitions: 1 }
  sums:   { partitions: 1 }
sources:
  clicks: { type: topic, topic: clicks, schema: click, watermark: { column: at }, until: end }
transforms:
  seen: { type: sql, inputs: [clicks], sql: "SELECT n, page FROM clicks" }
  sums:
    type: sql
    inputs: [clicks]
    sql: SELECT page, window_start, COUNT(*) AS clicks FROM TUMBLE(clicks, at, INTERVAL '1' DAY) GROUP BY page, window_start
sinks:
  exact: { type: topic, inputs: [seen], topic: exact }
  early: { type: topic, inputs: [seen], topic: early, delivery: at_least_once }
  late:  { type: topic, inputs: [seen], topic: late, delivery: at_most_once }
  kept:  { type: topic, inputs: [sums], topic: sums, delivery: at_least_once }
X
export BROKER="$broker"
"$millstream" plan "$work/three.yaml" > "$work/plan.log" || fail "plan"
grep -q "seen -> early: at_least_once" "$work/plan.log" && grep -q "seen -> late: at_most_once" "$work/plan.log" || fail "plan does not show the promises"
clicks() { # FROM TO
    seq "$1" "$2" | awk '{ printf "p%d\t{\"n\":%d,\"page\":\"p%d\",\"at\":\"2026-01-01T%02d:%02d:%02dZ\"}\n", $1 % 7, $1, $1 % 7, int($1 / 3600) % 24, int($1 / 60) % 60, $1 % 60 }'
}
rows() { # TOPIC: what a reader of committed records sees
    "$millstream" consume "$1" --bootstrap "$broker" --until-end --isolation read_committed 2> /dev/null || true
}
for topic in clicks:2 exact:1 early:1 late:1 sums:1; do
    "$millstream" topic create "${topic%:*}" --bootstrap "$broker" --partitions "${topic#*:}" > /dev/null || fail "making a topic"
done
start() { # ARGUMENT...
    "$millstream" run "$work/three.yaml" "$@" >> "$work/run.log" 2>> "$work/run.err" &
    pids+=("$!")
}
# Rows that never stop coming: a worker that finds none commits at once. Of the first run nothing ends.
sed 's/, until: end//' "$work/three.yaml" > "$work/live.yaml"
"$millstream" run "$work/live.yaml" >> "$work/run.log" 2>> "$work/run.err" &
live=$!
pids+=("$live")
# The worker has its partitions before the first row comes: where it is slow to begin, all would be fed before it has read one.
deadline=$((SECONDS + 60))
until "$millstream" group describe three-clicks --bootstrap "$broker" 2> /dev/null | grep -q '^clicks .* three-clicks-0'; do
    kill -0 "$live" 2> /dev/null || fail "the pipeline ended by itself"
    [ $SECONDS -lt $deadline ] || fail "the pipeline has no partitions after a minute"
    pause 0.1
done
(clicks 1 "$n" | awk -v step="$((n / 200))" '{ print } NR % step == 0 { fflush(); system("sleep 0.02") }' |
    "$millstream" produce clicks --bootstrap "$broker" --key-separator $'\t' > "$work/produce.log") &
feeding=$!
pids+=("$feeding")
# What is read first cannot have come later than what is read then: that there is more of it shows that it came before the commit.
# A worker that is slow has rows to read when the last one is fed.
shown='' fed=''
while [ -z "$fed" ] || [ $SECONDS -lt $((fed + 60)) ]; do
    [ -n "$fed" ] || kill -0 "$feeding" 2> /dev/null || fed=$SECONDS
    kill -0 "$live" 2> /dev/null || fail "the pipeline ended by itself"
    seen=$(rows early | wc -l)
    behind="$(rows exact | wc -l) $(rows late | wc -l)"
    if [ "$seen" -ge 100 ] && [ "$seen" -gt "${behind% *}" ] && [ "$seen" -gt "${behind#* }" ]; then shown=1 && break; fi
    pause 0.05
done
[ -n "$shown" ] || fail "rows at least once do not come before the commit: $seen of them, $behind of the others"
kill -9 "$live"
wait "$live" 2> /dev/null || true
wait "$feeding" || fail "producing"
killed=1
again() { start --set defaults.commit_interval=100ms; }
again
kill_again "${pids[-1]}" "$kills" again
wait "$pid" || fail "the last run"
for topic in exact early late; do rows "$topic" > "$work/$topic.rows"; done
rows sums > "$work/sums.rows"
python3 - "$work" "$n" "$seen" "$behind" <<'X' || fail "what was promised"
import collections, json, sys
work, n, seen, behind = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
count = {name: collections.Counter(json.loads(line)["n"] for line in open(f"{work}/{name}.rows")) for name in ("exact", "early", "late")}
assert all(set(found) <= set(range(1, n + 1)) for found in count.values()), "rows that nobody sent"
assert len(count["exact"]) == n and max(count["exact"].values()) == 1, f"exactly once: {len(count['exact'])} of {n}, most {max(count['exact'].values())}"
assert len(count["early"]) == n, f"at least once: {len(count['early'])} of {n}"
assert max(count["early"].values()) > 1, "no repeat at least once: the test has shown nothing"
assert max(count["late"].values()) == 1, "at most once: a row came twice"
sums = collections.defaultdict(set)
for line in open(f"{work}/sums.rows"):
    row = json.loads(line)
    sums[row["page"], row["window_start"]].add(row["clicks"])
assert all(len(of) == 1 for of in sums.values()) and sum(max(of) for of in sums.values()) == n, f"sums {dict(sums)}"
print(f"delivery test passed: {n} rows exactly once, {sum(count['early'].values())} at least once, {sum(count['late'].values())} at most once; {seen} of these were there when {behind} of the others were")
X
echo "killed $killed times"
