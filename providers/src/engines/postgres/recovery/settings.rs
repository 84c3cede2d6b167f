//! Recovery settings for a server's version (12 or newer): of a target, in `postgresql.auto.conf`, and what is taken from the source's settings.
//!
//! - A target that the source left behind counts, and two targets are fatal: every one is set to nothing before ours is set. The order matters.
//! - Nothing of the source that reaches outside of the server (archiving, replication, commands) is kept for a server that we start.
//!
//! Source: PostgreSQL manual, "Archive Recovery" and "Recovery Target"; `guc-file.l` for quoting. Not here: starting a server (`scratch_server`).

use jiff::Timestamp;
use model::{RecoveryTarget, TimelineChoice};
use std::{collections::BTreeMap, fmt::Write};

/// First and last line of what we add to `postgresql.auto.conf`.
const BEGIN: &str = "# >>> mainstay recovery";
const END: &str = "# <<< mainstay recovery";
/// All settings that are a target.
const TARGETS: [&str; 5] = [
    "recovery_target",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_xid",
];
/// Settings of the source that a recovered server must not inherit.
const INHERITED: [&str; 9] = [
    "primary_conninfo",
    "primary_slot_name",
    "promote_trigger_file",
    "recovery_end_command",
    "recovery_min_apply_delay",
    "restore_command",
    "standby_mode",
    "synchronous_standby_names",
    "trigger_file",
];
/// Libraries whose background workers act outside of their server, or change data by themselves.
const ACTIVE_LIBRARIES: [&str; 11] = [
    "bdr",
    "bgw_replstatus",
    "pg_cron",
    "pg_net",
    "pg_partman_bgw",
    "pg_squeeze",
    "pgl_ddl_deploy",
    "pglogical",
    "repmgr",
    "spock",
    "wait_event_sampling",
];

/// The settings that stop a recovery at `target`, ours last.
pub(super) fn of_target(
    target: &RecoveryTarget,
    timeline: TimelineChoice,
    action: &str,
) -> Vec<(String, String)> {
    let mut settings: Vec<(String, String)> = TARGETS
        .iter()
        .map(|name| ((*name).to_owned(), String::new()))
        .collect();
    let timeline = match timeline {
        TimelineChoice::Latest => "latest".to_owned(),
        TimelineChoice::Current => "current".to_owned(),
        TimelineChoice::Number(number) => number.to_string(),
    };
    let mut add = |name: &str, value: String| settings.push((name.to_owned(), value));
    add("recovery_target_timeline", timeline);
    // A server compares a position with where records begin: "inclusive" would replay one record beyond it.
    let inclusive = !matches!(target, RecoveryTarget::Position(_));
    let word = if inclusive { "on" } else { "off" };
    add("recovery_target_inclusive", word.to_owned());
    add("recovery_target_action", action.to_owned());
    match target {
        RecoveryTarget::Latest => {}
        RecoveryTarget::Immediate => add("recovery_target", "immediate".to_owned()),
        RecoveryTarget::Time(at) => add("recovery_target_time", with_zone(*at)),
        // Servers compare 32 bits; the epoch above them is for people.
        RecoveryTarget::Transaction(xid) => {
            add("recovery_target_xid", (xid & 0xFFFF_FFFF).to_string());
        }
        RecoveryTarget::Name(name) => add("recovery_target_name", name.clone()),
        RecoveryTarget::Position(lsn) => add("recovery_target_lsn", lsn.to_string()),
    }
    settings
}

/// A time as PostgreSQL reads it, always with its zone.
fn with_zone(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S.%6f+00").to_string()
}

/// A line of a configuration file.
pub(super) fn line(name: &str, value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    for character in value.chars() {
        match character {
            '\'' => quoted.push_str("''"),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            _ => quoted.push(character),
        }
    }
    format!("{name} = '{quoted}'\n")
}

