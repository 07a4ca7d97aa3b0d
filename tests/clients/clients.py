"""Produces and reads back with a Python client; prints what came of it. usage: clients.py LIBRARY BOOTSTRAP TOPIC"""
import asyncio
import sys
import time

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
library, bootstrap, topic = sys.argv[1:4]


def values(codec):
    return [f"{codec}-{i:02}" for i in range(20)]


EXPECTED = sorted(v for codec in CODECS for v in values(codec))


def told(got):
    print(library, "read", len(got), "of", len(EXPECTED), "same:", sorted(got) == EXPECTED)


def kafka_python():
    from kafka import KafkaConsumer, KafkaProducer

    for codec in CODECS:
        producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all",
                                 compression_type=None if codec == "none" else codec)
        for value in values(codec):
            producer.send(topic, key=value.encode(), value=value.encode())
        producer.flush()
        producer.close()
    got = []
    # The second one begins where the first has committed. The first has to join, and to find something.
    for idle_ms in [20_000, 4_000]:
        consumer = KafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=topic + "-group",
                                 auto_offset_reset="earliest", enable_auto_commit=False, consumer_timeout_ms=idle_ms)
        for message in consumer:
            got.append(message.value.decode())
            if len(got) == len(EXPECTED):
                break
        consumer.commit()
        consumer.close()
    told(got)


def confluent():
    from confluent_kafka import Consumer, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions

    for codec in CODECS:
        producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "enable.idempotence": True})
        for value in values(codec):
            producer.produce(topic, key=value, value=value)
        producer.flush(30)
    for protocol in ["classic", "consumer"]:
        consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"{topic}-{protocol}",
                             "group.protocol": protocol, "auto.offset.reset": "earliest",
                             "enable.auto.commit": False})
        consumer.subscribe([topic])
        got = []
        for _ in range(300):
            message = consumer.poll(0.1)
            if message is not None and not message.error():
                got.append(message.value().decode())
            if len(got) >= len(EXPECTED):
                break
        consumer.commit(asynchronous=False)
        consumer.close()
        print(protocol, end=" ")
        told(got)
    # A transaction that is taken back, and one that counts, with positions in it.
    out = topic + "-txn"
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": out})
    producer.init_transactions(30)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": out, "enable.auto.commit": False})
    consumer.subscribe([topic])
    # A member that is about to join has no generation yet, and its positions would be refused.
    deadline = time.monotonic() + 60
    while not consumer.assignment():
        if time.monotonic() > deadline:
            sys.exit("no partition was assigned within a minute")
        consumer.poll(0.1)
    for kept in [False, True]:
        producer.begin_transaction()
        producer.produce(out, value=f"kept {kept}")
        producer.send_offsets_to_transaction([TopicPartition(topic, 0, 7 if kept else 3)],
                                             consumer.consumer_group_metadata(), 30)
        producer.flush(30)
        producer.commit_transaction(30) if kept else producer.abort_transaction(30)
    consumer.close()
    for isolation in ["read_committed", "read_uncommitted"]:
        reader = Consumer({"bootstrap.servers": bootstrap, "group.id": f"{out}-{isolation}",
                           "auto.offset.reset": "earliest", "isolation.level": isolation,
                           "enable.auto.commit": False,
                           "enable.partition.eof": True})
        reader.assign([TopicPartition(out, 0, 0)])
        got = []
        while True:
            message = reader.poll(10)
            if message is None or message.error():
                break
            got.append(message.value().decode())
        print(library, isolation, got)
        if isolation == "read_committed":
            committed = Consumer({"bootstrap.servers": bootstrap, "group.id": out})
            print(library, "position", committed.committed([TopicPartition(topic, 0)], 30)[0].offset)
            committed.close()
        reader.close()
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_partitions([NewPartitions(topic, 5)])[topic].result(30)
    configs = admin.describe_configs([ConfigResource("topic", topic)])
    config = next(iter(configs.values())).result(30)
    print(library, "lists the topic", topic in admin.list_topics(timeout=30).topics)
    print(library, "cleanup.policy", config["cleanup.policy"].value)
    groups = admin.list_consumer_groups().result().valid
    print(library, "groups", sorted(g.group_id[len(topic):] for g in groups if g.group_id.startswith(topic)))


async def aio():
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    for codec in CODECS:
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True,
                                    compression_type=None if codec == "none" else codec)
        await producer.start()
        for value in values(codec):
            await producer.send_and_wait(topic, value.encode(), key=value.encode())
        await producer.stop()
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=topic + "-group",
                                auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    got = []
    while len(got) < len(EXPECTED):
        batch = await asyncio.wait_for(consumer.getmany(timeout_ms=500), 30)
        got.extend(m.value.decode() for messages in batch.values() for m in messages)
    await consumer.commit()
    await consumer.stop()
    told(got)


if library == "kafka-python":
    kafka_python()
elif library == "confluent-kafka":
    confluent()
else:
    asyncio.run(aio())
