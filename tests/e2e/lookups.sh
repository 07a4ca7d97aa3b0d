#!/usr/bin/env bash
# Rows joined with a table of PostgreSQL that is asked for the rows of the keys that come: two look-ups, one by what the other gave,
# behind a dedupe and before a window. Each sale finds its customer and the customer's region, or none, as psql finds them; a key
# is asked for once; the server dies in the middle of the run, is away for some seconds, and nothing is missing or doubled; a
# row that has changed is seen once it is asked for again; one that does not fit fails the sales that ask for it. N sales; MILLSTREAM names the program.
. "$(dirname "$0")/lib.sh"
find_postgres "look-ups in a database"
n="${N:-40000}"
work="$(mktemp -d)"
chmod 755 "$work"
pids=() pg=''
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; [ -z "$pg" ] || kill -QUIT "$pg" 2> /dev/null; wait 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL: $1"; tail -n 20 "$work"/*.log "$work"/*.err 2> /dev/null; exit 1; }
make_postgres "$work/pg"
start_postgres "$work/pg"
# 5,000 customers, of which sales name the even ones, those above 3,000 in their second half, and 500 that are not there; some without a region, some in one that is not there.
sql "create schema crm;
     create table crm.customers (id bigint primary key, name text not null, region varchar(20), credit numeric);
     create table crm.regions (code text primary key, manager text);
     insert into crm.customers select i, 'customer ' || i, case when i % 11 = 0 then null else 'r' || i % 7 end, i * 1.25
     from generate_series(1, 5000) i;
     insert into crm.regions select 'r' || i, 'manager ' || i from generate_series(0, 5) i"
start_broker "$work/broker" --set group.consumer.session.timeout.ms=3000 --set group.consumer.heartbeat.interval.ms=500
pids+=("$broker_pid")
cat > "$work/sold.yaml" << 'X'
version: 1
name: sold
broker: ${env:BROKER}
secrets: { crm: "${env:CRM_DSN}" }
schemas:
  sale:
    fields:
      n:        { type: int64, required: true }
      customer: { type: int64, required: true }
      at:       { type: timestamp_ms, required: true }
  customer:
    fields:
      id:     { type: int64, required: true }
      name:   { type: string, required: true }
      region: { type: string }
      credit: { type: decimal, precision: 18, scale: 4 }
  region:
    fields:
      code:    { type: string, required: true }
      manager: { type: string }
topics:
  sales:  { partitions: 4, key: customer }
  sold:   { partitions: 2, retention: forever }
  hourly: { partitions: 1, retention: forever }
sources:
  sales: { type: topic, topic: sales, schema: sale, watermark: { column: at, delay: 1m, idle: 30s } }
tables:
  customers: { type: postgres, dsn: "${secret:crm}", table: crm.customers, key: [id], schema: customer, keep: "${env:KEEP_FOR:-30d}" }
  regions:   { type: postgres, dsn: "${secret:crm}", table: crm.regions, key: [code], schema: region }
transforms:
  unique: { type: dedupe, inputs: [sales], key: [customer, n], within: 1h }
  sold:
    type: sql
    inputs: [unique, customers, regions]
    sql: |
      SELECT s.n, s.customer, c.name, c.credit, r.manager
      FROM unique AS s LEFT JOIN customers AS c ON c.id = s.customer LEFT JOIN regions AS r ON r.code = c.region
  hourly:
    type: sql
    inputs: [unique, customers]
    sql: |
      SELECT s.customer, window_start, c.name, COUNT(*) AS sales
      FROM TUMBLE(unique, at, INTERVAL '1 hour') AS s JOIN customers AS c ON c.id = s.customer AND c.region <> 'r1'
      GROUP BY s.customer, window_start, window_end, c.name
sinks:
  out_sold:   { type: topic, inputs: [sold], topic: sold }
  out_hourly: { type: topic, inputs: [hourly], topic: hourly }
