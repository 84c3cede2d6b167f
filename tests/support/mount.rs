//! A small disk of its own, in memory: full disks must be real, because every layer reports them in its own way.

use super::program::command;
use std::path::{Path, PathBuf};

/// A mounted tmpfs; unmounted when dropped.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts a tmpfs of so many KiB over a folder. Needs root, as on the machines that run these tests.
    pub fn mount(at: &Path, kib: u64) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let done = command("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"])
            .arg(at)
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "these tests mount a small disk, which needs root: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        Self(at.to_owned())
    }

    /// Gives it another size.
    pub fn resize(&self, kib: u64) {
        let done = command("mount")
            .args(["-o", &format!("remount,size={kib}k")])
            .arg(&self.0)
            .status()
            .unwrap();
        assert!(done.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a failing test may still have files open there.
        let _ = command("umount").arg("-l").arg(&self.0).status();
    }
}
