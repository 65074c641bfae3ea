//! The queues of a librdkafka client, and what comes out of them; one of the three places that call the C library.
//!
//! The `poll` of rdkafka does not serve here: at the end of a partition it names neither topic nor offset, it
//! panics at a header whose name is not UTF-8, and it answers a rebalance before it returns. So events are taken
//! from the queues themselves.
//!
//! Partitions put their records into a queue apart from the one of the group. That is how a slow reader holds
//! back records without pausing, which would throw away what was fetched, and without missing a rebalance: the
//! records are left in their queue, whose size librdkafka bounds, and the group's is polled on.
//!
//! What must hold: a queue goes before its client (it keeps the client alive), an event goes before its queue
//! (a lifetime), and whatever an event points to goes before it (a lifetime).

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char, c_int};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::Consumer as _;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::context::Consumer;
use super::token;
use crate::record::{Headers, TopicPartition};

/// A queue of a consumer.
pub(super) struct Queue {
    handle: NonNull<sys::rd_kafka_queue_t>,
    consumer: Arc<Consumer>,
}

// SAFETY: librdkafka's queues have locks of their own and may be used from any thread.
unsafe impl Send for Queue {}

impl Queue {
    /// The queue of the group: rebalances, errors, log lines.
    pub(super) fn of_group(consumer: &Arc<Consumer>) -> Option<Self> {
        // SAFETY: the client lives as long as `consumer`.
        let handle = unsafe { sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        Some(Self { handle: NonNull::new(handle)?, consumer: Arc::clone(consumer) })
    }

    /// A new queue, for the records of the partitions that [`Self::gather`] is called for.
    pub(super) fn of_records(consumer: &Arc<Consumer>) -> Option<Self> {
        // SAFETY: as above.
        let handle = unsafe { sys::rd_kafka_queue_new(consumer.client().native_ptr()) };
        Some(Self { handle: NonNull::new(handle)?, consumer: Arc::clone(consumer) })
    }

    /// For calls that answer into it.
    pub(super) fn handle(&self) -> *mut sys::rd_kafka_queue_t {
        self.handle.as_ptr()
    }

    /// Leads what is fetched of a partition into this queue. To be called before each assignment of it: when a
    /// partition is taken away, librdkafka forgets.
    pub(super) fn gather(&self, partition: &TopicPartition) {
        let Ok(topic) = CString::new(&*partition.topic) else { return };
        // SAFETY: the client lives; both handles are valid; the partition's own is let go at once, as the
        // partition itself holds its queue.
        unsafe {
            let native = self.consumer.client().native_ptr();
            let of_partition = sys::rd_kafka_queue_get_partition(native, topic.as_ptr(), partition.partition);
            if !of_partition.is_null() {
                sys::rd_kafka_queue_forward(of_partition, self.handle.as_ptr());
                sys::rd_kafka_queue_destroy(of_partition);
            }
        }
    }

    /// The next event, waiting for it at most this long, in whole milliseconds.
    pub(super) fn poll(&self, timeout: Duration) -> Option<Event<'_>> {
        let timeout_ms = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: the handle is valid; the event is ours, and is destroyed by its `Drop`.
        let event = unsafe { sys::rd_kafka_queue_poll(self.handle.as_ptr(), timeout_ms) };
        // SAFETY: a null event has no type; the client and its event are valid.
        unsafe {
            if sys::rd_kafka_event_type(event) == sys::RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH {
                token::answer(self.consumer.client().native_ptr(), event);
            }
        }
        NonNull::new(event).map(|handle| Event { handle, queue: PhantomData })
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once, and before the client, which `consumer` keeps.
        unsafe { sys::rd_kafka_queue_destroy(self.handle.as_ptr()) }
    }
}

/// The id by which the group knows the consumer; empty where it is in none.
pub(super) fn member_id(consumer: &Consumer) -> String {
    // SAFETY: the client lives; the text is a copy of ours, freed once, by the one who allocated it.
    unsafe {
        let native = consumer.client().native_ptr();
        let id = sys::rd_kafka_memberid(native);
        let copied = text(id).into_owned();
        if !id.is_null() {
            sys::rd_kafka_mem_free(native, id.cast());
        }
        copied
    }
}

/// Something that came out of a queue.
pub(super) struct Event<'q> {
    handle: NonNull<sys::rd_kafka_event_t>,
    queue: PhantomData<&'q Queue>,
}

