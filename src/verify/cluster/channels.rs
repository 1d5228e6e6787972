//! Connections to workers: one for each, made when it is needed, and given up when nobody answers on it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion_distributed::grpc::{BoxCloneSyncChannel, create_worker_client};
use datafusion_distributed::{ChannelResolver, WorkerChannel};
use tonic::transport::{Channel, Endpoint};
use url::Url;

/// Connecting takes so long at most.
const CONNECT: Duration = Duration::from_secs(3);
/// A connection on which nothing comes is asked so often whether anybody is there,
pub(super) const KEEPALIVE: Duration = Duration::from_secs(5);
/// and given up when there was no answer for so long: a machine that is gone says nothing.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Channels(Mutex<HashMap<Url, Channel>>);

impl Channels {
    fn channel(&self, url: &Url) -> PlanResult<Channel> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = known.get(url) {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::from_shared(url.to_string())
            .map_err(|e| DataFusionError::External(Box::new(e)))?
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(PATIENCE)
            .keep_alive_while_idle(true);
        let channel = endpoint.connect_lazy();
        known.insert(url.clone(), channel.clone());
        Ok(channel)
    }
}

type Client<'a> = Pin<Box<dyn Future<Output = PlanResult<Box<dyn WorkerChannel>>> + Send + 'a>>;

impl ChannelResolver for Channels {
    fn get_worker_client_for_url<'s, 'u, 'x>(&'s self, url: &'u Url) -> Client<'x>
    where
        's: 'x,
        'u: 'x,
        Self: 'x,
    {
        let channel = self.channel(url);
        let client = channel.map(|channel| create_worker_client(BoxCloneSyncChannel::new(channel)));
        Box::pin(std::future::ready(client))
    }
}
