import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.serialization.*;

/** Copies a topic through transactions, one of them taken back, and is fenced; prints what came of it. */
public class Transactions {
    static String bootstrap;

    static KafkaProducer<String, String> producer(String id) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("transactional.id", id);
        p.put("key.serializer", StringSerializer.class.getName());
        p.put("value.serializer", StringSerializer.class.getName());
        return new KafkaProducer<>(p);
    }

    static KafkaConsumer<String, String> consumer(String group, String protocol) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("group.id", group);
        p.put("group.protocol", protocol);
        p.put("isolation.level", "read_committed");
        p.put("auto.offset.reset", "earliest");
        p.put("enable.auto.commit", "false");
        p.put("max.poll.records", "20");
        p.put("key.deserializer", StringDeserializer.class.getName());
        p.put("value.deserializer", StringDeserializer.class.getName());
        return new KafkaConsumer<>(p);
    }

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        String in = args[1], out = args[2];
        for (String protocol : List.of("classic", "consumer")) {
            String target = out + "-" + protocol;
            try (var first = producer(target); var reader = consumer(target, protocol)) {
                first.initTransactions();
                reader.subscribe(List.of(in));
                int copied = 0, round = 0;
                long end = System.currentTimeMillis() + 60_000;
                while (copied < 100 && System.currentTimeMillis() < end) {
                    var records = reader.poll(Duration.ofMillis(200));
                    if (records.isEmpty()) continue;
                    first.beginTransaction();
                    Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
                    for (var r : records) {
                        first.send(new ProducerRecord<>(target, r.key(), r.value()));
                        offsets.put(new TopicPartition(r.topic(), r.partition()), new OffsetAndMetadata(r.offset() + 1));
                    }
                    first.sendOffsetsToTransaction(offsets, reader.groupMetadata());
                    if (round++ == 1) {
                        first.abortTransaction();
                        for (var e : reader.committed(reader.assignment()).entrySet()) {
                            if (e.getValue() == null) reader.seekToBeginning(List.of(e.getKey()));
                            else reader.seek(e.getKey(), e.getValue());
                        }
                    } else {
                        first.commitTransaction();
                        copied += records.count();
                    }
                }
                System.out.println(protocol + " copied " + copied);
                first.beginTransaction();
                first.send(new ProducerRecord<>(target, "zombie", "zombie"));
                first.flush();
                try (var second = producer(target)) {
                    second.initTransactions();
                    try {
                        first.commitTransaction();
                        System.out.println(protocol + " the first producer was not fenced");
                    } catch (ProducerFencedException | InvalidProducerEpochException e) {
                        System.out.println(protocol + " the first producer is fenced");
                    }
                    second.beginTransaction();
                    second.send(new ProducerRecord<>(target, "last", "last"));
                    second.commitTransaction();
                }
            }
            try (var check = consumer(target + "-check", protocol)) {
                check.subscribe(List.of(target));
                List<String> got = new ArrayList<>();
                long end = System.currentTimeMillis() + 30_000;
                while (got.size() < 101 && System.currentTimeMillis() < end)
                    for (var r : check.poll(Duration.ofMillis(200))) got.add(r.value());
                for (var r : check.poll(Duration.ofMillis(500))) got.add(r.value());
                System.out.println(protocol + " read " + got.size() + ", distinct " + new HashSet<>(got).size()
                    + ", zombie " + got.contains("zombie") + ", last " + got.contains("last"));
            }
        }
        System.exit(0);
    }
}
