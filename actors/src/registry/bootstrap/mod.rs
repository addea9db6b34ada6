//! The objects every cluster has. [`Registry::bootstrap`] makes what is missing and leaves what is
//! there alone, but for the default roles, which get back rules they lost.

use kabuki_api::{
    kind::{
        API_SERVICE, CONFIG_MAP, ENDPOINT_SLICE, ENDPOINTS, Kind, NAMESPACE, PRIORITY_CLASS,
        SERVICE,
    },
    status::Status,
};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

use futures_util::future::try_join_all;

mod api_services;
mod controller_roles;
mod flow;
mod namespace_roles;
mod policy;
mod roles;

pub use flow::mandatory_flow;

use super::{
    admission::SYSTEM_CLASSES,
    options::{RequestInfo, Subresource},
    store::Registry,
};

/// The user members are to extension API servers: it speaks for others.
pub const FRONT_PROXY_USER: &str = "front-proxy-client";
const NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];

/// Address of one member's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Address.
    pub ip: Ipv4Addr,
    /// Port.
    pub port: u16,
}

impl Registry {
    /// Makes the objects every cluster has; the leader runs it whenever it starts to lead.
    /// Idempotent. What does not depend on each other is written at once, so that it costs a few
    /// commits and not one per object.
    ///
    /// # Errors
    /// The first failure; running it again goes on.
    pub async fn bootstrap(&self) -> Result<(), Status> {
        let namespaces = NAMESPACES
            .iter()
            .map(|name| self.ensure(NAMESPACE, "", json!({"metadata": {"name": name}})));
        try_join_all(namespaces).await?;
        let classes = SYSTEM_CLASSES.iter().map(|(name, value, description)| {
            let class = json!({"metadata": {"name": name}, "value": value,
                "description": description});
            self.ensure(PRIORITY_CLASS, "", class)
        });
        let policy =
            policy::objects().into_iter().map(|(kind, ns, o)| self.ensure_policy(kind, ns, o));
        let authentication = json!({"metadata": {"name": "extension-apiserver-authentication"},
            "data": self.authentication_data()});
        futures_util::try_join!(
            try_join_all(classes),
            try_join_all(policy),
            try_join_all(flow::objects().into_iter().map(|(kind, o)| self.ensure_flow(kind, o))),
            self.bootstrap_services(),
            self.put_data(CONFIG_MAP, "kube-system", authentication),
            try_join_all(api_services::local().into_iter().map(|o| self.ensure(
                API_SERVICE,
                "",
                o
            ))),
        )?;
        Ok(())
    }

    /// What extension API servers trust: users' certificates, and the members that speak for users
    /// in headers (kube-apiserver `pkg/controlplane/controller/clusterauthenticationtrust`).
    fn authentication_data(&self) -> Value {
        let config = self.config();
        let mut data = json!({"client-ca-file": config.client_ca_pem});
        if !config.front_proxy_ca_pem.is_empty() {
            data["requestheader-client-ca-file"] = config.front_proxy_ca_pem.as_str().into();
            for (name, value) in [
                ("allowed-names", FRONT_PROXY_USER),
                ("username-headers", "X-Remote-User"),
                ("uid-headers", "X-Remote-Uid"),
                ("group-headers", "X-Remote-Group"),
                ("extra-headers-prefix", "X-Remote-Extra-"),
            ] {
                data[format!("requestheader-{name}")] = format!("[{value:?}]").into();
            }
        }
        data
    }

