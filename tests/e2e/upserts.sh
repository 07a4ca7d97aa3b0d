#!/usr/bin/env bash
# Rows that take the place of each other, and rows that go. A topic of products with changes of each, and records without a value that take
# products away, is read by two workers of which one is killed with SIGKILL again and again. Products move from category to category: what is
# counted and summed up by category, over a topic with one row for each product and category, goes to a table and to a compacted topic, from
# which a category vanishes with its last product; categories with many products go to a table of their own, and leave it when they have few;
# so is what is counted over the products themselves, divided by category;
# the three dearest products of each category are in a table, with their places;
# products are joined with who looks after their category, which changes too, and so are joined anew;
# products with a high price are copied into a table and a topic, and leave them when their price falls. Then more changes come, and a later
# run goes on from there. All of them equal a recount of the products that are left. The table of products is in PostgreSQL where its server is
# installed, else in SQLite. N changes, SEED, KILLS; MILLSTREAM names the program. BROKER=host:port is another cluster (Apache Kafka), fresh for
# each call.
. "$(dirname "$0")/lib.sh"
n="${N:-40000}" seed="${SEED:-1}" kills="${KILLS:-3}"
work="$(mktemp -d)"
chmod 755 "$work"
pids=()
pg=""
trap 'set +e; kill -9 "${pids[@]}" $pg 2> /dev/null; wait 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL: $1 (SEED=$seed)"; tail -n 20 "$work"/*.log "$work"/*.err; exit 1; }
pg_bin="${MILLSTREAM_PG_BIN:-$(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | sort -V | tail -1 || true)}"
dear="sqlite:$work/dear.db"
if [ -x "$pg_bin/postgres" ]; then
    make_postgres "$work/postgres"
    start_postgres "$work/postgres"
    dear="postgres://postgres@127.0.0.1:$pg_port/postgres"
fi
cat > "$work/shop.yaml" << X
version: 1
name: shop
broker: \${env:BROKER}
egress: { allow: ["127.0.0.1/32"] }
schemas:
  product:
    fields:
      id:       { type: string, required: true }
      category: { type: string, required: true }
      price:    { type: decimal, precision: 12, scale: 2, required: true }
  owner:
    fields:
      category: { type: string, required: true }
      name:     { type: string, required: true }
topics:
  products:    { partitions: 4, key: id }
  by_category: { partitions: 3, key: category }
  categories:  { partitions: 2, key: category, cleanup: compact }
  dear:        { partitions: 2, key: id, cleanup: compact }
  moved:       { partitions: 3, key: category }
  owners:      { partitions: 3, key: category }
sources:
  products: { type: topic, topic: products, schema: product, upsert: true, until: end }
  owners:   { type: topic, topic: owners, schema: owner, upsert: true, until: end }
transforms:
  placed:
    type: sql
    inputs: [products]
    sql: SELECT id, category, COUNT(*) AS n, SUM(price) AS price FROM products GROUP BY id, category
    emit: { on_update: 50ms }
  by_category: { type: topic, inputs: [placed], topic: by_category }
  counted:
    type: sql
    inputs: [by_category]
    sql: SELECT category, SUM(n) AS n, SUM(price) AS total, MAX(price) AS most FROM by_category GROUP BY category
    emit: { on_update: 100ms }
  # The products themselves by category: one that moves is taken away where it was.
  moved: { type: topic, inputs: [products], topic: moved }
  again:
    type: sql
    inputs: [moved]
    sql: SELECT category, COUNT(*) AS n, SUM(price) AS total, MAX(price) AS most FROM moved GROUP BY category
    emit: { on_update: 100ms }
  # Each product with who looks after its category, which changes too: a foreign key.
  owned:
    type: sql
    inputs: [moved, owners]
    sql: SELECT p.category, p.id, p.price, o.name FROM moved AS p LEFT JOIN owners AS o ON o.category = p.category AND o.name <> 'nobody' WHERE p.price >= 200
    emit: { on_update: 100ms }
  # The three dearest of each category.
  best:
    type: sql
    inputs: [moved]
    sql: |
      SELECT category, id, price, ROW_NUMBER() OVER (PARTITION BY category ORDER BY price DESC, id) AS place FROM moved
      QUALIFY place <= 3
    emit: { on_update: 100ms }
  large:
    type: sql
    inputs: [counted]
    sql: SELECT category, n FROM counted WHERE n >= 30
  dear:
    type: sql
    inputs: [products]
    sql: SELECT id, category, price FROM products WHERE price >= 500
