//! What a restore starts from: a point as it is, or the base and the log that reach the asked moment.
//!
//! The same words mean what a person expects of each kind: `--at` is that very moment where physical points and an archived log reach
//! it and the target can take a whole server, and the newest point before it otherwise; which of the two is said.

use crate::{
    arguments::{Moment, RestoreArguments},
    failure::{Failure, Result},
    render::{plan_text::local, reach},
};
use catalog::Catalog;
use executor::{Clock, NoWay, ReachOrder, Way, Wiring, reach as find_way};
use jiff::{Timestamp, tz::TimeZone};
use model::{
    CopyState, DatabaseName, PointState, RecoveryPoint, RecoveryPointId, RecoveryTarget,
    SeriesName, TierName,
};
use std::sync::Arc;

/// What is restored.
#[derive(Debug, Clone)]
pub(super) enum Choice {
    /// A point as it is.
    Point(RecoveryPointId),
    /// A physical point, rolled forward.
    Recover(RecoveryTarget, Box<Way>),
    /// A point whose engine rolls it forward by itself, over a log that is not ours.
    OwnLog(RecoveryTarget, RecoveryPointId),
}

/// What is known, and what was asked.
pub(super) struct Asked<'a> {
    pub(super) arguments: &'a RestoreArguments,
    pub(super) database: &'a DatabaseName,
    pub(super) from: Option<&'a TierName>,
    /// All points that are known.
    pub(super) points: &'a [RecoveryPoint],
    pub(super) wiring: &'a Wiring,
    pub(super) catalog: Option<&'a Catalog>,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) zone: &'a TimeZone,
}

impl Choice {
    /// The point that is restored, or rolled forward.
    pub(super) fn point(&self) -> &RecoveryPointId {
        match self {
            Self::Point(point) | Self::OwnLog(_, point) => point,
            Self::Recover(_, way) => &way.base,
        }
    }
}

