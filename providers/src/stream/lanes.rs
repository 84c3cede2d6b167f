//! A few threads that work on the items of one stream at the same time, and give their results in the order of the items.
//!
//! Item n goes to lane n modulo the number of lanes, and results are taken in the same turn: so order needs no numbers, and at
//! most two items a lane are on their way. Ends pass through the lanes like data. A lane whose taker has gone ends, and then
//! the sender is told.

use super::thread;
use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::available_parallelism,
};

/// More would cost memory for nothing: two seal faster than anything here can hash.
const MOST: usize = 3;

/// Where items go in.
pub(super) struct Entrance<A> {
    lanes: Vec<SyncSender<A>>,
    turn: usize,
}

/// Where results come out.
pub(super) struct Exit<B> {
    lanes: Vec<Receiver<B>>,
    turn: usize,
}

/// Starts as many lanes as there are cores, up to a few.
pub(super) fn lanes<A: Send + 'static, B: Send + 'static>(
    name: &str,
    work: impl Fn(A) -> B + Send + Sync + 'static,
) -> io::Result<(Entrance<A>, Exit<B>)> {
    let count = available_parallelism().map_or(1, usize::from).min(MOST);
    let work = Arc::new(work);
    let (mut entrance, mut exit) = (Vec::new(), Vec::new());
    for _ in 0..count {
        // Without a place of its own at the entrance, a lane holds what it works on and one result.
        let (input, inbox) = sync_channel::<A>(0);
        let (out, output) = sync_channel(1);
        let work = Arc::clone(&work);
        thread(name, move || {
            while let Ok(item) = inbox.recv() {
                if out.send(work(item)).is_err() {
                    return;
                }
            }
        })?;
        entrance.push(input);
        exit.push(output);
    }
    Ok((
        Entrance {
            lanes: entrance,
            turn: 0,
        },
        Exit {
            lanes: exit,
            turn: 0,
        },
    ))
}

impl<A> Entrance<A> {
    /// Hands an item to the next lane; an error when nobody wants its result any more.
    pub(super) fn send(&mut self, item: A) -> Result<(), Gone> {
        let lane = self.turn;
        self.turn = (lane + 1) % self.lanes.len();
        self.lanes[lane].send(item).map_err(|_| Gone)
    }
}

impl<B> Exit<B> {
    /// The next result; an error when the lanes have ended.
    pub(super) fn recv(&mut self) -> Result<B, Gone> {
        let lane = self.turn;
        self.turn = (lane + 1) % self.lanes.len();
        self.lanes[lane].recv().map_err(|_| Gone)
    }
}

/// The other end has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;
