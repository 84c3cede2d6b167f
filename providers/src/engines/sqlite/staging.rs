//! Writes the plain objects of a point to a file and reads the others to their end: only then have their digests agreed.

use super::{Stop, errors};
use crate::{
    api::{PlainObject, Result},
    stream,
};
use std::{
    fs::File,
    io::{self, Read, Write},
    sync::atomic::Ordering,
};

/// Writes the data object to `file` and syncs it.
pub(super) fn write(objects: Vec<PlainObject>, file: &mut File, stop: &Stop) -> Result<()> {
    let mut seen = false;
    let mut block = vec![0; stream::BLOCK];
    for mut object in objects {
        let data = object.role == "data";
        if data && object.content != "sqlite" {
            return Err(errors::unsupported(format!(
                "the data of this recovery point is `{}`, not an SQLite file",
                object.content
            )));
        }
        seen |= data;
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(errors::given_up());
            }
            let count = match object.stream.read(&mut block) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(stream::provider_error(error)),
            };
            if data {
                file.write_all(&block[..count])
                    .map_err(|error| errors::file("write the copy of a database", error))?;
            }
        }
    }
    if !seen {
        return Err(errors::unsupported(
            "this recovery point has no data object".to_owned(),
        ));
    }
    file.sync_all()
        .map_err(|error| errors::file("write the copy of a database", error))
}
