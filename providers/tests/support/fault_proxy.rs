//! A small HTTP proxy between a client and a store, which does at chosen requests what networks and stores do: drops,
//! delays, errors, truncated and changed bodies.
//!
//! Self-contained (standard library only). The `Host` header is passed on as it came, so signatures stay valid: the store
//! sees the proxy's port in it, as the client signed it. Every request is counted and written down. A request or a response
//! is held in memory as a whole before it goes on, so "dropped after the store has done it" means just that.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot be set up shall say why and stop"
)]
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary uses a part of this"
)]

use std::{
    io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// What is done to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends; the store never hears of it.
    DropBefore,
    /// The store has done it; the connection ends without a response.
    DropAfter,
    /// The store hears of it so much later.
    Delay(Duration),
    /// 500 `InternalError`; the store never hears of it.
    InternalError,
    /// 503 `SlowDown`; the store never hears of it.
    SlowDown,
    /// 500 `InternalError` although the store has done it.
    InternalErrorAfter,
    /// The connection ends in the middle of the response's body (of its head, when it has none).
    TruncateResponse,
    /// One bit of the response's body is another.
    FlipResponse,
    /// One bit of the request's body is another.
    FlipRequest,
}

/// Everything that may happen once, for tests that enumerate.
pub const FAULTS: [Fault; 9] = [
    Fault::DropBefore,
    Fault::DropAfter,
    Fault::Delay(Duration::from_millis(300)),
    Fault::InternalError,
    Fault::SlowDown,
    Fault::InternalErrorAfter,
    Fault::TruncateResponse,
    Fault::FlipResponse,
    Fault::FlipRequest,
];

/// Which requests a fault hits.
#[derive(Debug, Clone)]
pub struct Rule {
    /// What happens.
    pub fault: Fault,
    /// Only this method.
    pub method: Option<&'static str>,
    /// Only where this is part of the path with its query.
    pub target: Option<String>,
    /// From which of the matching requests on, counted from 1 …
    pub nth: usize,
    /// … and for how many of them.
    pub times: usize,
}

impl Rule {
    /// The n-th request of all, once.
    pub fn once(fault: Fault, nth: usize) -> Self {
        Self {
            fault,
            method: None,
            target: None,
            nth,
            times: 1,
        }
    }

    /// Every request from the n-th on.
    pub fn from(fault: Fault, nth: usize) -> Self {
        Self {
            times: usize::MAX,
            ..Self::once(fault, nth)
        }
    }

    /// The same for one method only.
    #[must_use]
    pub fn method(self, method: &'static str) -> Self {
        Self {
            method: Some(method),
            ..self
        }
    }

    /// The same only where this is part of the path with its query.
    #[must_use]
    pub fn target(self, part: &str) -> Self {
        Self {
            target: Some(part.to_owned()),
            ..self
        }
    }
}

/// The first line and the headers of a request or a response.
#[derive(Debug, Clone)]
pub struct Head {
    /// `PUT /bucket/key HTTP/1.1`, or `HTTP/1.1 200 OK`.
    pub first: String,
    /// Name and value, as they came.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// A header's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Takes a header away.
    pub fn remove(&mut self, name: &str) {
        self.headers
            .retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }

    /// Gives a header this value.
    pub fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// Method of a request.
    pub fn method(&self) -> &str {
        self.first.split(' ').next().unwrap_or_default()
    }

    /// Path and query of a request.
    pub fn target(&self) -> &str {
        self.first.split(' ').nth(1).unwrap_or_default()
    }

