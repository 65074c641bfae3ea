//! Who is in a group, and where it stands: asked of its coordinator, by a client that has nothing to do with it. One
//! of the three places that call the C library: of rdkafka's questions the one for members is the older one, which a
//! group under the broker's own protocol does not answer, and the one for positions takes a client of the group's.

use std::collections::HashMap;
use std::ffi::{CString, c_int};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::context::Consumer;
use super::events::{Entry, Event, Queue, entries_at, text};
use super::faults::log_error;
use super::positions::{ask, list_of};
use crate::log::LogError;
use crate::log::operate::GroupMember;
use crate::record::TopicPartition;

/// How much longer than it may take itself an answer is waited for: it then says why there is none.
const ANSWER_MARGIN: Duration = Duration::from_secs(1);
/// In front of an instance's name, where it is the name of a client.
const CLIENT: &str = "frameline-";

/// The members of the group; nobody where there is no such group.
pub(super) fn members(consumer: &Arc<Consumer>, group: &str, timeout: Duration) -> Result<Vec<GroupMember>, LogError> {
    let unanswered = || LogError::Unavailable(format!("nobody said within {timeout:?} who is in group {group}"));
    let name = name_of(group)?;
    let queue = Queue::of_records(consumer).ok_or_else(unanswered)?;
    ask_for_members(consumer, &queue, &name, timeout);
    let event = queue.poll(timeout + ANSWER_MARGIN).ok_or_else(unanswered)?;
    let mut members = answer_of_members(&event)
        .map_err(|code| LogError::Unavailable(format!("who is in group {group} cannot be known: {code}")))?;
    members.sort();
    Ok(members)
}

/// What the group committed in each of the partitions, where it did. A commit that is under way is waited for.
pub(super) fn committed(
    consumer: &Arc<Consumer>,
    group: &str,
    partitions: &[TopicPartition],
    timeout: Duration,
) -> Result<Vec<Option<(i64, String)>>, LogError> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let name = name_of(group)?;
    let found = ask(timeout, |left| {
        let timed_out = || KafkaError::OffsetFetch(RDKafkaErrorCode::OperationTimedOut);
        let queue = Queue::of_records(consumer).ok_or_else(timed_out)?;
        ask_for_positions(consumer, &queue, &name, partitions, left);
        let event = queue.poll(left + ANSWER_MARGIN).ok_or_else(timed_out)?;
        answer_of_positions(&event).map_err(KafkaError::OffsetFetch)
    });
    let mut found = found.map_err(|error| log_error(&error))?;
    Ok(partitions.iter().map(|partition| found.remove(partition).filter(|(offset, _)| *offset >= 0)).collect())
}

fn name_of(group: &str) -> Result<CString, LogError> {
    CString::new(group).map_err(|_| LogError::Refused("a group's name has no zero in it".to_owned()))
}

/// Sends a question of this kind, with options that say how long it may take.
fn send(
    consumer: &Arc<Consumer>,
    kind: sys::rd_kafka_admin_op_t,
    timeout: Duration,
    question: impl FnOnce(*mut sys::rd_kafka_t, *mut sys::rd_kafka_AdminOptions_t),
) {
    let client = consumer.client().native_ptr();
    let timeout_ms = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: the client lives as long as `consumer`; the options are ours, destroyed once.
    unsafe {
        let options = sys::rd_kafka_AdminOptions_new(client, kind);
        sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, ptr::null_mut(), 0);
        question(client, options);
        sys::rd_kafka_AdminOptions_destroy(options);
    }
}

/// Sends the question; its answer comes out of the queue.
fn ask_for_members(consumer: &Arc<Consumer>, queue: &Queue, group: &CString, timeout: Duration) {
    let mut groups = [group.as_ptr()];
    let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    send(consumer, kind, timeout, |client, options| {
        // SAFETY: client and options live for the call, before whose end all that the question takes is copied.
        unsafe {
            sys::rd_kafka_DescribeConsumerGroups(client, groups.as_mut_ptr(), groups.len(), options, queue.handle());
        }
    });
}

