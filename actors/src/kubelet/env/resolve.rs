//! From `env` and `envFrom` to pairs, as upstream's `makeEnvironmentVariables`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use k8s_openapi::{
    api::core::v1::{ConfigMap, Container, EnvVarSource, Pod, Secret},
    apimachinery::pkg::api::resource::Quantity,
};

use super::{expand, pod_field, resource_field};

/// A ConfigMap or Secret of the pod's namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reference {
    /// A ConfigMap.
    ConfigMap(String),
    /// A Secret.
    Secret(String),
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ConfigMap(name) => write!(f, "configmap \"{name}\""),
            Self::Secret(name) => write!(f, "secret \"{name}\""),
        }
    }
}

/// The objects a resolution needs; absent ones do not exist.
#[derive(Debug, Clone, Default)]
pub struct Fetched {
    /// ConfigMaps by name.
    pub config_maps: HashMap<String, Arc<ConfigMap>>,
    /// Secrets by name.
    pub secrets: HashMap<String, Arc<Secret>>,
}

/// Why the environment cannot be made; reported as `CreateContainerConfigError`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// The object is not there and not optional.
    #[error("{0} not found")]
    NotFound(Reference),
    /// The object is there, the key is not.
    #[error("couldn't find key {key} in {kind} {namespace}/{name}")]
    NoKey {
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// Namespace of the object.
        namespace: String,
        /// Name of the object.
        name: String,
        /// The key asked for.
        key: String,
    },
    /// A field path the kubelet does not know.
    #[error("unsupported fieldPath: {0}")]
    Field(String),
    /// A resource the kubelet does not know.
    #[error("unsupported resource: {0}")]
    Resource(String),
    /// The bytes of a Secret are not UTF-8 and cannot be a variable.
    #[error("key {0} is not valid UTF-8 and cannot be an environment variable")]
    Encoding(String),
}

/// Everything a resolution looks at.
#[derive(Debug, Clone, Copy)]
pub struct EnvInput<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The container.
    pub container: &'a Container,
    /// Its pod's addresses.
    pub pod_ips: &'a [String],
    /// The node's addresses.
    pub host_ips: &'a [String],
    /// The node's allocatable resources.
    pub allocatable: &'a BTreeMap<String, Quantity>,
    /// Service variables, see [`super::service_env`].
    pub services: &'a [(String, String)],
    /// ConfigMaps and Secrets.
    pub fetched: &'a Fetched,
}

/// ConfigMaps and Secrets a container's environment refers to.
pub fn references(container: &Container) -> Vec<Reference> {
    let mut found = Vec::new();
    for from in container.env_from.iter().flatten() {
        found.extend(from.config_map_ref.iter().map(|r| Reference::ConfigMap(r.name.clone())));
        found.extend(from.secret_ref.iter().map(|r| Reference::Secret(r.name.clone())));
    }
    for source in container.env.iter().flatten().filter_map(|e| e.value_from.as_ref()) {
        found
            .extend(source.config_map_key_ref.iter().map(|r| Reference::ConfigMap(r.name.clone())));
        found.extend(source.secret_key_ref.iter().map(|r| Reference::Secret(r.name.clone())));
    }
    found.sort();
    found.dedup();
    found
}

/// The environment in order: service variables first, so that the container's own win.
///
/// # Errors
/// A reference that is neither there nor optional.
pub fn resolve(input: &EnvInput<'_>) -> Result<Vec<(String, String)>, EnvError> {
    let mut own: Vec<(String, String)> = Vec::new();
    from_objects(input, &mut own)?;
    for var in input.container.env.iter().flatten() {
        let value = match (&var.value, &var.value_from) {
            (Some(value), _) if !value.is_empty() => {
                Some(expand(value, |name| lookup(input, &own, name)))
            }
            (_, Some(source)) => from_source(input, source)?,
            _ => Some(String::new()),
        };
        if let Some(value) = value {
            set(&mut own, &var.name, value);
        }
    }
    let mut all: Vec<(String, String)> = Vec::with_capacity(own.len() + input.services.len());
    for (name, value) in input.services {
        if !own.iter().any(|(known, _)| known == name) {
            set(&mut all, name, value.clone());
        }
    }
    all.append(&mut own);
    Ok(all)
}

/// What `$(NAME)` means to a container whose resolved environment is `env`.
fn lookup(input: &EnvInput<'_>, own: &[(String, String)], name: &str) -> Option<String> {
    let known = own.iter().find(|(n, _)| n == name);
    known.or_else(|| input.services.iter().find(|(n, _)| n == name)).map(|(_, v)| v.clone())
}

fn set(env: &mut Vec<(String, String)>, name: &str, value: String) {
    match env.iter_mut().find(|(n, _)| n == name) {
        Some((_, old)) => *old = value,
        None => env.push((name.to_owned(), value)),
    }
}

fn from_objects(input: &EnvInput<'_>, env: &mut Vec<(String, String)>) -> Result<(), EnvError> {
    for from in input.container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        if let Some(source) = &from.config_map_ref {
            match input.fetched.config_maps.get(&source.name) {
                Some(map) => {
                    for (key, value) in map.data.iter().flatten() {
                        set(env, &format!("{prefix}{key}"), value.clone());
                    }
                }
                None if source.optional == Some(true) => {}
                None => return Err(EnvError::NotFound(Reference::ConfigMap(source.name.clone()))),
            }
        }
        if let Some(source) = &from.secret_ref {
            match input.fetched.secrets.get(&source.name) {
                Some(secret) => {
                    for (key, value) in secret.data.iter().flatten() {
                        set(env, &format!("{prefix}{key}"), text(key, &value.0)?);
                    }
                }
                None if source.optional == Some(true) => {}
                None => return Err(EnvError::NotFound(Reference::Secret(source.name.clone()))),
            }
        }
    }
    Ok(())
}

