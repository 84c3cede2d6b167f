//! Policies and inventories written as a few lines of text, a check around every plan, and a pretend apply.
//!
//! Policy: a line `orders/daily "0 2 * * *" nas{daily=7 weekly=4} archive{monthly=12}`, options behind it
//! (`verify=restore start-within=2h encrypt=prod,offline`); settings on lines of their own (`zone Europe/Prague`, `max-prune-count 5`).
//! `incremental` and `full-every=7d` belong to a series; `wal orders nas=14d offsite=35d` and
//! `drill orders monthly "0 5 1 * *" newest` (`oldest-kept`, `within=7d`, `moment=7d`, `from=nas`) to a database.
//! What tiers can do is said by [`capable`]: `archive thaw=bulk,12h`, `vault lock=retention`.
//! Inventory: a line `orders/daily/20261120T020000Z nas:v archive:u`, where a copy is `v` verified by checksum, `f` by full
//! read, `r` by restore, `a` attested, `u` unverified, `m` missing, `d` damaged, `x` foreign, and `h` behind it means held,
//! `L<time>` locked; `incomplete`, `parent=<id>` and `wal=<cluster>:<timeline>:<first segment>-<last segment>` belong to the point.
//! `log orders nas 7:1 10-20 <first stored> <last stored>` is a run of whole segments, by their numbers; `history orders nas 7:2 1@15`,
//! `source orders 7:1 21 <when asked>`, `drilled orders monthly <slot>`.

mod inventories;
mod plans;
mod policies;
mod pretend;

use jiff::Timestamp;

pub(crate) use inventories::{SEGMENT, daily, inventory, log_of, log_tier, stamp_to_time};
pub(crate) use plans::{ids, plan, plan_on, plan_with, show, show_kept};
pub(crate) use policies::{capable, keep, policy};
pub(crate) use pretend::apply_to;

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse()
        .unwrap_or_else(|_| panic!("`{text}` is not a time"))
}
