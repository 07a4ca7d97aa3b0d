#!/usr/bin/env bash
# State that memory has no room for: visits of many customers in windows, in sessions, counted for ever, and met with each other, by a
# worker that may hold little and is killed with SIGKILL again and again. What comes out is what a recount of the visits finds, state of each was on the
# local disk meanwhile, and nothing is left there. N visits, SEED, KILLS; MILLSTREAM names the program.
. "$(dirname "$0")/lib.sh"
n="${N:-400000}" seed="${SEED:-1}" kills="${KILLS:-3}"
work="$(mktemp -d)"
pids=()
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; wait 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL: $1 (SEED=$seed)"; tail -n 20 "$work"/*.log "$work"/*.err; exit 1; }
cat > "$work/visits.yaml" << 'X'
version: 1
name: visits
broker: ${env:BROKER}
schemas:
  visit:
    fields:
      customer: { type: string, required: true }
      spent:    { type: int64, required: true }
      at:       { type: timestamp_ms, required: true }
topics:
  visits:   { partitions: 4, key: customer }
  windows:  { partitions: 2, key: customer, retention: forever }
  sessions: { partitions: 2, key: customer, retention: forever }
  totals:   { partitions: 2, key: customer, retention: forever }
  again:    { partitions: 2, key: customer, retention: forever }
sources:
  visits: { type: topic, topic: visits, schema: visit, until: end, watermark: { column: at, delay: 10s } }
transforms:
  by_hour:
    type: sql
    inputs: [visits]
    sql: |
      SELECT customer, window_start, COUNT(*) AS n, SUM(spent) AS spent
      FROM HOP(visits, at, INTERVAL '30 minutes', INTERVAL '1 hour') GROUP BY customer, window_start, window_end
  by_session:
    type: sql
    inputs: [visits]
    sql: |
      SELECT customer, window_start, window_end, COUNT(*) AS n, SUM(spent) AS spent
      FROM SESSION(visits, at, INTERVAL '20 minutes', customer) GROUP BY customer, window_start, window_end
  by_customer:
    type: sql
    inputs: [visits]
    sql: SELECT customer, COUNT(*) AS n, SUM(spent) AS spent FROM visits GROUP BY customer
    emit: { on_update: 2s }
  near:
    type: sql
    inputs: [visits]
    sql: |
      SELECT a.customer, a.at, b.at AS again, a.spent + b.spent AS spent FROM visits AS a JOIN visits AS b
      ON a.customer = b.customer AND b.at > a.at AND b.at <= a.at + INTERVAL '10 minutes'
sinks:
  out_windows:  { type: topic, inputs: [by_hour], topic: windows }
  out_sessions: { type: topic, inputs: [by_session], topic: sessions }
  out_totals:   { type: topic, inputs: [by_customer], topic: totals }
  out_again:    { type: topic, inputs: [near], topic: again }
X
# Two hours and a half of visits, a little out of order.
python3 - "$n" "$seed" "$work" << 'X'
import collections, random, sys
n, seed, work = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rng = random.Random(seed)
begin, span, customers = 1_767_225_600_000, 9_000_000, n // 4
visits = []
with open(f"{work}/visits", "w") as out:
    for i in range(n):
        customer, spent = f"customer {rng.randrange(customers):07}", rng.randrange(1, 100)
        at = begin + i * span // n + rng.randrange(5_000)
        visits.append((customer, at, spent))
        out.write(f'{customer}\t{{"customer":"{customer}","spent":{spent},"at":{at}}}\n')
