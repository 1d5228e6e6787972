//! XA transactions that were prepared before the place from which the log is read, and are
//! committed behind it: their rows are looked for further back.

use futures::StreamExt;

use crate::error::{Error, ErrorKind, Result};

use super::follow::Follower;
use super::place::Place;
use super::statement::Xid;
use super::transaction::Transaction;

impl Follower {
    /// Searches the files of the log backwards, beginning with the one that is read.
    pub(super) async fn prepared_before(&self, xid: &Xid) -> Result<Transaction> {
        let here = self.place().number();
        let mut files = self.log().all_files().await?;
        files.reverse();
        let mut stop = self.place().position();
        for file in files {
            let place = Place::new(&file, 4)?;
            let begin = place.number();
            if begin > here {
                continue;
            }
            let mut search = self.before(place);
            let mut stream = self.log().open(&file, 4, true).await?;
            while let Some(raw) = stream.next().await {
                let raw = raw.map_err(|e| self.log().stream_error(e))?;
                search.event(&raw).await?;
                if search.place().position() >= stop {
                    break;
                }
            }
            if let Some(found) = search.take_prepared(xid) {
                return Ok(found);
            }
            stop = begin | 4;
        }
        Err(Error::new(
            ErrorKind::LogGap,
            "an XA transaction was committed whose rows the binary log does not hold any more: it \
             was prepared before the log's oldest file",
        )
        .hint("abort the migration, then start it again: it copies anew"))
    }
}