/// What an event says.
pub(super) enum Content<'e> {
    /// A record.
    Message(Message<'e>),
    /// Everything committed below `offset` was delivered.
    EndOfPartition { partition: TopicPartition, offset: i64 },
    /// The group gives these; the client waits for an answer.
    Assign(Vec<TopicPartition>),
    /// The group takes these; the client waits for an answer.
    Revoke(Vec<TopicPartition>),
    /// Something failed; unless fatal, the client goes on by itself.
    Error { code: RDKafkaErrorCode, fatal: bool, reason: String },
    /// A log line.
    Log { level: RDKafkaLogLevel, facility: String, message: String },
    /// Nothing that matters here.
    Other,
}

impl Event<'_> {
    /// For calls that read answers out of it.
    pub(super) fn handle(&self) -> *mut sys::rd_kafka_event_t {
        self.handle.as_ptr()
    }

    /// What it says.
    pub(super) fn content(&mut self) -> Content<'_> {
        let event = self.handle.as_ptr();
        // SAFETY: the event is valid until it is dropped, and everything borrowed from it ends before.
        unsafe {
            match sys::rd_kafka_event_type(event) {
                sys::RD_KAFKA_EVENT_FETCH => match sys::rd_kafka_event_message_next(event).as_ref() {
                    Some(raw) => Content::Message(Message { raw }),
                    None => Content::Other,
                },
                sys::RD_KAFKA_EVENT_REBALANCE => rebalance(event),
                sys::RD_KAFKA_EVENT_ERROR => error(event),
                sys::RD_KAFKA_EVENT_LOG => log(event),
                _ => Content::Other,
            }
        }
    }
}

impl Drop for Event<'_> {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { sys::rd_kafka_event_destroy(self.handle.as_ptr()) }
    }
}

unsafe fn rebalance<'e>(event: *mut sys::rd_kafka_event_t) -> Content<'e> {
    // SAFETY: the caller's event is a rebalance; its list is valid as long as it.
    let (code, entries) =
        unsafe { (sys::rd_kafka_event_error(event), entries_at(sys::rd_kafka_event_topic_partition_list(event))) };
    let partitions = entries.into_iter().map(|entry| entry.partition).collect();
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Content::Assign(partitions),
        _ => Content::Revoke(partitions),
    }
}

unsafe fn error<'e>(event: *mut sys::rd_kafka_event_t) -> Content<'e> {
    // SAFETY: the caller's event is an error; the partition is a copy, destroyed here.
    unsafe {
        let code = RDKafkaErrorCode::from(sys::rd_kafka_event_error(event));
        if code == RDKafkaErrorCode::PartitionEOF {
            let raw = sys::rd_kafka_event_topic_partition(event);
            let Some(at) = raw.as_ref() else { return Content::Other };
            let partition = TopicPartition::new(text(at.topic).as_ref(), at.partition);
            let offset = at.offset;
            sys::rd_kafka_topic_partition_destroy(raw);
            return Content::EndOfPartition { partition, offset };
        }
        let fatal = sys::rd_kafka_event_error_is_fatal(event) != 0;
        let reason = text(sys::rd_kafka_event_error_string(event)).into_owned();
        Content::Error { code, fatal, reason }
    }
}

unsafe fn log<'e>(event: *mut sys::rd_kafka_event_t) -> Content<'e> {
    let (mut facility, mut message, mut level) = (ptr::null(), ptr::null(), 0);
    // SAFETY: the caller's event is a log line; the texts live as long as it, and are copied.
    unsafe {
        if sys::rd_kafka_event_log(event, &mut facility, &mut message, &mut level) != 0 {
            return Content::Other;
        }
        let level = match level {
            0..=3 => RDKafkaLogLevel::Error,
            4 => RDKafkaLogLevel::Warning,
            5 | 6 => RDKafkaLogLevel::Info,
            _ => RDKafkaLogLevel::Debug,
        };
        Content::Log { level, facility: text(facility).into_owned(), message: text(message).into_owned() }
    }
}

/// The text at `pointer`, which lives at least as long as `'a`; empty at null.
///
/// # Safety
/// A text that ends with a zero, or null; it lives as long as what comes back.
pub(super) unsafe fn text<'a>(pointer: *const c_char) -> Cow<'a, str> {
    if pointer.is_null() {
        return Cow::Borrowed("");
    }
    // SAFETY: librdkafka's texts end with a zero.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy()
}

/// A record, while its event lives.
pub(super) struct Message<'e> {
    raw: &'e sys::rd_kafka_message_t,
}

