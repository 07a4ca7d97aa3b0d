#!/usr/bin/env bash
# What a pipeline keeps, asked in SQL while it runs and when it has stopped: groups, open windows and sessions, keys of dedupe, a table that
# follows a topic. While two workers commit, of which one is killed with SIGKILL again and again and changelogs are written anew all the time,
# each answer is of one instant: the sum over the groups is the number of keys that were seen. In the end all answers are those of a recount,
# by the program alone and, where PostgreSQL is installed, by its psql; no group but the pipeline's own is left on the broker. N sales, SEED, KILLS; MILLSTREAM
# names the program. BROKER=host:port is another cluster (Apache Kafka), fresh for each call.
. "$(dirname "$0")/lib.sh"
n="${N:-20000}" seed="${SEED:-1}" kills="${KILLS:-3}"
work="$(mktemp -d)"
pids=()
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; wait 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL: $1 (SEED=$seed)"; tail -n 20 "$work"/*.log "$work"/*.err; exit 1; }
cat > "$work/kept.yaml" << 'X'
version: 1
name: kept
broker: ${env:BROKER}
schemas:
  sale:
    fields:
      id:    { type: int64, required: true }
      sku:   { type: string, required: true }
      qty:   { type: int64, required: true }
      price: { type: decimal, precision: 12, scale: 2, required: true }
      at:    { type: timestamp_ms, required: true }
  product:
    fields:
      sku:  { type: string, required: true }
      name: { type: string, required: true }
topics:
  sales:    { partitions: 4, key: sku }
  products: { partitions: 2, key: sku, cleanup: compact }
  sums:     { partitions: 1, key: sku, cleanup: compact }
  hours:    { partitions: 1 }
  visits:   { partitions: 1 }
  large:    { partitions: 1 }
sources:
  sales: { type: topic, topic: sales, schema: sale, watermark: { column: at, delay: 1s } }
tables:
  products: { type: topic, topic: products, key: [sku], schema: product }
transforms:
  unique: { type: dedupe, inputs: [sales], key: [sku, id], within: 40d }
  large:  { type: filter, inputs: [unique], where: qty > 7 }
  summed:
    type: sql
    inputs: [unique, products]
    sql: |
      SELECT s.sku, p.name, s.n, s.revenue FROM
        (SELECT sku, COUNT(*) AS n, SUM(qty * price) AS revenue FROM unique GROUP BY sku) AS s
      LEFT JOIN products AS p ON p.sku = s.sku
    emit: { on_update: 100ms }
  hours:
    type: sql
    inputs: [unique]
    sql: |
      SELECT sku, window_start, window_end, COUNT(*) AS n, SUM(qty) AS pieces
      FROM HOP(unique, at, INTERVAL '30 minutes', INTERVAL '1 hour') GROUP BY sku, window_start, window_end
    late: { allow: 1m, then: drop }
  visits:
    type: sql
    inputs: [unique]
    sql: |
      SELECT sku, window_start, window_end, COUNT(*) AS n, MAX(price) AS most
      FROM SESSION(unique, at, INTERVAL '2 hours', sku) GROUP BY sku, window_start, window_end
sinks:
  sums: { type: topic, inputs: [summed], topic: sums }
  open: { type: topic, inputs: [hours], topic: hours }
  seen: { type: topic, inputs: [visits], topic: visits }
  many: { type: topic, inputs: [large], topic: large }
