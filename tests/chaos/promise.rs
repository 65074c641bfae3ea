//! The promises that stages can be made to break, and how each one shows that it is broken.
//!
//! Nothing of this is a matter of luck: a gate ([`frameline_runtime::gate`]) holds a batch of the stage before the
//! fault comes, so the fault surely meets work, and what follows from that is certain.
//!
//! | promise | what happens | evidence |
//! |---|---|---|
//! | completion | a stage is killed with a batch in its hands | its position was past the batch, so nobody does it again: records are lost |
//! | fencing | a stage is frozen with a batch in its hands until another one has done that batch, and wakes up | it commits the batch too: records are there twice |
//! | lanes | a batch is held while the stage goes on with others | later records of its keys are through before it: their order has changed |
//! | drain | a stage is told to stop with a batch in its hands | it says itself that it left records unfinished |
//! | revisions | in the end the embeddings of older revisions are sent again | units of older revisions are in the index |

use frameline_runtime::breach::Breach;

use crate::schedule::LogKind;

/// A promise, as the command line has it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Promise {
    pub(crate) name: &'static str,
    pub(crate) breach: Breach,
    /// The log where alone it can be broken. On the embedded one no two processes are in a group; beside Kafka the
    /// index is Qdrant, and only the embedded index can be told to forget its rules.
    only_on: Option<LogKind>,
}

impl Promise {
    /// The promise of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        PROMISES.iter().find(|promise| promise.name == name)
    }

    /// Whether stages on this log can break it.
    pub(crate) fn is_of(&self, log: LogKind) -> bool {
        self.only_on.is_none_or(|only| only == log)
    }
}

const PROMISES: [Promise; 5] = [
    Promise { name: "completion", breach: Breach::Completion, only_on: None },
    Promise { name: "fencing", breach: Breach::Fencing, only_on: Some(LogKind::Kafka) },
    Promise { name: "lanes", breach: Breach::Lanes, only_on: None },
    Promise { name: "drain", breach: Breach::Drain, only_on: None },
    Promise { name: "revisions", breach: Breach::Revisions, only_on: Some(LogKind::Sqlite) },
];
