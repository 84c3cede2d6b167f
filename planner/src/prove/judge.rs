//! Verdicts on spans of ages: figures against promises, with a counter-example or with what to measure.
//!
//! A promise is proved when the figure cannot be more than it, violated when it cannot be less, and unproven otherwise.
//! Not here: how the figures are found (`gaps`, `spans`, `sources`).

use super::{
    gaps::{Found, View},
    profile::Case,
    proof::{AgeRange, CounterExample, Figure, PartKind, Verdict},
    shape::Shape,
    sources::{Known, Route, Sum},
    spans::{Span, Ways},
    words::{measure_loss, measure_restore, span as words},
};
use jiff::{SignedDuration, Timestamp};
use model::{RecoveryPointId, recovery_record::Promise};
use policy_schema::policy::{CheckId, Target};

/// Older states are drilled with the oldest that is kept.
const OLD: i64 = 30 * 86_400;

/// Judges the spans of one database.
pub(crate) struct Judge<'a> {
    pub(crate) known: &'a Known<'a>,
    pub(crate) shape: &'a Shape,
    pub(crate) ways: &'a Ways,
    /// Whether the policy asks for the objectives of this database at all.
    pub(crate) asked: (bool, bool),
    /// Drills whose newest run failed.
    pub(crate) failed_drills: &'a [String],
}

fn verdict(least: i64, most: Option<i64>, promised: Option<Target>) -> Verdict {
    let Some(promised) = promised.map(|target| target.maximum.as_secs()) else {
        return Verdict::NotAsked;
    };
    match most {
        Some(most) if most <= promised => Verdict::Proved,
        _ if least > promised => Verdict::Violated,
        _ => Verdict::Unproven,
    }
}

fn promise(target: Target) -> Promise {
    let seconds = |length: SignedDuration| length.as_secs().max(0).unsigned_abs();
    Promise {
        maximum_seconds: seconds(target.maximum),
        target_seconds: seconds(target.target),
    }
}

