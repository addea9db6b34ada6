//! Extension API servers (kube-aggregator): which group versions they serve, whether they can be
//! reached, and the connections to them. A member speaks for a user there: it shows a certificate of
//! the peers' authority, which signs members only, and names the user in headers.

mod look;

pub use look::Looking;

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use kabuki_actors::{
    auth::UserInfo,
    outbound::{Clients, Target, Trust},
    registry::{FRONT_PROXY_USER, Registry, View},
};
use kabuki_api::kind::API_SERVICE;
use parking_lot::{Mutex, RwLock};
use serde_json::Value;
use time::OffsetDateTime;

use crate::pki::{ClusterPki, Credential, Subject};

/// Group versions of extension servers that are known; more are not served.
const SERVICES_MAX: usize = 1_024;

/// One APIService that a Service of the cluster serves.
#[derive(Debug)]
pub struct Extension {
    /// Name of the APIService.
    pub name: String,
    /// API group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Order among groups and among versions; higher comes first.
    pub priority: (i64, i64),
    /// Whether it was found available.
    pub available: bool,
    target: Target,
    ca_bundle: Vec<u8>,
    insecure: bool,
}

impl Extension {
    fn read(name: &str, value: &Value) -> Option<Self> {
        let spec = &value["spec"];
        let service = spec["service"].as_object()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let field = |name: &str| service.get(name).map(text).unwrap_or_default();
        let port = service.get("port").and_then(Value::as_u64).unwrap_or(443);
        let conditions = value["status"]["conditions"].as_array().into_iter().flatten();
        Some(Self {
            name: name.to_owned(),
            group: text(&spec["group"]),
            version: text(&spec["version"]),
            priority: (
                spec["groupPriorityMinimum"].as_i64().unwrap_or(0),
                spec["versionPriority"].as_i64().unwrap_or(0),
            ),
            available: conditions
                .into_iter()
                .any(|c| c["type"] == "Available" && c["status"] == "True"),
            target: Target::Service {
                namespace: field("namespace"),
                name: field("name"),
                port: u16::try_from(port).ok()?,
                path: String::new(),
            },
            ca_bundle: STANDARD.decode(text(&spec["caBundle"])).unwrap_or_default(),
            insecure: spec["insecureSkipTLSVerify"] == true,
        })
    }

    /// The address of a path (with its query) there.
    pub fn url(&self, path: &str) -> String {
        let base = self.target.url();
        format!("{}{path}", base.trim_end_matches('/'))
    }

    fn trust(&self) -> Trust<'_> {
        if self.insecure { Trust::Anybody } else { Trust::Bundle(&self.ca_bundle) }
    }
}

/// The extension servers of this member's applied state.
pub struct Aggregator {
    registry: Registry,
    pki: Arc<ClusterPki>,
    known: RwLock<Known>,
    /// The connections, and until when their certificate is shown.
    clients: Mutex<Option<(OffsetDateTime, Arc<Clients>)>>,
    looks: look::Looks,
}

#[derive(Default)]
struct Known {
    revision: u64,
    /// Highest priority first.
    extensions: Arc<[Arc<Extension>]>,
}

impl Aggregator {
    /// Nothing is asked before somebody wants to know.
    pub fn new(registry: Registry, pki: Arc<ClusterPki>) -> Arc<Self> {
        Arc::new(Self {
            registry,
            pki,
            known: RwLock::default(),
            clients: Mutex::default(),
            looks: look::Looks::default(),
        })
    }

    /// All extension servers, those of the highest priority first.
    pub fn all(&self) -> Arc<[Arc<Extension>]> {
        let revision = self.registry.store().topic_revision(API_SERVICE.topic());
        {
            let known = self.known.read();
            if known.revision == revision {
                return Arc::clone(&known.extensions);
            }
        }
        let services = self.registry.list(API_SERVICE, None);
        let mut found: Vec<_> = services
            .iter()
            .filter_map(|object| Extension::read(object.name(), object.value()).map(Arc::new))
            .take(SERVICES_MAX)
            .collect();
        found.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.name.cmp(&b.name)));
        let extensions: Arc<[_]> = found.into();
        let mut known = self.known.write();
        if known.revision < revision {
            *known = Known { revision, extensions: Arc::clone(&extensions) };
        }
        extensions
    }

    /// The extension server of a group version.
    pub fn find(&self, group: &str, version: &str) -> Option<Arc<Extension>> {
        self.all().iter().find(|e| e.group == group && e.version == version).cloned()
    }

    /// A request to an extension server in the name of a user; `path` has its query.
    ///
    /// # Errors
    /// Words for a server that cannot be called.
    pub async fn request(
        &self,
        extension: &Extension,
        method: http::Method,
        path: &str,
        user: &UserInfo,
    ) -> Result<reqwest::RequestBuilder, String> {
        let clients = self.clients()?;
        let client = clients.client(extension.trust())?;
        let url = extension.url(path);
        let request =
            clients.request(&client, &self.registry, method, &extension.target, &url).await?;
        let mut request = request.header("x-remote-user", user.name.as_str());
        if !user.uid.is_empty() {
            request = request.header("x-remote-uid", user.uid.as_str());
        }
        for group in &user.groups {
            request = request.header("x-remote-group", group.as_str());
        }
        for (key, values) in &user.extra {
            let name = format!("x-remote-extra-{}", escape(key));
            for value in values {
                request = request.header(name.as_str(), value.as_str());
            }
        }
        Ok(request)
    }

    /// The connections, made with a certificate that is valid for a while.
    fn clients(&self) -> Result<Arc<Clients>, String> {
        let mut kept = self.clients.lock();
        let now = self.pki.peer_ca.policy().clock.now();
        if let Some((until, clients)) = &*kept
            && now < *until
        {
            return Ok(Arc::clone(clients));
        }
        let subject =
            Subject { common_name: FRONT_PROXY_USER.into(), client: true, ..Subject::default() };
        let issued = self.pki.peer_ca.issue(&subject).map_err(|e| e.to_string())?;
        let credential = Credential::new(issued.clone(), "").map_err(|e| e.to_string())?;
        let until = credential.validity().renew_at(credential.seed());
        let clients = Clients::with_certificate(&issued.cert_pem, &issued.key_pem)?;
        let clients = Arc::new(clients);
        *kept = Some((until, Arc::clone(&clients)));
        Ok(clients)
    }
}

/// The key of an extra as part of a header's name: what a name may not hold is percent-encoded.
fn escape(key: &str) -> String {
    use std::fmt::Write;
    key.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing into memory cannot fail.
            let _ = write!(out, "%{byte:02x}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_services_are_extensions() {
        assert!(Extension::read("v1.", &json!({"spec": {"version": "v1"}})).is_none());
        let object = json!({"spec": {"group": "g.io", "version": "v1", "groupPriorityMinimum": 10,
            "versionPriority": 5, "service": {"namespace": "n", "name": "s", "port": 8443}},
            "status": {"conditions": [{"type": "Available", "status": "True"}]}});
        let found = Extension::read("v1.g.io", &object).unwrap();
        assert_eq!((found.priority, found.available), ((10, 5), true));
        assert_eq!(found.url("/apis/g.io/v1?x=y"), "https://s.n.svc:8443/apis/g.io/v1?x=y");
    }

    #[test]
    fn keys_of_extras_are_escaped() {
        assert_eq!(escape("example.com/scopes"), "example.com%2fscopes");
        assert_eq!(escape("é%"), "%c3%a9%25");
    }
}
