//! Files that are handed in on the command line; `-` means standard input.

use std::{io::Read as _, path::Path};

/// The bytes of a file, or of standard input for `-`.
pub(crate) fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(file)
}
