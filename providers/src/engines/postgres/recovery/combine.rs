//! Makes a whole data directory of a full point and the incremental ones upon it, with PostgreSQL's own `pg_combinebackup`.
//!
//! Each link is unpacked into a folder of its own, its tablespaces beside it. The program checks lineage, not integrity: that each stream was read to its
//! end, where its digest is compared, is what makes a link trustworthy, and happens before.

use super::{
    files::{Streams, keep_list},
    owner::Owner,
    place::{WorkFolder, cannot_write},
    tablespaces::{self, Tablespace},
    unpack,
};
use crate::{
    api::{PlainObject, ProviderError, Result},
    engines::postgres::{binaries::Binaries, physical::tablespace_of},
    process::Program,
};
use model::Disposition;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// One unpacked point of a chain.
#[derive(Debug)]
pub(super) struct Link {
    /// Its data directory.
    pub(super) data: PathBuf,
    /// Where its tablespaces were unpacked.
    tablespaces: BTreeMap<u32, PathBuf>,
    /// Where they are at the source.
    map: BTreeMap<u32, PathBuf>,
}

/// A chain, the full point first.
#[derive(Debug)]
pub(super) struct Links {
    older: Vec<Link>,
    last: Link,
}

impl Links {
    /// The point that is restored.
    pub(super) fn last(&self) -> &Link {
        &self.last
    }

    /// Tablespaces of the point, with their places at the source.
    pub(super) fn map(&self) -> &BTreeMap<u32, PathBuf> {
        &self.last.map
    }
}

/// Unpacks all points of a chain below `folder`.
pub(super) async fn unpack_links(
    streams: Streams,
    folder: &Path,
    owner: Owner,
    work: &Arc<WorkFolder>,
) -> Result<Links> {
    let mut older = Vec::new();
    for (number, link) in streams.chain.into_iter().enumerate() {
        let to = folder.join(number.to_string());
        older.push(unpack_link(link.objects, &to, owner, work).await?);
    }
    let to = folder.join(older.len().to_string());
    let last = unpack_link(streams.objects, &to, owner, work).await?;
    Ok(Links { older, last })
}

async fn unpack_link(
    objects: Vec<PlainObject>,
    folder: &Path,
    owner: Owner,
    work: &Arc<WorkFolder>,
) -> Result<Link> {
    owner
        .folder(folder)
        .map_err(|error| cannot_write(folder, error))?;
    let data = folder.join("data");
    owner
        .folder(&data)
        .map_err(|error| cannot_write(&data, error))?;
    let mut link = Link {
        data,
        tablespaces: BTreeMap::new(),
        map: BTreeMap::new(),
    };
    let mut control = None;
    for object in objects {
        if object.role == "data" {
            let unpacked =
                unpack::unpack(object, link.data.clone(), owner, Arc::clone(work)).await?;
            control = unpacked.control;
            link.map = tablespaces::take_map(&link.data)?;
        } else if let Some(oid) = tablespace_of(&object) {
            let into = folder.join(format!("tablespace-{oid}"));
            owner
                .folder(&into)
                .map_err(|error| cannot_write(&into, error))?;
            unpack::unpack(object, into.clone(), owner, Arc::clone(work)).await?;
            link.tablespaces.insert(oid, into);
        } else {
            keep_list(object, &link.data, owner).await?;
        }
    }
    for (oid, place) in &link.tablespaces {
        tablespaces::link_one(&link.data, *oid, place, owner)?;
    }
    if link.map.keys().ne(link.tablespaces.keys()) {
        return Err(tablespaces::damaged("a tablespace of its map is missing"));
    }
    let control = control.ok_or_else(|| tablespaces::damaged("it has no control file"))?;
    unpack::write_control(&link.data, &control, owner)?;
    Ok(link)
}

/// Combines a chain into `data`, which does not exist, and into the folders of its tablespaces, which are empty.
pub(super) async fn combine(
    set: &Binaries,
    links: &Links,
    data: &Path,
    built: &[Tablespace],
    owner: Owner,
) -> Result<()> {
    let path = set.program("pg_combinebackup");
    if !path.is_file() {
        return Err(ProviderError::new(
            "mainstay::postgres::programs-missing",
            Disposition::NeedsOperator,
            format!(
                "no pg_combinebackup is beside `{}`, which an incremental recovery point needs",
                set.program("postgres").display()
            ),
        )
        .help(format!(
            "install all client programs of version {} (Debian: apt-get install postgresql-client-{})",
            set.major, set.major
        )));
    }
    owner
        .folder(data)
        .map_err(|error| cannot_write(data, error))?;
    let mut program = Program::new(path)
        .args(["--no-sync", "--no-manifest"])
        .arg("--output")
        .arg(data);
    if set.major >= 18 {
        // The links are thrown away: what is whole in one of them need not be copied.
        program = program.arg("--link");
    }
    for tablespace in built {
        let Some(from) = links.last.tablespaces.get(&tablespace.oid) else {
            return Err(tablespaces::damaged("a tablespace of its map is missing"));
        };
        let same = |path: &Path| path.display().to_string().replace('=', "\\=");
        program = program.arg(format!(
            "--tablespace-mapping={}={}",
            same(from),
            same(&tablespace.built)
        ));
    }
    for link in links.older.iter().chain([&links.last]) {
        program = program.arg(&link.data);
    }
    let running = owner.program(program).start()?;
    running.wait().await.map_err(|error| {
        ProviderError::new(
            "mainstay::recovery::combine-failed",
            Disposition::NeedsOperator,
            format!("the incremental points could not be combined: {error}"),
        )
        .help("restore from the newest full point (mainstay list), and let `mainstay verify` look at the chain")
        .source(error)
    })
}
