//! Tasks with an owner.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};

use crate::error::{Error, ErrorKind, Result};

/// Owns tasks. A panic in one is an error of it; dropping the set ends all of them.
#[derive(Default)]
pub struct TaskSet {
    tasks: JoinSet<Result<()>>,
    names: HashMap<Id, String>,
}

impl fmt::Debug for TaskSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> = self.names.values().collect();
        names.sort();
        f.debug_struct("TaskSet").field("tasks", &names).finish()
    }
}

impl TaskSet {
    /// No tasks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task. The name stands in front of its errors.
    pub fn spawn(
        &mut self,
        name: impl Into<String>,
        task: impl Future<Output = Result<()>> + Send + 'static,
    ) {
        let handle = self.tasks.spawn(task);
        self.names.insert(handle.id(), name.into());
    }

    /// Starts work that blocks its thread (SQLite, rules, files). It cannot be ended from outside:
    /// let it look at the shutdown.
    pub fn spawn_blocking(
        &mut self,
        name: impl Into<String>,
        task: impl FnOnce() -> Result<()> + Send + 'static,
    ) {
        let handle = self.tasks.spawn_blocking(task);
        self.names.insert(handle.id(), name.into());
    }

    /// How many tasks have not been waited for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether every task has been waited for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Waits for the next task to end; `None` when there are none. The name of the task, and how
    /// it ended. Losing this future loses no result.
    pub async fn next(&mut self) -> Option<(String, Result<()>)> {
        let ended = self.tasks.join_next_with_id().await?;
        Some(self.ended(ended))
    }

    /// A task that has ended already, if any.
    pub fn try_next(&mut self) -> Option<(String, Result<()>)> {
        let ended = self.tasks.try_join_next_with_id()?;
        Some(self.ended(ended))
    }

    /// Waits until every task has ended by itself: all errors, in the order in which they came.
    /// Tasks that ended because of the shutdown have done what they should and are no error.
    pub async fn wait(&mut self) -> Vec<Error> {
        let mut errors = Vec::new();
        while let Some((_, result)) = self.next().await {
            match result {
                Err(error) if error.kind() != ErrorKind::Shutdown => errors.push(error),
                _ => {}
            }
        }
        errors
    }

    /// After a shutdown was requested: waits as long as `grace`, then ends what is left. All
    /// errors, one for each task that had to be ended included.
    pub async fn drain(&mut self, grace: Duration) -> Vec<Error> {
        let mut errors = Vec::new();
        let ended = tokio::time::timeout(grace, async {
            while let Some((_, result)) = self.next().await {
                match result {
                    Err(error) if error.kind() != ErrorKind::Shutdown => errors.push(error),
                    _ => {}
                }
            }
        })
        .await;
        if ended.is_err() {
            self.tasks.abort_all();
            let mut names: Vec<_> = self.names.drain().map(|(_, name)| name).collect();
            names.sort();
            for name in names {
                errors.push(Error::new(
                    ErrorKind::Shutdown,
                    format!("{name}: did not end within {} ms", grace.as_millis()),
                ));
            }
            // Not waited for: a blocking task cannot be ended.
            self.tasks.detach_all();
        }
        errors
    }

    fn ended(&mut self, ended: Result<(Id, Result<()>), JoinError>) -> (String, Result<()>) {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            Err(error) => (error.id(), Err(from_join(error))),
        };
        let name = self.names.remove(&id).unwrap_or_default();
        let result = result.map_err(|error| error.at(&name));
        (name, result)
    }
}

/// A panic is a bug; being ended is a shutdown.
fn from_join(error: JoinError) -> Error {
    if !error.is_panic() {
        return Error::new(ErrorKind::Shutdown, "was ended");
    }
    let panic = error.into_panic();
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    Error::new(ErrorKind::Internal, format!("panicked: {text}"))
        .hint("this is a bug in Banyan; please report it with the log")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::shutdown;

    #[tokio::test]
    async fn all_errors_are_collected_with_the_names_of_their_tasks() {
        let mut tasks = TaskSet::new();
        tasks.spawn("good", async { Ok(()) });
        tasks.spawn("bad", async { Err(Error::new(ErrorKind::Store, "no")) });
        tasks.spawn("ugly", async { panic!("oh {}", 1) });
        tasks.spawn_blocking("blocking", || panic!("plain"));
        tasks.spawn("stopped", async {
            Err(Error::new(ErrorKind::Shutdown, "told to"))
        });
        assert_eq!(tasks.len(), 5);
        let mut errors: Vec<_> = tasks.wait().await.iter().map(ToString::to_string).collect();
        errors.sort();
        assert_eq!(
            errors,
            [
                "bad: no",
                "blocking: panicked: plain",
                "ugly: panicked: oh 1"
            ]
        );
        assert!(tasks.is_empty());
        assert!(tasks.next().await.is_none());
    }

    #[tokio::test]
    async fn draining_waits_for_those_that_heed_the_shutdown_and_names_the_others() {
        let (trigger, off) = shutdown();
        let mut tasks = TaskSet::new();
        tasks.spawn("heeds", async move {
            off.requested().await;
            off.check()
        });
        tasks.spawn("hangs", std::future::pending());
        assert_eq!(
            format!("{tasks:?}"),
            r#"TaskSet { tasks: ["hangs", "heeds"] }"#
        );
        trigger.request();
        let (name, result) = tasks.next().await.unwrap();
        assert_eq!(name, "heeds");
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Shutdown);
        let errors = tasks.drain(Duration::from_millis(1)).await;
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].to_string(), "hangs: did not end within 1 ms");
        assert!(tasks.is_empty());
    }

    #[tokio::test]
    async fn draining_what_ends_by_itself_is_no_error() {
        let mut tasks = TaskSet::new();
        assert!(tasks.try_next().is_none());
        tasks.spawn("done", async { Ok(()) });
        assert!(tasks.drain(Duration::from_secs(60)).await.is_empty());
    }

    #[tokio::test]
    async fn dropping_the_set_ends_its_tasks() {
        let (alive, gone) = tokio::sync::oneshot::channel::<()>();
        let mut tasks = TaskSet::new();
        tasks.spawn("holds", async move {
            std::future::pending::<()>().await;
            drop(alive);
            Ok(())
        });
        drop(tasks);
        assert!(gone.await.is_err());
    }
}
