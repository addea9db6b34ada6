//! Which files a configMap, secret, projected or downwardAPI volume has. Pure.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::{
    api::core::v1::{DownwardAPIVolumeFile, KeyToPath, Pod, Volume},
    apimachinery::pkg::api::resource::Quantity,
};
use kabuki_runtime::volume::VolumeFile;

use super::TokenRef;
use crate::kubelet::{
    env::{Fetched, Reference, pod_field, resource_field},
    pod_view::{PodView, all_containers},
};

/// Permission bits where the volume names none.
const DEFAULT_MODE: i32 = 0o644;

/// Why a volume has no files.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// The object is not there and not optional.
    #[error("{0} not found")]
    NotFound(Reference),
    /// A key that `items` names is not there.
    #[error("references non-existent {kind} key: {key}")]
    NoKey {
        /// `config` or `secret`.
        kind: &'static str,
        /// The key.
        key: String,
    },
    /// A field or resource the kubelet does not know.
    #[error("unsupported field: {0}")]
    Field(String),
    /// A kind of projection the kubelet does not have.
    #[error("projected volumes of {0} are not supported by this node")]
    Projection(&'static str),
}

/// Everything needed to name the files.
#[derive(Debug)]
pub struct FileInput<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The volume.
    pub volume: &'a Volume,
    /// ConfigMaps and Secrets.
    pub fetched: &'a Fetched,
    /// Tokens, see [`super::Tokens`].
    pub tokens: &'a HashMap<TokenRef, String>,
    /// The node's addresses.
    pub host_ips: &'a [String],
    /// The node's allocatable resources.
    pub allocatable: &'a BTreeMap<String, Quantity>,
    /// `fsGroup`
    pub group: Option<u32>,
}

/// ConfigMaps and Secrets a volume refers to.
pub fn references(volume: &Volume) -> Vec<Reference> {
    let mut found = Vec::new();
    found.extend(volume.config_map.iter().map(|s| Reference::ConfigMap(s.name.clone())));
    let secret = volume.secret.iter().filter_map(|s| s.secret_name.clone());
    found.extend(secret.map(Reference::Secret));
    let projections = volume.projected.iter().flat_map(|p| p.sources.iter().flatten());
    for source in projections {
        found.extend(source.config_map.iter().map(|s| Reference::ConfigMap(s.name.clone())));
        found.extend(source.secret.iter().map(|s| Reference::Secret(s.name.clone())));
    }
    found
}

/// A file without its owner.
struct Draft {
    path: String,
    content: Vec<u8>,
    mode: i32,
    uid: Option<u32>,
}

/// The files of the volume.
///
/// # Errors
/// Something referred to is not there.
pub(super) fn files(input: &FileInput<'_>) -> Result<Vec<VolumeFile>, FileError> {
    let mut drafts: Vec<Draft> = Vec::new();
    let volume = input.volume;
    if let Some(source) = &volume.config_map {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let optional = source.optional == Some(true);
        let data = config_map(input, &source.name, optional)?;
        pick(&mut drafts, data, source.items.as_deref(), mode, optional, "config")?;
    }
    if let Some(source) = &volume.secret {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let optional = source.optional == Some(true);
        let name = source.secret_name.as_deref().unwrap_or_default();
        let data = secret(input, name, optional)?;
        pick(&mut drafts, data, source.items.as_deref(), mode, optional, "secret")?;
    }
    if let Some(source) = &volume.downward_api {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        downward(input, &mut drafts, source.items.iter().flatten(), mode)?;
    }
    projected(input, &mut drafts)?;
    let own = |draft: Draft| {
        // As upstream's ownership pass: the group may read what the owner may.
        let mode = if input.group.is_some() { draft.mode | 0o040 } else { draft.mode };
        VolumeFile {
            path: draft.path,
            content: draft.content,
            mode: mode.unsigned_abs() & 0o777,
            uid: draft.uid,
            gid: input.group,
        }
    };
    Ok(drafts.into_iter().map(own).collect())
}

