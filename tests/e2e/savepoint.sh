#!/usr/bin/env bash
# Savepoints: sales with repeats are deduped, summed by product for ever, and by store and window behind a second topic. A worker dies
# between the two stages, a savepoint is taken, the rest is run to its end; put back, it is run to its end again, behind restores that are
# killed at each step too, and as a copy under another name. Each time the last rows are those of a recount, and the windows that fire behind
# the savepoint are the same rows. What is damaged, missing, taken or running is refused in its words. On the embedded broker, too, and in S3
# where moto_server is there. N sales, SEED; MILLSTREAM names the program. BROKER=host:port is another cluster (Apache Kafka), fresh for each call.
. "$(dirname "$0")/lib.sh"
n="${N:-30000}" seed="${SEED:-1}"
work="$(mktemp -d)"
pids=()
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; wait 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL: $1 (SEED=$seed)"; tail -n 20 "$work"/*.log "$work"/*.err; exit 1; }
cat > "$work/sums.yaml" << 'X'
version: 1
name: sums
broker: ${env:BROKER}
schemas:
  sale:
    fields:
      id:    { type: string, required: true }
      sku:   { type: string, required: true }
      store: { type: string, required: true }
      qty:   { type: int64, required: true }
      at:    { type: timestamp_ms, required: true }
topics:
  sales:    { partitions: 4, key: sku }
  by_store: { partitions: 4, key: store, retention: forever }
  sums:     { partitions: 2, key: sku, cleanup: compact }
  hours:    { partitions: 2, key: store, retention: forever }
sources:
  sales: { type: topic, topic: sales, schema: sale, watermark: { column: at, delay: 2s } }
transforms:
  fresh: { type: dedupe, inputs: [sales], key: [sku, id], within: 30d }
  summed:
    type: sql
    inputs: [fresh]
    sql: SELECT sku, COUNT(*) AS n, SUM(qty) AS qty FROM fresh GROUP BY sku
    emit: { on_update: 100ms }
  moved: { type: topic, inputs: [fresh], topic: by_store, watermark: { column: at, delay: 2s } }
  hourly:
    type: sql
    inputs: [moved]
    sql: |
      SELECT store, window_start, window_end, COUNT(*) AS n, SUM(qty) AS qty
      FROM TUMBLE(moved, at, INTERVAL '10 minutes') GROUP BY store, window_start, window_end
sinks:
  sums:  { type: topic, inputs: [summed], topic: sums }
  hours: { type: topic, inputs: [hourly], topic: hours }
  db:    { type: sqlite, inputs: [hourly], path: "${env:DB}", table: hours, mode: upsert, key: [store, window_start] }
  # It reads the topic between the stages, and stands elsewhere in it than the second one does.
  raw:   { type: sqlite, inputs: [moved], path: "${env:DB}.raw", table: sales, mode: upsert, key: [id] }
