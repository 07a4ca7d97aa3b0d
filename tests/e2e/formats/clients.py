"""Stock Python clients of a schema registry: writes drawn sales to a topic in a format, and reads a topic back.

Owns: the sales, their form in each format, the one JSON form in which rows are printed. Never enters: what a test expects
of a pipeline, starting brokers or registries. The same seed draws the same sales whatever the format; a line of CSV lacks the
columns that have no form there, a record of Arrow has many sales.
"""
import argparse
import base64
import importlib
import io
import itertools
import json
import os
import random
import re
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from decimal import Decimal

HERE = os.path.dirname(os.path.abspath(__file__))
REGISTERED = ["avro", "protobuf", "json"]
FORMATS = REGISTERED + ["avro-plain", "protobuf-plain", "csv", "arrow"]
SUFFIX = {"avro": ".avsc", "protobuf": ".proto", "json": ".schema.json"}
PLAIN_COLUMNS = ["order_id", "store_id", "at", "amount", "channel", "quantity", "note"]

# Sales.
FIRST = datetime(2026, 1, 5, tzinfo=timezone.utc)
TEXTS = ["", "gift", "two of them, please", 'said "now"', "a line\nand another", "naïve ☂", " spaces ", "null", "0", "\\n"]
CITIES = ["Graz", "Åre", "São Paulo", "東京", ""]
TAGS = ["new", "sale", "naïve", "", "a,b"]
INT_ENDS = [-(2**31), -1, 0, 2**31 - 1]
CENTS_ENDS = [-(10**18) + 1, -1, 0, 5, 10**18 - 1]


def sales(count, seed, version):
    """Some of each kind of value that a format may get wrong: nulls beside empty texts, ends of ranges, negative cents."""
    draw = random.Random(seed)

    def maybe(values):
        return None if draw.random() < 0.3 else draw.choice(values)

    for i in range(count):
        cents = draw.choice(CENTS_ENDS) if draw.random() < 0.1 else draw.randint(-2_000, 100_000)
        row = {
            "order_id": f"order-{seed}-{i:06}",
            "store_id": f"S{draw.randint(1, 20):03}",
            "at": FIRST + timedelta(milliseconds=i * 977 + draw.randint(0, 2_000)),
            "amount": Decimal(cents).scaleb(-2),
        }
        channel = maybe(["web", "shop", ""])
        if version == 2:
            row["channel"] = channel
        row["quantity"] = draw.choice(INT_ENDS) if draw.random() < 0.1 else draw.randint(1, 50)
        row["note"] = maybe(TEXTS)
        row["tags"] = [draw.choice(TAGS) for _ in range(draw.randint(0, 3))]
        row["customer"] = {"name": f"Customer {draw.randint(1, 500)}", "city": maybe(CITIES)}
        yield row


# The JSON form of rows.
def instant(at):
    at = at.astimezone(timezone.utc).replace(tzinfo=None)
    return at.isoformat(timespec="milliseconds" if at.microsecond % 1000 == 0 else "microseconds") + "Z"


