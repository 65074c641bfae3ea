//! Who is in a group: asked of its coordinator, under either protocol. One of the three places that call the C
//! library: rdkafka has only the older question, which a group under the broker's own protocol does not answer.

use std::ffi::{CString, c_int};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::consumer::Consumer as _;
use rdkafka::types::RDKafkaErrorCode;

use super::context::Consumer;
use super::events::{Event, Queue, entries_at, text};
use crate::log::LogError;
use crate::log::operate::GroupMember;

/// In front of an instance's name, where it is the name of a client.
const CLIENT: &str = "frameline-";

/// The members of the group; nobody where there is no such group.
pub(super) fn members(consumer: &Arc<Consumer>, group: &str, timeout: Duration) -> Result<Vec<GroupMember>, LogError> {
    let unanswered = || LogError::Unavailable(format!("nobody said within {timeout:?} who is in group {group}"));
    let name = CString::new(group).map_err(|_| LogError::Refused("a group's name has no zero in it".to_owned()))?;
    let queue = Queue::of_records(consumer).ok_or_else(unanswered)?;
    ask(consumer, &queue, &name, timeout);
    let event = queue.poll(timeout + Duration::from_secs(1)).ok_or_else(unanswered)?;
    let mut members = answer(&event)
        .map_err(|code| LogError::Unavailable(format!("who is in group {group} cannot be known: {code}")))?;
    members.sort();
    Ok(members)
}

/// Sends the question; its answer comes out of the queue.
fn ask(consumer: &Arc<Consumer>, queue: &Queue, group: &CString, timeout: Duration) {
    let client = consumer.client().native_ptr();
    let timeout_ms = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    let mut groups = [group.as_ptr()];
    // SAFETY: the client lives as long as `consumer`; what the question takes is copied before the call returns,
    // and the options are ours, destroyed once.
    unsafe {
        let question = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
        let options = sys::rd_kafka_AdminOptions_new(client, question);
        sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, ptr::null_mut(), 0);
        sys::rd_kafka_DescribeConsumerGroups(client, groups.as_mut_ptr(), groups.len(), options, queue.handle());
        sys::rd_kafka_AdminOptions_destroy(options);
    }
}

fn answer(event: &Event<'_>) -> Result<Vec<GroupMember>, RDKafkaErrorCode> {
    // SAFETY: whatever the event points to lives as long as it, and all of it is copied.
    unsafe {
        let code = RDKafkaErrorCode::from(sys::rd_kafka_event_error(event.handle()));
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event.handle());
        if code != RDKafkaErrorCode::NoError || result.is_null() {
            return Err(code);
        }
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
