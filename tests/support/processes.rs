//! Processes found by their command lines, and killed.

use super::program::command;
use std::{fs, path::Path, process::Stdio, time::Duration};

/// Numbers of the processes with such a command line.
pub fn processes(wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if wanted(&line) {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found
}

/// Processes that this one has started.
pub fn children(process: &str) -> Vec<String> {
    let path = format!("/proc/{process}/task/{process}/children");
    let all = fs::read_to_string(path).unwrap();
    all.split_whitespace().map(str::to_owned).collect()
}

/// SIGKILL for all at once; how many there were.
pub fn kill_all(processes: &[String]) -> u32 {
    if !processes.is_empty() {
        let mut kill = command("kill");
        kill.arg("-KILL").args(processes);
        let _ = kill.stderr(Stdio::null()).status();
        for process in processes {
            while fs::read_to_string(Path::new("/proc").join(process).join("stat"))
                .is_ok_and(|stat| !stat.contains(") Z "))
            {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
    u32::try_from(processes.len()).unwrap()
}