fn from_source(input: &EnvInput<'_>, source: &EnvVarSource) -> Result<Option<String>, EnvError> {
    if let Some(field) = &source.field_ref {
        return pod_field(input.pod, &field.field_path, input.pod_ips, input.host_ips)
            .map(Some)
            .ok_or_else(|| EnvError::Field(field.field_path.clone()));
    }
    if let Some(field) = &source.resource_field_ref {
        let container = named_container(input, field.container_name.as_deref());
        return resource_field(container, field, input.allocatable)
            .map(Some)
            .ok_or_else(|| EnvError::Resource(field.resource.clone()));
    }
    if let Some(key) = &source.config_map_key_ref {
        let optional = key.optional == Some(true);
        let Some(map) = input.fetched.config_maps.get(&key.name) else {
            return missing(optional, || {
                EnvError::NotFound(Reference::ConfigMap(key.name.clone()))
            });
        };
        return match map.data.as_ref().and_then(|d| d.get(&key.key)) {
            Some(value) => Ok(Some(value.clone())),
            None => missing(optional, || no_key(input, "ConfigMap", &key.name, &key.key)),
        };
    }
    if let Some(key) = &source.secret_key_ref {
        let optional = key.optional == Some(true);
        let Some(secret) = input.fetched.secrets.get(&key.name) else {
            return missing(optional, || EnvError::NotFound(Reference::Secret(key.name.clone())));
        };
        return match secret.data.as_ref().and_then(|d| d.get(&key.key)) {
            Some(value) => text(&key.key, &value.0).map(Some),
            None => missing(optional, || no_key(input, "Secret", &key.name, &key.key)),
        };
    }
    Err(EnvError::Field("fileKeyRef is not supported on this node".to_owned()))
}

fn missing(optional: bool, error: impl FnOnce() -> EnvError) -> Result<Option<String>, EnvError> {
    if optional { Ok(None) } else { Err(error()) }
}

fn no_key(input: &EnvInput<'_>, kind: &'static str, name: &str, key: &str) -> EnvError {
    EnvError::NoKey {
        kind,
        namespace: input.pod.metadata.namespace.clone().unwrap_or_default(),
        name: name.to_owned(),
        key: key.to_owned(),
    }
}

fn text(key: &str, bytes: &[u8]) -> Result<String, EnvError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| EnvError::Encoding(key.to_owned()))
}

fn named_container<'a>(input: &EnvInput<'a>, name: Option<&str>) -> &'a Container {
    let Some(name) = name.filter(|n| !n.is_empty()) else { return input.container };
    let spec = input.pod.spec.iter();
    spec.flat_map(|s| s.containers.iter().chain(s.init_containers.iter().flatten()))
        .find(|c| c.name == name)
        .unwrap_or(input.container)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(
        container: serde_json::Value,
        fetched: &Fetched,
    ) -> Result<Vec<(String, String)>, EnvError> {
        let container: Container = serde_json::from_value(container).unwrap();
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns"}, "spec": {"containers": []}}))
        .unwrap();
        resolve(&EnvInput {
            pod: &pod,
            container: &container,
            pod_ips: &["10.244.0.9".to_owned()],
            host_ips: &[],
            allocatable: &BTreeMap::new(),
            services: &[("WEB_SERVICE_HOST".to_owned(), "10.96.0.9".to_owned())],
            fetched,
        })
    }

    fn fetched() -> Fetched {
        let map: ConfigMap =
            serde_json::from_value(json!({"data": {"colour": "red", "size": "L"}})).unwrap();
        let secret: Secret = serde_json::from_value(json!({"data": {"pw": "aHVudGVy"}})).unwrap();
        Fetched {
            config_maps: HashMap::from([("cm".to_owned(), Arc::new(map))]),
            secrets: HashMap::from([("s".to_owned(), Arc::new(secret))]),
        }
    }

    #[test]
    fn every_source_in_order() {
        let env = run(
            json!({"name": "c",
                "envFrom": [{"prefix": "CM_", "configMapRef": {"name": "cm"}},
                    {"secretRef": {"name": "gone", "optional": true}}],
                "env": [
                    {"name": "A", "value": "1"},
                    {"name": "B", "value": "$(A)-$(WEB_SERVICE_HOST)-$(CM_size)-$(C)"},
                    {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "PW", "valueFrom": {"secretKeyRef": {"name": "s", "key": "pw"}}},
                    {"name": "NO", "valueFrom":
                        {"configMapKeyRef": {"name": "cm", "key": "x", "optional": true}}},
                    {"name": "CM_colour", "value": "blue"}]}),
            &fetched(),
        )
        .unwrap();
        let expected = [
            ("WEB_SERVICE_HOST", "10.96.0.9"),
            ("CM_colour", "blue"),
            ("CM_size", "L"),
            ("A", "1"),
            ("B", "1-10.96.0.9-L-$(C)"),
            ("IP", "10.244.0.9"),
            ("PW", "hunter"),
        ];
        let expected: Vec<_> =
            expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!(env, expected);
    }

    #[test]
    fn what_is_missing_is_named_as_upstream_does() {
        let table = [
            (
                json!({"name": "c", "envFrom": [{"configMapRef": {"name": "nope"}}]}),
                "configmap \"nope\" not found",
            ),
            (
                json!({"name": "c", "env": [{"name": "X", "valueFrom":
                    {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
                "couldn't find key k in Secret ns/s",
            ),
        ];
        for (container, expected) in table {
            assert_eq!(run(container, &fetched()).unwrap_err().to_string(), expected);
        }
    }
}