impl<'e> Message<'e> {
    /// Tells topics apart, as long as one of its records lives; cheaper than the name.
    pub(super) fn topic_handle(&self) -> usize {
        self.raw.rkt.addr()
    }

    pub(super) fn topic(&self) -> Cow<'e, str> {
        // SAFETY: the record holds its topic.
        unsafe { text(sys::rd_kafka_topic_name(self.raw.rkt)) }
    }

    pub(super) fn partition(&self) -> i32 {
        self.raw.partition
    }

    pub(super) fn offset(&self) -> i64 {
        self.raw.offset
    }

    pub(super) fn timestamp_ms(&self) -> i64 {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the record is valid.
        unsafe { sys::rd_kafka_message_timestamp(self.raw, &mut kind) }
    }

    pub(super) fn key(&self) -> Option<&'e [u8]> {
        // SAFETY: librdkafka says where the key is, and how long.
        unsafe { bytes(self.raw.key.cast(), self.raw.key_len) }
    }

    pub(super) fn value(&self) -> Option<&'e [u8]> {
        // SAFETY: as above.
        unsafe { bytes(self.raw.payload.cast(), self.raw.len) }
    }

    /// The headers, copied. A name that is not UTF-8 is read as far as it is.
    pub(super) fn headers(&self) -> Headers {
        let mut headers = Headers::new();
        let mut list = ptr::null_mut();
        // SAFETY: the list, its names and its values live as long as the record.
        unsafe {
            if sys::rd_kafka_message_headers(self.raw, &mut list) != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return headers;
            }
            for index in 0..sys::rd_kafka_header_cnt(list) {
                let (mut name, mut value, mut length) = (ptr::null(), ptr::null(), 0);
                sys::rd_kafka_header_get_all(list, index, &mut name, &mut value, &mut length);
                let value = bytes(value.cast(), length).unwrap_or_default();
                headers.push(text(name).into_owned(), Bytes::copy_from_slice(value));
            }
        }
        headers
    }
}

unsafe fn bytes<'a>(pointer: *const u8, length: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's; a null pointer means that there is nothing, which differs from nothing in it.
    (!pointer.is_null()).then(|| unsafe { slice::from_raw_parts(pointer, length) })
}

/// A line of a list of partitions, copied out of it: a list that outlives its consumer keeps it from closing.
pub(super) struct Entry {
    pub(super) partition: TopicPartition,
    /// Negative where there is none.
    pub(super) offset: i64,
    pub(super) metadata: String,
    pub(super) error: Option<RDKafkaErrorCode>,
}

/// The lines of a list.
pub(super) fn entries(list: &TopicPartitionList) -> Vec<Entry> {
    // SAFETY: the list is valid.
    unsafe { entries_at(list.ptr()) }
}

/// # Safety
/// A valid list, or null.
pub(super) unsafe fn entries_at(list: *const sys::rd_kafka_topic_partition_list_t) -> Vec<Entry> {
    // SAFETY: a valid list, or null; texts and metadata belong to it, and are copied.
    unsafe {
        let Some(list) = list.as_ref() else { return Vec::new() };
        let count = usize::try_from(list.cnt).unwrap_or(0);
        if count == 0 {
            return Vec::new();
        }
        let raw = slice::from_raw_parts(list.elems, count);
        raw.iter()
            .map(|entry| Entry {
                partition: TopicPartition::new(text(entry.topic).as_ref(), entry.partition),
                offset: entry.offset,
                metadata: String::from_utf8_lossy(
                    bytes(entry.metadata.cast_const().cast(), entry.metadata_size).unwrap_or_default(),
                )
                .into_owned(),
                error: (entry.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| entry.err.into()),
            })
            .collect()
    }
}

/// Whether the group has taken the consumer in: from then on it has a generation, also without partitions.
pub(super) fn is_in_group(consumer: &Consumer) -> bool {
    // SAFETY: the client lives as long as the consumer.
    let metadata = unsafe { sys::rd_kafka_consumer_group_metadata(consumer.client().native_ptr()) };
    if metadata.is_null() {
        return false;
    }
    // SAFETY: the metadata is a copy of its own, which is not used after it is destroyed.
    let generation = unsafe { sys::rd_kafka_consumer_group_metadata_generation_id(metadata) };
    // SAFETY: as above.
    unsafe { sys::rd_kafka_consumer_group_metadata_destroy(metadata) };
    generation > 0
}
