//! HTTP for `object_store` through the egress guard: names are resolved by the guard, address literals are shown to it
//! before each request, redirects are not followed, and the environment's proxies are not used.

use std::net::SocketAddr;
use std::sync::Arc;

use millstream_connector::Egress;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Makes guarded clients.
pub struct GuardedConnector {
    egress: Arc<dyn Egress>,
}

impl GuardedConnector {
    /// Clients that dial what `egress` lets through.
    pub fn new(egress: Arc<dyn Egress>) -> GuardedConnector {
        GuardedConnector { egress }
    }
}

impl std::fmt::Debug for GuardedConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GuardedConnector")
    }
}

struct GuardedResolver(Arc<dyn Egress>);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = Arc::clone(&self.0);
        Box::pin(async move {
            // Port 0 stands for the URL's own, which the client puts in.
            let addresses: Vec<SocketAddr> = egress.resolve(name.as_str(), 0).await?;
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

struct GuardedService {
    client: reqwest::Client,
    egress: Arc<dyn Egress>,
}

impl std::fmt::Debug for GuardedService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GuardedService")
    }
}

#[millstream_connector::async_trait]
impl HttpService for GuardedService {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        // A literal is never resolved, so the guard must see it here.
        let host = request.uri().host().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if bare.parse::<std::net::IpAddr>().is_ok() {
            let port = request.uri().port_u16().unwrap_or(443);
            let judged = self.egress.resolve(&bare, port).await;
            judged.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        }
        self.client.call(request).await
    }
}

impl HttpConnector for GuardedConnector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = reqwest::Client::builder()
            .dns_resolver(Arc::new(GuardedResolver(Arc::clone(&self.egress))))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(std::time::Duration::from_secs(5))
            .read_timeout(std::time::Duration::from_secs(30))
            .build()
            .map_err(|error| object_store::Error::Generic { store: "s3", source: Box::new(error) })?;
        Ok(HttpClient::new(GuardedService { client, egress: Arc::clone(&self.egress) }))
    }
}
