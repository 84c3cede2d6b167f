//! What an earlier policy demanded, read back from its resolved JSON, is what it demanded.

mod kinds;

use kinds::load_texts;
use mainstay_policy_schema::Demands;
use model::Digest;

const POLICY: &str = r#"
mainstay = 1
timezone = "Europe/Prague"
safety = { min-verified = 2 }

[tier.nas]
kind = "filesystem"
path = "/mnt/nas"

[tier.attic]
kind = "filesystem"
path = "/mnt/attic"

[database.orders]
engine = "postgres"
url = { env = "ORDERS_URL" }
objective = { rpo = "26h", rto = { target = "1h", maximum = "4h" } }

[[database.orders.series]]
name = "daily"
schedule = "0 2 * * *"
verify = "full-read"
keep.nas = { last = 3, daily = "14d", weekly = 4, model = "additive" }
keep.attic = { monthly = "all", within-yearly = "7y", forever = true, pick = "last" }
window = { start-within = "2h" }

[[database.orders.series]]
name = "often"
every = "15m"
keep.nas = { within = "2d" }
"#;

#[test]
fn what_is_read_back_is_what_was_demanded() {
    let loaded = load_texts(&[("policy.toml", POLICY)]);
    let policy = loaded.policy.as_ref().unwrap();
    let text = policy.canonical_json();
    assert_eq!(Digest::sha256_of(text.as_bytes()), policy.digest);
    let demands = Demands::from_resolved(&serde_json::from_str(&text).unwrap()).unwrap();
    assert_eq!(demands.min_verified, 2);
    assert_eq!(demands.zone, policy.timezone);
    assert_eq!(demands.tiers.len(), 2);
    for (name, declared) in &policy.databases {
        let read = &demands.databases[name];
        assert_eq!(read.engine, declared.engine);
        assert_eq!(read.rpo, declared.objective.rpo.map(|rpo| rpo.maximum));
        assert_eq!(read.rto, declared.objective.rto.map(|rto| rto.maximum));
        assert_eq!(read.series.len(), declared.series.len());
        for (name, declared) in &declared.series {
            let read = &read.series[name];
            assert_eq!(read.schedule.to_string(), declared.schedule.to_string());
            assert_eq!(read.start_within, declared.window.start_within);
            assert_eq!(read.verify, declared.verify);
            let kept: std::collections::BTreeMap<_, _> = declared.keep.iter().cloned().collect();
            assert_eq!(read.keep, kept, "of {name}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let loaded = load_texts(&[("policy.toml", POLICY)]);
    let text = loaded.policy.as_ref().unwrap().canonical_json();
    let mut policy: serde_json::Value = serde_json::from_str(&text).unwrap();
    policy["database"]["orders"]["series"]["daily"]["schedule"] = "whenever".into();
    let error = Demands::from_resolved(&policy).unwrap_err();
    insta::assert_snapshot!(error.to_string(), @"cannot read `database.orders.series.daily.schedule` of an earlier policy");
}