impl Judge<'_> {
    pub(crate) fn range(&self, span: &Span) -> AgeRange {
        let age = SignedDuration::from_secs(span.from);
        let age = if span.is_now() {
            age
        } else {
            age.max(SignedDuration::from_secs(1))
        };
        let (rpo, rto) = self.known.database.objective.at(age);
        AgeRange {
            from_seconds: span.from,
            rpo: self.loss(span, rpo.filter(|_| self.asked.0)),
            rto: self.restore(span, rto.filter(|_| self.asked.1)),
            to_seconds: span.to,
        }
    }

    fn found(&self, span: &Span, view: View) -> Option<Found> {
        if span.is_now() {
            self.ways.full.now(view)
        } else {
            self.ways.full.at(span.worst, view)
        }
    }

    fn loss(&self, span: &Span, promised: Option<Target>) -> Figure {
        let (strict, kind) = (self.found(span, View::Strict), self.found(span, View::Kind));
        let (Some(kind), most) = (kind, strict.as_ref().map(|found| found.seconds)) else {
            return self.nothing(span, promised, CheckId::Rpo);
        };
        let verdict = verdict(kind.seconds, most, promised);
        if verdict == Verdict::Proved
            && let Some(figure) = self.not_sure(span, &kind, promised)
        {
            return figure;
        }
        // Of what is not known the doubtful part is shown.
        let shown = match (&strict, verdict) {
            (Some(strict), Verdict::Proved | Verdict::NotAsked) => strict,
            _ => &kind,
        };
        let what = if span.is_now() {
            "would be lost now"
        } else {
            "lie between two states"
        };
        let maximum = promised.map_or(0, |target| target.maximum.as_secs());
        let at_most = words(maximum);
        let why = match (verdict, most) {
            (Verdict::Proved, Some(most)) => {
                format!("at most {} {what}, {at_most} is promised", words(most))
            }
            (Verdict::Violated, _) => {
                format!(
                    "up to {} {what}, at most {at_most} is promised",
                    words(kind.seconds)
                )
            }
            (Verdict::Unproven, Some(most)) if kind.seconds == 0 => format!(
                "up to {} {what}, at most {at_most} is promised",
                words(most)
            ),
            (Verdict::Unproven, Some(most)) => format!(
                "{} to {} {what}, at most {at_most} is promised",
                words(kind.seconds),
                words(most)
            ),
            (Verdict::NotAsked, Some(most)) => format!("at most {} {what}", words(most)),
            (_, _) => format!("how much {what} is not known"),
        };
        let counter_example = (verdict == Verdict::Violated)
            .then(|| self.widest(span, shown, maximum))
            .flatten();
        Figure {
            counter_example,
            least_seconds: kind.seconds,
            measure: (verdict == Verdict::Unproven)
                .then(|| {
                    measure_loss(self.known, &kind.parts)
                        .or_else(|| measure_loss(self.known, &strict.as_ref()?.parts))
                })
                .flatten(),
            most_seconds: most,
            parts: shown.parts.clone(),
            promised: promised.map(promise),
            way: None,
            verdict,
            why,
        }
    }

    /// A promise of ages that the oldest state does not reach for certain, because the runs that may fail can be the first of a unit.
    fn not_sure(&self, span: &Span, kind: &Found, promised: Option<Target>) -> Option<Figure> {
        let sure = self.ways.full.sure_reach()?;
        let objective = &self.known.database.objective;
        let failures = objective.failures;
        let entries = objective.at_age.iter().filter(|one| one.rpo.is_some());
        let begins = entries.map(|one| one.from.approximate().as_secs());
        let begins = begins.filter(|from| *from <= span.from).max()?;
        (begins > sure && failures > 0 && !span.is_now()).then(|| Figure {
            least_seconds: kind.seconds,
            measure: Some(
                "keep one unit more of the rule that reaches back furthest: a further day, week, month or year"
                    .to_owned(),
            ),
            parts: kind.parts.clone(),
            promised: promised.map(promise),
            verdict: Verdict::Unproven,
            why: format!(
                "if {failures} runs fail in a row, the oldest state may be only {} old",
                words(sure)
            ),
            ..Figure::default()
        })
    }

    /// Nothing is kept that long.
    fn nothing(&self, span: &Span, promised: Option<Target>, of: CheckId) -> Figure {
        let reach = self.ways.full.reach().unwrap_or(0);
        let (old, wanted) = (words(reach), words(span.from));
        let why = if span.from == 0 {
            "there is no state at all at some time".to_owned()
        } else if old == wanted {
            let short = words(span.from - reach);
            format!("nothing that old is kept: the oldest state lacks {short} at times")
        } else {
            format!("nothing that old is kept: the oldest state is only {old} old at times")
        };
        let longest = self.ways.full.longest();
        let example =
            longest.and_then(|profile| profile.witness((span.from.max(1), None), i64::MAX));
        let verdict = if promised.is_some() {
            Verdict::Violated
        } else {
            Verdict::NotAsked
        };
        Figure {
            counter_example: example
                .filter(|_| verdict == Verdict::Violated && of == CheckId::Rpo)
                .map(|case| CounterExample {
                    at: case.at,
                    recovery_point: None,
                    tier: None,
                    wanted: case.wanted,
                }),
            promised: promised.map(promise),
            verdict,
            why,
            ..Figure::default()
        }
    }

    fn widest(&self, span: &Span, found: &Found, promised: i64) -> Option<CounterExample> {
        let profile = found.profile.as_ref()?;
        let case = profile.witness((span.from, span.to), promised - found.added)?;
        // The next state is there, but not yet stored and verified.
        let run = found.parts.iter().filter(|part| part.what == PartKind::Run);
        let run: i64 = run.filter_map(|part| part.seconds).sum();
        Some(self.example(&case, SignedDuration::from_secs(run)))
    }

    /// What there is instead of a wanted moment.
    fn example(&self, case: &Case, run: SignedDuration) -> CounterExample {
        let state = self.shape.state(case.seen, case.wanted);
        let fastest = state.and_then(|(slot, sources)| {
            let has = |way: &&Route| way.index.is_some_and(|index| sources.contains(&index));
            let way = self.ways.all.iter().filter(has);
            let way =
                way.min_by_key(|way| (way.restore.most.unwrap_or(i64::MAX), way.restore.least))?;
            Some((slot, way))
        });
        let name = &self.known.database.name;
        let later = |at: Timestamp| at.saturating_add(run).unwrap_or(at);
        CounterExample {
            at: later(case.at),
            recovery_point: fastest
                .map(|(slot, way)| RecoveryPointId::new(name, &way.way.series, slot)),
            tier: fastest.map(|(_, way)| way.way.tier.clone()),
            wanted: later(case.wanted),
        }
    }

    fn restore(&self, span: &Span, promised: Option<Target>) -> Figure {
        let (Some(fastest), Some(_)) = (span.fastest, span.fastest.or(span.slowest)) else {
            return self.nothing(span, promised, CheckId::Rto);
        };
        let slowest = span.slowest.map(|number| &self.ways.all[number]);
        let least = self.ways.all[fastest].restore.least;
        let most = slowest.and_then(|way| way.restore.most);
        let mut verdict = verdict(least, most, promised);
        let failed = self
            .failed_drills
            .first()
            .filter(|_| verdict == Verdict::Proved);
        if failed.is_some() {
            verdict = Verdict::Unproven;
        }
        let shown = match (verdict, slowest) {
            (Verdict::Proved | Verdict::NotAsked, Some(way)) => way,
            _ => &self.ways.all[fastest],
        };
        // Nobody thaws an archive only to learn that the rest was never measured.
        let shown = match slowest {
            Some(way) if verdict == Verdict::Unproven && failed.is_none() && most.is_none() => way,
            _ => shown,
        };
        let why = restore_words(verdict, shown, promised, failed.map(String::as_str));
        let name = &self.known.database.name;
        let measure = match failed {
            Some(drill) => Some(format!(
                "see why it failed: `mainstay drill list {name}`; mend it and run it again: `mainstay drill {name} {drill}`"
            )),
            None => (verdict == Verdict::Unproven)
                .then(|| measure_restore(self.known, &shown.way, span.from >= OLD)),
        };
        let maximum = promised.map_or(0, |target| target.maximum.as_secs());
        let counter_example = (verdict == Verdict::Violated)
            .then(|| self.slow_state(span, maximum))
            .flatten();
        Figure {
            counter_example,
            least_seconds: least,
            measure,
            most_seconds: most,
            parts: shown.restore.parts.clone(),
            promised: promised.map(promise),
            way: Some(shown.way.clone()),
            verdict,
            why,
        }
    }

    /// A state of these ages that no way leads to in time.
    fn slow_state(&self, span: &Span, promised: i64) -> Option<CounterExample> {
        let fast = self.ways.by_least.iter().rev();
        let mut fast = fast.filter(|(number, _)| self.ways.all[*number].restore.least <= promised);
        let allowed = self.ways.allowed(self.known, span.worst, View::Kind)?;
        let span_of_ages = (span.from, span.to);
        let by_fast = fast.next().and_then(|(_, gaps)| gaps.longest());
        let case = by_fast
            .and_then(|profile| profile.witness(span_of_ages, allowed))
            .or_else(|| self.ways.full.longest()?.witness(span_of_ages, -1))?;
        Some(self.example(&case, SignedDuration::ZERO))
    }
}

fn restore_words(
    verdict: Verdict,
    way: &Route,
    promised: Option<Target>,
    failed: Option<&str>,
) -> String {
    let from = if way.way.log {
        format!("{} on {} and the log", way.way.series, way.way.tier)
    } else {
        format!("{} on {}", way.way.series, way.way.tier)
    };
    let Sum { least, most, .. } = &way.restore;
    let at_most = promised.map_or_else(String::new, |target| words(target.maximum.as_secs()));
    if let Some(drill) = failed {
        return format!("drill {drill} failed, so nothing is proved about restoring from {from}");
    }
    match (verdict, most) {
        (Verdict::Proved, Some(most)) => {
            format!("{} from {from}, {at_most} is promised", words(*most))
        }
        (Verdict::Violated, _) => format!(
            "{} from {from}, at most {at_most} is promised",
            words(*least)
        ),
        (Verdict::NotAsked, Some(most)) => format!("{} from {from}", words(*most)),
        (_, Some(most)) => format!("{} from {from}, {at_most} is promised", words(*most)),
        (_, None) if *least > 0 => {
            format!("more than {} from {from}", words(*least))
        }
        (_, None) => format!("how long a restore from {from} takes was never measured"),
    }
}
