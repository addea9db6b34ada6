//! An API client whose certificate can be replaced while requests and watches are under way: new
//! requests go out on new connections, those under way end on the old ones.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use kube::{Client, client::Body};
use parking_lot::RwLock;
use tower::Service;

use super::{ApiClientConfig, LinkError, api_client};

/// The means to renew a client.
pub struct RotatingClient {
    outer: Client,
    current: Arc<RwLock<Client>>,
    config: ApiClientConfig,
}

impl RotatingClient {
    /// Makes the client and the means to renew it. The client's clones are renewed with it.
    ///
    /// # Errors
    /// As [`api_client`].
    pub async fn new(config: ApiClientConfig) -> Result<(Client, Self), LinkError> {
        let current = Arc::new(RwLock::new(api_client(&config).await?));
        let outer = Client::new(Current(current.clone()), "default");
        Ok((outer.clone(), Self { outer, current, config }))
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.outer
    }

    /// Uses another certificate for every request from now on.
    ///
    /// # Errors
    /// When it cannot be used; the old one then stays.
    pub async fn renew(&self, certificate_pem: &str, key_pem: &str) -> Result<(), LinkError> {
        let config = ApiClientConfig {
            certificate_pem: certificate_pem.to_owned(),
            key_pem: key_pem.to_owned(),
            ..self.config.clone()
        };
        let fresh = api_client(&config).await?;
        // Its idle connections close with the old client; busy ones when their bodies end.
        *self.current.write() = fresh;
        Ok(())
    }
}

impl std::fmt::Debug for RotatingClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RotatingClient")
            .field("address", &self.config.address)
            .finish_non_exhaustive()
    }
}

/// Sends through whichever client is current.
struct Current(Arc<RwLock<Client>>);

impl Service<Request<Body>> for Current {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let client = self.0.read().clone();
        Box::pin(async move { client.send(request).await })
    }
}
