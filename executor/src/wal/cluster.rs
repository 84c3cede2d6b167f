//! `<database>/wal/cluster.json`: whose log a tier holds. Two clusters that write into one archive destroy it.
//!
//! Format `mainstay.wal-cluster.v1`, JSON, described in `docs/formats/wal-cluster.md`. The first file that is archived names its
//! cluster; from then on only that cluster's files are taken, until a person says that another one has come in its place.
//! Files of earlier clusters stay readable.

use bytes::Bytes;
use jiff::Timestamp;
use model::{DatabaseName, Disposition};
use providers::api::{ControlTag, Expected, ObjectKey, ProviderError, Result, Tier};
use serde::{Deserialize, Serialize};

/// Value of [`WalClusters::format`].
const FORMAT: &str = "mainstay.wal-cluster.v1";
/// Segments that PostgreSQL can have.
const SEGMENT_SIZES: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 30;
/// Name of the file in the folder `wal`.
pub(crate) const FILE_NAME: &str = "cluster.json";

/// Whose log a tier holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalClusters {
    /// `mainstay.wal-cluster.v1`.
    pub format: String,
    /// Database that archives.
    pub database: DatabaseName,
    /// The cluster whose files are taken.
    #[serde(with = "text")]
    pub current: u64,
    /// All, in the order in which they came.
    pub clusters: Vec<KnownCluster>,
}

/// One cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownCluster {
    /// Its identifier, a decimal number as text: 64 bits do not fit into the numbers of many readers.
    #[serde(with = "text")]
    pub system_identifier: u64,
    /// Size of its segments; `None`: no segment has come yet.
    pub segment_bytes: Option<u64>,
    /// Since when.
    pub since: Timestamp,
    /// Who accepted it; empty: it was the first.
    pub who: String,
    /// Why.
    pub why: String,
}

mod text {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde's `with` asks for this signature"
    )]
    pub(super) fn serialize<S: Serializer>(n: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(n)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl WalClusters {
    /// What is known of one cluster.
    pub fn get(&self, system_identifier: u64) -> Option<&KnownCluster> {
        self.clusters
            .iter()
            .find(|known| known.system_identifier == system_identifier)
    }

    /// Whether a tier that says this takes the files of that cluster already.
    pub fn takes(&self, cluster: &KnownCluster) -> bool {
        self.with(cluster.clone()).is_none()
    }

    fn first(database: &DatabaseName, cluster: KnownCluster) -> Self {
        Self {
            format: FORMAT.to_owned(),
            database: database.clone(),
            current: cluster.system_identifier,
            clusters: vec![cluster],
        }
    }

    /// With `cluster` as the one whose files are taken; `None` when it is that already.
    fn with(&self, cluster: KnownCluster) -> Option<Self> {
        let known = self.get(cluster.system_identifier);
        let new_size = cluster.segment_bytes.is_some()
            && known.is_some_and(|known| known.segment_bytes != cluster.segment_bytes);
        if self.current == cluster.system_identifier && known.is_some() && !new_size {
            return None;
        }
        let mut new = self.clone();
        new.current = cluster.system_identifier;
        match new
            .clusters
            .iter_mut()
            .find(|known| known.system_identifier == cluster.system_identifier)
        {
            Some(known) => {
                let segment_bytes = cluster.segment_bytes.or(known.segment_bytes);
                *known = KnownCluster {
                    segment_bytes,
                    ..cluster
                };
            }
            None => new.clusters.push(cluster),
        }
        Some(new)
    }

    /// A wrong size would put every segment in a wrong place.
    fn check_sizes(&self) -> Result<()> {
        let sizes = self.clusters.iter().filter_map(|known| known.segment_bytes);
        for size in sizes {
            if !size.is_power_of_two() || !SEGMENT_SIZES.contains(&size) {
                let how = format!("{size} bytes are no size of segments of PostgreSQL");
                return Err(broken(&self.database, &how));
            }
        }
        Ok(())
    }

    fn to_bytes(&self) -> Result<Bytes> {
        self.check_sizes()?;
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| broken(&self.database, &error.to_string()))?;
        bytes.push(b'\n');
        Ok(Bytes::from(bytes))
    }

    fn parse(database: &DatabaseName, bytes: &[u8]) -> Result<Self> {
        let found: Self =
            serde_json::from_slice(bytes).map_err(|error| broken(database, &error.to_string()))?;
        if found.format != FORMAT {
            let how = format!(
                "its format is `{}`, this program reads `{FORMAT}`",
                found.format
            );
            return Err(broken(database, &how));
        }
        if found.database != *database || found.get(found.current).is_none() {
            return Err(broken(
                database,
                "it is that of another database, or was changed",
            ));
        }
        found.check_sizes()?;
        Ok(found)
    }
}

fn broken(database: &DatabaseName, how: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::wal::cluster-file",
        Disposition::NeedsOperator,
        format!("`{database}/wal/{FILE_NAME}` says whose log it is, and cannot be used: {how}"),
    )
    .help("compare it with the same file on another tier; without it nothing is archived there")
}

fn key(database: &DatabaseName) -> Result<ObjectKey> {
    ObjectKey::new(format!("{database}/wal/{FILE_NAME}"))
        .ok_or_else(|| broken(database, "its name is not safe"))
}

