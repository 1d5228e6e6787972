//! The audit log: what Banyan changed outside of a sync, and what it found, for whoever must show it.
//!
//! A text file beside the state, one entry a line: the line's blake3 in hex, a space, the entry as JSON.
//! The hash covers the hash of the line before, so no byte of the file can be changed, and no line be
//! taken out, without breaking the chain from there on. How long the chain is, and its last hash, stand
//! in a file of their own, so that lines missing at the end are noticed, too.
//!
//! Whoever may write the folder can take both files away, or write a whole chain anew: keep the last hash,
//! which `banyan audit verify` prints, elsewhere.
//!
//! What must be written down before something is done is on disk before it is done.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::error::{Error, ErrorKind, Result};

const FILE: &str = "audit.log";
const HEAD: &str = "audit.head";
/// What the first line's hash covers instead of a line before.
const BEGIN: &str = "banyan audit log";
const HEX: usize = 64;

/// An audit log.
#[derive(Clone, Debug)]
pub struct AuditLog {
    path: PathBuf,
    head: PathBuf,
}

/// A chain that holds.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct AuditSummary {
    /// Its file.
    pub file: PathBuf,
    /// How many entries it has.
    pub entries: u64,
    /// The last line's hash; kept elsewhere, it shows that nothing before it was changed.
    pub head: Option<String>,
}

