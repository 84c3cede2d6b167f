//! The schedule at the beginning of a line of a crontab, told from a command that only looks like one.

/// The schedule that the line begins with, if a command follows it.
pub(super) fn schedule_of(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let first = words.next()?;
    if first.starts_with('@') {
        let known = [
            "@hourly",
            "@daily",
            "@midnight",
            "@weekly",
            "@monthly",
            "@yearly",
            "@annually",
        ];
        return known.contains(&first).then(|| first.to_owned());
    }
    let mut fields = vec![first];
    fields.extend(words.by_ref().take(4));
    words.next()?;
    let plain = |field: &&str| {
        field
            .chars()
            .all(|c| c.is_ascii_digit() || "*,-/".contains(c))
    };
    let named = |field: &&str| {
        field
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "*,-/".contains(c))
            && (plain(field) || field.len() >= 3)
    };
    let is_schedule =
        fields.len() == 5 && fields[..3].iter().all(plain) && fields[3..].iter().all(named);
    is_schedule.then(|| fields.join(" "))
}