sinks:
  counted_rows: { type: sqlite, inputs: [counted], path: $work/counted.db, table: counted, mode: upsert, key: [category] }
  again_rows:   { type: sqlite, inputs: [again], path: $work/again.db, table: again, mode: upsert, key: [category] }
  owned_rows:   { type: sqlite, inputs: [owned], path: $work/owned.db, table: owned, mode: upsert, key: [category, id] }
  best_rows:    { type: sqlite, inputs: [best], path: $work/best.db, table: best, mode: upsert, key: [category, id] }
  large_rows:   { type: sqlite, inputs: [large], path: $work/large.db, table: large, mode: upsert, key: [category] }
  dear_rows:    { type: sql_database, inputs: [dear], dsn: "$dear", table: dear, mode: upsert, key: [id] }
  categories:   { type: topic, inputs: [counted], topic: categories }
  dear_topic:   { type: topic, inputs: [dear], topic: dear }
X
python3 - "$n" "$seed" "$work" << 'X'
import collections, random, sys
n, seed, work = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rng = random.Random(seed)
products, owners = {}, {}
def change(out, category):
    key = f"p{rng.randrange(max(n // 20, 20))}"
    if rng.random() < 0.25:
        products.pop(key, None)
        out.write(f"{key}\tGONE\n")
        return
    cents = rng.randrange(1, 100_000)
    products[key] = (category(), cents)
    out.write(f'{key}\t{{"id":"{key}","category":"{products[key][0]}","price":{cents // 100}.{cents % 100:02}}}\n')