X
python3 - "$n" "$seed" "$work" << 'X'
import collections, datetime, random, sys
n, seed, work = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rng = random.Random(seed)
sums = collections.defaultdict(lambda: [0, 0])
hours = collections.defaultdict(lambda: [0, 0])
now, WINDOW = 1_700_000_400_000, 600_000
def iso(at):
    return datetime.datetime.fromtimestamp(at / 1000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M")
sent = []
with open(f"{work}/sales", "w") as out:
    for i in range(n):
        now += rng.randrange(72_000_000 // n)
        if sent and rng.random() < 0.1:
            # A repeat of one that is recent enough not to be late in its window.
            out.write(rng.choice(sent[-200:]))
            continue
        sku, store, qty = f"p{min(rng.randrange(500), rng.randrange(500))}", f"s{rng.randrange(20)}", rng.randrange(1, 9)
        at = now - rng.randrange(1_000)
        line = f'{sku}\t{{"id":"{i}","sku":"{sku}","store":"{store}","qty":{qty},"at":{at}}}\n'
        sent.append(line)
        out.write(line)
        for of in (sums[sku], hours[f"{store} {iso(at // WINDOW * WINDOW)}"]):
            of[0], of[1] = of[0] + 1, of[1] + qty
with open(f"{work}/fresh", "w") as out:
    out.write(f"{len(sent)}\n")
for name, rows in (("sums", sums), ("hours", hours)):
    with open(f"{work}/{name}", "w") as out:
        out.writelines(f"{key} {count} {qty}\n" for key, (count, qty) in rows.items())
X
for topic in sums hours; do sort "$work/$topic" > "$work/wanted-$topic"; done
data="$work/data"
export DB="$work/hours.db" BROKER="${BROKER:-}"
if [ -z "$BROKER" ]; then
    start_broker "$work/broker" --set group.consumer.session.timeout.ms=3000 --set group.consumer.heartbeat.interval.ms=500
    pids+=("$broker_pid")
    BROKER="$broker"
fi
copy=() within=()
run() { # [ARGUMENT...]
    "${within[@]}" "$millstream" run "$work/sums.yaml" --data "$data" --set defaults.commit_interval=50ms --set defaults.snapshot_after=1KiB "${copy[@]}" "$@" \
        > "$work/run.log" 2> "$work/run.err"
}
to_end() { run --set sources.sales.until=end; }
savepoint() { # VERB [ARGUMENT...]
    local verb="$1"
    shift
    "$millstream" savepoint "$verb" "$work/sums.yaml" --data "$data" "${copy[@]}" "$@" > "$work/savepoint.log" 2> "$work/savepoint.err"
}
refused() { # WORDS VERB [ARGUMENT...]: the verb fails, and says these words
    local words="$1"
    shift
    if savepoint "$@"; then fail "savepoint $* was done"; fi
    grep -q -- "$words" "$work/savepoint.err" || fail "savepoint $* does not say '$words'"
}
# rows TOPIC: what it holds, as the recount writes it.
rows() {
    "$millstream" consume "$1" --bootstrap "$BROKER" --from beginning --until-end --isolation read_committed 2> "$work/consume.err" | python3 -c '
import json, sys
for line in sys.stdin:
    row = json.loads(line)
    print(row["store"] + " " + row["window_start"][:16] if "store" in row else row["sku"], row["n"], row["qty"])'
}
last() { awk '{ key = NF > 3 ? $1 " " $2 : $1; of[key] = $0 } END { for (key in of) print of[key] }' | sort; }
# Runs to the end; the last rows are the recount's, each window has fired once behind the savepoint, with the same row each time.
: > "$work/before"
end() { # WHAT
    rows "${prefix:-}hours" | sort > "$work/before"
    to_end || fail "$1: the run to the end failed"
    rows "${prefix:-}hours" | sort > "$work/after"
    comm -13 "$work/before" "$work/after" > "$work/fired"
    [ -s "$work/fired" ] || fail "$1: no window has fired"
    [ ! -e "$work/first" ] || cmp -s "$work/first" "$work/fired" || fail "$1: other windows have fired than the first time: $(diff "$work/first" "$work/fired" | head -n 4)"
    for topic in sums hours; do
        rows "${prefix:-}$topic" | last > "$work/found"
        comm -13 "$work/wanted-$topic" "$work/found" > "$work/wrong"
        [ ! -s "$work/wrong" ] || fail "$1: rows of $topic are not the recount's: $(head -n 4 "$work/wrong")"
        # A copy has written what came behind the savepoint alone.
        [ -n "${prefix:-}" ] || cmp -s "$work/wanted-$topic" "$work/found" || fail "$1: rows of $topic are missing"
    done
    python3 - "$DB" << 'X' | sort > "$work/found"
import sqlite3, sys
for store, start, n, qty in sqlite3.connect(sys.argv[1]).execute("SELECT store, window_start, n, qty FROM hours"):
    print(store, str(start)[:16].replace(" ", "T"), n, qty)
X
    comm -13 "$work/wanted-hours" "$work/found" > "$work/wrong"
    [ ! -s "$work/wrong" ] || fail "$1: rows of the table are not the recount's: $(head -n 4 "$work/wrong")"
    [ -n "${prefix:-}" ] || cmp -s "$work/wanted-hours" "$work/found" || fail "$1: rows of the table are missing"
    python3 -c 'import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute("SELECT COUNT(*) FROM sales").fetchone()[0])' "$DB.raw" > "$work/found"
    [ -n "${prefix:-}" ] || cmp -s "$work/fresh" "$work/found" || fail "$1: $(cat "$work/found") sales are in the table, of $(cat "$work/fresh")"
}
make_topic sales --partitions 4 > "$work/create.log"
split -n l/3 "$work/sales" "$work/sales-"
produce() { "$millstream" produce sales --bootstrap "$BROKER" --key-separator $'\t' --file "$work/sales-$1" > "$work/produce.log" || fail "producing"; }
dies() { # POINT
    # One that does not come to the point would go on for ever.
    local within=(timeout -s KILL 120)
    if MILLSTREAM_FAIL_AT="$1" run; then fail "the worker did not die at $1"; fi
    grep -q "stopped at ${1%:*}" "$work/run.err" || fail "the worker did not die at $1"
}

refused "has not run" create early
produce aa
dies moved.after_commit:3
# The worker dies with rows between its stages that the second one has not seen.
produce ab
for try in 1 2 3 4 5 6 7 8; do
    dies sales.after_commit:1
    savepoint create middle --wait 60s || fail "no savepoint was taken"
    ! grep -Eq ", [1-9][0-9]* in flight" "$work/savepoint.log" || break
    # A first commit may be of no rows.
    [ "$try" -lt 8 ] || fail "nothing was in flight: $(cat "$work/savepoint.log")"
    savepoint delete middle || fail "the savepoint was not deleted"
done
taken="$(cat "$work/savepoint.log")"
refused "there is a savepoint middle" create middle
savepoint create middle --replace || fail "the savepoint was not replaced"
savepoint create other || fail "no second savepoint was taken"
asked() { # What is kept, in SQL: sums of everything, and of windows that are open.
    local question="SELECT COUNT(*) AS n, SUM(qty) AS qty FROM"
    "$millstream" query "$work/sums.yaml" --data "$data" --format csv "$question summed; $question hourly" > "$1" 2> "$work/query.err" ||
        fail "what is kept cannot be asked: $(cat "$work/query.err")"
}
asked "$work/asked-then"
savepoint list && [ "$(wc -l < "$work/savepoint.log")" = 3 ] || fail "the list is wrong"
savepoint show middle && grep -q "topic by_store, written and read by the pipeline" "$work/savepoint.log" || fail "it is not shown"

produce ac

# What is damaged is refused whole.
place="$data/savepoints"
for file in "$place"/content/other~*; do
    cp "$file" "$work/whole"
    python3 -c '
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[len(data) // 2] ^= 1
open(sys.argv[1], "wb").write(data)' "$file"
    refused "$(basename "$file") has the checksum" restore other --yes
    head -c -1 "$work/whole" > "$file"
    refused "$(basename "$file") has [0-9]* bytes, of" restore other --yes
    rm "$file"
    refused "$(basename "$file") is not there" restore other --yes
    cp "$work/whole" "$file"
done
manifest="$place/manifests/other.savepoint"
cp "$manifest" "$work/whole"
sed -i 's/"sums"/"sumz"/' "$manifest"
refused "manifest manifests/other.savepoint is damaged" restore other --yes
rm "$manifest"
refused "without a manifest" restore other --yes
cp "$work/whole" "$manifest"
savepoint delete other || fail "it was not deleted"
[ -z "$(ls "$place"/content | grep other)" ] || fail "files of a savepoint that was deleted are left"
refused "there is no savepoint other" restore other --yes

end "the first time"
cp "$work/fired" "$work/first"
refused "say --yes" restore middle < /dev/null
savepoint restore middle --yes || fail "it was not put back"
grep -q "sink db is not set back" "$work/savepoint.log" || fail "it does not say what becomes of the sink"
asked "$work/asked-now"
diff "$work/asked-then" "$work/asked-now" > /dev/null || fail "what is kept is not what was: $(paste "$work/asked-then" "$work/asked-now")"
end "put back"

# Killed at each step, then done again.
for point in marked written before_commit; do
    MILLSTREAM_FAIL_AT="savepoint.$point" savepoint restore middle --yes && fail "the restore did not die at $point"
    grep -q "stopped at savepoint.$point" "$work/savepoint.err" || fail "the restore did not die at $point"
    if to_end; then fail "a run went on behind a restore that died at $point"; fi
    grep -q "putting savepoint middle back was begun and did not end" "$work/run.err" || fail "the run says something else at $point"
    refused "was begun and did not end" create late
    savepoint restore middle --yes || fail "it was not put back behind $point"
    end "put back behind a death at $point"
done
MILLSTREAM_FAIL_AT=savepoint.committed savepoint restore middle --yes && fail "the restore did not die at its end"
end "put back, and dead at the very end"
# Given up, it is where it was: at the end.
MILLSTREAM_FAIL_AT=savepoint.written savepoint restore middle --yes && fail "the restore did not die"
savepoint restore --give-up || fail "it was not given up"
rows hours | sort > "$work/before"
to_end || fail "the run behind a restore that was given up failed"
rows hours | sort | cmp -s - "$work/before" || fail "windows fired though the restore was given up"

# Whoever runs is not touched.
run & worker=$!
pids+=("$worker")
until "$millstream" group describe sums-sales --bootstrap "$BROKER" 2> /dev/null | grep -q sums-sales-0; do
    kill -0 "$worker" || fail "the worker ended"
    pause 0.1
done
refused "has the member" create running --wait 1s
refused "has the member" restore middle --yes --wait 1s
pkill -TERM -P "$worker"
wait "$worker" || fail "the worker did not stop"

# Another definition begins with no state, and is named.
sed -i 's/COUNT(\*) AS n, SUM(qty) AS qty FROM fresh/COUNT(*) AS n, SUM(qty) AS qty, MAX(qty) AS most FROM fresh/' "$work/sums.yaml"
savepoint restore middle < /dev/null || true
grep -q "~ summed starts anew" "$work/savepoint.log" || fail "an operator that was edited is not named"
sed -i 's/, MAX(qty) AS most FROM fresh/ FROM fresh/' "$work/sums.yaml"

# A copy under another name, which writes topics of its own.
copy=(--set name=trial --set topics.sums.name=trial-sums --set topics.hours.name=trial-hours)
refused "topics.by_store.name=trial-by_store" restore middle --yes
copy+=(--set topics.by_store.name=trial-by_store)
prefix=trial- DB="$work/trial.db"
savepoint restore middle --yes || fail "it was not put back under another name"
end "under another name"
copy=() prefix='' DB="$work/hours.db"

# In an object store.
moto="${MILLSTREAM_MOTO_SERVER:-$(command -v moto_server || ls target/tools/moto/bin/moto_server 2> /dev/null || true)}"
if [ -x "$moto" ]; then
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    "$moto" -H 127.0.0.1 -p "$port" > "$work/moto.log" 2>&1 &
    pids+=($!)
    deadline=$((SECONDS + 60))
    until python3 -c 'import sys, urllib.request as r; r.urlopen(r.Request(f"http://127.0.0.1:{sys.argv[1]}/saved", method="PUT"), timeout=5)' "$port" 2> /dev/null; do
        kill -0 "${pids[-1]}" 2> /dev/null && [ $SECONDS -lt $deadline ] || { cat "$work/moto.log"; fail "moto_server did not start"; }
        pause 0.2
    done
    export AWS_ENDPOINT_URL="http://127.0.0.1:$port" AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_REGION=us-east-1
    savepoint restore middle --yes || fail "it was not put back before the object store"
    savepoint create stored --to s3://saved/here || fail "no savepoint was taken in S3"
    refused "there is a savepoint stored in s3://saved/here already" create stored --to s3://saved/here
    end "before what is in S3"
    savepoint restore stored --to s3://saved/here --yes || fail "it was not put back from S3"
    end "put back from S3"
    savepoint delete stored --to s3://saved/here || fail "it was not deleted from S3"
    savepoint list --to s3://saved/here && [ "$(wc -l < "$work/savepoint.log")" = 1 ] || fail "S3 has a savepoint that was deleted"
else
    echo "SKIPPED: savepoints in S3: moto_server is not there (pip install 'moto[server,s3]')"
    [ -z "${SKIPPED:-}" ] || echo "savepoints in S3: no moto_server" >> "$SKIPPED"
    [ -z "${REQUIRE_ALL:-}" ] || exit 1
fi

# Files on the embedded broker, which the command starts: where the source stood is put back, and what was counted. The target is set back
# too, by deleting it: it gets what is due behind the savepoint.
mkdir -p "$work/files/in"
# Each sale once: what is read again would be summed again.
cut -f 2 "$work/sales" | awk '!seen[$0]++' > "$work/lines"
split -n l/8 --additional-suffix=.jsonl "$work/lines" "$work/files/in/"
cat > "$work/files/files.yaml" << 'X'
version: 1
name: files
broker: embedded
topics:
  sold: { partitions: 2, key: sku, retention: forever }
sources:
  inbox: { type: file, path: "in/*.jsonl", watch: false, schema: sale }
transforms:
  published: { type: topic, inputs: [inbox], topic: sold, watermark: { column: at, delay: 2s } }
  summed:
    type: sql
    inputs: [published]
    sql: SELECT sku, COUNT(*) AS n, SUM(qty) AS qty FROM published GROUP BY sku
    emit: { on_update: 100ms }
sinks:
  db: { type: sqlite, inputs: [summed], path: sums.db, table: sums, mode: upsert, key: [sku], on_gap: skip }
X
sed -n '/^schemas:/,/^topics:/p' "$work/sums.yaml" | sed '$d' >> "$work/files/files.yaml"
quick=(--broker-set group.consumer.session.timeout.ms=3000 --broker-set group.consumer.heartbeat.interval.ms=500)
files() { # VERB [ARGUMENT...]
    "$millstream" "$@" > "$work/run.log" 2> "$work/run.err"
}
# The sums are the recount's, and every row is counted once.
whole_files() { # WHAT
    files run "$work/files/files.yaml" --set defaults.commit_interval=50ms "${quick[@]}" || fail "$1: the run failed"
    grep -Eq "^read +$(cat "$work/fresh")$" "$work/run.log" || fail "$1: it has not counted $(cat "$work/fresh") rows: $(grep ^read "$work/run.log")"
    python3 -c '
import sqlite3, sys
for row in sqlite3.connect(sys.argv[1]).execute("SELECT sku, n, qty FROM sums"):
    print(*row)' "$work/files/sums.db" | sort > "$work/found"
    cmp -s "$work/wanted-sums" "$work/found" || fail "$1: other sums than the recount's: $(diff "$work/wanted-sums" "$work/found" | head -n 4)"
}
if MILLSTREAM_FAIL_AT=ingest.after_commit:1 files run "$work/files/files.yaml" --set defaults.commit_interval=50ms "${quick[@]}"; then
    fail "the worker of files did not die"
fi
files savepoint create "$work/files/files.yaml" early --wait 60s "${quick[@]}" || fail "no savepoint of files was taken"
whole_files "files"
rm "$work/files/sums.db"
files savepoint restore "$work/files/files.yaml" early --yes || fail "files were not put back"
whole_files "files put back"
# A cluster that is lost: topics are made anew, and what was on its way comes to the new target.
rm -r "$work/files/sums.db" "$work/files/.millstream/broker"
files savepoint restore "$work/files/files.yaml" early --yes || fail "files were not put back on a new cluster"
grep -q "sink db reads a topic that is made anew" "$work/run.log" || fail "it does not say that the sink's topic is new"
whole_files "files put back on a new cluster"
echo "$n sales: $taken; put back and run to the end again, with restores killed at each step, under another name: $(wc -l < "$work/first") windows behind it, each time as recounted"