fn projected(input: &FileInput<'_>, drafts: &mut Vec<Draft>) -> Result<(), FileError> {
    let Some(projected) = &input.volume.projected else { return Ok(()) };
    let mode = projected.default_mode.unwrap_or(DEFAULT_MODE);
    for source in projected.sources.iter().flatten() {
        if let Some(from) = &source.config_map {
            let optional = from.optional == Some(true);
            let data = config_map(input, &from.name, optional)?;
            pick(drafts, data, from.items.as_deref(), mode, optional, "config")?;
        } else if let Some(from) = &source.secret {
            let optional = from.optional == Some(true);
            let data = secret(input, &from.name, optional)?;
            pick(drafts, data, from.items.as_deref(), mode, optional, "secret")?;
        } else if let Some(from) = &source.downward_api {
            downward(input, drafts, from.items.iter().flatten(), mode)?;
        } else if let Some(from) = &source.service_account_token {
            let token = input.tokens.get(&TokenRef::of(from));
            let user = common_user(input.pod);
            let private = user.is_some() || input.group.is_some();
            drafts.push(Draft {
                path: from.path.clone(),
                content: token.cloned().unwrap_or_default().into_bytes(),
                mode: if private { 0o600 } else { mode },
                uid: user,
            });
        } else if source.cluster_trust_bundle.is_some() {
            return Err(FileError::Projection("clusterTrustBundle"));
        } else {
            return Err(FileError::Projection("this kind"));
        }
    }
    Ok(())
}

type Data = BTreeMap<String, Vec<u8>>;

fn config_map(input: &FileInput<'_>, name: &str, optional: bool) -> Result<Data, FileError> {
    match input.fetched.config_maps.get(name) {
        Some(map) => {
            let text = map.data.iter().flatten().map(|(k, v)| (k.clone(), v.clone().into_bytes()));
            let bytes = map.binary_data.iter().flatten().map(|(k, v)| (k.clone(), v.0.clone()));
            Ok(text.chain(bytes).collect())
        }
        None if optional => Ok(Data::new()),
        None => Err(FileError::NotFound(Reference::ConfigMap(name.to_owned()))),
    }
}

fn secret(input: &FileInput<'_>, name: &str, optional: bool) -> Result<Data, FileError> {
    match input.fetched.secrets.get(name) {
        Some(secret) => {
            Ok(secret.data.iter().flatten().map(|(k, v)| (k.clone(), v.0.clone())).collect())
        }
        None if optional => Ok(Data::new()),
        None => Err(FileError::NotFound(Reference::Secret(name.to_owned()))),
    }
}

fn pick(
    drafts: &mut Vec<Draft>,
    data: Data,
    items: Option<&[KeyToPath]>,
    mode: i32,
    optional: bool,
    kind: &'static str,
) -> Result<(), FileError> {
    let Some(items) = items.filter(|i| !i.is_empty()) else {
        let all = data.into_iter();
        drafts.extend(all.map(|(path, content)| Draft { path, content, mode, uid: None }));
        return Ok(());
    };
    for item in items {
        match data.get(&item.key) {
            Some(content) => drafts.push(Draft {
                path: item.path.clone(),
                content: content.clone(),
                mode: item.mode.unwrap_or(mode),
                uid: None,
            }),
            None if optional => {}
            None => return Err(FileError::NoKey { kind, key: item.key.clone() }),
        }
    }
    Ok(())
}

fn downward<'a>(
    input: &FileInput<'_>,
    drafts: &mut Vec<Draft>,
    items: impl Iterator<Item = &'a DownwardAPIVolumeFile>,
    mode: i32,
) -> Result<(), FileError> {
    for item in items {
        let value = if let Some(field) = &item.field_ref {
            pod_field(input.pod, &field.field_path, &[], input.host_ips)
                .ok_or_else(|| FileError::Field(field.field_path.clone()))?
        } else if let Some(field) = &item.resource_field_ref {
            let name = field.container_name.as_deref().unwrap_or_default();
            input
                .pod
                .container(name)
                .and_then(|c| resource_field(c, field, input.allocatable))
                .ok_or_else(|| FileError::Field(field.resource.clone()))?
        } else {
            return Err(FileError::Field(item.path.clone()));
        };
        drafts.push(Draft {
            path: item.path.clone(),
            content: value.into_bytes(),
            mode: item.mode.unwrap_or(mode),
            uid: None,
        });
    }
    Ok(())
}