X
# Sales of one day, and of half an hour three days later, which is open: the watermark of each partition has passed the first day by then. A
# tenth of the sales is there twice.
python3 - "$n" "$seed" "$work" << 'X'
import collections, datetime, random, sys
n, seed, work = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rng = random.Random(seed)
START, MINUTE, DAY = 1_700_006_400_000, 60_000, 86_400_000
def iso(at):
    return datetime.datetime.fromtimestamp(at / 1000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
def money(cents):
    return f"{cents // 100}.{cents % 100:02}"
sums, hours = collections.defaultdict(lambda: [0, 0]), collections.defaultdict(lambda: [0, 0])
visits = {}
with open(f"{work}/sales", "w") as out:
    for i in range(n):
        late = i >= n // 3
        at = START + (3 * DAY + 14 * 60 * MINUTE + rng.randrange(29 * MINUTE) if late else rng.randrange(DAY))
        sku, qty, cents = f"p{min(rng.randrange(400), rng.randrange(400))}", rng.randrange(1, 9), rng.randrange(1, 99_999)
        line = f'{sku}\t{{"id":{i},"sku":"{sku}","qty":{qty},"price":{money(cents)},"at":{at}}}\n'
        out.write(line * (2 if rng.random() < 0.1 else 1))
        sums[sku][0] += 1
        sums[sku][1] += qty * cents
        if late:
            first = at // (30 * MINUTE) * 30 * MINUTE
            for start in [first, first - 30 * MINUTE]:
                key = (sku, start)
                hours[key][0] += 1
                hours[key][1] += qty
            visit = visits.setdefault(sku, [at, at, 0, 0])
            visits[sku] = [min(visit[0], at), max(visit[1], at), visit[2] + 1, max(visit[3], cents)]
names = {f"p{i}": f"Thing {i}" for i in range(0, 400, 2)}
with open(f"{work}/products", "w") as out:
    for sku in names:
        out.write(f'{sku}\t{{"sku":"{sku}","name":"Old"}}\n')
    for sku, name in names.items():
        out.write(f'{sku}\t{{"sku":"{sku}","name":"{name}"}}\n')
    for i in range(0, 400, 10):
        out.write(f"p{i}\tGONE\n")
        del names[f"p{i}"]
def csv(name, head, rows):
    with open(f"{work}/{name}.csv", "w") as out:
        out.write(head + "\n" + "".join(",".join(map(str, row)) + "\n" for row in sorted(rows)))
csv("summed", "sku,name,n,revenue", [(sku, names.get(sku, ""), count, money(cents)) for sku, (count, cents) in sums.items()])
csv("hours", "sku,window_start,window_end,n,pieces",
    [(sku, iso(start), iso(start + 60 * MINUTE), count, pieces) for (sku, start), (count, pieces) in hours.items()])
csv("visits", "sku,n,most", [(sku, visit[2], money(visit[3])) for sku, visit in visits.items()])
csv("products", "sku,name", names.items())
X
broker="${BROKER:-}"
if [ -z "$broker" ]; then
    start_broker "$work/broker" --set group.consumer.session.timeout.ms=3000 --set group.consumer.heartbeat.interval.ms=500
    pids+=("$broker_pid")
fi
export BROKER="$broker"
worker() { # NAME
    "$millstream" run "$work/kept.yaml" --data "$work/data-$1" --instance "$1" --set defaults.commit_interval=50ms \
        --set defaults.snapshot_after=1KiB >> "$work/$1.log" 2>> "$work/$1.err" &
    pids+=($!)
}
ask() { # SQL [ARGUMENT...]
    "$millstream" query "$work/kept.yaml" "$@" 2> "$work/query.err"
}
consistent="SELECT (SELECT COALESCE(SUM(n), 0) FROM summed) AS in_groups, (SELECT COUNT(*) FROM unique) AS keys"
# Nothing has run yet: that is said.
ask "SELECT * FROM summed" > "$work/none.log" && fail "there was an answer before anything ran"
grep -q "nothing is kept of summed.*has the pipeline run there" "$work/query.err" || fail "it was not said that nothing has run"
"$millstream" topic create sales --bootstrap "$broker" --partitions 4 > "$work/create.log"
"$millstream" topic create products --bootstrap "$broker" --partitions 2 --config cleanup.policy=compact >> "$work/create.log"
produce() { "$millstream" produce "$1" --bootstrap "$broker" --key-separator $'\t' --null GONE > "$work/produce.log" || fail "producing $1"; }
produce products < "$work/products"
RANDOM="$seed"
instants=0
worker a
a="${pids[-1]}"
worker b
# Sales come in small parts, so that there are many commits; the last of them when a worker was killed and an answer was of one instant, however slow
# the machine is.
feed() {
    local lines=0 line
    while IFS= read -r line; do
        printf '%s\n' "$line"
        lines=$((lines + 1))
        [ $((lines % 400)) -ne 0 ] || pause 0.3
        [ $lines -ne $((n * 3 / 4)) ] || until [ -e "$work/was-killed" ] && [ -e "$work/was-one" ]; do pause 0.1; done
    done < "$work/sales"
}
feed | produce sales &
pids+=($!)
killed=0
until_all() { # EACH...: until all sales are in the groups, does it again and again
    local deadline=$((SECONDS + 240))
    until [ "$(ask "SELECT SUM(n) AS n FROM summed" --format csv | tail -n 1)" = "$n" ]; do
        [ $SECONDS -lt $deadline ] || fail "not all sales are in the groups"
        "$@"
    done
}
one_instant() {
    if [ "$killed" -lt "$kills" ] && [ $((RANDOM % 2)) = 0 ] && kill -9 "$a" 2> /dev/null; then
        wait "$a" 2> /dev/null || true
        killed=$((killed + 1))
        touch "$work/was-killed"
        worker a
        a="${pids[-1]}"
    fi
    # The operators have changelogs once a worker has begun.
    ask "$consistent" --format csv > "$work/instant.csv" || return 0
    grep -q "a commit apart" "$work/query.err" && return
    instants=$((instants + 1))
    tail -n 1 "$work/instant.csv" | awk -F, '$1 != $2 { exit 1 }' || fail "an answer is not of one instant: $(tail -n 1 "$work/instant.csv")"
    touch "$work/was-one"
}
until_all one_instant
[ "$instants" -gt 0 ] || fail "no answer was of one instant"
[ "$killed" -gt 0 ] || fail "nothing was killed; take a larger N"
declare -A questions=(
    [summed]="SELECT * FROM summed ORDER BY sku"
    [hours]="SELECT * FROM hours ORDER BY sku, window_start"
    [visits]="SELECT sku, n, most FROM visits ORDER BY sku"
    [products]="SELECT * FROM products ORDER BY sku"
)
same() { # RELATION FOUND WHEN
    for side in "$work/$1.csv" "$2"; do
        { head -n 1 "$side"; tail -n +2 "$side" | LC_ALL=C sort; } > "$side.sorted"
    done
    diff "$work/$1.csv.sorted" "$2.sorted" > "$work/diff.log" || fail "$3: $1 is not as recounted: $(head -n 4 "$work/diff.log")"
}
compare() { # WHEN
    for relation in "${!questions[@]}"; do
        ask "${questions[$relation]}" --format csv > "$work/$relation.found" || fail "$1: no answer about $relation"
        same "$relation" "$work/$relation.found" "$1"
    done
}
compare "while it runs"
# What there is: all, each with its kind and how many rows, or why not.
ask > "$work/list" || fail "nothing was shown"
for line in "summed groups $(($(wc -l < "$work/summed.csv") - 1)) " "unique keys $n " "hours windows " "visits sessions " "products table " "large stream .* keeps nothing" "sales stream "; do
    tr -s ' ' < "$work/list" | grep -q "^$line" || fail "'$line' is not shown: $(cat "$work/list")"
done
refused() { # STATUS TEXT SQL [ARGUMENT...]
    local status=0
    ask "${@:3}" > "$work/refused.log" || status=$?
    [ "$status" = "$1" ] && grep -q "$2" "$work/query.err" || fail "$3: ended with $status, and said $(cat "$work/query.err")"
}
refused 2 "1:8: column 'nope' not found" "SELECT nope FROM summed"
refused 2 "large has no rows that can be asked for" "SELECT * FROM large"
refused 2 "DELETE is not taken" "DELETE FROM summed"
refused 2 "a query begins with SELECT" "SELEC * FROM summed"
refused 2 "others than this machine can reach it" --listen 0.0.0.0:0
refused 1 "wants more memory than" "SELECT COUNT(*) FROM (SELECT a.sku, b.sku, c.sku FROM summed a CROSS JOIN summed b CROSS JOIN summed c GROUP BY 1, 2, 3)" --memory 16MiB
ask "SELECT sku, n FROM summed WHERE sku = 'p1'; SHOW TABLES" --format json | python3 -c 'import json, sys
first, rest = json.JSONDecoder().raw_decode(sys.stdin.read())
assert first[0]["sku"] == "p1" and first[0]["n"] > 0, first' || fail "no JSON"
# The server follows: what comes later is in later answers.
psql="$(command -v psql || true)"
if [ -n "$psql" ]; then
    "$millstream" query "$work/kept.yaml" --listen 127.0.0.1:0 > "$work/server.log" 2> "$work/server.err" &
    server=$!
    pids+=("$server")
    until grep -qs '^ready ' "$work/server.log"; do kill -0 "$server" || fail "the server did not start"; pause 0.05; done
    at="$(sed -n 's/^ready //p' "$work/server.log")"
    ask_psql() { "$psql" -X -h "${at%:*}" -p "${at##*:}" -U anybody --csv "$@" any 2> "$work/psql.err"; }
    compare_psql() { # WHEN
        for relation in "${!questions[@]}"; do
            # psql writes times with a space and +00, and no quotes around nothing.
            ask_psql -c "${questions[$relation]}" | sed -E 's/([0-9]{4}-[0-9]{2}-[0-9]{2}) ([0-9:]{8})\+00/\1T\2Z/g' > "$work/$relation.psql" || fail "$1: psql got no answer about $relation"
            same "$relation" "$work/$relation.psql" "$1, by psql"
        done
    }
    compare_psql "while it runs"
    [ "$(ask_psql -t -c 'BEGIN' -c "SELECT COUNT(*) FROM unique" -c 'COMMIT' | grep -x '[0-9]*')" = "$n" ] || fail "psql: not $n keys"
    ask_psql -c "UPDATE summed SET n = 0" && fail "psql could change something"
    grep -q "UPDATE is not taken" "$work/psql.err" || fail "psql was not told why: $(cat "$work/psql.err")"
    ask_psql -c "SELECT nope
FROM summed" && fail "psql got an answer to nothing"
    grep -q "LINE 1: SELECT nope" "$work/psql.err" || fail "psql was not told where: $(cat "$work/psql.err")"
    printf 'p7\t{"sku":"p7","name":"Seven"}\np8\tGONE\n' | produce products
    sed -i 's/^p7,,/p7,Seven,/; s/^p8,[^,]*,/p8,,/' "$work/summed.csv"
    sed -i '/^p7,/d; /^p8,/d' "$work/products.csv"
    echo "p7,Seven" >> "$work/products.csv"
    grep -q '^p7,Seven,' "$work/summed.csv" || fail "no sales of p7; take a larger N"
    compare_psql "after the table changed"
    printf 'p3\t{"id":-1,"sku":"p3","qty":1,"price":0.5,"at":1700000000000}\n' | produce sales
    n=$((n + 1))
    until_all pause 0.2
    [ "$(ask_psql -t -c "SELECT COUNT(*), MIN(event_time) FROM unique")" = "$n,2023-11-14 22:13:20+00" ] || fail "the server did not follow: $(ask_psql -t -c "SELECT COUNT(*), MIN(event_time) FROM unique")"
    kill "$server"
    wait "$server" || fail "the server did not end well"
else
    echo "SKIPPED: psql is not installed (apt-get install postgresql-client)"
    [ -z "${SKIPPED:-}" ] || echo "query.sh: no psql" >> "$SKIPPED"
    [ -z "${REQUIRE_ALL:-}" ]
fi
# Stopped, all of it is still there; and with another worker, the second, too.
for pid in "${pids[@]}"; do
    [ "$pid" = "${broker_pid:-}" ] || kill "$pid" 2> /dev/null || true
done
for pid in "${pids[@]}"; do
    [ "$pid" = "${broker_pid:-}" ] || wait "$pid" 2> /dev/null || true
done
ask "$consistent" --format csv | tail -n 1 | grep -qx "$n,$n" || fail "stopped: not $n keys and sales"
for relation in hours visits; do
    ask "${questions[$relation]}" --format csv > "$work/$relation.found" || fail "stopped: no answer about $relation"
    same "$relation" "$work/$relation.found" "stopped"
done
"$millstream" group list --bootstrap "$broker" > "$work/groups"
! grep -v '^GROUP\|^kept' "$work/groups" || fail "there are other groups than the pipeline's"
# Under another definition, what was kept means nothing: that is said, and nothing is answered that is not so.
sed 's/COUNT(\*) AS n, SUM(qty) AS pieces/COUNT(*) AS n, MAX(qty) AS pieces/' "$work/kept.yaml" > "$work/other.yaml"
"$millstream" query "$work/other.yaml" "SELECT COUNT(*) AS n FROM hours" --format csv > "$work/other.csv" 2> "$work/query.err" || fail "no answer under another definition"
[ "$(tail -n 1 "$work/other.csv")" = 0 ] && grep -q "records are of another definition" "$work/query.err" || fail "state of another definition was taken"
echo "$n sales, a worker killed $killed times: $instants answers of one instant each, and all that is kept as recounted${psql:+, by psql too}"
