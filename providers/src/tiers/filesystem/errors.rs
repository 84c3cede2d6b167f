//! What an error of the file system means for a tier: one table from `errno` to code, way out and disposition.

use crate::api::ProviderError;
use model::Disposition;
use rustix::io::Errno;
use std::path::Path;

/// `what` is the attempted work with its object: "write `a/b`".
pub(super) fn from_errno(what: &str, errno: Errno) -> ProviderError {
    let message = format!("cannot {what}");
    let source = std::io::Error::from(errno);
    let error = match errno {
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => {
            return full(what)
                .help("make room on the file system of this tier, or raise the quota")
                .source(source);
        }
        Errno::ACCESS | Errno::PERM | Errno::ROFS => ProviderError::new(
            "mainstay::tier::denied",
            Disposition::NeedsOperator,
            message,
        )
        .help("let the user who runs mainstay read and write the tier's folder, and check that it is not mounted read-only"),
        Errno::NODEV | Errno::NXIO | Errno::NOTCONN | Errno::HOSTDOWN | Errno::HOSTUNREACH | Errno::STALE => {
            ProviderError::new(
                "mainstay::tier::unreachable",
                Disposition::NeedsOperator,
                message,
            )
            .help("check that the disk or share is attached and mounted, then run `mainstay apply` again")
        }
        Errno::INVAL | Errno::NAMETOOLONG | Errno::NOTDIR | Errno::LOOP | Errno::ISDIR => {
            ProviderError::new("mainstay::tier::io", Disposition::Permanent, message)
                .help("something that Mainstay did not make lies in the way in the tier's folder; look at the path named here")
        }
        _ => ProviderError::new("mainstay::tier::io", Disposition::Retry, message)
            .help("look at the kernel's log (`dmesg`) and at the health of the disk or share"),
    };
    error.source(source)
}

pub(super) fn full(what: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::tier::full",
        Disposition::NeedsOperator,
        format!("not enough free space to {what}"),
    )
}

pub(super) fn missing_root(root: &Path) -> ProviderError {
    unreachable(format!(
        "the tier's folder `{}` is not there",
        root.display()
    ))
}

pub(super) fn no_marker(root: &Path) -> ProviderError {
    unreachable(format!(
        "the tier's folder `{}` has no marker file",
        root.display()
    ))
}

pub(super) fn moved(root: &Path) -> ProviderError {
    unreachable(format!(
        "the tier's folder `{}` became another one while it was used",
        root.display()
    ))
}

fn unreachable(message: String) -> ProviderError {
    ProviderError::new(
        "mainstay::tier::unreachable",
        Disposition::NeedsOperator,
        message,
    )
    .help("check that the disk or share is attached and mounted, then run `mainstay apply` again")
}

pub(super) fn bad_marker(root: &Path, how: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::tier::marker",
        Disposition::NeedsOperator,
        format!(
            "the marker file of the tier's folder `{}` is not usable: {how}",
            root.display()
        ),
    )
    .help("put the marker back from `mainstay catalog`'s record of the tier's identity, or point the tier to an empty folder")
}

pub(super) fn exists(key: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::tier::exists",
        Disposition::Permanent,
        format!("`{key}` exists already; nothing is ever overwritten"),
    )
}

pub(super) fn not_found(key: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::tier::not-found",
        Disposition::Permanent,
        format!("`{key}` is not there"),
    )
}

pub(super) fn bad_key(key: &str, why: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::tier::key",
        Disposition::Permanent,
        format!("`{key}` cannot be stored: {why}"),
    )
}

pub(super) fn unsupported(what: &str, errno: Errno) -> ProviderError {
    ProviderError::new(
        "mainstay::tier::unsupported",
        Disposition::NeedsOperator,
        format!("cannot {what}: the file system offers no way to rename without replacing"),
    )
    .help("use a file system that knows RENAME_NOREPLACE or hard links (ext4, XFS, btrfs, ZFS, NFS, SMB 3)")
    .source(std::io::Error::from(errno))
}
