//! Whether a state can be kept at a place, found out by writing there and taking it back.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// About what a state that is just begun needs, with its write-ahead log.
const BYTES: usize = 128 << 10;

/// Writes a file beside `path` (or where its folder would be made), and removes it. Of a state
/// that is there already, also whether it may be written.
pub fn probe(path: &Path) -> Result<()> {
    let wrong = |e: std::io::Error, place: &Path| {
        let hint = match e.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                format!("free some space in {}", place.display())
            }
            std::io::ErrorKind::FileTooLarge => "raise the limit of file sizes".to_owned(),
            _ => format!(
                "give this user the right to write {}, or name another place: [state] url",
                place.display()
            ),
        };
        Error::new(
            ErrorKind::Io,
            format!(
                "{} cannot be written, so the state cannot be kept there",
                place.display()
            ),
        )
        .caused_by(e)
        .hint(hint)
    };
    if path.is_file() {
        OpenOptions::new()
            .append(true)
            .open(path)
            .map_err(|e| wrong(e, path))?;
    }
    let folder = path
        .ancestors()
        .skip(1)
        .map(|p| {
            if p.as_os_str().is_empty() {
                Path::new(".")
            } else {
                p
            }
        })
        .find(|p| p.exists())
        .unwrap_or(Path::new("."));
    let name = folder.join(format!(".banyan-check-{}", std::process::id()));
    let written = File::create_new(&name)
        .and_then(|mut file| file.write_all(&[0; BYTES]).and_then(|()| file.sync_all()));
    let removed = std::fs::remove_file(&name);
    written.and(removed).map_err(|e| wrong(e, folder))
}
