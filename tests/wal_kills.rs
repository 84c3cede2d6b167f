//! The fear: something dies at the wrong moment, nobody notices, and what was promised to be in the archive is not.
//!
//! A real server under writing clients, the real program as its archiver, real stores; SIGKILL for each of them, in turn and
//! together, at moments of a recorded seed. The judges are the clients, which know what was acknowledged and when: a recovery from
//! the archive alone must have everything up to the position and up to the lag that `mainstay wal status` stated right before.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "what fails here fails the test, which says what was killed, and judges by its own clock"
)]

mod support;

#[path = "../providers/tests/support/s3.rs"]
mod s3;

use jiff::{SignedDuration, Timestamp};
use model::Lsn;
use s3::{BucketKind, Rgw};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::{Child, Stdio},
    time::{Duration, Instant},
};
use support::{
    chance::Chance,
    cluster_site::{ClusterSite, Release, as_server_user},
    ledger::{self, Acknowledged, Ledger},
    processes::{children, kill_all, processes},
    stated::Stated,
    until,
};

/// What can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    /// Every process of the server.
    Server,
    /// `wal run`.
    Agent,
    /// `wal push`, each one that shows up for a while.
    Push,
    /// The receiver of a stream.
    Receiver,
    /// A tier.
    Store,
}

use Victim::{Agent, Push, Receiver, Server, Store};

/// A server with its archive, and everything that dies.
struct Scene {
    site: ClusterSite,
    agent: Option<Child>,
    /// The gateway behind the tier `far`; else it is a folder.
    gateway: Option<Rgw>,
    /// The tier that is away.
    away: Option<&'static str>,
    chance: Chance,
    killed: BTreeMap<Victim, u32>,
}

impl Scene {
    fn new(site: ClusterSite, gateway: Option<Rgw>) -> Self {
        site.sql(ledger::TABLE);
        let mut scene = Self {
            site,
            agent: None,
            gateway,
            away: None,
            chance: Chance::seeded(),
            killed: BTreeMap::new(),
        };
        scene.start_agent();
        scene.site.backup();
        scene
    }