hours, totals, of = collections.defaultdict(lambda: [0, 0]), collections.defaultdict(lambda: [0, 0]), collections.defaultdict(list)
for customer, at, spent in visits:
    of[customer].append((at, spent))
    for start in (at // 1_800_000 * 1_800_000, at // 1_800_000 * 1_800_000 - 1_800_000):
        hours[customer, start][0] += 1
        hours[customer, start][1] += spent
    totals[customer][0] += 1
    totals[customer][1] += spent
sessions, again = [], []
for customer, rows in of.items():
    rows.sort()
    again.extend((customer, a, b, spent + more) for a, spent in rows for b, more in rows if a < b <= a + 600_000)
    first = last = rows[0][0]
    count = sum_ = 0
    for at, spent in rows:
        if at - last > 1_200_000:
            sessions.append((customer, first, last + 1_200_000, count, sum_))
            first, count, sum_ = at, 0, 0
        last, count, sum_ = at, count + 1, sum_ + spent
    sessions.append((customer, first, last + 1_200_000, count, sum_))
def write(name, rows):
    with open(f"{work}/wanted-{name}", "w") as out:
        out.writelines(sorted("|".join(map(str, row)) + "\n" for row in rows))
write("windows", [(*key, *row) for key, row in hours.items()])
write("sessions", sessions)
write("totals", [(key, *row) for key, row in totals.items()])
write("again", again)
X
start_broker "$work/broker" --set group.consumer.session.timeout.ms=3000 --set group.consumer.heartbeat.interval.ms=500
pids+=("$broker_pid")
"$millstream" topic create visits --bootstrap "$broker" --partitions 4 > "$work/create.log"
"$millstream" produce visits --bootstrap "$broker" --key-separator $'\t' --file "$work/visits" > "$work/produce.log" || fail "producing visits"
metrics="127.0.0.1:$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
start() {
    BROKER="$broker" "$millstream" run "$work/visits.yaml" --data "$work/data" --metrics "$metrics" --memory 16MiB \
        --set defaults.commit_interval=200ms \
        >> "$work/run.log" 2>> "$work/run.err" &
    pids+=($!)
}
# Watches until the run ends what lies on the disk, of each operator the most.
declare -A most
watch() { # PID
    while kill -0 "$1" 2> /dev/null; do
        while read -r name bytes; do
            [ "${bytes%.*}" -gt "${most[$name]:-0}" ] && most[$name]="${bytes%.*}"
        done < <(curl -m 30 -fsS "http://$metrics/metrics" 2> /dev/null | sed -n 's/^millstream_operator_state_disk_bytes{.*operator="\([a-z_]*\)".*} \([0-9]*\)$/\1 \2/p')
        pause 0.1
    done
}
RANDOM=$seed
killed=0
start
kill_again "${pids[-1]}" "$kills" start
pid="${pids[-1]}"
watch "$pid"
wait "$pid" || fail "the run failed"
for operator in by_hour by_session by_customer near; do
    [ "${most[$operator]:-0}" -gt 20000 ] || fail "the state of $operator was never on the disk: ${most[$operator]:-0} bytes"
done
[ "$(find "$work/data/state" -type f | wc -l)" = 0 ] || fail "files are left in the scratch"
for topic in windows sessions totals again; do
    "$millstream" consume "$topic" --bootstrap "$broker" --from beginning --until-end --isolation read_committed > "$work/$topic" || fail "reading $topic"
done
python3 - "$work" << 'X' || fail "what came out is not what the visits give"
import datetime, json, sys
work = sys.argv[1]
ms = lambda text: round(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)
def rows(name):
    return [json.loads(line) for line in open(f"{work}/{name}")]
def same(name, found):
    wanted = open(f"{work}/wanted-{name}").readlines()
    found = sorted("|".join(map(str, row)) + "\n" for row in found)
    assert found == wanted, f"{name}: {len(found)} rows, wanted {len(wanted)}; {set(found) ^ set(wanted)}"[:2000]
same("windows", [(r["customer"], ms(r["window_start"]), r["n"], r["spent"]) for r in rows("windows")])
same("sessions", [(r["customer"], ms(r["window_start"]), ms(r["window_end"]), r["n"], r["spent"]) for r in rows("sessions")])
same("again", [(r["customer"], ms(r["at"]), ms(r["again"]), r["spent"]) for r in rows("again")])
# The last of each key counts.
same("totals", [(r["customer"], r["n"], r["spent"]) for r in {r["customer"]: r for r in rows("totals")}.values()])
X
echo "spilled state ok: $n visits, $killed kills, on disk at most ${most[by_hour]} B of windows, ${most[by_session]} B of sessions, ${most[by_customer]} B of groups, ${most[near]} B of a join"
