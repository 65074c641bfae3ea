//! The stack of `compose/`, without containers: the same services as processes on this machine, from the same files.
//!
//! [`compose`] reads what there is to run, [`servers`] starts what the stages stand on, [`stages`] keeps as many
//! processes of each stage as are wanted, as an orchestrator does, and [`supervisor`] has all of it in its hands. What
//! it tells of itself is in a folder ([`state`]); [`status`] asks each part.

pub mod compose;
pub mod servers;
pub mod stages;
pub mod state;
pub mod status;
pub mod supervisor;
pub mod targets;
