//! `backup_label`: where replay of a base backup begins. Source: `xlogbackup.c`, `build_backup_content`.

use model::Lsn;

/// Its name in the data folder.
pub(super) const FILE_NAME: &str = "backup_label";

/// What a label says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    /// Replay begins here.
    pub(super) start: Lsn,
    /// Timeline of that position; servers older than 11 do not write it.
    pub(super) timeline: Option<u32>,
    /// For an incremental backup: where the one began that it builds on.
    pub(super) incremental_from: Option<Lsn>,
}

impl Label {
    /// Reads a label; `None`: it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
        };
        let first_word = |text: &str| text.split_whitespace().next().map(str::to_owned);
        let lsn = |text: &str| Lsn::parse(&first_word(text)?).ok();
        Some(Self {
            start: lsn(value("START WAL LOCATION")?)?,
            timeline: value("START TIMELINE").and_then(|text| text.parse().ok()),
            incremental_from: value("INCREMENTAL FROM LSN").and_then(lsn),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_says_where_replay_begins() {
        let text = "START WAL LOCATION: 16/2000028 (file 000000010000001600000002)\n\
                    CHECKPOINT LOCATION: 16/2000060\nBACKUP METHOD: streamed\nBACKUP FROM: primary\n\
                    START TIME: 2026-11-21 19:00:00 UTC\nLABEL: mainstay\nSTART TIMELINE: 3\n\
                    INCREMENTAL FROM LSN: 15/10\nINCREMENTAL FROM TLI: 3\n";
        let label = Label::parse(text).unwrap();
        assert_eq!(label.start, Lsn(0x16_0200_0028));
        assert_eq!(label.timeline, Some(3));
        assert_eq!(label.incremental_from, Some(Lsn(0x15_0000_0010)));
        assert_eq!(Label::parse("something else"), None);
    }
}