for part, count in [("first", n), ("second", n // 4)]:
    with open(f"{work}/{part}", "w") as out:
        # Products that come are in other categories after a while; those that are left behind are emptied bit by bit.
        for at in range(count):
            epoch = at * 8 // count + (0 if part == "first" else 4)
            change(out, lambda: rng.choice([f"c{rng.randrange(12)}", f"e{epoch}-{rng.randrange(6)}"]))
        # And some go with all that is in them.
        for category in ["c1", "c2"] if part == "first" else ["c3", "e6-1"]:
            for key in sorted(key for key, (of, _) in products.items() if of == category):
                del products[key]
                out.write(f"{key}\tGONE\n")
    with open(f"{work}/owners-{part}", "w") as out:
        for at in range(n // 50):
            category = rng.choice([f"c{rng.randrange(12)}", f"e{rng.randrange(12)}-{rng.randrange(6)}"])
            if rng.random() < 0.2:
                owners.pop(category, None)
                out.write(f"{category}\tGONE\n")
                continue
            owners[category] = rng.choice(["Ada", "Bob", "Eve", "nobody"])
            out.write(f'{category}\t{{"category":"{category}","name":"{owners[category]}"}}\n')
    groups = collections.defaultdict(lambda: [0, 0, 0])
    for category, cents in products.values():
        of = groups[category]
        of[0], of[1], of[2] = of[0] + 1, of[1] + cents, max(of[2], cents)
    with open(f"{work}/wanted-{part}", "w") as out:
        for category, (count, total, most) in groups.items():
            for where in ["counted", "again", "topic"]:
                out.write(f"{where} {category} {count} {total / 100:.2f} {most / 100:.2f}\n")
            if count >= 30:
                out.write(f"large {category} {count}\n")
            of_category = [(-cents, key) for key, (of, cents) in products.items() if of == category]
            for place, (cents, key) in enumerate(sorted(of_category)[:3], 1):
                out.write(f"best {category} {key} {-cents / 100:.2f} {place}\n")
        for key, (category, cents) in products.items():
            if cents >= 20_000:
                name = owners.get(category, "nobody").replace("nobody", "-")
                out.write(f"owned {category} {key} {cents / 100:.2f} {name}\n")
            if cents >= 50_000:
                out.write(f"dear {key} {category} {cents / 100:.2f}\n")
                out.write(f"dear-topic {key} {category} {cents / 100:.2f}\n")
X
broker="${BROKER:-}"
if [ -z "$broker" ]; then
    start_broker "$work/broker" --set group.consumer.session.timeout.ms=3000 --set group.consumer.heartbeat.interval.ms=500
    pids+=("$broker_pid")
fi
worker() { # NAME
    BROKER="$broker" "$millstream" run "$work/shop.yaml" --data "$work/data-$1" --instance "$1" --set defaults.commit_interval=50ms \
        --set defaults.snapshot_after=1KiB >> "$work/$1.log" 2>> "$work/$1.err" &
    pids+=($!)
}
records() { # TOPIC
    "$millstream" consume "$1" --bootstrap "$broker" --from beginning --until-end --isolation read_committed --format json > "$work/$1.json" 2> "$work/consume.err" || fail "reading $1"
}
make_topic products --partitions 4 > "$work/create.log"
make_topic owners --partitions 3 >> "$work/create.log"
RANDOM="$seed"
killed=0
for part in first second; do
    "$millstream" produce products --bootstrap "$broker" --key-separator $'\t' --null GONE --file "$work/$part" > "$work/produce.log" || fail "producing"
    "$millstream" produce owners --bootstrap "$broker" --key-separator $'\t' --null GONE --file "$work/owners-$part" > "$work/produce.log" || fail "producing"
    worker a
    a="${pids[-1]}"
    worker b
    b="${pids[-1]}"
    kill_again "$a" "$kills" worker a
    wait "$pid" || fail "the worker that was killed and came back failed"
    wait "$b" || fail "the other worker failed"
    records categories
    records dear
    [ -z "$pg" ] || sql "SELECT id || ' ' || category || ' ' || price FROM dear" > "$work/dear.txt"
    python3 - "$work" << 'X' | sort > "$work/found"
import decimal, json, os, sqlite3, sys
work = sys.argv[1]
def rows(name):
    return sqlite3.connect(f"{work}/{name}.db").execute(f"SELECT * FROM {name}").fetchall()
for name in ["counted", "again"]:
    for category, n, total, most in rows(name):
        print(name, category, n, f"{decimal.Decimal(total):.2f}", f"{decimal.Decimal(most):.2f}")
for category, key, price, name in rows("owned"):
    print("owned", category, key, f"{decimal.Decimal(price):.2f}", name or "-")
for category, key, price, place in rows("best"):
    print("best", category, key, f"{decimal.Decimal(price):.2f}", place)
for category, n in rows("large"):
    print("large", category, n)
if os.path.exists(f"{work}/dear.txt"):
    for line in open(f"{work}/dear.txt"):
        print("dear", line.strip())
else:
    for key, category, price in rows("dear"):
        print("dear", key, category, f"{decimal.Decimal(price):.2f}")
def last(topic):
    found = {}
    for line in open(f"{work}/{topic}.json"):
        record = json.loads(line)
        found[record["key"]] = record["value"]
    return {key: json.loads(value, parse_float=decimal.Decimal) for key, value in found.items() if value is not None}
for category, row in last("categories").items():
    assert category == row["category"], row
    print("topic", category, row["n"], f'{row["total"]:.2f}', f'{row["most"]:.2f}')
for key, row in last("dear").items():
    print("dear-topic", key, row["category"], f'{row["price"]:.2f}')
X
    sort "$work/wanted-$part" > "$work/sorted"
    diff "$work/sorted" "$work/found" > "$work/diff.log" || fail "what is left is not what the recount has: $(head -n 6 "$work/diff.log")"
done
[ "$killed" -gt 0 ] || fail "nothing was killed; take a larger N"
went="$(grep -c '"value":null' "$work/categories.json")" || fail "no category went"
letters="$("$millstream" consume shop-dead_letters --bootstrap "$broker" --from beginning --until-end 2> /dev/null | wc -l)"
[ "$letters" -eq 0 ] || fail "$letters records are in the dead letters"
echo "$n changes and a quarter more, workers killed $killed times: $(wc -l < "$work/found") rows as recounted, categories went $went times"
