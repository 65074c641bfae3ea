//! The deployment on one machine: its files, and the same services as processes without containers.

mod files;
mod running;
