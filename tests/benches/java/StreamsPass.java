import java.io.*;
import java.time.*;
import java.util.*;
import java.util.concurrent.atomic.*;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.*;

/**
 * Kafka Streams copying a topic with exactly_once_v2. One process for all rounds, so that it is warm.
 *
 * <p>Arguments: bootstrap servers, state directory. Each line of the input is `IN OUT APPLICATION`; the answer is
 * `first MILLIS` when the first record was read. The next line, whatever it is, ends that pass, which is answered
 * by `closed`.
 */
public class StreamsPass {
  public static void main(String[] arguments) throws Exception {
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    for (String line; (line = commands.readLine()) != null; ) {
      String[] words = line.split(" ");
      try (KafkaStreams streams = start(arguments[0], arguments[1], words[0], words[1], words[2])) {
        commands.readLine();
        streams.close(Duration.ofSeconds(30));
      }
      say("closed");
    }
  }

  static KafkaStreams start(String servers, String state, String in, String out, String application) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", servers);
    settings.put("application.id", application);
    settings.put("processing.guarantee", "exactly_once_v2");
    settings.put("commit.interval.ms", "100");
    settings.put("num.stream.threads", "2");
    settings.put("state.dir", state);
    settings.put("replication.factor", "1");
    settings.put("producer.batch.size", "1000000");
    settings.put("producer.buffer.memory", "134217728");
    settings.put("consumer.max.poll.records", "10000");
    AtomicBoolean begun = new AtomicBoolean();
    StreamsBuilder builder = new StreamsBuilder();
    builder.stream(in, Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
        .peek((key, value) -> {
          if (!begun.get() && begun.compareAndSet(false, true)) say("first " + System.currentTimeMillis());
        })
        .to(out, Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));
    KafkaStreams streams = new KafkaStreams(builder.build(), settings);
    streams.setUncaughtExceptionHandler(error -> {
      error.printStackTrace();
      System.exit(1);
      return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
    });
    streams.start();
    return streams;
  }

  static synchronized void say(String line) {
    System.out.println(line);
    System.out.flush();
  }
}