/// The same for the group's positions.
fn ask_for_positions(
    consumer: &Arc<Consumer>,
    queue: &Queue,
    group: &CString,
    partitions: &[TopicPartition],
    timeout: Duration,
) {
    let list = list_of(partitions);
    let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS;
    send(consumer, kind, timeout, |client, options| {
        // SAFETY: as above; the list is copied into the question, which is ours, destroyed once.
        unsafe {
            sys::rd_kafka_AdminOptions_set_require_stable_offsets(options, 1);
            let mut of_group = sys::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), list.ptr());
            sys::rd_kafka_ListConsumerGroupOffsets(client, &mut of_group, 1, options, queue.handle());
            sys::rd_kafka_ListConsumerGroupOffsets_destroy(of_group);
        }
    });
}

/// What an answer has, or the code that it has instead.
fn result_of<R>(event: &Event<'_>, result: *const R) -> Result<*const R, RDKafkaErrorCode> {
    // SAFETY: the event lives.
    let code = unsafe { RDKafkaErrorCode::from(sys::rd_kafka_event_error(event.handle())) };
    if code == RDKafkaErrorCode::NoError && !result.is_null() { Ok(result) } else { Err(code) }
}

fn answer_of_positions(event: &Event<'_>) -> Result<HashMap<TopicPartition, (i64, String)>, RDKafkaErrorCode> {
    // SAFETY: whatever the event points to lives as long as it, and all of it is copied.
    let entries = unsafe {
        let result = result_of(event, sys::rd_kafka_event_ListConsumerGroupOffsets_result(event.handle()))?;
        let mut count = 0;
        let groups = sys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &mut count);
        let Some(groups) = NonNull::new(groups).filter(|_| count > 0) else { return Ok(HashMap::new()) };
        let group = *groups.as_ptr();
        match RDKafkaErrorCode::from(sys::rd_kafka_error_code(sys::rd_kafka_group_result_error(group))) {
            RDKafkaErrorCode::NoError => entries_at(sys::rd_kafka_group_result_partitions(group)),
            code => return Err(code),
        }
    };
    let line = |entry: Entry| entry.error.map_or(Ok((entry.partition, (entry.offset, entry.metadata))), Err);
    entries.into_iter().map(line).collect()
}

fn answer_of_members(event: &Event<'_>) -> Result<Vec<GroupMember>, RDKafkaErrorCode> {
    // SAFETY: whatever the event points to lives as long as it, and all of it is copied.
    unsafe {
        let result = result_of(event, sys::rd_kafka_event_DescribeConsumerGroups_result(event.handle()))?;
        let mut count = 0;
        let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count);
        match NonNull::new(groups).filter(|_| count > 0) {
            Some(groups) => members_of(*groups.as_ptr()),
            None => Ok(Vec::new()),
        }
    }
}

/// # Safety
/// The group is one of an event that lives.
unsafe fn members_of(
    group: *const sys::rd_kafka_ConsumerGroupDescription_t,
) -> Result<Vec<GroupMember>, RDKafkaErrorCode> {
    // SAFETY: the caller's; the members are the group's own.
    unsafe {
        let error = sys::rd_kafka_ConsumerGroupDescription_error(group);
        match RDKafkaErrorCode::from(sys::rd_kafka_error_code(error)) {
            RDKafkaErrorCode::NoError => {}
            RDKafkaErrorCode::GroupIdNotFound => return Ok(Vec::new()),
            code => return Err(code),
        }
        let count = sys::rd_kafka_ConsumerGroupDescription_member_count(group);
        Ok((0..count).map(|index| member(sys::rd_kafka_ConsumerGroupDescription_member(group, index))).collect())
    }
}

/// # Safety
/// The member is one of an event that lives.
unsafe fn member(member: *const sys::rd_kafka_MemberDescription_t) -> GroupMember {
    // SAFETY: the caller's; texts and assignment are the member's own.
    unsafe {
        let named = sys::rd_kafka_MemberDescription_group_instance_id(member);
        let client = text(sys::rd_kafka_MemberDescription_client_id(member));
        let instance =
            if named.is_null() { client.strip_prefix(CLIENT).unwrap_or(&client).into() } else { text(named) };
        let host = text(sys::rd_kafka_MemberDescription_host(member));
        let assignment = sys::rd_kafka_MemberDescription_assignment(member);
        let list =
            if assignment.is_null() { ptr::null() } else { sys::rd_kafka_MemberAssignment_partitions(assignment) };
        let mut partitions: Vec<_> = entries_at(list).into_iter().map(|entry| entry.partition).collect();
        partitions.sort();
        GroupMember { instance: instance.into_owned(), host: host.trim_start_matches('/').to_owned(), partitions }
    }
}