/// A command line for `restore_command`: quoted for the shell, with `%f` and `%p` standing for themselves.
pub(super) fn command(arguments: &[String]) -> String {
    let words: Vec<_> = arguments
        .iter()
        .map(|argument| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@,+%".contains(c);
            let mut word = String::new();
            let mut rest = argument.chars().peekable();
            while let Some(character) = rest.next() {
                word.push(character);
                if character == '%' {
                    match rest.peek() {
                        Some('f' | 'p') => {}
                        _ => word.push('%'),
                    }
                }
            }
            if !word.is_empty() && word.chars().all(plain) {
                word
            } else {
                format!("'{}'", word.replace('\'', "'\\''"))
            }
        })
        .collect();
    words.join(" ")
}

/// `postgresql.auto.conf` as it shall be: the source's without what must not be inherited, then our section.
pub(super) fn auto_conf(source: &str, section: &[(String, String)]) -> String {
    let mut text = String::new();
    let mut ours = false;
    for line in source.lines() {
        ours |= line == BEGIN;
        if !ours && !setting(line).is_some_and(|(name, _)| must_not_be_inherited(&name)) {
            let _ = writeln!(text, "{line}");
        }
        ours &= line != END;
    }
    if section.is_empty() {
        return text;
    }
    let _ = writeln!(text, "{BEGIN}");
    for (name, value) in section {
        text.push_str(&line(name, value));
    }
    let _ = writeln!(text, "{END}");
    text
}

fn must_not_be_inherited(name: &str) -> bool {
    name.starts_with("recovery_target") || name.starts_with("archive_") || INHERITED.contains(&name)
}

/// What a person's server must not do in the source's place, whatever its own `postgresql.conf` says.
pub(super) fn apart(version: u32) -> Vec<(String, String)> {
    let mut settings = vec![
        ("archive_mode", "off"),
        ("archive_cleanup_command", ""),
        ("recovery_end_command", ""),
        ("primary_conninfo", ""),
        ("primary_slot_name", ""),
        ("recovery_min_apply_delay", "0"),
    ];
    if version < 16 {
        settings.push(("promote_trigger_file", ""));
    }
    let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    settings.into_iter().map(own).collect()
}

/// Settings of a configuration file by name, the last of each. Included files are not followed.
pub(super) fn read(text: &str) -> BTreeMap<String, String> {
    text.lines().filter_map(setting).collect()
}

/// `name = value`, as `guc-file.l` reads it.
fn setting(line: &str) -> Option<(String, String)> {
    let line = line.trim_start();
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.' || c == '$';
    let end = line.find(|c| !word(c)).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    if name.is_empty() {
        return None;
    }
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
    let value = match rest.strip_prefix('\'') {
        Some(quoted) => unquoted(quoted),
        None => rest
            .split(|c: char| c.is_whitespace() || c == '#')
            .next()
            .unwrap_or_default()
            .to_owned(),
    };
    Some((name.to_ascii_lowercase(), value))
}

fn unquoted(text: &str) -> String {
    let mut value = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\'' if characters.peek() == Some(&'\'') => {
                characters.next();
                value.push('\'');
            }
            '\'' => break,
            '\\' => match characters.next() {
                Some('n') => value.push('\n'),
                Some('t') => value.push('\t'),
                Some('r') => value.push('\r'),
                Some(other) => value.push(other),
                None => break,
            },
            other => value.push(other),
        }
    }
    value
}

/// What a server that we start takes from the source: libraries that its data may need, and extensions' own settings.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// For `shared_preload_libraries`.
    pub(super) libraries: Vec<String>,
    /// Libraries left out because they would act by themselves.
    pub(super) left_out: Vec<String>,
    /// Other settings.
    pub(super) settings: BTreeMap<String, String>,
}