impl Asked<'_> {
    /// Chooses.
    pub(super) async fn choose(&self) -> Result<Choice> {
        let usable: Vec<&RecoveryPoint> =
            self.points.iter().filter(|p| self.is_usable(p)).collect();
        let wired = self.wiring.databases.get(self.database);
        if wired.is_some_and(|wired| wired.engine.keeps_its_log()) {
            return self.over_its_own_log(&usable);
        }
        if let Some(id) = &self.arguments.point {
            return self.named(id).await;
        }
        let whole_server = usable.iter().any(|point| point.wal.is_some());
        let parts = usable.iter().any(|point| point.wal.is_none());
        // With both kinds, the target tells which is meant.
        let wants_server = whole_server && (!parts || self.takes_a_server());
        match self.arguments.moment() {
            Moment::Log(target) => self.recover(target).await,
            Moment::Time(at) if wants_server => self.recover(RecoveryTarget::Time(at)).await,
            Moment::Time(at) => self.newest(&usable, Some(at), false),
            Moment::Point if wants_server => match self.newest(&usable, None, true)? {
                Choice::Point(id) => self.as_it_is(&id).await,
                other => Ok(other),
            },
            Moment::Point => self.newest(&usable, None, false),
        }
    }

    /// The named point, else the newest that was whole at the asked time; how far its log reaches, the engine asks its software.
    fn over_its_own_log(&self, usable: &[&RecoveryPoint]) -> Result<Choice> {
        let (target, at) = match self.arguments.moment() {
            Moment::Point => (RecoveryTarget::Immediate, None),
            Moment::Time(at) => (RecoveryTarget::Time(at), Some(at)),
            Moment::Log(target) => (target, None),
        };
        let point = match &self.arguments.point {
            Some(id) if usable.iter().any(|point| point.id == *id) => id.clone(),
            Some(id) => return Err(self.unknown(Some(id))),
            None => self.newest(usable, at, false)?.point().clone(),
        };
        Ok(Choice::OwnLog(target, point))
    }

    /// A point that was named.
    async fn named(&self, id: &RecoveryPointId) -> Result<Choice> {
        if id.database() != self.database.as_str() {
            return Err(Failure::new(
                "mainstay::point::other-database",
                format!("`{id}` is not a recovery point of `{}`", self.database),
            )
            .help(format!(
                "restore it with `mainstay restore {} --point {id} --to …`",
                id.database()
            )));
        }
        let Some(point) = self.points.iter().find(|point| point.id == *id) else {
            return Err(self.unknown(Some(id)));
        };
        match (self.arguments.moment(), point.wal.is_some()) {
            (Moment::Point, false) => Ok(Choice::Point(id.clone())),
            (Moment::Point, true) => self.as_it_is(id).await,
            (Moment::Time(at), true) => self.recover(RecoveryTarget::Time(at)).await,
            (Moment::Log(target), true) => self.recover(target).await,
            (Moment::Time(_) | Moment::Log(_), false) => Err(self.not_physical(&format!(
                "`{id}` was made by the method `{}` and stays as it is",
                point.method
            ))),
        }
    }

    /// A physical point as soon as it is consistent.
    async fn as_it_is(&self, id: &RecoveryPointId) -> Result<Choice> {
        self.way(RecoveryTarget::Immediate, Some(id.clone())).await
    }

    async fn recover(&self, target: RecoveryTarget) -> Result<Choice> {
        let any = self
            .points
            .iter()
            .any(|point| point.database == *self.database && point.wal.is_some());
        if !any {
            return Err(self.not_physical(&format!("`{}` has no physical point", self.database)));
        }
        self.way(target, self.arguments.point.clone()).await
    }

    async fn way(&self, target: RecoveryTarget, point: Option<RecoveryPointId>) -> Result<Choice> {
        let order = ReachOrder {
            database: self.database.clone(),
            target: target.clone(),
            timeline: self.arguments.timeline,
            point,
            series: self.series(),
            from: self.from.cloned(),
        };
        let found = find_way(&order, self.wiring, self.catalog, self.clock).await;
        match found {
            Ok(way) => Ok(Choice::Recover(target, Box::new(way))),
            Err(NoWay::Unreached(unreached)) => Err(reach::failure(
                &unreached,
                &target,
                self.database,
                self.zone,
            )),
            Err(NoWay::Failed(failure)) => {
                let made = Failure::new(&failure.code, failure.message);
                Err(match failure.help {
                    Some(help) => made.help(help),
                    None => made,
                })
            }
        }
    }

    /// The newest point at or before a time.
    fn newest(
        &self,
        usable: &[&RecoveryPoint],
        at: Option<Timestamp>,
        physical: bool,
    ) -> Result<Choice> {
        let of_kind = |point: &&&RecoveryPoint| point.wal.is_some() == physical;
        let chosen = usable
            .iter()
            .filter(of_kind)
            .filter(|point| at.is_none_or(|at| point.captured_at <= at))
            .max_by_key(|point| point.captured_at);
        let oldest = usable.iter().filter(of_kind).min_by_key(|p| p.captured_at);
        match (chosen, oldest) {
            (Some(point), _) => Ok(Choice::Point(point.id.clone())),
            (None, Some(oldest)) => Err(Failure::new(
                "mainstay::point::too-early",
                format!("no recovery point of `{}` is that old", self.database),
            )
            .help(format!(
                "the oldest is `{}`, the state of {}",
                oldest.id,
                local(oldest.captured_at, self.zone)
            ))),
            (None, None) => Err(self.unknown(None)),
        }
    }

    fn is_usable(&self, point: &RecoveryPoint) -> bool {
        let series = self.arguments.series.as_deref();
        point.database == *self.database
            && point.state == PointState::Complete
            && series.is_none_or(|series| series == point.series.as_str())
            && point.copies.iter().any(|copy| {
                copy.state == CopyState::Present && self.from.is_none_or(|from| from == &copy.tier)
            })
    }

    /// A folder or a scratch server can take a whole server; a database name or a URL cannot.
    fn takes_a_server(&self) -> bool {
        let is_folder = |to: &String| !to.contains("://") && to.contains('/');
        self.arguments.scratch || self.arguments.to.as_ref().is_some_and(is_folder)
    }

    fn series(&self) -> Option<SeriesName> {
        let name = self.arguments.series.as_deref()?;
        SeriesName::new(name).ok()
    }

    fn not_physical(&self, why: &str) -> Failure {
        Failure::new(
            "mainstay::restore::not-physical",
            format!("only a physical point can be rolled forward over the log: {why}"),
        )
        .help(format!(
            "`mainstay restore {} --at TIME --to TARGET` takes the newest point before a time; `method = \"physical\"` in a series and `[database.{}.wal]` make every moment reachable from then on",
            self.database, self.database
        ))
    }

    fn unknown(&self, id: Option<&RecoveryPointId>) -> Failure {
        let newest = self
            .points
            .iter()
            .filter(|point| point.database == *self.database)
            .max_by_key(|point| point.captured_at);
        let message = match id {
            Some(id) => format!("there is no recovery point `{id}`"),
            None => format!("there is no recovery point of `{}`", self.database),
        };
        Failure::new("mainstay::point::unknown", message).help(match newest {
            Some(point) => format!(
                "the newest of `{}` is `{}`; see all with `mainstay list {}`",
                self.database, point.id, self.database
            ),
            None => "see all with `mainstay list`; `mainstay catalog rebuild` finds points that only the tiers know".to_owned(),
        })
    }
}
