//! One file a command (or two that share their work). Each loads what it needs, calls one library, renders, and gives the exit code.

pub(crate) mod apply;
pub(crate) mod backup;
pub(crate) mod catalog;
pub(crate) mod completions;
pub(crate) mod drill;
pub(crate) mod explain;
pub(crate) mod fmt;
pub(crate) mod hold;
pub(crate) mod init;
pub(crate) mod inventory;
pub(crate) mod key;
pub(crate) mod list;
pub(crate) mod plan;
pub(crate) mod planning;
pub(crate) mod recovery_log;
pub(crate) mod report;
pub(crate) mod restore;
pub(crate) mod runbook;
pub(crate) mod running;
pub(crate) mod schema;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod tier;
pub(crate) mod validate;
pub(crate) mod verify;
pub(crate) mod wal;