impl AuditLog {
    /// The log in the state's folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            path: folder.join(FILE),
            head: folder.join(HEAD),
        }
    }

    fn failed(&self, what: &str, e: std::io::Error) -> Error {
        let message = format!("the audit log {} cannot be {what}", self.path.display());
        Error::new(ErrorKind::Io, message).caused_by(e)
    }

    fn broken(&self, line: u64, what: &str) -> Error {
        Error::new(
            ErrorKind::Refused,
            format!("{}, line {line}: {what}", self.path.display()),
        )
        .hint("the log was changed by somebody else, or its disk is damaged; keep it as it is")
    }

    /// Adds an entry, and sees it to the disk. `what` says what kind it is. Fails with `Refused` when the
    /// end of the log is damaged: nothing is built on that.
    pub fn append(&self, at_us: i64, what: &str, content: Json) -> Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(&self.path)
            .map_err(|e| self.failed("opened", e))?;
        file.lock().map_err(|e| self.failed("locked", e))?;
        self.mend(&mut file)?;
        let (entries, last) = self.last(&mut file)?;
        let entry = json!({"n": entries + 1, "at_us": at_us, "what": what, "content": content});
        let entry = entry.to_string();
        let hash = chain(&last, &entry);
        let begin = file
            .seek(SeekFrom::End(0))
            .map_err(|e| self.failed("read", e))?;
        let written = file
            .write_all(format!("{hash} {entry}\n").as_bytes())
            .and_then(|()| file.sync_data());
        if let Err(e) = written {
            // A disk that is full: no half of a line stays, if it can be helped.
            drop(file.set_len(begin));
            return Err(self.failed("written", e));
        }
        self.write_head(entries + 1, &hash)
    }

    /// Takes off what a crash left of a line that was never said to be written.
    fn mend(&self, file: &mut File) -> Result<()> {
        let length = file.metadata().map_err(|e| self.failed("read", e))?.len();
        let mut last = [b'\n'];
        if length > 0 {
            file.seek(SeekFrom::Start(length - 1))
                .and_then(|_| file.read_exact(&mut last))
                .map_err(|e| self.failed("read", e))?;
        }
        if last == *b"\n" {
            return Ok(());
        }
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.read_to_end(&mut text))
            .map_err(|e| self.failed("read", e))?;
        let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let entries = text.iter().filter(|b| **b == b'\n').count() as u64;
        if let Some((said, _)) = self.read_head()?
            && said > entries
        {
            // It was said to be written: somebody else has cut it off.
            return Err(self.broken(entries + 1, "is not what was written"));
        }
        file.set_len(whole as u64)
            .map_err(|e| self.failed("mended", e))
    }

    fn write_head(&self, entries: u64, hash: &str) -> Result<()> {
        let folder = self.head.parent().unwrap_or(Path::new("."));
        let mut file =
            tempfile::NamedTempFile::new_in(folder).map_err(|e| self.failed("written", e))?;
        file.write_all(format!("{entries} {hash}\n").as_bytes())
            .and_then(|()| file.as_file().sync_data())
            .map_err(|e| self.failed("written", e))?;
        file.persist(&self.head)
            .map(drop)
            .map_err(|e| self.failed("written", e.error))
    }

    fn read_head(&self) -> Result<Option<(u64, String)>> {
        let text = match std::fs::read_to_string(&self.head) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.failed("read", e)),
        };
        let parsed = text
            .strip_suffix('\n')
            .and_then(|text| text.split_once(' '))
            .and_then(|(entries, hash)| Some((entries.parse().ok()?, hash.to_owned())));
        match parsed {
            Some(head) => Ok(Some(head)),
            None => Err(self.broken(0, &format!("{} is damaged", self.head.display()))),
        }
    }

    /// The number and hash of the last entry. Only the last line is read, and compared with the head
    /// where that is as new.
    fn last(&self, file: &mut File) -> Result<(u64, String)> {
        let length = file.metadata().map_err(|e| self.failed("read", e))?.len();
        let head = self.read_head()?;
        if length == 0 {
            return match head {
                None => Ok((0, BEGIN.to_owned())),
                Some((entries, _)) => {
                    Err(self.broken(1, &format!("{entries} entries are missing")))
                }
            };
        }
        // From behind, in growing pieces, until a whole line is in them.
        let mut piece = 4096.min(length);
        let line = loop {
            let mut bytes = vec![0; usize::try_from(piece).unwrap_or(usize::MAX)];
            file.seek(SeekFrom::Start(length - piece))
                .and_then(|_| file.read_exact(&mut bytes))
                .map_err(|e| self.failed("read", e))?;
            bytes.pop();
            if let Some(at) = bytes.iter().rposition(|b| *b == b'\n') {
                break bytes.split_off(at + 1);
            }
            if piece == length {
                break bytes;
            }
            piece = (piece * 2).min(length);
        };
        let line = String::from_utf8_lossy(&line).into_owned();
        let Some((hash, n)) = split(&line).and_then(|(hash, entry)| {
            let entry: Json = serde_json::from_str(entry).ok()?;
            Some((hash.to_owned(), entry.get("n")?.as_u64()?))
        }) else {
            return Err(self.broken(0, "the last line is no entry"));
        };
        self.compare_head(head.as_ref(), n, &hash)?;
        Ok((n, hash))
    }

    /// The head is as new as the log, or one entry behind: a crash may have come between the two.
    fn compare_head(&self, head: Option<&(u64, String)>, n: u64, hash: &str) -> Result<()> {
        let (entries, last) = head.map_or((0, BEGIN), |(n, hash)| (*n, hash.as_str()));
        if entries > n {
            let missing = entries - n;
            let message = format!("{missing} entries are missing from here on");
            return Err(self.broken(n + 1, &message));
        }
        if n - entries > 1 || entries == n && last != hash {
            return Err(self.broken(n, "the end is not what was written last"));
        }
        Ok(())
    }

    /// Follows the chain from its beginning, and hands over every entry. Fails with `Refused`, naming the
    /// first line that is not what was written.
    pub fn read(&self, mut take: impl FnMut(Json)) -> Result<AuditSummary> {
        let mut summary = AuditSummary {
            file: self.path.clone(),
            entries: 0,
            head: None,
        };
        let head = self.read_head()?;
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return match head {
                    None => Ok(summary),
                    Some((entries, _)) => {
                        Err(self.broken(1, &format!("{entries} entries are missing")))
                    }
                };
            }
            Err(e) => return Err(self.failed("read", e)),
        };
        let mut reader = BufReader::new(file);
        let mut last = BEGIN.to_owned();
        let mut line = Vec::new();
        loop {
            line.clear();
            let n = summary.entries + 1;
            let read = reader.read_until(b'\n', &mut line);
            if read.map_err(|e| self.failed("read", e))? == 0 {
                break;
            }
            let said = head.as_ref().map_or(0, |(entries, _)| *entries);
            if line.last() != Some(&b'\n') && said < n {
                // What a crash left of an entry that was never said to be written.
                break;
            }
            let text = line
                .strip_suffix(b"\n")
                .and_then(|line| std::str::from_utf8(line).ok());
            let Some((hash, entry)) = text.and_then(split) else {
                return Err(self.broken(n, "is no entry"));
            };
            if hash != chain(&last, entry) {
                return Err(self.broken(n, "is not what was written"));
            }
            let entry: Json =
                serde_json::from_str(entry).map_err(|_| self.broken(n, "is no entry"))?;
            if entry.get("n").and_then(Json::as_u64) != Some(n) {
                return Err(self.broken(n, "has another number"));
            }
            if let Some((entries, head)) = &head
                && *entries == n
                && head != hash
            {
                return Err(self.broken(n, "is not what was written last"));
            }
            hash.clone_into(&mut last);
            summary.entries = n;
            take(entry);
        }
        if summary.entries > 0 || head.is_some() {
            self.compare_head(head.as_ref(), summary.entries, &last)?;
        }
        summary.head = (summary.entries > 0).then_some(last);
        Ok(summary)
    }
}