egress: { allow: ["127.0.0.1/32", "::1/128"] }
X
export BROKER="$broker" CRM_DSN="postgres://postgres@localhost:$pg_port/postgres"
"$millstream" validate "$work/sold.yaml" > "$work/validate.log" 2>&1 || fail "the pipeline is refused"
"$millstream" explain "$work/sold.yaml" > "$work/explain.log" 2>&1 || fail "the pipeline is not explained"
grep -q 'asks table customers for the rows of the keys that come' "$work/explain.log" || fail "explain does not say that a table is asked"
"$millstream" topic create sales --bootstrap "$broker" --partitions 4 > "$work/create.log"
sales() { # FROM TO: sales of these numbers, each tenth twice; a minute of event time is 100 sales
    seq "$1" "$2" | awk -v half="$((n / 2))" '{ c = 2 * ($1 * 7919 % 1500) + ($1 > half) * 3000; line = sprintf("%d\t{\"n\":%d,\"customer\":%d,\"at\":%.0f}", c, $1, c, 1767225600000 + $1 * 600); print line; if ($1 % 10 == 0) print line }' > "$work/sales"
    "$millstream" produce sales --bootstrap "$broker" --key-separator $'\t' --file "$work/sales" > "$work/produce.log" || fail "producing sales"
}
metrics="127.0.0.1:$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
start() {
    "$millstream" run "$work/sold.yaml" --data "$work/data" --metrics "$metrics" >> "$work/run.log" 2>> "$work/run.err" &
    run=$!
    pids+=("$run")
}
out() { # TOPIC
    "$millstream" consume "$1" --bootstrap "$broker" --from beginning --until-end --isolation read_committed > "$work/$1" 2> /dev/null || true
    wc -l < "$work/$1"
}
until_out() { # TOPIC COUNT
    for _ in $(seq 900); do
        kill -0 "$run" 2> /dev/null || fail "the pipeline ended by itself"
        [ "$(out "$1")" -ge "$2" ] && return
        pause 0.2
    done
    fail "$(out "$1") of $2 rows came out of $1"
}
sales 1 $((n / 2))
start
until_out sold $((n / 4))
kill -QUIT "$pg"
wait "$pg" 2> /dev/null || true
pg=''
# Customers that nobody has asked for yet come while the server is away.
sales $((n / 2 + 1)) "$n"
for _ in $(seq 600); do
    grep -q 'the stage begins again from what was committed' "$work/run.err" "$work/run.log" && break
    pause 0.1
