// Asks Apache Kafka's own generated classes what they make of a corpus that examples/corpus.rs wrote: they must read
// every message to its end and write the same bytes, or refuse where this project's code refuses.
//
//   cargo run -p millstream-wire --example corpus > corpus.txt
//   java -cp 'JARS/*' broker/wire/judge/Judge.java JARS corpus.txt
//
// JARS is a directory with the 4.4.0 jars of org.apache.kafka: kafka-clients, kafka-group-coordinator, kafka-metadata,
// kafka-raft, kafka-server-common, kafka-share-coordinator, kafka-storage, kafka-transaction-coordinator; and slf4j-api.

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;
import java.util.jar.JarFile;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;

public class Judge {
    public static void main(String[] args) throws Exception {
        Map<String, Class<?>> classes = classes(Path.of(args[0]));
        int same = 0;
        int refused = 0;
        Map<String, String> wrong = new TreeMap<>();
        for (String line : Files.readAllLines(Path.of(args[1]))) {
            String[] words = line.split(" ", -1);
            Class<?> type = classes.getOrDefault(words[0] + "Data", classes.get(words[0]));
            short from = Short.parseShort(words[1]);
            short to = Short.parseShort(words[2]);
            String context = words[0] + " " + from + " to " + to;
            if (type == null) {
                wrong.putIfAbsent(context, "no such class");
                continue;
            }
            Message message = (Message) type.getDeclaredConstructor().newInstance();
            ByteBuffer input = ByteBuffer.wrap(HexFormat.of().parseHex(words[3]));
            try {
                message.read(new ByteBufferAccessor(input), from);
            } catch (RuntimeException e) {
                wrong.putIfAbsent(context, "reading " + words[3] + ": " + e);
                continue;
            }
            if (input.hasRemaining()) {
                wrong.putIfAbsent(context, "reading " + words[3] + ": " + input.remaining() + " bytes left");
                continue;
            }
            String written = write(message, to);
            if (!written.equals(words[4])) {
                wrong.putIfAbsent(context, "theirs " + written + "\n  ours " + words[4]);
            } else if (written.equals("error")) {
                refused++;
            } else {
                same++;
            }
        }
        wrong.forEach((context, what) -> System.out.println(context + ": " + what));
        System.out.println(same + " the same, " + refused + " refused by both, " + wrong.size() + " wrong");
        System.exit(wrong.isEmpty() && same > 0 ? 0 : 1);
    }

    private static String write(Message message, short version) {
        if (version < message.lowestSupportedVersion() || version > message.highestSupportedVersion()) {
            return "error";
        }
        try {
            ObjectSerializationCache cache = new ObjectSerializationCache();
            byte[] bytes = new byte[message.size(cache, version)];
            message.write(new ByteBufferAccessor(ByteBuffer.wrap(bytes)), cache, version);
            return HexFormat.of().formatHex(bytes);
        } catch (RuntimeException e) {
            return "error";
        }
    }

    private static Map<String, Class<?>> classes(Path jars) throws Exception {
        Map<String, Class<?>> found = new HashMap<>();
        for (Path path : Files.list(jars).toList()) {
            if (!path.getFileName().toString().startsWith("kafka-")) {
                continue;
            }
            try (JarFile jar = new JarFile(path.toFile())) {
                for (String name : jar.stream().map(entry -> entry.getName()).toList()) {
                    boolean generated = Arrays.asList("/common/message/", "/common/metadata/", "/generated/").stream()
                        .anyMatch(name::contains);
                    if (!generated || !name.endsWith(".class") || name.contains("$")) {
                        continue;
                    }
                    Class<?> type;
                    try {
                        type = Class.forName(name.substring(0, name.length() - 6).replace('/', '.'));
                    } catch (LinkageError e) {
                        continue; // It needs a jar that this does not, so it is no message.
                    }
                    if (Message.class.isAssignableFrom(type)) {
                        found.put(type.getSimpleName(), type);
                    }
                }
            }
        }
        return found;
    }
}
