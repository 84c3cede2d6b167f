//! The whole program with a real Barman: what others backed up becomes points once, and is listed, verified and restored like
//! any other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failure of a helper is the test's failure"
)]

#[path = "../providers/tests/support/barman.rs"]
mod barman;
mod support;

use barman::Barman;
use support::{Site, bank::postgres};

#[test]
fn backups_of_barman_become_points_once_and_come_back() {
    let barman = Barman::start();
    let table = barman.table();
    let text = |key: &str| table[key].as_str().unwrap().to_owned();
    let site = Site::new(&format!(
        "mainstay = 1\n[tier.nas]\nkind = \"filesystem\"\npath = \"nas\"\nmin-free = \"1%\"\n\
         [database.core]\nengine = \"barman\"\nserver = \"main\"\nconfig = \"{}\"\nuser = \"{}\"\nscratch = \"{}\"\n\
         assert = [{{ sql = \"select count(*) from events\", equals = \"1\" }}]\n\
         [[database.core.series]]\nname = \"weekly\"\nschedule = \"@weekly\"\nkeep.nas = {{ last = 3 }}\nverify = \"full-read\"\n",
        text("config"),
        text("user"),
        text("scratch")
    ));
    barman
        .server
        .psql("postgres", "CREATE TABLE events AS SELECT 1 AS n");
    barman.run(&["backup", "main", "--wait"]);

    let first = site.expect(0, &["catalog", "import", "core"]);
    first.says("Imported 1 backup(s); 0 were known already");
    assert!(
        first.stderr.contains("RECOVERY WINDOW OF 7 DAYS"),
        "{first}"
    );
    site.expect(0, &["catalog", "import", "core"])
        .says("Imported 0 backup(s); 1 were known already");
    let points = site.points();
    assert_eq!(points.len(), 1);

    // One that Mainstay orders is not imported a second time, although its slot is another.
    site.next_second();
    site.expect(0, &["backup", "core"]);
    site.expect(0, &["catalog", "import", "core"])
        .says("Imported 0 backup(s); 2 were known already");
    assert_eq!(site.points().len(), 2);
    let point = points[0].to_string();
    site.expect(0, &["list"]).says(&point);
    site.expect(0, &["verify", &point, "--level", "restore"]);

    let target = barman.folder().join("restored");
    let target = target.to_str().unwrap();
    site.expect(
        0,
        &[
            "restore", "core", "--point", &point, "--to", target, "--yes",
        ],
    );
    assert!(
        std::path::Path::new(target)
            .join("recovery.signal")
            .exists()
    );

    // A moment after the backup, of which the newest point that was whole then is the base.
    barman
        .server
        .psql("postgres", "INSERT INTO events VALUES (2)");
    let now =
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let moment = barman.server.psql("postgres", now);
    barman
        .server
        .psql("postgres", "INSERT INTO events VALUES (3)");
    barman.switch();
    let later = barman.folder().join("later");
    let later = later.to_str().unwrap();
    let arguments = [
        "restore", "core", "--at", &moment, "--to", later, "--start", "--yes",
    ];
    // The policy's assertion wants one row; at that moment there are two, and the server really was there.
    let ended = site.run(&arguments);
    assert_eq!(ended.code, Some(1), "{ended}");
    ended.says("`2`, `1` expected");

    // Barman keeps what Mainstay forgets, and what Barman forgets is not promised any more.
    let id = barman.run(&["list-backups", "main", "--minimal"]);
    let oldest = id.lines().last().unwrap();
    barman.run(&["delete", "main", oldest]);
    site.expect(1, &["verify", &point, "--level", "full-read"])
        .says("missing in Barman");
}
