//! What an error of Kafka means to the one who commits: the only place that knows its codes.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::settings::is_secret;
use crate::log::LogError;

/// What an error means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The group has moved on: the member's generation is an old one.
    Revoked,
    /// A successor has the member's name.
    Fenced,
    /// It will never be taken as it is.
    Refused,
    /// Not just now.
    Unavailable,
}

/// The meaning of a code.
pub(super) fn meaning_of(code: RDKafkaErrorCode) -> Meaning {
    match code {
        RDKafkaErrorCode::IllegalGeneration
        | RDKafkaErrorCode::UnknownMemberId
        | RDKafkaErrorCode::RebalanceInProgress
        | RDKafkaErrorCode::FencedMemberEpoch
        | RDKafkaErrorCode::StaleMemberEpoch => Meaning::Revoked,
        RDKafkaErrorCode::Fenced
        | RDKafkaErrorCode::FencedInstanceId
        | RDKafkaErrorCode::ProducerFenced
        | RDKafkaErrorCode::InvalidProducerEpoch => Meaning::Fenced,
        RDKafkaErrorCode::MessageSizeTooLarge
        | RDKafkaErrorCode::MessageBatchTooLarge
        | RDKafkaErrorCode::InvalidRecord => Meaning::Refused,
        _ => Meaning::Unavailable,
    }
}

/// Why an output with this code is refused, and what to do.
pub(super) fn refusal_of(code: RDKafkaErrorCode, size_bytes: usize) -> String {
    match code {
        RDKafkaErrorCode::InvalidRecord => {
            "the broker takes no such record; in a compacted topic each one needs a key".to_owned()
        }
        _ => format!("its {size_bytes} bytes are more than the topic takes; raise the topic's max.message.bytes"),
    }
}

/// The same for calls that write no positions. The value of a property is never shown.
pub(super) fn log_error(error: &KafkaError) -> LogError {
    match error {
        KafkaError::ClientConfig(_, _, property, _) if is_secret(property) => {
            LogError::Refused(format!("kafka property {property} is not taken as it is"))
        }
        KafkaError::ClientConfig(_, what, property, _) => {
            LogError::Refused(format!("kafka property {property}: {}", what.to_lowercase()))
        }
        KafkaError::ClientCreation(what) => LogError::Refused(format!("kafka settings: {what}")),
        other => LogError::Unavailable(other.to_string()),
    }
}
