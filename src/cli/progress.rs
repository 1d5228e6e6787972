//! Progress bars with rate and ETA, on a terminal only.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bars of one command. Cheap to clone; all clones share one screen.
#[derive(Clone, Debug)]
pub struct Progress {
    bars: MultiProgress,
    shown: bool,
}

impl Progress {
    /// Bars on stderr if it is a terminal and they are wanted, else nothing at all.
    #[must_use]
    pub fn on_stderr(wanted: bool) -> Self {
        if wanted && io::stderr().is_terminal() {
            Self {
                bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8)),
                shown: true,
            }
        } else {
            Self::hidden()
        }
    }

    /// Bars that nobody sees.
    #[must_use]
    pub fn hidden() -> Self {
        Self {
            bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()),
            shown: false,
        }
    }

    /// A new bar below the others. Without a total it shows count and rate only.
    #[must_use]
    pub fn bar(&self, label: impl Into<String>, total: Option<u64>) -> Bar {
        let bar = self.bars.add(ProgressBar::with_draw_target(
            total,
            ProgressDrawTarget::hidden(),
        ));
        bar.set_prefix(label.into());
        let bar = Bar { bar };
        bar.style(total.is_some());
        if self.shown {
            bar.bar.enable_steady_tick(Duration::from_millis(250));
        }
        bar
    }

    /// Makes writers to stderr that go round the bars.
    pub fn log_writer(&self) -> impl Fn() -> LogWriter + Send + Sync + 'static {
        let bars = self.shown.then(|| self.bars.clone());
        move || LogWriter { bars: bars.clone() }
    }
}

/// One bar. Dropping it leaves it as it is.
#[derive(Clone, Debug)]
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// So many more are done.
    pub fn add(&self, done: u64) {
        self.bar.inc(done);
    }

    /// So many are done in all.
    pub fn set(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// How many there are, once that is known.
    pub fn set_total(&self, total: u64) {
        self.bar.set_length(total);
        self.style(true);
    }

    /// How many are done.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.bar.position()
    }

    /// It is done: the bar stays, and no longer moves.
    pub fn finish(&self) {
        self.bar.finish();
    }

    /// It is done: the bar goes away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }

    fn style(&self, total: bool) {
        let template = if total {
            "{prefix:20} {bar:30} {percent:>3}% {human_pos}/{human_len} {per_sec} ETA {eta}"
        } else {
            "{prefix:20} {spinner} {human_pos} {per_sec}"
        };
        // The templates are constants; were one wrong, the plain bar would do.
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("=> "));
        }
    }
}

/// Writes a log line without tearing the bars.
#[derive(Debug)]
pub struct LogWriter {
    bars: Option<MultiProgress>,
}

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.bars {
            None => io::stderr().write(bytes),
            Some(bars) => bars.suspend(|| io::stderr().write(bytes)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_bars_count_all_the_same() {
        let bar = Progress::hidden().bar("orders", None);
        bar.add(3);
        bar.add(4);
        assert_eq!(bar.done(), 7);
        bar.set_total(10);
        bar.set(10);
        bar.finish();
        bar.clear();
        assert_eq!(bar.done(), 10);
    }
}
