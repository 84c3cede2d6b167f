//! Programs that fail, are killed, talk too much, or leave children behind.

use super::*;
use std::io::Write;

fn shell(script: &str) -> Program {
    Program::new("/bin/sh").arg("-c").arg(script)
}

fn lives(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}

async fn gone(pid: i32) -> bool {
    for _ in 0..200 {
        // A killed orphan may stay a zombie until its new parent looks.
        let zombie = std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
            stat.rsplit(')')
                .next()
                .is_some_and(|rest| rest.starts_with(" Z"))
        });
        if zombie || !lives(pid) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

#[tokio::test]
async fn a_failed_program_is_quoted_without_its_secrets() {
    let error = shell("echo \"cannot log in with $PASSWORD\" >&2; exit 3")
        .secret_env("PASSWORD", &Secret::new("hunter2".to_owned()))
        .start()
        .unwrap()
        .wait()
        .await
        .unwrap_err();
    insta::assert_snapshot!(error, @"`sh` ended with exit code 3, saying: cannot log in with ***");
    assert_eq!(error.code, "mainstay::process::failed");
}

#[tokio::test]
async fn a_program_killed_by_a_signal_is_no_success_whatever_it_printed() {
    let (running, mut output) = shell("echo data; kill -9 $$").start_reading().unwrap();
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    assert_eq!(text, "data\n");
    let error = running.wait().await.unwrap_err();
    insta::assert_snapshot!(error, @"`sh` was killed by signal 9");
    assert_eq!(error.disposition, Disposition::Retry);
}

#[tokio::test]
async fn dropping_a_program_kills_its_whole_group() {
    let (running, output) = shell("sleep 1000 & echo $!; wait").start_reading().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
    let grandchild: i32 = line.trim().parse().unwrap();
    let child = i32::try_from(running.id().unwrap()).unwrap();
    assert!(lives(grandchild) && lives(child));
    drop(running);
    assert!(gone(grandchild).await && gone(child).await);
}

#[tokio::test]
async fn stopping_asks_before_it_kills() {
    let folder = tempfile::tempdir().unwrap();
    let (running, mut output) =
        shell("trap 'echo asked > asked; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
            .folder(folder.path())
            .start_reading()
            .unwrap();
    output.read_exact(&mut [0; 6]).unwrap();
    running.stop(Duration::from_secs(10)).await;
    assert!(folder.path().join("asked").exists());
}

#[tokio::test]
async fn only_the_end_of_a_long_complaint_is_kept() {
    let error = shell("i=0; while [ $i -lt 20000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1")
        .start()
        .unwrap()
        .wait()
        .await
        .unwrap_err();
    insta::assert_snapshot!(error, @"`sh` ended with exit code 1, saying: line 19994 | line 19995 | line 19996 | line 19997 | line 19998 | line 19999");
}

#[test]
fn a_secret_cut_in_half_at_the_front_does_not_leak() {
    let secrets = [
        Secret::new("abcdef".to_owned()),
        Secret::new("abc".to_owned()),
    ];
    assert_eq!(
        stderr::scrubbed("def said\nabcdef abc", true, &secrets),
        "*** ***"
    );
}

#[tokio::test]
async fn a_missing_program_says_so() {
    let error = Program::new("/nowhere/pg_dump").start().unwrap_err();
    assert_eq!(error.code, "mainstay::process::not-found");
    insta::assert_snapshot!(error, @"the program `/nowhere/pg_dump` is not there");
}

#[tokio::test]
async fn a_filter_is_fed_and_read() {
    let (running, mut input, mut output) = Program::new("cat").start_filter().unwrap();
    let feeding = std::thread::spawn(move || input.write_all(&vec![b'x'; 3 << 20]));
    let mut bytes = Vec::new();
    output.read_to_end(&mut bytes).unwrap();
    feeding.join().unwrap().unwrap();
    assert_eq!(bytes.len(), 3 << 20);
    running.wait().await.unwrap();
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_stopped() {
    let running = shell("sleep 1000").start().unwrap();
    let child = i32::try_from(running.id().unwrap()).unwrap();
    let error = running
        .wait_at_most(Duration::from_millis(50))
        .await
        .unwrap_err();
    assert_eq!(error.code, "mainstay::process::timeout");
    assert!(gone(child).await);
}

#[tokio::test]
async fn a_secret_command_gets_no_shell_and_its_output_is_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let command = ["echo".to_owned(), "$HOME;".to_owned()];
    assert_eq!(
        output_of(&command, folder.path()).await.unwrap(),
        "$HOME;\n"
    );
    let failing = [
        "sh".to_owned(),
        "-c".to_owned(),
        "echo s3cret; exit 1".to_owned(),
    ];
    let error = output_of(&failing, folder.path()).await.unwrap_err();
    assert_eq!(error.code, "mainstay::secret::unavailable");
    assert!(!format!("{error:?}").contains("s3cret"));
}
