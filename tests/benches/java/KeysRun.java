import io.confluent.parallelconsumer.*;
import io.confluent.parallelconsumer.ParallelConsumerOptions.*;
import java.io.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.serialization.*;

/**
 * parallel-consumer working off one partition in the order of its keys. One process for all rounds, so that it is
 * warm.
 *
 * <p>Argument: bootstrap servers. Each line of the input is `MODE IN OUT GROUP RECORDS`, the mode being `async` or
 * `tx`; the answer is `done SECONDS`, from the first start of work to the last end, or an exception.
 */
public class KeysRun {
  static final int CONCURRENCY = 100;

  public static void main(String[] arguments) throws Exception {
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    for (String line; (line = commands.readLine()) != null; ) {
      String[] words = line.split(" ");
      double seconds = run(arguments[0], words[0].equals("tx"), words[1], words[2], words[3], Integer.parseInt(words[4]));
      System.out.printf(Locale.ROOT, "done %.4f%n", seconds);
      System.out.flush();
    }
  }

  static double run(String servers, boolean tx, String in, String out, String group, int records) throws Exception {
    var options = ParallelConsumerOptions.<String, byte[]>builder()
        .ordering(ProcessingOrder.KEY).maxConcurrency(CONCURRENCY).consumer(consumer(servers, group));
    if (tx) options.producer(producer(servers, group)).commitMode(CommitMode.PERIODIC_TRANSACTIONAL_PRODUCER);
    else options.commitMode(CommitMode.PERIODIC_CONSUMER_ASYNCHRONOUS);
    ParallelStreamProcessor<String, byte[]> processor = ParallelStreamProcessor.createEosStreamProcessor(options.build());
    processor.subscribe(List.of(in));
    Work work = new Work(records);
    if (tx) {
      processor.pollAndProduce(context -> {
        work.accept(context);
        var record = context.getSingleConsumerRecord();
        return new ProducerRecord<>(out, record.key(), record.value());
      }, result -> {});
    } else processor.poll(work);
    work.done.await();
    processor.closeDrainFirst(Duration.ofSeconds(30));
    if (work.outOfOrder.get() > 0) throw new IllegalStateException(work.outOfOrder + " records out of order");
    return (work.last - work.first) / 1e9;
  }

  static KafkaConsumer<String, byte[]> consumer(String servers, String group) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", servers);
    settings.put("group.id", group);
    settings.put("enable.auto.commit", "false");
    settings.put("auto.offset.reset", "earliest");
    settings.put("isolation.level", "read_committed");
    return new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer());
  }

  static KafkaProducer<String, byte[]> producer(String servers, String group) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", servers);
    settings.put("transactional.id", group);
    return new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer());
  }

  static class Work implements Consumer<PollContext<String, byte[]>> {
    final int records;
    final CountDownLatch done = new CountDownLatch(1);
    final AtomicInteger count = new AtomicInteger();
    final AtomicInteger outOfOrder = new AtomicInteger();
    final ConcurrentHashMap<String, Long> lastOf = new ConcurrentHashMap<>();
    final AtomicBoolean begun = new AtomicBoolean();
    volatile long first, last;

    Work(int records) {
      this.records = records;
    }

    public void accept(PollContext<String, byte[]> context) {
      if (!begun.get() && begun.compareAndSet(false, true)) first = System.nanoTime();
      var record = context.getSingleConsumerRecord();
      sleep(nanosOf(Long.parseLong(record.key().substring(4)), record.offset()));
      Long before = lastOf.put(record.key(), record.offset());
      if (before != null && before >= record.offset()) outOfOrder.incrementAndGet();
      if (count.incrementAndGet() == records) {
        last = System.nanoTime();
        done.countDown();
      }
    }
  }

  static void sleep(long nanos) {
    long end = System.nanoTime() + nanos;
    for (long left; (left = end - System.nanoTime()) > 0; ) LockSupport.parkNanos(left);
  }

  /** As in keys/work.rs: 0 to 5 ms, by SplitMix64. */
  static long nanosOf(long key, long offset) {
    return Long.remainderUnsigned(splitmix(splitmix(key * 1_000_003L) + offset ^ 20260101L), 5_000_000L);
  }

  static long splitmix(long z) {
    z += 0x9E3779B97F4A7C15L;
    z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
    z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
    return z ^ (z >>> 31);
  }
}
