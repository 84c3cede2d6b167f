//! The audit of a site as somebody who attacks it reaches it: its exports on the tiers, and its tables past the program.

use super::{Site, stored};
use rusqlite::Connection;
use std::path::PathBuf;

/// The exports on a tier, oldest first.
pub fn exports(site: &Site, tier: &str) -> Vec<PathBuf> {
    let folder = site.tier(tier);
    let exports = stored::audit_exports(&folder);
    exports.into_iter().map(|file| folder.join(file)).collect()
}

/// Does something to the tables past the program, and past what the database refuses with.
pub fn by_hand(site: &Site, sql: &str) {
    let catalog = Connection::open(site.catalog()).unwrap();
    let guards = "DROP TRIGGER audit_keeps_rows; DROP TRIGGER audit_keeps_words;";
    catalog.execute_batch(&format!("{guards} {sql}")).unwrap();
}