    /// Status of a response.
    pub fn status(&self) -> u16 {
        let status = self.first.split(' ').nth(1);
        status.and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

type Rewrite = Arc<dyn Fn(&mut Head) + Send + Sync>;

#[derive(Default)]
struct State {
    rule: Option<Rule>,
    matched: usize,
    fired: usize,
    log: Vec<String>,
    on_request: Option<Rewrite>,
    on_response: Option<Rewrite>,
}

/// A running proxy; it ends with the value.
pub struct FaultProxy {
    /// `http://127.0.0.1:<port>`.
    pub endpoint: String,
    port: u16,
    state: Arc<Mutex<State>>,
    ending: Arc<AtomicBool>,
}

impl FaultProxy {
    /// Starts one before the store at this port of 127.0.0.1; it only passes on until told otherwise.
    pub fn start(store: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let state = Arc::new(Mutex::new(State::default()));
        let ending = Arc::new(AtomicBool::new(false));
        let (shared, end) = (Arc::clone(&state), Arc::clone(&ending));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                let state = Arc::clone(&shared);
                std::thread::spawn(move || {
                    let _ = client.set_nodelay(true);
                    // A client that goes away, or a fault that ends the connection: both are the end of it.
                    let _ = serve(&client, store, &state);
                });
            }
        });
        Self {
            endpoint: format!("http://127.0.0.1:{port}"),
            port,
            state,
            ending,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Disturbs from now on as the rule says; counts begin again.
    pub fn disturb(&self, rule: Rule) {
        let mut state = self.state();
        (state.rule, state.matched, state.fired) = (Some(rule), 0, 0);
        state.log.clear();
    }

    /// Disturbs no more, and says how many requests were hit. What was counted stays.
    pub fn calm(&self) -> usize {
        let mut state = self.state();
        state.rule = None;
        state.fired
    }

    /// Requests since the last [`FaultProxy::disturb`]: `METHOD path?query`.
    pub fn requests(&self) -> Vec<String> {
        self.state().log.clone()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.state().log.clear();
    }

    /// Changes the head of every request before the store sees it. Signatures break where signed headers change.
    pub fn rewrite_requests(&self, change: impl Fn(&mut Head) + Send + Sync + 'static) {
        self.state().on_request = Some(Arc::new(change));
    }

    /// Changes the head of every response before the client sees it.
    pub fn rewrite_responses(&self, change: impl Fn(&mut Head) + Send + Sync + 'static) {
        self.state().on_response = Some(Arc::new(change));
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for clients.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves one connection until it ends.
fn serve(client: &TcpStream, store: u16, state: &Mutex<State>) -> Result<()> {
    let mut from_client = BufReader::new(client);
    let mut to_client = client;
    loop {
        let Some(mut request) = read_head(&mut from_client)? else {
            return Ok(());
        };
        if request.get("expect").is_some() {
            to_client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut body = read_body(&mut from_client, &request, false)?;
        let (fault, on_request, on_response) = judge(&mut lock(state), &request);
        if let Some(change) = on_request {
            change(&mut request);
        }
        match fault {
            Some(Fault::DropBefore) => return Ok(()),
            Some(Fault::InternalError) => {
                answer(to_client, "500 Internal Server Error", "InternalError")?;
                continue;
            }
            Some(Fault::SlowDown) => {
                answer(to_client, "503 Slow Down", "SlowDown")?;
                continue;
            }
            Some(Fault::Delay(pause)) => std::thread::sleep(pause),
            Some(Fault::FlipRequest) => flip(&mut body),
            _ => {}
        }
        let (mut response, mut content) = ask(store, &request, &body)?;
        if let Some(change) = on_response {
            change(&mut response);
        }
        match fault {
            Some(Fault::DropAfter) => return Ok(()),
            Some(Fault::InternalErrorAfter) => {
                answer(to_client, "500 Internal Server Error", "InternalError")?;
                continue;
            }
            Some(Fault::TruncateResponse) => {
                let mut bytes = write_head(&response);
                if content.is_empty() {
                    bytes.truncate(bytes.len() / 2);
                } else {
                    content.truncate(content.len() / 2);
                    bytes.append(&mut content);
                }
                return to_client.write_all(&bytes);
            }
            Some(Fault::FlipResponse) => flip(&mut content),
            _ => {}
        }
        to_client.write_all(&write_head(&response))?;
        to_client.write_all(&content)?;
        let closes = |head: &Head| {
            head.get("connection")
                .is_some_and(|value| value.eq_ignore_ascii_case("close"))
        };
        if closes(&request) || closes(&response) {
            return Ok(());
        }
    }
}

/// Counts a request, and says what happens to it.
fn judge(state: &mut State, request: &Head) -> (Option<Fault>, Option<Rewrite>, Option<Rewrite>) {
    state
        .log
        .push(format!("{} {}", request.method(), request.target()));
    let mut fault = None;
    if let Some(rule) = state.rule.clone()
        && rule.method.is_none_or(|method| method == request.method())
        && (rule.target.as_ref()).is_none_or(|part| request.target().contains(part))
    {
        state.matched += 1;
        if state.matched >= rule.nth && state.matched - rule.nth < rule.times {
            state.fired += 1;
            fault = Some(rule.fault);
        }
    }
    (fault, state.on_request.clone(), state.on_response.clone())
}

/// Passes a request on over a connection of its own, and gives the response with its body.
fn ask(store: u16, request: &Head, body: &[u8]) -> Result<(Head, Vec<u8>)> {
    let upstream = TcpStream::connect(("127.0.0.1", store))?;
    upstream.set_nodelay(true)?;
    let mut request = request.clone();
    let head_only = request.method() == "HEAD";
    // The body is here already; where it came in chunks it goes on as it came.
    if request.get("expect").is_some() && !is_signed(&request, "expect") {
        request.remove("expect");
    }
    (&upstream).write_all(&write_head(&request))?;
    // A store that refuses early may not read all of it; its answer counts.
    let sent = (&upstream).write_all(body);
    let mut from_store = BufReader::new(&upstream);
    loop {
        let Some(head) = read_head(&mut from_store)? else {
            sent?;
            return Err(ErrorKind::UnexpectedEof.into());
        };
        if (100..200).contains(&head.status()) {
            continue;
        }
        let empty = head_only || matches!(head.status(), 204 | 304);
        let content = if empty {
            Vec::new()
        } else {
            read_body(&mut from_store, &head, true)?
        };
        return Ok((head, content));
    }
}

fn is_signed(request: &Head, name: &str) -> bool {
    let signed = request
        .get("authorization")
        .and_then(|value| value.split("SignedHeaders=").nth(1))
        .and_then(|rest| rest.split(',').next());
    signed.is_some_and(|names| names.split(';').any(|one| one == name))
}

fn answer(mut client: &TcpStream, status: &str, code: &str) -> Result<()> {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>made by the fault proxy</Message></Error>"
    );
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes())?;
    client.write_all(body.as_bytes())
}

/// Changes one bit in the middle.
fn flip(body: &mut [u8]) {
    let middle = body.len() / 2;
    if let Some(byte) = body.get_mut(middle) {
        *byte ^= 1;
    }
}

/// `None`: the other side has ended the connection.
fn read_head(from: &mut impl BufRead) -> Result<Option<Head>> {
    let mut first = String::new();
    if from.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            break;
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| Error::from(ErrorKind::InvalidData))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let first = first.trim_end_matches(['\r', '\n']).to_owned();
    Ok(Some(Head { first, headers }))
}

fn write_head(head: &Head) -> Vec<u8> {
    let mut text = head.first.clone() + "\r\n";
    for (name, value) in &head.headers {
        text = text + name + ": " + value + "\r\n";
    }
    (text + "\r\n").into_bytes()
}

/// A body as it lies on the wire: chunks keep their frames.
fn read_body(from: &mut impl BufRead, head: &Head, until_end: bool) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    let chunked = head
        .get("transfer-encoding")
        .is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    if chunked {
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            body.extend_from_slice(line.as_bytes());
            let size = line.trim().split(';').next().unwrap_or_default();
            let size =
                u64::from_str_radix(size, 16).map_err(|_| Error::from(ErrorKind::InvalidData))?;
            if size == 0 {
                break;
            }
            if from.take(size + 2).read_to_end(&mut body)? as u64 != size + 2 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        // Trailers, up to the empty line.
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            body.extend_from_slice(line.as_bytes());
            if line.trim().is_empty() {
                return Ok(body);
            }
        }
    }
    match head.get("content-length").map(str::parse::<u64>) {
        Some(Ok(length)) => {
            let read = from.take(length).read_to_end(&mut body)? as u64;
            return if read == length {
                Ok(body)
            } else {
                Err(ErrorKind::UnexpectedEof.into())
            };
        }
        Some(Err(_)) => return Err(ErrorKind::InvalidData.into()),
        None if until_end => {
            from.read_to_end(&mut body)?;
        }
        None => {}
    }
    Ok(body)
}
