//! The worker's side.

use std::net::SocketAddr;
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::execution::SessionState;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion_distributed::{DistributedExt, Worker, WorkerQueryContext};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::error::{Error, ErrorKind, Result};
use crate::verify::query::functions;

use super::channels::{KEEPALIVE, PATIENCE};
use super::codec::Codec;
use super::job::Host;
use super::session::TOKEN;

/// What a worker says to whoever has another word, or another configuration.
pub(super) const REFUSED: &str = "the worker refuses";

/// A worker that can be reached.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    /// Where.
    pub address: SocketAddr,
}

impl Listening {
    /// Opens the port.
    ///
    /// # Errors
    /// `Refused` for an address that others can reach while there is no token; those of the network.
    pub async fn open(listen: &str, has_token: bool) -> Result<Self> {
        let failed = |e: std::io::Error| {
            Error::new(ErrorKind::Unavailable, format!("cannot listen on {listen}")).caused_by(e)
        };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        if !address.ip().is_loopback() && !has_token {
            return Err(Error::new(
                ErrorKind::Refused,
                format!("{address} can be reached from outside, and whoever reaches a worker reads the stores"),
            )
            .hint("set BANYAN_WORKER_TOKEN to the same long word here and where verify or query runs"));
        }
        Ok(Self { listener, address })
    }
}

/// Works until `stop` is over. Plans without the token are refused.
///
/// # Errors
/// Those of the network.
pub async fn serve(
    listening: Listening,
    host: Arc<dyn Host>,
    token: Option<String>,
    memory_bytes: usize,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let internal = |e: DataFusionError| {
        Error::new(ErrorKind::Internal, "a worker cannot be made").caused_by(e)
    };
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(memory_bytes)))
        .build_arc()
        .map_err(internal)?;
    let token: Option<Arc<str>> = token.map(Into::into);
    let session = move |context: WorkerQueryContext| {
        let (host, token) = (Arc::clone(&host), token.clone());
        async move { state(context, host, token.as_deref()) }
    };
    let worker = Worker::from_session_builder(session)
        .with_runtime_env(runtime)
        .with_version(env!("CARGO_PKG_VERSION"));
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(PATIENCE))
        .add_service(worker.into_worker_server())
        .serve_with_incoming_shutdown(TcpIncoming::from(listening.listener), stop)
        .await
        .map_err(|e| Error::new(ErrorKind::Unavailable, "the worker's network failed").caused_by(e))
}

fn state(
    context: WorkerQueryContext,
    host: Arc<dyn Host>,
    token: Option<&str>,
) -> PlanResult<SessionState> {
    if let Some(token) = token {
        let given = context.headers.get(TOKEN).map(http::HeaderValue::as_bytes);
        // Digests take the same time to compare, however much of them is alike.
        let same = given.is_some_and(|given| blake3::hash(given) == blake3::hash(token.as_bytes()));
        if !same {
            return Err(DataFusionError::Execution(format!(
                "{REFUSED}: its BANYAN_WORKER_TOKEN is another one"
            )));
        }
    }
    let mut builder = context
        .builder
        .with_distributed_user_codec(Codec(Some(host)));
    let (scalar, aggregate) = functions();
    builder
        .scalar_functions()
        .get_or_insert_default()
        .push(Arc::new(scalar));
    builder
        .aggregate_functions()
        .get_or_insert_default()
        .push(Arc::new(aggregate));
    Ok(builder.build())
}

/// The error for something that this worker's configuration says something else about.
#[must_use]
pub fn other_configuration(what: &str) -> Error {
    Error::new(
        ErrorKind::Refused,
        format!(
            "{REFUSED}: its configuration, or a database that it reaches, says something else about \
             {what}"
        ),
    )
}
