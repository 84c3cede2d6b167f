//! What the planner promises, tested through its public functions; every plan made here passes `planner::check`.

#[cfg(test)]
mod archived;
#[cfg(test)]
mod chains;
#[cfg(test)]
mod diffs;
#[cfg(test)]
mod drills;
mod forecasts;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod locked;
#[cfg(test)]
mod log;
#[cfg(test)]
mod log_simulation;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod support;
#[cfg(test)]
mod traps;
