//! Who holds a lease, in words that the next run on this machine can check: is that process still alive?
//!
//! Invariant: "dead" is only said when it is certain: the same boot of the same machine, the same process namespace, and
//! no living process with that number and start time. Everything else is "unknown", and the lease must run out by itself.
//! Linux only (proc(5)); elsewhere every holder is unknown.

use std::fs;

/// A process, as the text of a lease names it: `host=a boot=b space=c pid=1 start=2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    host: String,
    boot: String,
    space: String,
    pid: String,
    start: String,
}

impl Holder {
    /// This process.
    pub(crate) fn this_process() -> Self {
        let pid = std::process::id().to_string();
        Self {
            host: first_word("/proc/sys/kernel/hostname"),
            boot: first_word("/proc/sys/kernel/random/boot_id"),
            space: namespace(),
            start: alive_since(&pid).unwrap_or_else(|| "unknown".to_owned()),
            pid,
        }
    }

    /// The text that stands in the lease.
    pub(crate) fn text(&self) -> String {
        format!(
            "host={} boot={} space={} pid={} start={}",
            self.host, self.boot, self.space, self.pid, self.start
        )
    }

    /// Reads a lease's text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            text.split(' ')
                .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
                .map(ToOwned::to_owned)
        };
        Some(Self {
            host: field("host")?,
            boot: field("boot")?,
            space: field("space")?,
            pid: field("pid")?,
            start: field("start")?,
        })
    }

    /// In words, for the message that another run holds the lease.
    pub(crate) fn describe(&self) -> String {
        format!("process {} on {}", self.pid, self.host)
    }

    /// Whether this holder has certainly ended, as seen from `observer`.
    pub(crate) fn is_certainly_dead(&self, observer: &Self) -> bool {
        let known = |text: &str| text != "unknown" && !text.is_empty();
        if self.host != observer.host
            || self.boot != observer.boot
            || self.space != observer.space
            || ![&self.boot, &self.space, &self.start, &observer.start]
                .into_iter()
                .all(|text| known(text))
            || !self.pid.bytes().all(|byte| byte.is_ascii_digit())
        {
            return false;
        }
        // A process number is used again after a while; the start time tells the two apart.
        alive_since(&self.pid).is_none_or(|start| start != self.start)
    }
}

impl Holder {
    /// Whether this holder is certainly still at work, as seen from `observer`.
    pub(crate) fn is_certainly_alive(&self, observer: &Self) -> bool {
        self.host == observer.host
            && self.boot == observer.boot
            && self.space == observer.space
            && alive_since(&self.pid).is_some_and(|start| start == self.start)
    }

    /// Whether what this holder left on a local disk is nobody's any more: it is dead, or the machine has been started anew.
    pub(crate) fn has_ended(&self, observer: &Self) -> bool {
        self.is_certainly_dead(observer)
            || (self.host == observer.host && self.boot != observer.boot)
    }
}

fn first_word(path: &str) -> String {
    fs::read_to_string(path)
        .ok()
        .and_then(|text| text.split_whitespace().next().map(ToOwned::to_owned))
        .unwrap_or_else(|| "unknown".to_owned())
}

fn namespace() -> String {
    fs::read_link("/proc/self/ns/pid").map_or_else(
        |_| "unknown".to_owned(),
        |link| link.to_string_lossy().replace(' ', "-"),
    )
}

/// Start time of a living process in clock ticks since boot (proc(5), field 22 of `stat`); a zombie counts as dead.
fn alive_since(pid: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may itself hold blanks and parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    if matches!(fields.first(), Some(&("Z" | "X"))) {
        return None;
    }
    fields.get(19).map(|start| (*start).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_survives_its_text() {
        let holder = Holder::this_process();
        assert_eq!(Holder::parse(&holder.text()), Some(holder));
        assert_eq!(Holder::parse("somebody"), None);
    }

    #[test]
    fn a_living_process_is_not_dead() {
        let holder = Holder::this_process();
        assert!(!holder.is_certainly_dead(&holder));
        assert!(holder.is_certainly_alive(&holder));
    }

    #[test]
    fn a_process_number_used_again_is_a_dead_holder() {
        let observer = Holder::this_process();
        let earlier = Holder {
            start: "1".to_owned(),
            ..observer.clone()
        };
        assert!(earlier.is_certainly_dead(&observer));
        assert!(!earlier.is_certainly_alive(&observer));
    }

    #[test]
    fn a_holder_elsewhere_is_never_called_dead() {
        let observer = Holder::this_process();
        for elsewhere in [
            Holder {
                host: "other".to_owned(),
                start: "1".to_owned(),
                ..observer.clone()
            },
            Holder {
                boot: "other".to_owned(),
                start: "1".to_owned(),
                ..observer.clone()
            },
            Holder {
                space: "other".to_owned(),
                start: "1".to_owned(),
                ..observer.clone()
            },
        ] {
            assert!(!elsewhere.is_certainly_dead(&observer), "{elsewhere:?}");
        }
    }
}