/// Chooses from the source's settings.
pub(super) fn kept(source: &BTreeMap<String, String>) -> Kept {
    let mut kept = Kept::default();
    let libraries = source
        .get("shared_preload_libraries")
        .map_or("", String::as_str);
    for library in libraries.split(',') {
        let library = library.trim().trim_matches('"');
        let base = library.rsplit('/').next().unwrap_or(library);
        let base = base.strip_suffix(".so").unwrap_or(base);
        if library.is_empty() {
            continue;
        }
        if ACTIVE_LIBRARIES.contains(&base) {
            kept.left_out.push(library.to_owned());
        } else {
            kept.libraries.push(library.to_owned());
        }
    }
    for (name, value) in source {
        let of_extension = name.contains('.') && !name.starts_with("cron.");
        if of_extension || matches!(name.as_str(), "default_text_search_config" | "bytea_output") {
            kept.settings.insert(name.clone(), value.clone());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leftover_target_is_emptied_before_ours_is_set() {
        let at: Timestamp = "2026-06-20T12:00:00.25Z".parse().unwrap();
        let mut section = apart(15);
        section.extend(of_target(
            &RecoveryTarget::Time(at),
            TimelineChoice::Latest,
            "promote",
        ));
        let source = "# Do not edit this file manually!\nwork_mem = '8MB'\nRecovery_Target_Name 'old'\n  recovery_target_xid=7 # x\n\
                      restore_command = 'cp /prod/%f %p'\narchive_command = 'push %p'\nprimary_conninfo = 'host=prod'\n";
        let text = auto_conf(source, &section);
        insta::assert_snapshot!(text, @r"
        # Do not edit this file manually!
        work_mem = '8MB'
        # >>> mainstay recovery
        archive_mode = 'off'
        archive_cleanup_command = ''
        recovery_end_command = ''
        primary_conninfo = ''
        primary_slot_name = ''
        recovery_min_apply_delay = '0'
        promote_trigger_file = ''
        recovery_target = ''
        recovery_target_lsn = ''
        recovery_target_name = ''
        recovery_target_time = ''
        recovery_target_xid = ''
        recovery_target_timeline = 'latest'
        recovery_target_inclusive = 'on'
        recovery_target_action = 'promote'
        recovery_target_time = '2026-06-20 12:00:00.250000+00'
        # <<< mainstay recovery
        ");
        assert_eq!(auto_conf(&text, &section), text, "written twice");
        let plain = auto_conf(&text, &[]);
        assert!(!plain.contains("recovery") && plain.contains("work_mem"));
    }

    #[test]
    fn a_command_survives_the_shell_and_the_configuration_file() {
        let arguments = ["/opt/my tool", "--50%", "it's", "%f", "%p"].map(str::to_owned);
        let command = command(&arguments);
        assert_eq!(command, r"'/opt/my tool' --50%% 'it'\''s' %f %p");
        let written = line("restore_command", &command);
        assert_eq!(
            written,
            "restore_command = '''/opt/my tool'' --50%% ''it''\\\\''''s'' %f %p'\n"
        );
        assert_eq!(read(&written)["restore_command"], command);
    }

    #[test]
    fn what_acts_outside_is_not_kept_for_a_scratch_server() {
        let source = read(
            "shared_preload_libraries = 'pg_cron, pg_stat_statements,\"$libdir/auto_explain\"'\ncron.database_name = 'x'\n\
             auto_explain.log_min_duration = 5\narchive_command='push %p'\nlisten_addresses = '*'\n#port = 5432\n",
        );
        let kept = kept(&source);
        assert_eq!(
            kept.libraries,
            ["pg_stat_statements", "$libdir/auto_explain"]
        );
        assert_eq!(kept.left_out, ["pg_cron"]);
        assert_eq!(
            kept.settings.into_keys().collect::<Vec<_>>(),
            ["auto_explain.log_min_duration"]
        );
    }

    #[test]
    fn a_transaction_is_named_by_the_bits_that_a_server_compares() {
        let target = RecoveryTarget::Transaction(3 * (1 << 32) + 741);
        let settings = of_target(&target, TimelineChoice::Number(4), "pause");
        let last = settings.last().unwrap();
        assert_eq!(
            (last.0.as_str(), last.1.as_str()),
            ("recovery_target_xid", "741")
        );
        assert!(settings.contains(&("recovery_target_timeline".to_owned(), "4".to_owned())));
    }
}
