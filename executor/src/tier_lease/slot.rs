//! One tier's lease in one run: held, lost, or somebody else's; prolonged by compare-and-swap.

use super::content::{Content, describe};
use crate::{
    cancel::{Cancel, CancelSwitch},
    steps::error::StepError,
};
use model::TierName;
use providers::api::{ControlTag, Expected, ObjectKey, Tier};
use std::sync::Arc;
use tokio::time::Instant;

/// What is there is not what was read.
pub(super) const CHANGED: &str = "mainstay::tier::changed";

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) tier: Arc<dyn Tier>,
    pub(super) key: ObjectKey,
    pub(super) state: tokio::sync::Mutex<State>,
    pub(super) switch: CancelSwitch,
    pub(super) lost: Cancel,
}

#[derive(Debug)]
pub(super) enum State {
    /// Not ours; what was seen last, and since when it has not changed.
    NotHeld(Option<Seen>),
    Held(Own),
    /// Who has it now, in words.
    Lost(String),
    /// The store cannot compare and swap, in its own words.
    Impossible(String),
    Released,
}

#[derive(Debug)]
pub(super) struct Seen {
    pub(super) tag: ControlTag,
    pub(super) since: Instant,
    /// The same holder has written since it was first seen: it is alive.
    pub(super) alive: bool,
}

#[derive(Debug)]
pub(super) struct Own {
    pub(super) content: Content,
    pub(super) tag: ControlTag,
    /// Before the last successful write began.
    pub(super) renewed: Instant,
}

pub(super) enum Beat {
    Renewed,
    Again,
    Over,
}

impl Slot {
    /// One prolongation from the background. A tier that does not answer for the whole time to live is lost too.
    pub(super) async fn beat(&self) -> Beat {
        let mut state = self.state.lock().await;
        let State::Held(own) = &*state else {
            return Beat::Over;
        };
        let left = own.content.ttl().saturating_sub(own.renewed.elapsed());
        let result = tokio::time::timeout(left, self.renew(&mut state)).await;
        match (result, &*state) {
            (_, State::Lost(_)) => Beat::Over,
            (Ok(Ok(())), _) => Beat::Renewed,
            (Err(_), State::Held(_)) => {
                self.mark_lost(
                    &mut state,
                    "nobody, but the tier did not answer in time".to_owned(),
                );
                Beat::Over
            }
            (Ok(Err(error)), _) => {
                tracing::warn!(tier = %self.tier.name(), code = error.code(), "the lease of the tier could not be prolonged");
                Beat::Again
            }
            _ => Beat::Over,
        }
    }

    pub(super) async fn renew(&self, state: &mut State) -> Result<(), StepError> {
        // Twice: the first may find that an earlier write of ours was done and its answer lost.
        for _ in 0..2 {
            let own = match &mut *state {
                State::Held(own) => own,
                State::Impossible(why) => return Err(impossible(self.tier.name(), why)),
                State::Lost(who) => return Err(lost(self.tier.name(), who)),
                State::NotHeld(_) | State::Released => {
                    return Err(lost(self.tier.name(), "nobody"));
                }
            };
            let began = Instant::now();
            let next = Content {
                beat: own.content.beat + 1,
                ..own.content.clone()
            };
            let expected = Expected::Unchanged(own.tag.clone());
            let written = self
                .tier
                .write_control(&self.key, next.bytes()?, expected, None)
                .await;
            match written {
                Ok(tag) => {
                    *own = Own {
                        content: next,
                        tag,
                        renewed: began,
                    };
                    return Ok(());
                }
                Err(error) if error.code == CHANGED => self.look(state).await?,
                Err(error) => {
                    let over = own.renewed.elapsed() >= own.content.ttl();
                    if over {
                        self.mark_lost(state, "nobody, but it ran out".to_owned());
                    }
                    return Err(error.into());
                }
            }
        }
        Err(lost(self.tier.name(), "somebody who writes at this moment"))
    }

    /// Reads the lease; marks it as lost when it is another's.
    pub(super) async fn look(&self, state: &mut State) -> Result<(), StepError> {
        let own = match &mut *state {
            State::Held(own) => own,
            State::Impossible(why) => return Err(impossible(self.tier.name(), why)),
            State::Lost(who) => return Err(lost(self.tier.name(), who)),
            State::NotHeld(_) | State::Released => return Err(lost(self.tier.name(), "nobody")),
        };
        let there = self.tier.read_control(&self.key).await?;
        let content = there.as_ref().and_then(|(bytes, _)| Content::parse(bytes));
        match (there, content) {
            (Some((_, tag)), Some(content))
                if content.is_same_tenure(&own.content) && !content.free =>
            {
                own.content = content;
                own.tag = tag;
                Ok(())
            }
            (_, content) => {
                let who = content
                    .as_ref()
                    .map_or_else(|| "nobody".to_owned(), describe);
                let error = lost(self.tier.name(), &who);
                self.mark_lost(state, who);
                Err(error)
            }
        }
    }

    fn mark_lost(&self, state: &mut State, who: String) {
        *state = State::Lost(who);
        self.switch.cancel();
    }
}

/// The same content keeps its time; another one begins anew, and shows that somebody writes.
pub(super) fn look_again(seen: Option<Seen>, tag: &ControlTag) -> Seen {
    match seen {
        Some(seen) if seen.tag == *tag => seen,
        earlier => Seen {
            tag: tag.clone(),
            since: Instant::now(),
            alive: earlier.is_some(),
        },
    }
}

pub(super) fn lost(tier: &TierName, who: &str) -> StepError {
    StepError::TierLeaseLost {
        tier: tier.clone(),
        holder: who.to_owned(),
    }
}

pub(super) fn impossible(tier: &TierName, why: &str) -> StepError {
    StepError::NoTierLease {
        tier: tier.clone(),
        why: why.to_owned(),
    }
}
