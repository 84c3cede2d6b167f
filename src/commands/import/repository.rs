//! Where restic and borg keep their repositories, as tiers: beside them, never in them.

use super::{
    found::{Fate, Found, Place, Reading, Tier, quoted},
    source::Text,
};

/// Where points are put when it is not known.
const SOMEWHERE: &str = "/srv/mainstay";

/// What is known of a tool that encrypts all it stores, in one repository: its address and the line that names it.
pub(crate) fn only(text: &Text, named: Option<&(String, usize)>, reading: &mut Reading) -> Found {
    let named = named.map(|(url, line)| (url.as_str(), text.at(*line)));
    Found {
        encrypted: true,
        tiers: vec![tier(reading, "repository", named)],
        ..Found::default()
    }
}

/// The tier for a repository; what stands there is left alone.
pub(crate) fn tier(reading: &mut Reading, name: &str, repository: Option<(&str, Place)>) -> Tier {
    let tier = |table: Vec<String>| Tier {
        name: name.to_owned(),
        table,
    };
    let Some((url, place)) = repository else {
        let says = format!("nothing names a repository: `path = \"{SOMEWHERE}\"`; change it");
        reading.note(None, Fate::Assumed, "where it is stored", says);
        return tier(folder(
            SOMEWHERE,
            Some("CHANGE: where recovery points shall be stored"),
        ));
    };
    let shown = without_password(url);
    if let Some(rest) = url.strip_prefix("s3:") {
        let table = bucket(rest);
        let says = "the same bucket, under a prefix of its own: the old repository is left alone";
        reading.note(Some(place), Fate::Changed, shown, says);
        return tier(table);
    }
    if is_folder(url) {
        let path = format!("{}-mainstay", url.trim_end_matches('/'));
        let says = format!("`path = \"{path}\"`: beside the old repository, which is left alone");
        reading.note(Some(place), Fate::Changed, shown, says);
        return tier(folder(&path, None));
    }
    let says = format!(
        "there is no tier of this kind: `path = \"{SOMEWHERE}\"`; change it to a mounted folder or to S3"
    );
    reading.note(Some(place), Fate::NotExpressed, shown.clone(), says);
    let remark = format!("CHANGE: it was {shown}");
    tier(folder(SOMEWHERE, Some(&remark)))
}

fn folder(path: &str, remark: Option<&str>) -> Vec<String> {
    let mut table: Vec<String> = remark.iter().map(|text| format!("# {text}")).collect();
    table.push("kind = \"filesystem\"".to_owned());
    table.push(format!("path = {}", quoted(path)));
    table
}

fn is_folder(url: &str) -> bool {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    // borg also writes `user@host:path`.
    let remote = scheme.contains('@') || (!scheme.is_empty() && !scheme.contains('/'));
    let open = url.contains('$') || url.starts_with('~') || url.contains('`');
    !remote && !open
}

fn bucket(rest: &str) -> Vec<String> {
    let scheme_end = rest.find("://").map_or(0, |at| at + 3);
    let (host, path) = rest[scheme_end..]
        .split_once('/')
        .unwrap_or((&rest[scheme_end..], ""));
    let (bucket, prefix) = path
        .trim_matches('/')
        .split_once('/')
        .unwrap_or((path.trim_matches('/'), ""));
    let prefix = format!("{prefix}-mainstay");
    let mut table = vec![
        "kind = \"s3\"".to_owned(),
        format!("bucket = {}", quoted(bucket)),
    ];
    table.push(format!(
        "prefix = {}",
        quoted(prefix.trim_start_matches('-'))
    ));
    let amazon = host.strip_suffix(".amazonaws.com");
    if let Some(amazon) = amazon {
        let region = amazon
            .trim_start_matches("s3")
            .trim_start_matches(['.', '-']);
        if !region.is_empty() && region != "dualstack" {
            table.push(format!("region = {}", quoted(region)));
        }
    } else {
        let scheme = if scheme_end == 0 {
            "https://"
        } else {
            &rest[..scheme_end]
        };
        table.push(format!("endpoint = {}", quoted(&format!("{scheme}{host}"))));
    }
    table.push(
        "# access keys: what the AWS tools find (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, as before)".to_owned(),
    );
    table
}

/// An address as it may be shown: `scheme://user:password@host` loses the password.
pub(crate) fn without_password(url: &str) -> String {
    let Some((before, host)) = url.rsplit_once('@') else {
        return url.to_owned();
    };
    let start = before.rfind("//").map_or(0, |at| at + 2);
    match before[start..].split_once(':') {
        Some((user, _)) => format!("{}{user}:***@{host}", &before[..start]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_becomes_a_tier_beside_it() {
        let place = || Place {
            file: "f".to_owned(),
            line: 1,
        };
        let table = |url: &str| {
            let mut reading = Reading::default();
            tier(&mut reading, "repository", Some((url, place())))
                .table
                .join("; ")
        };
        assert_eq!(
            table("/srv/restic/"),
            "kind = \"filesystem\"; path = \"/srv/restic-mainstay\""
        );
        assert!(table("s3:s3.eu-central-1.amazonaws.com/bucket/host").starts_with(
            "kind = \"s3\"; bucket = \"bucket\"; prefix = \"host-mainstay\"; region = \"eu-central-1\""
        ));
        assert!(
            table("s3:https://minio.example:9000/bucket")
                .contains("prefix = \"mainstay\"; endpoint = \"https://minio.example:9000\"")
        );
        assert!(table("rest:https://joe:secret@host/").contains("joe:***@host"));
        assert!(table("joe@host:repo").contains("CHANGE: it was joe@host:repo"));
        assert!(table("sftp:host:/srv").contains("CHANGE"));
    }
}