fn split(line: &str) -> Option<(&str, &str)> {
    let (hash, entry) = line.split_once(' ')?;
    (hash.len() == HEX).then_some((hash, entry))
}

fn chain(before: &str, entry: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before.as_bytes());
    hasher.update(b"\n");
    hasher.update(entry.as_bytes());
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> (tempfile::TempDir, AuditLog) {
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::in_folder(folder.path());
        (folder, log)
    }

    fn entries(log: &AuditLog) -> Result<Vec<Json>> {
        let mut found = Vec::new();
        log.read(|entry| found.push(entry["content"].clone()))?;
        Ok(found)
    }

    #[test]
    fn entries_come_back_in_order() {
        let (_folder, log) = log();
        assert_eq!(entries(&log).unwrap(), Vec::<Json>::new());
        for i in 0..5 {
            // Longer than what is read at once from behind.
            let long = "x".repeat(i * 3000);
            log.append(7, "test", json!({"i": i, "long": long}))
                .unwrap();
        }
        let found = entries(&log).unwrap();
        assert_eq!(found.len(), 5);
        assert_eq!(found[4]["i"], 4);
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let (_folder, log) = log();
        for i in 0..3 {
            log.append(7, "test", json!({"i": i})).unwrap();
        }
        let whole = std::fs::read(&log.path).unwrap();
        for at in 0..whole.len() {
            for change in [1, 0x20, 0x80] {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                std::fs::write(&log.path, &bytes).unwrap();
                assert!(entries(&log).is_err(), "byte {at}, changed by {change}");
            }
        }
        // Any line taken out, and any end cut off.
        for end in 0..whole.len() {
            std::fs::write(&log.path, &whole[..end]).unwrap();
            assert!(entries(&log).is_err(), "cut off at {end}");
        }
        std::fs::write(&log.path, &whole).unwrap();
        assert_eq!(entries(&log).unwrap().len(), 3);
    }

    #[test]
    fn nothing_is_built_on_a_damaged_end() {
        let (_folder, log) = log();
        for i in 0..3 {
            log.append(7, "test", json!({"i": i})).unwrap();
        }
        let whole = std::fs::read_to_string(&log.path).unwrap();
        let two: String = whole.lines().take(2).map(|l| format!("{l}\n")).collect();
        std::fs::write(&log.path, two).unwrap();
        assert!(log.append(7, "test", json!({})).is_err());
    }

    #[test]
    fn without_its_head_a_log_is_not_believed() {
        let (_folder, log) = log();
        for i in 0..3 {
            log.append(7, "test", json!({"i": i})).unwrap();
        }
        let head = std::fs::read(&log.head).unwrap();
        std::fs::remove_file(&log.head).unwrap();
        assert!(entries(&log).is_err());
        assert!(log.append(7, "test", json!({})).is_err());
        // The last end of a line taken off: the entry was said to be written, and stays.
        std::fs::write(&log.head, head).unwrap();
        let whole = std::fs::read(&log.path).unwrap();
        std::fs::write(&log.path, &whole[..whole.len() - 1]).unwrap();
        assert!(entries(&log).is_err());
        assert!(log.append(7, "test", json!({})).is_err());
        assert_eq!(std::fs::read(&log.path).unwrap().len(), whole.len() - 1);
    }

    #[test]
    fn half_a_line_that_a_crash_left_is_taken_off() {
        let (_folder, log) = log();
        log.append(7, "test", json!({"i": 0})).unwrap();
        let mut file = OpenOptions::new().append(true).open(&log.path).unwrap();
        file.write_all(b"0123456789abcdef {\"n\":2,\"at").unwrap();
        assert_eq!(entries(&log).unwrap().len(), 1);
        log.append(7, "test", json!({"i": 1})).unwrap();
        assert_eq!(entries(&log).unwrap().len(), 2);
    }
}
