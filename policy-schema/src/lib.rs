//! From TOML files to a validated [`Policy`], with all findings at once, each at its bytes.
//!
//! Start reading at `load`: syntax (`tree`), shape (`shape`, against the schemas of `written` and of the providers),
//! inheritance (`inherit`), meaning (`meaning`, `database`, `series`, `keep`, `objective`).
//! Not here: drawing findings on a screen, resolving secrets, anything that asks the clock.

mod approval;
mod archives;
mod bandwidth;
mod changes;
mod checks;
mod codes;
mod database;
mod demands;
mod drill;
mod editor;
mod explain;
mod files;
mod format;
mod inherit;
mod keep;
mod lifetimes;
mod load;
mod meaning;
mod objective;
pub mod policy;
pub mod providers;
mod recipients;
mod report;
mod resolved;
pub mod schedule;
mod secrets;
mod sections;
mod series;
mod shape;
mod template;
mod tree;
mod wal;
mod written;

pub use changes::{Change, changes};
pub use codes::CODES;
pub use demands::{DatabaseDemands, Demands, DemandsError, SeriesDemands};
pub use editor::json_schema;
pub use explain::{Contribution, Explanation, NothingThere, Secrets};
pub use files::{Disk, Files, Source, gather};
pub use format::{FormatError, fmt};
pub use lifetimes::longest_life;
pub use load::{Loaded, load, load_path};
pub use policy::Policy;
pub use providers::ProviderKinds;
pub use schedule::Schedule;
pub use template::{FirstPolicy, init_template};
