//! A moto server of one's own (KMS among others), on a free port, gone with the test that started it.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

/// Ends when its standard input does, so that a killed test leaves nothing behind.
const SERVER: &str = r"
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
";

/// The Python that has moto and boto3; `./check` says which.
pub(crate) fn python() -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "which Python has the peers is said by ./check"
    )]
    let python = std::env::var("MAINSTAY_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    #[expect(
        clippy::disallowed_methods,
        reason = "the peer is a program of its own"
    )]
    Command::new(python)
}

/// A running server.
pub(crate) struct Moto {
    child: Child,
    /// Where it answers.
    pub(crate) endpoint: String,
}

impl Moto {
    pub(crate) fn start() -> Self {
        let mut child = python()
            .args(["-c", SERVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut port)
            .unwrap();
        let port: u16 = port.trim().parse().unwrap();
        Self {
            child,
            endpoint: format!("http://127.0.0.1:{port}"),
        }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
