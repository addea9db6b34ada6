//! `EncryptionConfiguration` (apiserver `pkg/server/options/encryptionconfig`): which resources are
//! encrypted, with which keys, in which order.

use base64::{Engine, engine::general_purpose::STANDARD};
use kabuki_api::kind::{self, Kind};
use serde::Deserialize;
use serde_json::Value;

use crate::settings_file;

const API_VERSION: &str = "apiserver.config.k8s.io/v1";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default, rename = "metadata")]
    _metadata: Value,
    #[serde(default)]
    resources: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    providers: Vec<ProviderFile>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ProviderFile {
    aesgcm: Option<Keys>,
    aescbc: Option<Value>,
    secretbox: Option<Value>,
    identity: Option<Value>,
    kms: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Keys {
    keys: Vec<KeyFile>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct KeyFile {
    name: String,
    secret: String,
}

/// A key by its name.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// One way to store a value.
#[derive(Clone)]
pub(super) enum Provider {
    /// As it is.
    Identity,
    /// AES-GCM with the first key; the others only read.
    AesGcm(Vec<Key>),
}

/// Providers of some resources.
pub(super) struct Group {
    resources: Vec<String>,
    pub(super) providers: Vec<Provider>,
}

impl Group {
    /// Whether the entry is about a kind: `secrets`, `deployments.apps`, `*.apps`, `*.` or `*.*`.
    pub(super) fn covers(&self, kind: &Kind) -> bool {
        self.covers_resource(kind.plural, kind.group)
    }

    /// [`Group::covers`] by the names alone: custom kinds are not known yet when keys are.
    pub(super) fn covers_resource(&self, plural: &str, in_group: &str) -> bool {
        self.resources.iter().any(|wanted| {
            let (resource, group) = wanted.split_once('.').unwrap_or((wanted, ""));
            (resource == "*" && group == "*")
                || ((resource == "*" || resource == plural) && group == in_group)
        })
    }
}

/// Checks a configuration.
pub(super) fn parse(text: &str) -> Result<Vec<Group>, String> {
    // What the parser says could repeat a line with a key in it; where it stands is enough.
    let file: File = serde_yaml::from_str(text).map_err(|e| match e.location() {
        Some(at) => format!("it is no EncryptionConfiguration: see line {}", at.line()),
        None => "it is no EncryptionConfiguration".to_owned(),
    })?;
    let found = (file.api_version.as_str(), file.kind.as_str());
    settings_file::check_type((API_VERSION, "EncryptionConfiguration"), found)?;
    if file.resources.is_empty() {
        return Err("resources: Required value: give at least one entry".into());
    }
    let mut seen: Vec<String> = Vec::new();
    let mut groups = Vec::with_capacity(file.resources.len());
    for (at, entry) in file.resources.into_iter().enumerate() {
        let field = format!("resources[{at}]");
        check_resources(&field, &entry.resources, &mut seen)?;
        if entry.providers.is_empty() {
            return Err(format!("{field}.providers: Required value: give at least one provider"));
        }
        let providers = entry.providers.into_iter().enumerate();
        let providers = providers
            .map(|(index, file)| provider(&format!("{field}.providers[{index}]"), file))
            .collect::<Result<_, _>>()?;
        groups.push(Group { resources: entry.resources, providers });
    }
    Ok(groups)
}

fn check_resources(field: &str, names: &[String], seen: &mut Vec<String>) -> Result<(), String> {
    if names.is_empty() {
        return Err(format!("{field}.resources: Required value: give at least one resource"));
    }
    for (index, name) in names.iter().enumerate() {
        let field = format!("{field}.resources[{index}]");
        let (resource, group) = name.split_once('.').unwrap_or((name, ""));
        let wild = name.ends_with('.') || group == "*";
        if resource.is_empty() || (wild && resource != "*") || name == "*" {
            return Err(format!(
                "{field}: Invalid value: {name:?}: write resource, resource.group, *.group, *. for the core group, or *.*"
            ));
        }
        // A later entry behind a wildcard would never be asked; upstream refuses it as well.
        let masked = seen.iter().any(|s| s == name || s == "*.*" || *s == format!("*.{group}"));
        if masked {
            return Err(format!("{field}: Invalid value: {name:?}: an entry before covers it"));
        }
        let known = |k: &&&Kind| k.plural == resource && k.group == group;
        // A group with a dot may be one of custom resources.
        let custom = group.contains('.') && kind::all().iter().all(|k| k.group != group);
        if resource != "*" && !custom && kind::all().iter().find(known).is_none() {
            tracing::warn!(
                resource = name,
                "the encryption configuration names an unknown resource"
            );
        }
        seen.push(name.clone());
    }
    Ok(())
}

fn provider(field: &str, file: ProviderFile) -> Result<Provider, String> {
    let given = [
        ("aesgcm", file.aesgcm.is_some()),
        ("aescbc", file.aescbc.is_some()),
        ("secretbox", file.secretbox.is_some()),
        ("identity", file.identity.is_some()),
        ("kms", file.kms.is_some()),
    ];
    let given: Vec<&str> = given.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
    match given.as_slice() {
        ["identity"] => Ok(Provider::Identity),
        ["aesgcm"] => Ok(Provider::AesGcm(keys(field, file.aesgcm.unwrap_or_default().keys)?)),
        [other] => Err(format!(
            "{field}.{other}: this provider is not supported: use aesgcm, or identity for plain text"
        )),
        _ => Err(format!("{field}: Invalid value: give exactly one provider per item")),
    }
}

fn keys(field: &str, files: Vec<KeyFile>) -> Result<Vec<Key>, String> {
    if files.is_empty() {
        return Err(format!("{field}.aesgcm.keys: Required value: give at least one key"));
    }
    let mut keys: Vec<Key> = Vec::new();
    for (index, file) in files.into_iter().enumerate() {
        let field = format!("{field}.aesgcm.keys[{index}]");
        if file.name.is_empty() || file.name.contains(':') {
            return Err(format!("{field}.name: Required value: a name without a colon"));
        }
        if keys.iter().any(|k| k.name == file.name) {
            return Err(format!("{field}.name: Duplicate value: {:?}", file.name));
        }
        // What is wrong with a secret is told without showing it.
        let bytes = STANDARD
            .decode(file.secret.trim())
            .map_err(|_| format!("{field}.secret: Invalid value: it must be base64 encoded"))?;
        if !matches!(bytes.len(), 16 | 32) {
            return Err(format!(
                "{field}.secret: Invalid value: it has {} bytes, not 16 or 32: make one with `head -c 32 /dev/urandom | base64`",
                bytes.len()
            ));
        }
        keys.push(Key { name: file.name, bytes });
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use kabuki_api::kind::{CONFIG_MAP, DEPLOYMENT, SECRET};

    use super::*;

    const HEAD: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n";
    const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

    #[test]
    fn resources_and_wildcards() {
        for (names, secrets, maps, deployments) in [
            ("[secrets]", true, false, false),
            ("[deployments.apps, configmaps]", false, true, true),
            ("['*.apps']", false, false, true),
            ("['*.']", true, true, false),
            ("['*.*']", true, true, true),
        ] {
            let text =
                format!("{HEAD}resources: [{{resources: {names}, providers: [identity: {{}}]}}]");
            let groups = parse(&text).unwrap();
            let covered = [SECRET, CONFIG_MAP, DEPLOYMENT].map(|k| groups[0].covers(k));
            assert_eq!(covered, [secrets, maps, deployments], "{names}");
        }
    }

    #[test]
    fn bad_configurations_say_what_is_wrong_without_showing_keys() {
        let gcm = |keys: &str| {
            format!(
                "resources: [{{resources: [secrets], providers: [{{aesgcm: {{keys: [{keys}]}}}}]}}]"
            )
        };
        for (text, want) in [
            ("resources: []".to_owned(), "resources: Required"),
            ("resources: [{resources: [secrets]}]".to_owned(), "resources[0].providers: Required"),
            (
                "resources: [{providers: [identity: {}]}]".to_owned(),
                "resources[0].resources: Required",
            ),
            (
                "resources: [{resources: ['*'], providers: [identity: {}]}]".to_owned(),
                "resources[0].resources[0]",
            ),
            (
                "resources: [{resources: [secrets], providers: [kms: {}]}]".to_owned(),
                "not supported",
            ),
            ("resources: [{resources: [secrets], providers: [{}]}]".to_owned(), "exactly one"),
            (
                "resources: [{resources: ['*.*', secrets], providers: [identity: {}]}]".to_owned(),
                "an entry before covers it",
            ),
            (gcm(""), "keys: Required"),
            (gcm("{name: a, secret: c2hvcnQ=}"), "it has 5 bytes"),
            (gcm("{name: a, secret: '???'}"), "must be base64"),
            (gcm("{name: 'a:b', secret: x}"), "without a colon"),
            (gcm(&format!("{{name: a, secret: {KEY}}}, {{name: a, secret: {KEY}}}")), "Duplicate"),
            (gcm(&format!("{{name: a, sekret: {KEY}}}")), "see line"),
        ] {
            let error = parse(&format!("{HEAD}{text}")).err().unwrap();
            assert!(error.contains(want) && !error.contains(KEY), "{text}: {error}");
        }
    }
}