    /// Creates an object, or gives it back its `data`.
    async fn put_data(&self, kind: &'static Kind, ns: &str, object: Value) -> Result<(), Status> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        match self.local(kind, &kind.key(ns, name)) {
            Some(live) if live.value()["data"] == object["data"] => Ok(()),
            Some(_) => self.put(kind, ns, object).await,
            None => self.ensure(kind, ns, object).await,
        }
    }

    /// Creates a default role or binding, or gives it back what it lost.
    async fn ensure_policy(
        &self,
        kind: &'static Kind,
        ns: &str,
        wanted: Value,
    ) -> Result<(), Status> {
        let name = wanted["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let Some(live) = self.local(kind, &kind.key(ns, &name)) else {
            return self.ensure(kind, ns, wanted).await;
        };
        if !policy::complete(&mut live.value().clone(), &wanted) {
            return Ok(());
        }
        let change = |value: &mut Value| policy::complete(value, &wanted);
        self.update_with_retry(kind, ns, &name, Subresource::Main, change).await.map(|_| ())
    }

    /// Creates an object of flow control, or puts it back to what it should be.
    async fn ensure_flow(&self, kind: &'static Kind, wanted: Value) -> Result<(), Status> {
        let name = wanted["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let Some(live) = self.local(kind, &kind.key("", &name)) else {
            return self.ensure(kind, "", wanted).await;
        };
        if !flow::is_stale(live.value(), &wanted) {
            return Ok(());
        }
        let change = |value: &mut Value| {
            value["spec"] = wanted["spec"].clone();
            true
        };
        self.update_with_retry(kind, "", &name, Subresource::Main, change).await.map(|_| ())
    }

    async fn bootstrap_services(&self) -> Result<(), Status> {
        let (first, _) = self.config().service_cidr;
        let api = Ipv4Addr::from(u32::from(first) + 1);
        let kubernetes = json!({
            "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {"type": "ClusterIP", "clusterIP": api.to_string(), "sessionAffinity": "None",
                "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": 6443}]}});
        let first = self.ensure(SERVICE, "default", kubernetes);
        let dns = json!({
            "metadata": {"name": "kube-dns", "labels": {"k8s-app": "kube-dns",
                "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}},
            "spec": {"type": "ClusterIP", "clusterIP": self.config().cluster_dns.to_string(),
                "ports": [{"name": "dns", "protocol": "UDP", "port": 53, "targetPort": 53},
                    {"name": "dns-tcp", "protocol": "TCP", "port": 53, "targetPort": 53}]}});
        futures_util::try_join!(first, self.ensure(SERVICE, "kube-system", dns))?;
        Ok(())
    }

    /// Makes Endpoints and EndpointSlice `kubernetes` show these API addresses; called when members
    /// come and go.
    ///
    /// # Errors
    /// 503 without a quorum.
    pub async fn set_api_endpoints(&self, endpoints: &[Endpoint]) -> Result<(), Status> {
        let mut sorted = endpoints.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let port = sorted.first().map_or(6443, |e| e.port);
        let labels = json!({"endpointslice.kubernetes.io/skip-mirror": "true"});
        let addresses: Vec<_> = sorted.iter().map(|e| json!({"ip": e.ip.to_string()})).collect();
        let mut object = json!({"metadata": {"name": "kubernetes", "labels": labels}});
        if !addresses.is_empty() {
            object["subsets"] = json!([{"addresses": addresses,
                "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}]);
        }
        self.put(ENDPOINTS, "default", object).await?;
        let endpoints: Vec<_> = sorted
            .iter()
            .map(|e| json!({"addresses": [e.ip.to_string()], "conditions": {"ready": true}}))
            .collect();
        let slice = json!({"metadata": {"name": "kubernetes",
                "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": "IPv4", "endpoints": endpoints,
            "ports": [{"name": "https", "port": port, "protocol": "TCP"}]});
        self.put(ENDPOINT_SLICE, "default", slice).await
    }

    /// Creates an object unless it is there.
    ///
    /// No webhook is asked, here and wherever this server writes what it needs to run: one that
    /// cannot be reached would keep the control plane from starting, and with it itself.
    pub(super) async fn ensure(
        &self,
        kind: &'static Kind,
        ns: &str,
        object: Value,
    ) -> Result<(), Status> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        if self.local(kind, &kind.key(ns, name)).is_some() {
            return Ok(());
        }
        let info = bootstrapping();
        match self.create(&info, kind, ns, object).await {
            Err(status) if !status.is_already_exists() => Err(status),
            _ => Ok(()),
        }
    }

    /// Creates or replaces an object.
    async fn put(&self, kind: &'static Kind, ns: &str, object: Value) -> Result<(), Status> {
        let info = bootstrapping();
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        match self.create(&info, kind, ns, object.clone()).await {
            Err(status) if status.is_already_exists() => {
                self.update(&info, kind, ns, &name, object, Subresource::Main).await.map(|_| ())
            }
            other => other.map(|_| ()),
        }
    }
}

fn bootstrapping() -> RequestInfo {
    RequestInfo { admitted: true, ..RequestInfo::internal("bootstrap") }
}