def shown(value):
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict):
        return {name: shown(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [shown(one) for one in value]
    return value


def with_instant(row):
    """A row whose `at` came as text, in the one form of it."""
    return {**row, "at": datetime.fromisoformat(row["at"])} if isinstance(row.get("at"), str) else row


# Formats: each gives a function from a row to bytes and one from bytes to a row.
def csv_codec(version):
    # A null is an empty field without quotes; an empty text has quotes.
    columns = [name for name in PLAIN_COLUMNS if version == 2 or name != "channel"]
    cell = re.compile(r'(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\Z)')

    def field(value):
        if value is None:
            return ""
        text = str(value)
        return '"' + text.replace('"', '""') + '"' if text == "" or re.search(r'[",\r\n]', text) else text

    def encode(row):
        return ",".join(field(shown(row[name])) for name in columns).encode()

    def decode(data):
        text, at, values, separators = data.decode(), 0, [], []
        for _ in columns:
            found = cell.match(text, at)
            if not found:
                raise ValueError("not a line of CSV")
            quoted, plain, separator = found.groups()
            values.append(quoted.replace('""', '"') if quoted is not None else plain or None)
            separators.append(separator)
            at = found.end()
        if separators != [","] * (len(columns) - 1) + [""]:
            raise ValueError(f"not a line of {len(columns)} fields")
        row = with_instant(dict(zip(columns, values)))
        row["quantity"] = int(row["quantity"])
        return row

    return encode, decode


def avro_plain_codec(path):
    import fastavro

    schema = fastavro.schema.load_schema(path)

    def encode(row):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, row)
        return out.getvalue()

    def decode(data):
        read = io.BytesIO(data)
        row = fastavro.schemaless_reader(read, schema)
        if read.read(1):
            raise ValueError("bytes behind the record")
        return row

    return encode, decode


def arrow_codec():
    """Of lists of rows. What is written has other types than the columns of a pipeline, where no digit is lost, a column that
    none names, two batches in a record and each compression."""
    import pyarrow as pa

    schema = pa.schema([
        ("order_id", pa.large_string()),
        ("store_id", pa.dictionary(pa.int8(), pa.string())),
        ("at", pa.timestamp("us", tz="Asia/Kolkata")),
        ("took", pa.duration("ms")),
        ("amount", pa.decimal128(24, 4)),
        ("quantity", pa.int32()),
        ("note", pa.string()),
        ("tags", pa.large_list(pa.string())),
        ("customer", pa.struct([("city", pa.string()), ("name", pa.string()), ("age", pa.int16())])),
    ])

    def encode(rows):
        table = pa.Table.from_pylist(rows, schema=schema)
        out = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression=[None, "lz4", "zstd"][len(rows) % 3])
        with pa.ipc.new_stream(out, schema, options=options) as writer:
            writer.write_table(table, max_chunksize=len(rows) // 2 + 1)
        return out.getvalue().to_pybytes()

    def decode(data):
        with pa.ipc.open_stream(data) as reader:
            return reader.read_all().to_pylist()

    return encode, decode


def protoc(path, *arguments):
    import grpc_tools
    from grpc_tools import protoc as compiler

    well_known = os.path.join(os.path.dirname(grpc_tools.__file__), "_proto")
    if compiler.main(["protoc", "-I" + os.path.dirname(path), "-I" + well_known, *arguments, path]) != 0:
        raise SystemExit(f"FAIL: protoc refuses {path}")


def message_class(path, name):
    with tempfile.TemporaryDirectory() as folder:
        protoc(os.path.abspath(path), "--python_out=" + folder)
        [made] = os.listdir(folder)
        sys.path.insert(0, folder)
        module = importlib.import_module(made.removesuffix(".py"))
        sys.path.remove(folder)
    return getattr(module, name)


def to_message(made, row):
    def fields(values):
        out = {}
        for name, value in values.items():
            if isinstance(value, datetime):
                millis = (value - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(milliseconds=1)
                out[name] = {"seconds": millis // 1000, "nanos": millis % 1000 * 1_000_000}
            elif isinstance(value, dict):
                out[name] = fields(value)
            elif value is not None:
                out[name] = shown(value)
        return out

    return made(**fields(row))


def from_message(message):
    if message.DESCRIPTOR.full_name == "google.protobuf.Timestamp":
        if message.nanos % 1000:
            raise ValueError(f"a time of nanoseconds: {message}")
        return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(
            seconds=message.seconds, microseconds=message.nanos // 1000)
    row = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.has_presence and not message.HasField(field.name):
            value = None
        elif field.message_type is not None:
            value = [from_message(one) for one in value] if field.is_repeated else from_message(value)
        elif field.is_repeated:
            value = list(value)
        row[field.name] = value
    return row


def protobuf_plain_codec(path, name):
    made = message_class(path, name)
    return lambda row: to_message(made, row).SerializeToString(), lambda data: from_message(made.FromString(data))


def registry_client(url, proto_text):
    from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

    class Client(SchemaRegistryClient):
        """The stock client, but for Protobuf. The stock one registers a descriptor in base64 and asks for one again; with
        `proto_text` it registers that text instead, as other languages' clients do. The registry of the tests keeps what it
        was given, and its answer to `format=serialized` cannot be used, so that a text is compiled here."""

        def register_schema_full_response(self, subject, schema, normalize_schemas=False):
            if proto_text is not None and schema.schema_type == "PROTOBUF":
                schema = Schema(proto_text, "PROTOBUF", schema.references)
            return super().register_schema_full_response(subject, schema, normalize_schemas)

        def get_schema(self, schema_id, subject_name=None, fmt=None, reference_format=None):
            schema = super().get_schema(schema_id, subject_name)
            if fmt != "serialized" or "{" not in schema.schema_str:
                return schema
            if schema_id in compiled:
                return compiled[schema_id]
            from google.protobuf import descriptor_pb2

            with tempfile.TemporaryDirectory() as folder:
                path, out = os.path.join(folder, "registered.proto"), os.path.join(folder, "out")
                with open(path, "w", encoding="utf-8") as file:
                    file.write(schema.schema_str)
                protoc(path, "--descriptor_set_out=" + out)
                with open(out, "rb") as file:
                    [one] = descriptor_pb2.FileDescriptorSet.FromString(file.read()).file
            descriptor = base64.b64encode(one.SerializeToString()).decode()
            compiled[schema_id] = Schema(descriptor, "PROTOBUF", schema.references)
            return compiled[schema_id]

    compiled = {}
    # In seconds; without it, the library waits for an answer for ever.
    return Client({"url": url, "timeout": 20})


def registered_codec(args, path):
    """By the stock serializers and deserializers."""
    from confluent_kafka.schema_registry import topic_subject_name_strategy
    from confluent_kafka.serialization import MessageField, SerializationContext

    with open(path, encoding="utf-8") as file:
        schema = file.read()
    client = registry_client(args.registry, schema if args.register == "text" else None)
    # Said, since the library's own default asks for a route that the registry of the tests lacks and at times never answers.
    conf = {"subject.name.strategy": topic_subject_name_strategy}
    context = SerializationContext(args.topic, MessageField.VALUE)
    if args.format == "avro":
        from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer

        # Without a schema of its own, the deserializer reads each record as it was written.
        write, read = AvroSerializer(client, schema, conf=conf), AvroDeserializer(client, conf=conf)
        return lambda row: write(row, context), lambda data: read(data, context)
    if args.format == "json":
        import simplejson
        from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer

        write = JSONSerializer(schema, client, conf=conf, json_encode=lambda row: simplejson.dumps(row, use_decimal=True))
        read = JSONDeserializer(None, schema_registry_client=client, conf=conf,
                                json_decode=lambda data: simplejson.loads(data, use_decimal=True))
        return (lambda row: write({**row, "at": instant(row["at"])}, context),
                lambda data: with_instant(read(data, context)))
    from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer

    made = message_class(path, args.message)
    write, read = ProtobufSerializer(made, client, conf), ProtobufDeserializer(made, conf, client)
    return lambda row: write(to_message(made, row), context), lambda data: from_message(read(data, context))


def codec(args):
    if args.format == "csv":
        return csv_codec(args.schema_version)
    if args.format == "arrow":
        return arrow_codec()
    kind = args.format.removesuffix("-plain")
    stem = "sale" if args.schema_version == 1 else "sale-2"
    path = args.schema or os.path.join(HERE, stem + SUFFIX[kind])
    if args.format == "avro-plain":
        return avro_plain_codec(path)
    if args.format == "protobuf-plain":
        return protobuf_plain_codec(path, args.message)
    if not args.registry:
        raise SystemExit(f"FAIL: the format {args.format} needs --registry")
    return registered_codec(args, path)


def columns_of(args, row):
    return {name: row[name] for name in PLAIN_COLUMNS if name in row} if args.format == "csv" else row


def tell(row):
    print(json.dumps(shown(row), ensure_ascii=False))


def records(args, encode):
    """Keys and values, each with its rows."""
    rows = sales(args.count, args.seed, args.schema_version)
    if args.format != "arrow":
        for row in rows:
            yield row["order_id"].encode(), encode(row), [row]
        return
    draw = random.Random(args.seed)
    while some := list(itertools.islice(rows, draw.choice([1, 2, 50, 300]))):
        yield None, encode(some), some


def produce(args):
    from confluent_kafka import Producer

    encode, _ = codec(args)
    producer = Producer({"bootstrap.servers": args.bootstrap, "enable.idempotence": True, "linger.ms": 20})
    sent = []
    refused = []

    def answered(rows):
        return lambda error, _: refused.append(str(error)) if error else sent.extend(rows)

    for key, value, rows in records(args, encode):
        while True:
            try:
                producer.produce(args.topic, key=key, value=value, on_delivery=answered(rows))
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush(args.timeout)
    for row in sent:
        tell(columns_of(args, row))
    if refused or len(sent) != args.count:
        raise SystemExit(f"FAIL: {len(sent)} of {args.count} rows were taken; {(refused or ['no answer'])[0]}")


def consume(args):
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

    _, decode = codec(args)
    consumer = Consumer({"bootstrap.servers": args.bootstrap, "group.id": "formats-clients", "enable.auto.commit": False,
                         "isolation.level": "read_committed"})
    try:
        topic = consumer.list_topics(args.topic, args.timeout).topics[args.topic]
        if topic.error or not topic.partitions:
            raise SystemExit(f"FAIL: topic {args.topic}: {topic.error or 'it has no partitions'}")
        consumer.assign([TopicPartition(args.topic, one, OFFSET_BEGINNING) for one in topic.partitions])
        got = 0
        while got < args.count:
            message = consumer.poll(args.timeout)
            if message is None or message.error():
                why = message.error() if message else f"nothing more for {args.timeout} s"
                raise SystemExit(f"FAIL: {got} of {args.count} rows were read; {why}")
            try:
                rows = decode(message.value())
                rows = rows if args.format == "arrow" else [rows]
                for row in rows:
                    tell(row)
                got += len(rows)
            except Exception as error:
                where = f"partition {message.partition()} offset {message.offset()}"
                raise SystemExit(f"FAIL: {where} is not {args.format}: {error!r}; {message.value()!r}") from error
    finally:
        consumer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for name, run in [("produce", produce), ("consume", consume)]:
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("--bootstrap", required=True)
        command.add_argument("--registry", help="the base URL of the schema registry; for avro, protobuf and json")
        command.add_argument("--topic", required=True)
        command.add_argument("--format", required=True, choices=FORMATS)
        command.add_argument("--count", required=True, type=int)
        command.add_argument("--schema-version", type=int, choices=[1, 2], default=1)
        command.add_argument("--schema", help="a schema's file in place of that of the schema version")
        command.add_argument("--message", default="Sale", help="the message's name in a .proto")
        command.add_argument("--timeout", type=float, default=30, help="seconds without an answer after which it gives up")
        if run is produce:
            command.add_argument("--seed", type=int, default=1)
            command.add_argument("--register", choices=["descriptor", "text"], default="descriptor",
                                 help="how a .proto is registered: as this library does, or as its text")
        else:
            command.set_defaults(register="descriptor")
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
