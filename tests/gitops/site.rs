//! The site of the tests: signers with real keys, databases, a repository of policies, and a host that follows it.

use crate::support::{
    program::{Ended, Running, command},
    shop,
};
use serde_json::Value;
use std::{fs, path::Path};
use tempfile::TempDir;

/// Keys of some people, two databases, a repository of policies, and a host that applies them.
pub(crate) struct Site(TempDir);

impl Site {
    pub(crate) fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        for folder in ["keys", "host", "work/policy"] {
            fs::create_dir_all(site.path().join(folder)).unwrap();
        }
        for name in ["alice", "bob", "mallory"] {
            let key = site.path().join("keys").join(name);
            site.run(
                "ssh-keygen",
                &["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()],
                site.path(),
            );
        }
        shop::create(&site.path().join("shop.db"), 10);
        shop::create(&site.path().join("kiosk.db"), 10);
        site
    }

    /// Waits until the id of another point is free: it has whole seconds.
    pub(crate) fn next_second(&self) {
        crate::support::next_second();
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn run(&self, program: &str, arguments: &[&str], folder: &Path) -> String {
        let output = command(program)
            .args(arguments)
            .current_dir(folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn public_key(&self, name: &str) -> String {
        let file = self.path().join("keys").join(format!("{name}.pub"));
        fs::read_to_string(file).unwrap().trim().to_owned()
    }

    /// `[approval]` with these signers.
    pub(crate) fn approval(&self, quorum: u32, names: &[&str]) -> String {
        let mut text = format!("\n[approval]\nquorum = {quorum}\n[approval.signers]\n");
        for name in names {
            text += &format!("\"{name}@example.com\" = \"{}\"\n", self.public_key(name));
        }
        text
    }

    /// A policy with these databases.
    pub(crate) fn policy(&self, databases: &[&str], more: &str) -> String {
        let root = self.path().display();
        let mut text =
            format!("mainstay = 1\n[tier.nas]\nkind = \"filesystem\"\npath = \"{root}/nas\"\n");
        for name in databases {
            text += &format!(
                "[database.{name}]\nengine = \"sqlite\"\npath = \"{root}/{name}.db\"\n\
                 [[database.{name}.series]]\nname = \"daily\"\nevery = \"365d\"\nkeep.nas = {{ last = 3 }}\n"
            );
        }
        text + more
    }

    pub(crate) fn write(&self, policy: &str) {
        fs::write(self.path().join("work/policy/mainstay.toml"), policy).unwrap();
    }

    /// In the folder of the policy.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, arguments: &[&str]) -> Ended {
        let ended = Running::start(&self.path().join("work/policy"), arguments, &[]).wait();
        assert_eq!(ended.code, Some(code), "mainstay {arguments:?}\n{ended}");
        ended
    }

    /// On the host that follows the repository.
    #[track_caller]
    pub(crate) fn follow(&self, code: i32, more: &[&str]) -> Ended {
        let from = format!("{}/work@main", self.path().display());
        let arguments = ["apply", "--from-git", &from, "--path", "policy", "-y"];
        let arguments = [&arguments, more].concat();
        let ended = Running::start(&self.path().join("host"), &arguments, &[]).wait();
        assert_eq!(ended.code, Some(code), "mainstay {arguments:?}\n{ended}");
        ended
    }

    pub(crate) fn key(&self, name: &str) -> String {
        self.path().join("keys").join(name).display().to_string()
    }

    /// Backs up, then plans to purge the shop under another policy; gives the id of the plan.
    #[track_caller]
    pub(crate) fn plan_purge(&self, before: &str, after: &str) -> String {
        self.write(before);
        self.expect(0, &["apply", "-y"]);
        assert!(self.has_shop());
        self.write(after);
        self.plan_again()
    }

    #[track_caller]
    pub(crate) fn plan_again(&self) -> String {
        let _ = fs::remove_file(self.path().join("work/policy/plan.json"));
        let _ = fs::remove_file(self.path().join("work/policy/plan.json.sig"));
        self.expect(0, &["plan", "--purge", "shop", "--out", "plan.json"]);
        let plan: Value =
            serde_json::from_slice(&fs::read(self.path().join("work/policy/plan.json")).unwrap())
                .unwrap();
        plan["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn has_shop(&self) -> bool {
        let folder = self.path().join("nas/shop/daily");
        let mut years = fs::read_dir(folder).into_iter().flatten();
        years.any(|year| fs::read_dir(year.unwrap().path()).unwrap().next().is_some())
    }

    /// How many points of a database are on the tier.
    pub(crate) fn points(&self, database: &str) -> usize {
        let folder = self.path().join("nas").join(database).join("daily");
        let mut folders = vec![folder];
        let mut found = 0;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.file_name().is_some_and(|name| name == "manifest.json") {
                    found += 1;
                }
            }
        }
        found
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        self.git_by("Carol", arguments)
    }

    pub(crate) fn git_by(&self, name: &str, arguments: &[&str]) -> String {
        let mail = format!("user.email={}@example.com", name.to_lowercase());
        let name = format!("user.name={name}");
        let who = ["-c", &name, "-c", &mail];
        self.run(
            "git",
            &[&who, arguments].concat(),
            &self.path().join("work"),
        )
    }

    pub(crate) fn init(&self) {
        self.git(&["init", "-q", "-b", "main", "."]);
        fs::write(
            self.path().join("work/.gitignore"),
            ".mainstay/\nplan.json*\n",
        )
        .unwrap();
    }

    /// Commits; gives the commit.
    pub(crate) fn commit(&self, name: &str, more: &[&str]) -> String {
        self.git(&["add", "--all"]);
        let arguments = ["commit", "-q", "--allow-empty", "-m", "change"];
        self.git_by(name, &[&arguments, more].concat());
        self.git(&["rev-parse", "HEAD"])
    }

    pub(crate) fn catalog(&self, place: &str, sql: &str) -> Vec<String> {
        let file = self.path().join(place).join(".mainstay/state.db");
        let catalog = rusqlite::Connection::open(file).unwrap();
        let mut statement = catalog.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }
}
