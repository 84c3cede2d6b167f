//! What stands around loading: includes, explain, the editors' schema, the formatter, first policies, the list of codes.

mod kinds;

use kinds::{kinds, load_texts, show};
use mainstay_policy_schema::{CODES, Files, fmt, init_template, json_schema, load_path};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
};

struct Memory(BTreeMap<PathBuf, String>);

impl Memory {
    fn new(files: &[(&str, &str)]) -> Self {
        Self(
            files
                .iter()
                .map(|(path, text)| (PathBuf::from(path), (*text).to_owned()))
                .collect(),
        )
    }
}

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let text = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(text.clone().into_bytes())
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(self
            .0
            .keys()
            .filter(|path| path.parent() == Some(folder))
            .cloned()
            .collect())
    }
    fn is_folder(&self, path: &Path) -> bool {
        self.0.keys().any(|file| file.parent() == Some(path))
    }
}

const TIER: &str = "[tier.nas]\nkind = \"filesystem\"\npath = \"/n\"\n";

#[test]
fn a_folder_is_every_toml_file_directly_in_it() {
    let files = Memory::new(&[
        ("p/b.toml", TIER),
        ("p/a.toml", "mainstay = 1\n"),
        ("p/.hidden.toml", "x = 1"),
        ("p/notes.md", "x"),
        ("p/sub/c.toml", "x = 1"),
    ]);
    let loaded = load_path(Path::new("p"), &files, &kinds());
    assert_eq!(show(&loaded), "");
    let paths: Vec<_> = loaded
        .sources
        .iter()
        .map(|source| source.path.clone())
        .collect();
    assert_eq!(paths, [Path::new("p/a.toml"), Path::new("p/b.toml")]);
}

#[test]
fn includes_are_read_once_and_broken_ones_are_named_at_their_bytes() {
    let files = Memory::new(&[
        (
            "p/main.toml",
            "mainstay = 1\ninclude = [\"../p/main.toml\", \"tiers.toml\", \"db/*.toml\", \"no.toml\", \"x*y\", \"db\"]\n",
        ),
        ("p/tiers.toml", TIER),
        ("p/db/a.toml", "include = [\"../tiers.toml\"]\n"),
    ]);
    let loaded = load_path(Path::new("p/main.toml"), &files, &kinds());
    assert_eq!(loaded.sources.len(), 3);
    insta::assert_snapshot!(show(&loaded));
    let missing = load_path(Path::new("nowhere.toml"), &files, &kinds());
    insta::assert_snapshot!(show(&missing));
}

const INHERITED: (&str, &str) = (
    "base.toml",
    r#"mainstay = 1
[tier.nas]
kind = "filesystem"
path = "/n"
[tier.far]
kind = "filesystem"
path = "/f"
[defaults]
labels = { team = "db" }
objective = { rto = "4h" }
[profile.small]
[[profile.small.series]]
name = "daily"
schedule = "0 3 * * *"
keep.nas = { daily = 7 }
keep.far = { monthly = 12 }
[profile.large]
inherits = ["small"]
objective = { rpo = "25h", rto = "8h" }
"#,
);
const ORDERS: (&str, &str) = (
    "orders.toml",
    r#"[database.orders]
engine = "postgres"
profile = "large"
url = { env = "ORDERS_URL" }
[[database.orders.series]]
name = "daily"
every = "6h"
keep.nas = { daily = 14, last = 4 }
"#,
);