    fn start_agent(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.site.path().join("agent.log"))
            .unwrap();
        let mut run = self.site.command(&["wal", "run", "--database", "cluster"]);
        run.stdout(log.try_clone().unwrap()).stderr(log);
        self.agent = Some(run.spawn().unwrap());
    }

    fn sleep(&mut self, from: u64, to: u64) {
        let wait = from + self.chance.below(to - from);
        std::thread::sleep(Duration::from_millis(wait));
    }

    fn kill(&mut self, victim: Victim) {
        let count = match victim {
            Server => u32::from(self.kill_server() > 0),
            Agent => self.kill_agent(),
            Push => {
                // With an agent a push lives for some milliseconds only.
                let agents = self.kill_agent();
                *self.killed.entry(Agent).or_default() += agents;
                self.kill_pushes()
            }
            Receiver => kill_all(&self.processes("pg_receivewal")),
            Store => self.kill_store(),
        };
        *self.killed.entry(victim).or_default() += count;
    }

    /// Postmaster and all others at once; what runs for the archiver lives on as an orphan, as it does in life.
    fn kill_server(&self) -> u32 {
        let file = self.site.server.data().join("postmaster.pid");
        let postmaster = fs::read_to_string(&file).unwrap();
        let postmaster = postmaster.lines().next().unwrap().to_owned();
        let mut all = vec![postmaster.clone()];
        all.extend(children(&postmaster));
        let count = kill_all(&all);
        // Where the first process reaps nobody its number stays taken, and the server would not start.
        fs::remove_file(file).unwrap();
        let server = &self.site.server;
        let lock = format!(".s.PGSQL.{}.lock", server.port);
        fs::remove_file(server.folder.join(lock)).unwrap();
        count
    }

    fn kill_agent(&mut self) -> u32 {
        self.agent.take().map_or(0, |mut agent| {
            let ran = agent.try_wait().unwrap().is_none();
            assert!(ran, "`wal run` has ended by itself: {}", self.agent_log());
            agent.kill().unwrap();
            agent.wait().unwrap();
            1
        })
    }

    fn agent_log(&self) -> String {
        fs::read_to_string(self.site.path().join("agent.log")).unwrap_or_default()
    }

    fn kill_pushes(&mut self) -> u32 {
        let (begun, mut count) = (Instant::now(), 0);
        let moment = Duration::from_millis(self.chance.below(300));
        while begun.elapsed() < Duration::from_millis(1_500) {
            if self.answers() {
                self.site.sql("SELECT pg_switch_wal()");
            }
            let found = self.processes("wal push");
            if !found.is_empty() {
                std::thread::sleep(moment);
                count += kill_all(&found);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        count
    }

    fn kill_store(&mut self) -> u32 {
        let tier = ["near", "far"][usize::from(self.chance.below(2) == 1)];
        if let Some(gateway) = &self.gateway {
            return u32::from(gateway.kill_gateway());
        }
        if self.away.replace(tier).is_none() {
            fs::rename(self.tier(tier), self.site.path().join("away")).unwrap();
            // A mount that is gone leaves its empty folder; a disk that is gone leaves nothing.
            if self.chance.below(2) == 1 {
                fs::create_dir(self.tier(tier)).unwrap();
            }
        }
        1
    }

    fn tier(&self, tier: &str) -> std::path::PathBuf {
        self.site.path().join(tier)
    }

    /// Everything that does not run is started again.
    fn revive(&mut self) {
        if let Some(gateway) = &self.gateway
            && std::net::TcpStream::connect(("127.0.0.1", gateway.port)).is_err()
        {
            gateway.start_gateway();
        }
        if let Some(tier) = self.away.take() {
            let _ = fs::remove_dir(self.tier(tier));
            fs::rename(self.site.path().join("away"), self.tier(tier)).unwrap();
        }
        if !self.answers() {
            self.start_server();
        }
        if self.agent.is_none() {
            self.start_agent();
        }
    }

    fn answers(&self) -> bool {
        let mut psql = self.site.server.program("psql", "postgres");
        psql.args(["-X", "-q", "-c", "SELECT 1"]);
        let status = psql.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.unwrap().success()
    }

    /// As it was started before, with the same port.
    fn start_server(&self) {
        let log = self.site.server.folder.join("log");
        // Not a pipe, which the server would hold open.
        let said = self.site.path().join("pg_ctl.log");
        let started = as_server_user(&self.site.server.bin.join("pg_ctl"))
            .args(["restart", "--wait", "--silent", "--timeout=60", "--pgdata"])
            .arg(self.site.server.data())
            .arg("--log")
            .arg(&log)
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(fs::File::create(&said).unwrap())
            .status()
            .unwrap();
        let words = [said, log].map(|file| fs::read_to_string(file).unwrap_or_default());
        assert!(
            started.success(),
            "the server does not start: {}",
            words.join("\n")
        );
    }

    /// Processes whose command line has all these words and belongs to this site.
    fn processes(&self, words: &str) -> Vec<String> {
        let folder = self.site.path().display().to_string();
        processes(|line| {
            // The shell in between is no program of ours.
            !line.starts_with("sh ") && line.contains(words) && line.contains(&folder)
        })
    }

    /// Kills, waits, and brings everything back.
    fn round(&mut self, victims: &[Victim]) {
        self.sleep(200, 1_200);
        for victim in victims {
            self.kill(*victim);
            self.sleep(1, 200);
        }
        self.sleep(100, 1_200);
        // Whatever is away now: no hole is made up.
        self.status();
        self.revive();
    }

    /// What `wal status` says; every hole that it names must be one.
    fn status(&self) -> Stated {
        let before = Timestamp::now() - SignedDuration::from_secs(2);
        let ended = self.site.run(&["wal", "status", "--json"]);
        let stated = Stated(ended.json()["databases"][0].clone());
        for (tier, missing) in stated.holes() {
            // It may have come meanwhile, and then it was told while it was missing.
            for copy in self.site.archived(&tier, &missing) {
                let stored = fs::metadata(copy).unwrap().modified().unwrap();
                let stored = Timestamp::try_from(stored).unwrap();
                assert!(
                    stored >= before,
                    "{missing} is said to be missing on {tier}:\n{ended}"
                );
            }
        }
        stated
    }

    /// The stated archive, once everything runs again and nothing is left to complain of.
    fn settled(&self) -> Stated {
        let begun = Instant::now();
        loop {
            let stated = self.status();
            let troubles = stated.concerns();
            if troubles.is_empty() {
                return stated;
            }
            assert!(
                begun.elapsed() < Duration::from_mins(1),
                "{troubles:?}: {:#}\n{}",
                stated.0,
                self.agent_log()
            );
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// The rows after a recovery from the archive.
    #[track_caller]
    fn recovered(&self) -> BTreeSet<(u32, u64)> {
        let rows = ledger::rows(&self.site.at(&["--latest"], ledger::ROWS));
        ledger::assert_without_gaps(&rows);
        rows
    }

    /// The server and its files are gone; what the archive gives must be what was stated right before.
    fn lose_the_server(&mut self, clients: &Ledger) {
        let stated = self.status();
        self.kill(Server);
        let (data, gone) = (
            self.site.server.data(),
            self.site.server.folder.join("gone"),
        );
        fs::rename(&data, &gone).unwrap();
        let found = self.recovered();
        stated.judge(&clients.acknowledged(), &found);
        fs::rename(&gone, &data).unwrap();
        self.revive();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(agent) = &mut self.agent {
            let _ = agent.kill();
            let _ = agent.wait();
        }
        kill_all(&self.processes("pg_receivewal"));
    }
}

const SPOOL: &str = "objective = { rpo = \"2m\" }\nencrypt-with = [\"prod\"]";

/// Each alone, all together, and what chance has.
fn rounds(chance: &mut Chance, kinds: &[Victim], random: u32) -> Vec<Vec<Victim>> {
    let mut rounds: Vec<Vec<Victim>> = kinds.iter().map(|kind| vec![*kind]).collect();
    rounds.push(kinds.to_vec());
    for _ in 0..random {
        let mut some: Vec<Victim> = kinds.to_vec();
        some.retain(|_| chance.below(2) == 1);
        if some.is_empty() {
            some.push(kinds[0]);
        }
        rounds.push(some);
    }
    rounds
}

/// Everything dies in turn and together; in the middle and at the end only the archive is left.
fn killed_again_and_again(scene: &mut Scene, kinds: &[Victim], random: u32) -> Vec<Acknowledged> {
    let clients = Ledger::start(&scene.site.server, 3);
    let rounds = rounds(&mut scene.chance, kinds, random);
    let middle = rounds.len() / 2;
    for (number, victims) in rounds.iter().enumerate() {
        println!("round {number}: {victims:?}");
        scene.round(victims);
        scene.site.sql("SELECT pg_switch_wal()");
        scene.settled();
        if number == middle {
            scene.lose_the_server(&clients);
        }
    }
    scene.settled();
    scene.lose_the_server(&clients);
    let before = clients.acknowledged().len();
    until("the clients go on", 60, || {
        clients.acknowledged().len() > before
    });
    let all = clients.finish();
    assert!(all.len() > before, "the clients did not go on");
    println!("killed {:?}, {} rows", scene.killed, all.len());
    all
}

/// A whole archive: everything that was ever acknowledged.
fn everything_is_there(scene: &Scene, all: &[Acknowledged]) {
    let stated = scene.settled();
    assert_eq!(stated.holes(), BTreeSet::new());
    let found = scene.recovered();
    for row in all {
        assert!(found.contains(&(row.client, row.n)), "{row:?} is lost");
    }
}

/// A file is lost on both tiers: it is named, and no recovery passes it silently.
fn a_real_hole_is_reported(scene: &Scene) {
    let site = &scene.site;
    let before = ledger::rows(&site.sql(ledger::ROWS));
    let lost = site.sql("SELECT pg_walfile_name(pg_current_wal_lsn())");
    site.sql("INSERT INTO ledger VALUES (99, 0, 'in the file that is lost')");
    site.archive_all();
    site.sql("INSERT INTO ledger VALUES (100, 0, 'behind it')");
    site.archive_all();
    scene.settled();
    for tier in ["near", "far"] {
        let found = site.archived(tier, &lost);
        assert_eq!(found.len(), 1, "{lost} on {tier}");
        fs::remove_file(&found[0]).unwrap();
    }
    site.expect(6, &["wal", "status"]).says(&lost);
    let told = scene.status().holes();
    let planted = ["far", "near"].map(|tier| (tier.to_owned(), lost.clone()));
    assert_eq!(told, BTreeSet::from(planted));

    let now = Timestamp::now().to_string();
    let refused = site.expect(1, &["restore", "cluster", "--at", &now, "--scratch"]);
    refused.says(&lost);
    let folder = site.path().join("latest");
    let to = folder.to_str().unwrap();
    let latest = site.expect(0, &["restore", "cluster", "--latest", "--to", to]);
    latest.says("hole").says(&lost);
    let found = ledger::rows(&site.started(&folder, ledger::ROWS));
    assert!(found.is_subset(&before), "nothing from behind the hole");
}

#[test]
fn whatever_is_killed_the_archive_has_what_it_says() {
    let site = ClusterSite::start(Release::Installed, &["archive_timeout=2"], "");
    site.change_policy("encrypt-with = [\"prod\"]", SPOOL);
    site.change_policy(
        "keep.near = \"7d\"",
        "keep.near = \"7d\"\nspool = \"spool\"",
    );
    let mut scene = Scene::new(site, None);
    let all = killed_again_and_again(&mut scene, &[Server, Agent, Push, Store], 3);
    scene.site.archive_all();
    everything_is_there(&scene, &all);
    a_real_hole_is_reported(&scene);
}

#[test]
fn a_killed_gateway_of_a_bucket_loses_nothing() {
    let rgw = Rgw::start();
    let bucket = rgw.bucket("kills", BucketKind::Plain);
    let mut site = ClusterSite::start(Release::Installed, &["archive_timeout=2"], "");
    site.change_policy("encrypt-with = [\"prod\"]", SPOOL);
    site.change_policy(
        "keep.near = \"7d\"",
        "keep.near = \"7d\"\nspool = \"spool\"",
    );
    let credentials =
        "{ access-key-id = { env = \"FAR_ID\" }, secret-access-key = { env = \"FAR_SECRET\" } }";
    let far = format!(
        "[tier.far]\nkind = \"s3\"\nbucket = \"{bucket}\"\nendpoint = \"{}\"\nregion = \"{}\"\ncredentials = {credentials}\n",
        rgw.endpoint, rgw.region
    );
    site.change_policy(
        "[tier.far]\nkind = \"filesystem\"\npath = \"far\"\nmin-free = \"0%\"\n",
        &far,
    );
    site.set_environment(&[("FAR_ID", &rgw.access_key), ("FAR_SECRET", &rgw.secret_key)]);
    site.archive_with(&site.push_command());
    let mut scene = Scene::new(site, Some(rgw));
    let all = killed_again_and_again(&mut scene, &[Store, Server, Agent], 1);
    scene.site.archive_all();
    everything_is_there(&scene, &all);
}

#[test]
fn a_killed_stream_goes_on_without_a_gap() {
    let site = ClusterSite::start(Release::Installed, &["wal_keep_size=64MB"], "");
    site.archive_with("/bin/true");
    site.change_policy(
        "encrypt-with = [\"prod\"]",
        "objective = { rpo = \"15s\" }\nencrypt-with = [\"prod\"]",
    );
    site.change_policy(
        "keep.near = \"7d\"",
        "mode = \"stream\"\nkeep.near = \"7d\"",
    );
    let mut scene = Scene::new(site, None);
    let all = killed_again_and_again(&mut scene, &[Server, Agent, Receiver, Store], 2);
    // Quiet: the beginning of the segment under way brings the rest.
    let last = Lsn::parse(&scene.site.sql("SELECT pg_current_wal_lsn()")).unwrap();
    let begun = Instant::now();
    while scene.status().0["tiers"]["near"]["newest"]["end"]
        .as_str()
        .is_none_or(|end| Lsn::parse(end).unwrap().0 + 8 < last.0)
    {
        assert!(
            begun.elapsed() < Duration::from_secs(40),
            "{}",
            scene.agent_log()
        );
        std::thread::sleep(Duration::from_millis(300));
    }
    everything_is_there(&scene, &all);
}