/// The user all containers run as, when it is one and named in the spec.
fn common_user(pod: &Pod) -> Option<u32> {
    let spec = pod.spec.as_ref()?;
    let shared = spec.security_context.as_ref().and_then(|c| c.run_as_user);
    let mut users = all_containers(spec)
        .map(|c| c.security_context.as_ref().and_then(|s| s.run_as_user).or(shared));
    let first = users.next()??;
    users.all(|u| u == Some(first)).then(|| u32::try_from(first).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn run(volume: Value, group: Option<u32>) -> Result<Vec<(String, String, u32)>, FileError> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "labels": {"a": "1"}},
            "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "2"}}}]}}))
        .unwrap();
        let volume: Volume = serde_json::from_value(volume).unwrap();
        let map = serde_json::from_value(json!({"data": {"x": "1", "y": "2"}})).unwrap();
        let fetched = Fetched {
            config_maps: HashMap::from([("cm".to_owned(), Arc::new(map))]),
            secrets: HashMap::new(),
        };
        let token = serde_json::from_value(json!({"path": "token", "expirationSeconds": 3607}));
        let tokens = HashMap::from([(TokenRef::of(&token.unwrap()), "jwt".to_owned())]);
        let input = FileInput {
            pod: &pod,
            volume: &volume,
            fetched: &fetched,
            tokens: &tokens,
            host_ips: &[],
            allocatable: &BTreeMap::new(),
            group,
        };
        let show = |f: VolumeFile| (f.path, String::from_utf8(f.content).unwrap(), f.mode);
        files(&input).map(|list| list.into_iter().map(show).collect())
    }

    fn file(path: &str, content: &str, mode: u32) -> (String, String, u32) {
        (path.to_owned(), content.to_owned(), mode)
    }

    #[test]
    fn files_of_each_source() {
        let all = run(json!({"name": "v", "configMap": {"name": "cm"}}), None).unwrap();
        assert_eq!(all, [file("x", "1", 0o644), file("y", "2", 0o644)]);
        let some = run(
            json!({"name": "v", "configMap": {"name": "cm", "defaultMode": 256,
                "items": [{"key": "y", "path": "a/b", "mode": 448}]}}),
            None,
        );
        assert_eq!(some.unwrap(), [file("a/b", "2", 0o700)]);
        let access = json!({"name": "v", "projected": {"sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
            {"configMap": {"name": "cm", "items": [{"key": "x", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [
                {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}},
                {"path": "cpu", "resourceFieldRef":
                    {"containerName": "c", "resource": "limits.cpu"}}]}}]}});
        let expected = |token, other| {
            [
                file("token", "jwt", token),
                file("ca.crt", "1", other),
                file("namespace", "ns", other),
                file("cpu", "2", other),
            ]
        };
        assert_eq!(run(access.clone(), None).unwrap(), expected(0o644, 0o644));
        assert_eq!(run(access, Some(2000)).unwrap(), expected(0o640, 0o644));
    }

    #[test]
    fn what_is_missing() {
        let table = [
            (json!({"name": "v", "secret": {"secretName": "s"}}), "secret \"s\" not found"),
            (
                json!({"name": "v", "configMap": {"name": "cm",
                    "items": [{"key": "z", "path": "z"}]}}),
                "references non-existent config key: z",
            ),
        ];
        for (volume, expected) in table {
            assert_eq!(run(volume, None).unwrap_err().to_string(), expected);
        }
        let optional = json!({"name": "v", "secret": {"secretName": "s", "optional": true}});
        assert_eq!(run(optional, None).unwrap(), []);
    }
}