#[test]
fn explain_names_the_place_of_every_part() {
    let loaded = load_texts(&[INHERITED, ORDERS]);
    assert_eq!(show(&loaded), "");
    let mut shown = String::new();
    for path in [
        "database.orders.series.daily.keep.nas",
        "database.orders.series.daily.keep.far.monthly",
        "database.orders.series.daily",
        "database.orders.objective",
        "database.orders.series.daily.verify",
        "database.orders.labels.team",
        "tier.nas",
        "timezone",
        "database.order.url",
        "database.orders.series.dayly",
        "nonsense",
        "",
    ] {
        match loaded.explain(path) {
            Ok(found) => {
                let value = found
                    .value
                    .map_or_else(|| "-".to_owned(), |value| value.to_string());
                let _ = writeln!(shown, "{path} = {value}");
                for part in found.contributions {
                    let via = part
                        .via
                        .map(|via| format!(" via {via}"))
                        .unwrap_or_default();
                    let (file, line, column) = (part.file.display(), part.line, part.column);
                    let _ = writeln!(
                        shown,
                        "    {file}:{line}:{column} {} = {}{via}",
                        part.path, part.value
                    );
                }
            }
            Err(error) => {
                let _ = writeln!(
                    shown,
                    "{error} ({})",
                    error.help.as_deref().unwrap_or("no help")
                );
            }
        }
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn explain_takes_paths_as_findings_write_them_and_names_what_leads_nowhere() {
    let loaded = load_texts(&[(
        "a.toml",
        "mainstay = 1\n[database.a]\nengine = \"postgres\"\nurl = { env = \"A\" }\n\
         [[database.a.drill]]\nschedule = \"0 5 1 * *\"\npick = { random-within = \"7d\" }\n",
    )]);
    let found = loaded.explain("database.a.drill[0].pick").unwrap();
    assert_eq!(
        found.value.unwrap(),
        serde_json::json!({"random-within": "7d"})
    );
    let error = loaded.explain("database.a.dril.daily").unwrap_err();
    assert_eq!(error.help.as_deref(), Some("did you mean `drill`?"));
}

#[test]
fn explain_never_shows_a_secret() {
    let loaded = load_texts(&[(
        "a.toml",
        "mainstay = 1\n[database.a]\nengine = \"postgres\"\nurl = \"postgres://u:hunter2@h/d\"\n",
    )]);
    let found = loaded.explain("database.a").unwrap();
    assert!(!format!("{found:?}").contains("hunter2"));
}

#[test]
fn explain_masks_what_the_source_masks() {
    for url in [
        "\"postgres://127.0.0.1:1/db?sslpassword=hunter2\"",
        "\"postgres://127.0.0.1:1/db?pass%77ord=hunter2\"",
        "{ command = [\"get\", \"--password=hunter2\"] }",
        "{ command = [\"get\", \"--token\", \"hunter2\"] }",
        "{ command = [\"get\", \"postgres://u:hunter2@h/d\"] }",
    ] {
        let text = format!(
            "mainstay = 1\n[database.a]\nengine = \"postgres\"\nlabels = {{ x = \"y\" }}\nurl = {url}\n"
        );
        let loaded = load_texts(&[("a.toml", &text)]);
        assert!(!show(&loaded).contains("hunter2"), "{}", show(&loaded));
        let masked = loaded.shown_text(Path::new("a.toml")).unwrap();
        assert_eq!(masked.len(), text.len());
        for path in ["database.a", "database.a.url", "database.a.url.command"] {
            let found = format!("{:?}", loaded.explain(path));
            assert!(!found.contains("hunter2"), "{found}");
        }
    }
}

#[test]
fn a_secret_in_an_argument_is_a_warning_and_hides_that_argument_alone() {
    let loaded = load_texts(&[(
        "a.toml",
        "mainstay = 1\n[tier.nas]\nkind = \"filesystem\"\npath = \"/n\"\n\
         [database.a]\nengine = \"postgres\"\nurl = { command = [\"get\", \"--token=hunter2\", \"it\"] }\n\
         [[database.a.series]]\nname = \"s\"\nschedule = \"0 2 * * *\"\nkeep.nas = { daily = 7 }\n",
    )]);
    insta::assert_snapshot!(show(&loaded));
    assert!(!loaded.has_errors());
    let found = loaded.explain("database.a.url.command").unwrap();
    let shown = serde_json::json!(["get", "***", "it"]);
    assert_eq!(found.value, Some(shown.clone()));
    assert_eq!(found.contributions[0].value, shown);
    for path in ["database", "database.a", ""] {
        assert!(!format!("{:?}", loaded.explain(path)).contains("hunter2"));
    }
}

#[test]
fn the_schema_for_editors_holds_every_providers_keys() {
    let schema = json_schema(&kinds());
    let text = serde_json::to_string_pretty(&schema).unwrap();
    for word in [
        "min-free",
        "exclude-tables",
        "snapshot",
        "filesystem",
        "2020-12",
        "within-daily",
        "mainstay-duration",
    ] {
        assert!(text.contains(word), "{word}");
    }
    assert!(
        !text.contains("\"null\"") && !text.contains("Written"),
        "{text}"
    );
    let mut references = BTreeSet::new();
    collect_references(&schema, &mut references);
    for reference in references {
        assert!(
            schema.pointer(&reference[1..]).is_some(),
            "{reference} leads nowhere"
        );
    }
    insta::assert_snapshot!(text);
}

fn collect_references(value: &serde_json::Value, out: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(map) => {
            if let Some(serde_json::Value::String(reference)) = map.get("$ref") {
                out.insert(reference.clone());
            }
            map.values()
                .for_each(|inner| collect_references(inner, out));
        }
        serde_json::Value::Array(items) => items
            .iter()
            .for_each(|inner| collect_references(inner, out)),
        _ => {}
    }
}

#[test]
fn the_formatter_keeps_comments_and_meaning() {
    let untidy = "\n\n# top\nmainstay=1   \n\n\n\ntimezone   =    'Europe/Prague' # why\n# of nas\n[ tier . nas ] # here\nkind=\"filesystem\"\npath=\"/n\"#tight\nmin-free = \"20%\"\n[[database.\"a b\".series]]\nkeep.nas={daily=7,weekly =4 }\nlist = [1,2 , # two\n      3.5,{a=1}\n,]\nempty = [ ]\ntable = { }\nwhen = 2026-01-01 00:00:00\ntext = \"\"\"\n  kept   as it   is\n\"\"\"\n\n\n";
    let tidy = fmt(untidy).unwrap();
    assert_eq!(fmt(&tidy).as_deref(), Ok(tidy.as_str()));
    insta::assert_snapshot!(tidy);
    assert!(fmt("a = ").is_err());
    assert_eq!(fmt("").as_deref(), Ok(""));
    assert_eq!(fmt("a = 1\r\nb = 2\r\n").as_deref(), Ok("a = 1\nb = 2\n"));
}

#[test]
fn first_policies_are_valid_and_hold_no_password() {
    for (target, variable) in [
        (
            "postgres://app:hunter2@db.example:5432/Web-Shop?sslmode=require",
            Some("WEB_SHOP_URL"),
        ),
        (
            "postgresql://db.example/shop?user=a&password=hunter2",
            Some("SHOP_URL"),
        ),
        ("postgres://", Some("MAIN_URL")),
        ("data/my \"app\".sqlite3", None),
        ("/srv/ünïcode'.db", None),
        ("..", None),
    ] {
        let first = init_template(target);
        assert!(!first.text.contains("hunter2"), "{}", first.text);
        assert_eq!(first.url_variable.as_deref(), variable);
        let loaded = load_texts(&[("mainstay.toml", &first.text)]);
        assert_eq!(show(&loaded), "", "{}", first.text);
        let database = loaded
            .policy
            .unwrap()
            .databases
            .into_values()
            .next()
            .unwrap();
        assert_eq!(database.name.as_str(), first.database);
        assert_eq!(fmt(&first.text).as_ref(), Ok(&first.text));
    }
    insta::assert_snapshot!(init_template("postgres://app:hunter2@db.example/shop").text);
}

#[test]
fn the_commented_lines_of_a_first_policy_are_valid_too() {
    let first = init_template("postgres://db.example/shop").text;
    let offered = |line: &str| {
        let code = line.strip_prefix("# ").unwrap_or("");
        code.starts_with('[') || code.contains(" = ") && !code.contains("export")
    };
    let lines: Vec<&str> = first
        .lines()
        .map(|line| if offered(line) { &line[2..] } else { line })
        .filter(|line| !line.starts_with("format ="))
        .collect();
    let loaded = load_texts(&[("mainstay.toml", &lines.join("\n"))]);
    assert_eq!(show(&loaded), "");
    let policy = loaded.policy.unwrap();
    assert_eq!((policy.keys.len(), policy.tiers.len()), (2, 3));
    assert!(
        policy
            .databases
            .values()
            .all(|database| database.encrypt_with.len() == 2)
    );
}

#[test]
fn every_code_is_listed_once_and_has_its_page() {
    let listed: Vec<&str> = CODES.iter().map(|(code, _)| *code).collect();
    assert!(listed.is_sorted() && listed.windows(2).all(|pair| pair[0] != pair[1]));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut used = BTreeSet::new();
    let mut waiting = vec![root.join("src")];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap();
            waiting.extend(entries.map(|entry| entry.unwrap().path()));
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "rs") || path.ends_with("codes.rs")
        {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for (at, _) in text.match_indices("\"policy::") {
            let code = &text[at + 1..];
            used.insert(code[..code.find('"').unwrap()].to_owned());
        }
    }
    assert_eq!(used.iter().map(String::as_str).collect::<Vec<_>>(), listed);
    for code in listed {
        let name = code.replace("policy::", "policy-");
        let page = root.join(format!("../docs/errors/{name}.md"));
        let text = std::fs::read_to_string(&page)
            .unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        assert!(text.contains(code), "{code}");
    }
}