/// What a tier says; `None`: nothing was ever archived there.
pub(crate) async fn read(
    tier: &dyn Tier,
    database: &DatabaseName,
) -> Result<Option<(WalClusters, ControlTag)>> {
    match tier.read_control(&key(database)?).await? {
        None => Ok(None),
        Some((bytes, tag)) => Ok(Some((WalClusters::parse(database, &bytes)?, tag))),
    }
}

/// Whether a tier takes files of this cluster. The first one becomes the tier's own.
///
/// Errors: `mainstay::wal::other-cluster`, `mainstay::wal::cluster-file`, and the tier's.
pub(crate) async fn ensure_taken(
    tier: &dyn Tier,
    database: &DatabaseName,
    system_identifier: u64,
    segment_bytes: Option<u64>,
    now: Timestamp,
) -> Result<WalClusters> {
    let cluster = KnownCluster {
        system_identifier,
        segment_bytes,
        since: now,
        who: String::new(),
        why: "the first that archived here".to_owned(),
    };
    let mut tries = 0;
    loop {
        let (new, expected) = match read(tier, database).await? {
            None => (
                WalClusters::first(database, cluster.clone()),
                Expected::Absent,
            ),
            Some((found, tag)) => {
                refuse_other(&found, tier, system_identifier, segment_bytes)?;
                let known = found.get(system_identifier);
                let lacks_size = known.is_some_and(|known| known.segment_bytes.is_none());
                match known.cloned() {
                    // A history came before the first segment.
                    Some(known) if lacks_size && segment_bytes.is_some() => {
                        let known = KnownCluster {
                            segment_bytes,
                            ..known
                        };
                        match found.with(known) {
                            Some(new) => (new, Expected::Unchanged(tag)),
                            None => return Ok(found),
                        }
                    }
                    _ => return Ok(found),
                }
            }
        };
        match tier
            .write_control(&key(database)?, new.to_bytes()?, expected, None)
            .await
        {
            Ok(_) => return Ok(new),
            // Somebody was faster: theirs counts.
            Err(error) if error.code == CHANGED && tries < 5 => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

/// What was read is not there any more.
pub(super) const CHANGED: &str = "mainstay::tier::changed";

fn refuse_other(
    found: &WalClusters,
    tier: &dyn Tier,
    system_identifier: u64,
    segment_bytes: Option<u64>,
) -> Result<()> {
    let database = &found.database;
    if found.current != system_identifier {
        return Err(ProviderError::new(
            "mainstay::wal::other-cluster",
            Disposition::NeedsOperator,
            format!(
                "tier `{}` holds the log of the cluster {} for `{database}`, and this is of the cluster {system_identifier}",
                tier.name(),
                found.current
            ),
        )
        .help(format!(
            "two clusters that archive to one place destroy each other's log. If this one has come in the place of the other (an upgrade, a new installation), say so: `mainstay wal accept {database} --system-identifier {system_identifier} --why …`; else declare a database of its own for it"
        )));
    }
    let known = found
        .get(system_identifier)
        .and_then(|known| known.segment_bytes);
    if let (Some(known), Some(now)) = (known, segment_bytes)
        && known != now
    {
        return Err(ProviderError::new(
            "mainstay::wal::other-cluster",
            Disposition::NeedsOperator,
            format!(
                "on tier `{}` the segments of `{database}` have {known} bytes, and this one has {now}",
                tier.name()
            ),
        )
        .help(format!(
            "if the size was changed with `pg_resetwal`, say so: `mainstay wal accept {database} --system-identifier {system_identifier} --segment-bytes {now} --why …`"
        )));
    }
    Ok(())
}

/// Makes a tier take the files of this cluster from now on. `false`: it did already. `may` is asked about what the change starts from.
pub(crate) async fn accept(
    tier: &dyn Tier,
    database: &DatabaseName,
    cluster: &KnownCluster,
    may: &(dyn Fn(Option<&WalClusters>) -> bool + Sync),
) -> Result<bool> {
    let mut tries = 0;
    loop {
        let found = read(tier, database).await?;
        let now = found.as_ref().map(|(found, _)| found);
        if now.is_none_or(|now| !now.takes(cluster)) && !may(now) {
            return Err(ProviderError::new(
                "mainstay::wal::needs-approval",
                Disposition::NeedsOperator,
                format!(
                    "nobody signed that tier `{}` takes the log of another cluster than the one that it takes now",
                    tier.name()
                ),
            )
            .help("run `mainstay wal accept` again: it says what is to be signed"));
        }
        let (new, expected) = match found {
            None => (
                WalClusters::first(database, cluster.clone()),
                Expected::Absent,
            ),
            Some((found, tag)) => match found.with(cluster.clone()) {
                Some(new) => (new, Expected::Unchanged(tag)),
                None => return Ok(false),
            },
        };
        match tier
            .write_control(&key(database)?, new.to_bytes()?, expected, None)
            .await
        {
            Ok(_) => return Ok(true),
            Err(error) if error.code == CHANGED && tries < 5 => tries += 1,
            Err(error) => return Err(error),
        }
    }
}