done
grep -q 'the stage begins again from what was committed' "$work/run.err" "$work/run.log" || fail "nothing was said of the server that is away"
start_postgres "$work/pg"
until_out sold "$n"
sql "copy (select c.id, c.name, c.credit, r.manager, c.region from crm.customers c left join crm.regions r on r.code = c.region) to stdout with (format csv, null '\N')" > "$work/customers.csv"
out hourly > /dev/null
python3 - "$work" "$n" << 'X' || fail "sales have other customers than psql finds"
import csv, json, sys
from decimal import Decimal
work, n = sys.argv[1], int(sys.argv[2])
known = {int(r[0]): [None if v == "\\N" else v for v in r[1:]] for r in csv.reader(open(f"{work}/customers.csv"))}
rows = [json.loads(line, parse_float=Decimal) for line in open(f"{work}/sold")]
assert sorted(row["n"] for row in rows) == list(range(1, n + 1)), f"{len(rows)} rows"
customer_of = lambda i: 2 * (i * 7919 % 1500) + (i > n // 2) * 3000
found = 0
for row in rows:
    customer = customer_of(row["n"])
    name, credit, manager, _ = known.get(customer, [None] * 4)
    want = (customer, name, None if credit is None else Decimal(credit), manager)
    have = (row["customer"], row["name"], None if row["credit"] is None else Decimal(str(row["credit"])), row["manager"])
    assert have == want, f"{row}: {have} is not {want}"
    found += name is not None
assert 0 < found < n, f"{found} of {n} sales have a customer"
hours = {}
for i in range(1, n + 1):
    customer = customer_of(i)
    region = known.get(customer, [None] * 4)[3]
    if region is not None and region != "r1":
        key = (customer, i * 600 // 3600000)
        hours[key] = hours.get(key, 0) + 1
# What is over by the watermark; the last hour is still open.
last = (n * 600 - 60000) // 3600000
fired = {}
for line in open(f"{work}/hourly"):
    row = json.loads(line)
    import datetime
    start = datetime.datetime.fromisoformat(row["window_start"].replace("Z", "+00:00")).timestamp()
    key = (row["customer"], int(start - 1767225600) // 3600)
    assert key not in fired, f"{key} fired twice"
    fired[key] = row["sales"]
assert fired and all(hours.get(key) == count for key, count in fired.items()), "windows have other sums than they should"
X
# A key was asked for once: 3,000 customers and 8 regions, by two joins of which both share what was found, once more behind the restart.
asked=$(curl -m 30 -fsS "http://$metrics/metrics" | awk '/^millstream_table_changes_total/ && /"customers"/ { print $2 }')
[ "${asked:-0}" -ge 3000 ] && [ "$asked" -le 6000 ] || fail "customers were asked for ${asked:-0} times, of 3000 keys"
# What has changed is seen once it is asked for again.
kill "$run"
wait "$run" 2> /dev/null || true
sql "update crm.customers set name = 'new name' where id = 3002; insert into crm.customers values (5998, 'late', 'r2', 1)"
export KEEP_FOR=200ms
start
# The next sales to a customer that is known, and to one that was not there.
one=$(python3 -c "print(next(i for i in range($n + 1, $n + 1501) if 2 * (i * 7919 % 1500) == 2))")
other=$(python3 -c "print(next(i for i in range($n + 1, $n + 1501) if 2 * (i * 7919 % 1500) == 2998))")
sales "$one" "$one"
sales "$other" "$other"
until_out sold $((n + 2))
grep -q "\"n\":$one,.*new name" "$work/sold" && grep -q "\"n\":$other,.*late" "$work/sold" || fail "changed rows are not seen"
sql "update crm.customers set name = 'newer name' where id = 3002"
pause 0.3
sales $((one + 1500)) $((one + 1500))
until_out sold $((n + 3))
grep -q "\"n\":$((one + 1500)),.*newer name" "$work/sold" || fail "a row that was kept is never asked for again"
# Rows of the table that do not fit its declared columns, or that the database cannot give as these, fail the sales that ask for them.
sql "alter table crm.customers alter column credit type text; update crm.customers set credit = 'infinity' where id = 3002; update crm.customers set credit = 'lots' where id = 3006"
pause 0.3
sale() { # NUMBER CUSTOMER
    printf '%d\t{"n":%d,"customer":%d,"at":%d}\n' "$2" "$1" "$2" $((1767225600000 + ($n + 3200) * 600))
}
{ sale 900001 3002; sale 900002 2998; sale 900003 3006; sale 900004 3002; sale 900005 3004; sale 900006 3006; } > "$work/sales"
"$millstream" produce sales --bootstrap "$broker" --key-separator $'\t' --file "$work/sales" > "$work/produce.log" || fail "producing sales"
until_out sold $((n + 5))
until_out sold-dead_letters 4
"$millstream" consume sold-dead_letters --bootstrap "$broker" --from beginning --until-end --isolation read_committed --format json > "$work/letters" 2> /dev/null || true
python3 - "$work" << 'X' || fail "sales that ask for rows which cannot be used are not told as they should be"
import json, sys
told = {}
for line in open(f"{sys.argv[1]}/letters"):
    record = json.loads(line)
    headers = dict(record["headers"])
    assert headers["millstream.reason"] == "lookup_failed" and "table customers" in headers["millstream.error"], headers
    told[json.loads(record["value"])["n"]] = headers["millstream.error"]
assert sorted(told) == [900001, 900003, 900004, 900006], told
assert all("id 3002 does not have the declared columns" in told[n] for n in (900001, 900004)), told
assert all("invalid input syntax" in told[n] for n in (900003, 900006)), told
sold = {json.loads(line)["n"] for line in open(f"{sys.argv[1]}/sold")}
assert {900002, 900005} <= sold and not sold & set(told), sold & set(told)
X
# Put right, and sent again.
sql "update crm.customers set credit = 5 where id = 3002"
pause 0.3
sale 900001 3002 > "$work/sales"
"$millstream" produce sales --bootstrap "$broker" --key-separator $'\t' --file "$work/sales" > "$work/produce.log" || fail "producing sales"
until_out sold $((n + 6))
grep -q '"n":900001,' "$work/sold" || fail "a sale that failed is taken for a repeat when it comes again"
echo "look-ups ok: $n sales, $asked keys asked, one outage"