/// A policy with something cut out, doubled or written over.
fn damaged() -> impl Strategy<Value = String> {
    let text = format!("{}{}", INHERITED.1, ORDERS.1);
    let length = text.len();
    (
        0..length,
        0..40_usize,
        "[\\[\\]{}\"'=,.#\n a-z0-9*/:@-]{0,12}",
    )
        .prop_map(move |(at, cut, put)| {
            let end = (at + cut).min(length);
            format!("{}{put}{}", &text[..at], &text[end..])
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_text_makes_the_loader_panic(text in prop_oneof![damaged(), ".{0,200}", "[\\[\\]{}\"'=,.#\n a-z0-9:@/]{0,120}"]) {
        let loaded = load_texts(&[("a.toml", &text)]);
        prop_assert_eq!(loaded.policy.is_some(), !loaded.has_errors());
        for finding in &loaded.findings {
            for label in &finding.labels {
                prop_assert!(text.get(label.bytes.clone()).is_some(), "{:?} is outside of the text", label);
            }
        }
        let _ = show(&loaded);
        for path in ["database.orders", "profile.small", "database.orders.series.daily.keep"] {
            let _ = loaded.explain(path);
        }
    }

    #[test]
    fn formatting_twice_is_formatting_once(text in prop_oneof![damaged(), "[\\[\\]{}\"'=,.#\n a-z0-9]{0,80}"]) {
        if let Ok(once) = fmt(&text) {
            prop_assert_eq!(fmt(&once), Ok(once));
        } else {
            prop_assert_eq!(fmt(&text), Err(mainstay_policy_schema::FormatError::NotToml));
        }
    }

    #[test]
    fn any_target_gives_a_valid_first_policy(target in ".{0,60}", url in "postgres://[a-z:@/?=&.A-Z0-9-]{0,40}") {
        for target in [target, url] {
            let loaded = load_texts(&[("mainstay.toml", &init_template(&target).text)]);
            let allowed = ["sqlite::in-memory", "policy::out-of-range"];
            prop_assert!(loaded.findings.iter().all(|finding| allowed.contains(&finding.code)), "{}", show(&loaded));
        }
    }
}
