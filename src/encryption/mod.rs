//! Encryption at rest: what the store keeps of some resources is sealed before it goes into the log,
//! and opened when it becomes a record, so that no file holds it in plain text. The form is that of
//! kube-apiserver's aesgcm provider: `k8s:enc:aesgcm:v1:<key name>:`, a random nonce, and the value
//! sealed together with its key in the store.

mod config;

use std::{collections::HashMap, path::Path, sync::Arc};

use bytes::Bytes;
use kabuki_api::kind;
use kabuki_raft::{Cipher, Opened};
use ring::{
    aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};

use self::config::{Group, Key, Provider};
use crate::settings_file::{self, SettingsError};

/// What every sealed value begins with.
const MARK: &[u8] = b"k8s:enc:";
const AES_GCM: &[u8] = b"k8s:enc:aesgcm:v1:";

/// Seals and opens what the configuration says.
pub struct Encryption {
    /// Providers by the topic of a kind (`/registry/core/secrets/`), in their order.
    topics: HashMap<&'static str, Arc<Vec<Transformer>>>,
    /// The entries as they were written, for custom resources.
    entries: Vec<(Group, Arc<Vec<Transformer>>)>,
    random: SystemRandom,
}

enum Transformer {
    Identity,
    AesGcm { name: String, key: Box<LessSafeKey> },
}

impl std::fmt::Debug for Encryption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the keys.
        f.debug_struct("Encryption").field("topics", &self.topics.keys()).finish_non_exhaustive()
    }
}

impl Encryption {
    /// Reads a configuration.
    ///
    /// # Errors
    /// When it cannot be read, or asks for what is not there.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        settings_file::load("encryption configuration", path, |text| {
            Self::new(config::parse(text)?)
        })
    }

    fn new(groups: Vec<Group>) -> Result<Self, String> {
        let mut topics = HashMap::new();
        let made: Vec<Arc<Vec<Transformer>>> = groups
            .iter()
            .map(|g| transformers(&g.providers).map(Arc::new))
            .collect::<Result<_, _>>()?;
        for kind in kind::all().iter().filter(|k| k.is_stored()).map(|k| k.storage_kind()) {
            let found = groups.iter().position(|group| group.covers(kind));
            if let Some(index) = found {
                topics.insert(kind.topic(), Arc::clone(&made[index]));
            }
        }
        let entries = groups.into_iter().zip(made).collect();
        Ok(Self { topics, entries, random: SystemRandom::new() })
    }

    /// The providers of a key, first the one that writes.
    fn of(&self, key: &str) -> Option<&[Transformer]> {
        // `/registry/<group>/<plural>/`: up to the fourth slash.
        let end = key.match_indices('/').nth(3)?.0 + 1;
        if let Some(known) = self.topics.get(&key[..end]) {
            return Some(known.as_slice());
        }
        let mut parts = key[..end].trim_start_matches("/registry/").split('/');
        let (group, plural) = (parts.next()?, parts.next()?);
        // Only groups with a dot can be custom; the key of a built-in kind names others otherwise.
        let found = self.entries.iter().find(|(entry, _)| entry.covers_resource(plural, group));
        found.filter(|_| group.contains('.')).map(|(_, made)| made.as_slice())
    }
}

fn transformers(providers: &[Provider]) -> Result<Vec<Transformer>, String> {
    let mut made = Vec::new();
    for provider in providers {
        match provider {
            Provider::Identity => made.push(Transformer::Identity),
            Provider::AesGcm(keys) => {
                for key in keys {
                    made.push(aes_gcm(key)?);
                }
            }
        }
    }
    Ok(made)
}

fn aes_gcm(key: &Key) -> Result<Transformer, String> {
    let algorithm = if key.bytes.len() == 32 { &AES_256_GCM } else { &AES_128_GCM };
    let unbound = UnboundKey::new(algorithm, &key.bytes)
        .map_err(|_| format!("the key {:?} cannot be used", key.name))?;
    Ok(Transformer::AesGcm { name: key.name.clone(), key: Box::new(LessSafeKey::new(unbound)) })
}

impl Cipher for Encryption {
    fn seal(&self, key: &str, value: Bytes) -> Result<Bytes, String> {
        let Some(Transformer::AesGcm { name, key: secret }) = self.of(key).and_then(<[_]>::first)
        else {
            return Ok(value);
        };
        // What a snapshot is restored from is sealed already.
        if value.starts_with(MARK) {
            return Ok(value);
        }
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| "no random numbers to encrypt with")?;
        let mut sealed = value.to_vec();
        secret
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(key.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| format!("cannot encrypt {key}"))?;
        Ok([AES_GCM, name.as_bytes(), b":", &nonce, &sealed].concat().into())
    }

    fn open(&self, key: &str, stored: Bytes) -> Opened {
        let Some(all) = self.of(key) else { return Opened::plain(stored) };
        if !stored.starts_with(MARK) {
            let stale = !matches!(all.first(), Some(Transformer::Identity));
            return Opened { value: stored.clone(), stored, stale };
        }
        let opened = all.iter().enumerate().find_map(|(at, transformer)| {
            let Transformer::AesGcm { name, key: secret } = transformer else { return None };
            let rest = stored.strip_prefix(AES_GCM)?.strip_prefix(name.as_bytes())?;
            let (nonce, sealed) = rest.strip_prefix(b":")?.split_at_checked(NONCE_LEN)?;
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let mut value = sealed.to_vec();
            let length =
                secret.open_in_place(nonce, Aad::from(key.as_bytes()), &mut value).ok()?.len();
            value.truncate(length);
            Some((at, Bytes::from(value)))
        });
        match opened {
            Some((at, value)) => Opened { value, stored, stale: at > 0 },
            None => {
                tracing::error!(key, "no key of --encryption-provider-config opens this object");
                Opened::plain(stored)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    const B: &str = "ZmVkY2JhOTg3NjU0MzIxMA==";
    const KEY: &str = "/registry/core/secrets/d/s";

    fn encryption(providers: &str) -> Encryption {
        let text = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n\
             resources: [{{resources: [secrets], providers: [{providers}]}}]"
        );
        Encryption::new(config::parse(&text).unwrap()).unwrap()
    }

    fn gcm(keys: &[(&str, &str)]) -> String {
        let keys: Vec<String> =
            keys.iter().map(|(n, s)| format!("{{name: {n}, secret: {s}}}")).collect();
        format!("{{aesgcm: {{keys: [{}]}}}}", keys.join(", "))
    }

    #[test]
    fn custom_resources_are_sealed_by_their_names() {
        let key = "/registry/stable.example.com/crontabs/d/c";
        let plain = Bytes::from_static(b"{\"metadata\":{}}");
        for (resources, sealed) in [
            ("crontabs.stable.example.com", true),
            ("'*.stable.example.com'", true),
            ("'*.*'", true),
            ("crontabs.example.com", false),
            ("secrets", false),
        ] {
            let text = format!(
                "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n\
                 resources: [{{resources: [{resources}], providers: [{}]}}]",
                gcm(&[("a", A)])
            );
            let encryption = Encryption::new(config::parse(&text).unwrap()).unwrap();
            let stored = encryption.seal(key, plain.clone()).unwrap();
            assert_eq!(stored != plain, sealed, "{resources}");
            assert_eq!(encryption.open(key, stored).value, plain);
        }
    }

    #[test]
    fn values_come_back_and_keys_rotate() {
        let plain = Bytes::from_static(b"{\"metadata\":{}}");
        let old = encryption(&gcm(&[("a", A)]));
        let sealed = old.seal(KEY, plain.clone()).unwrap();
        assert!(sealed.starts_with(b"k8s:enc:aesgcm:v1:a:"));
        assert_ne!(sealed, old.seal(KEY, plain.clone()).unwrap(), "each has a nonce of its own");
        assert_eq!(old.seal(KEY, sealed.clone()).unwrap(), sealed, "nothing is sealed twice");
        let opened = old.open(KEY, sealed.clone());
        assert_eq!((&opened.value, opened.stale), (&plain, false));
        assert_eq!(opened.stored, sealed);

        let both = encryption(&gcm(&[("b", B), ("a", A)]));
        let opened = both.open(KEY, sealed.clone());
        assert_eq!((&opened.value, opened.stale), (&plain, true), "the new key is to be used");
        assert!(both.seal(KEY, plain.clone()).unwrap().starts_with(b"k8s:enc:aesgcm:v1:b:"));

        let new = encryption(&gcm(&[("b", B)]));
        assert_eq!(new.open(KEY, sealed.clone()).value, sealed, "without its key it stays shut");
        let elsewhere = old.open("/registry/core/secrets/d/other", sealed.clone());
        assert_eq!(elsewhere.value, sealed, "it belongs to its key in the store");

        assert!(new.open(KEY, plain.clone()).stale, "plain text is to be encrypted");
        let off = encryption(&format!("identity: {{}}, {}", gcm(&[("a", A)])));
        assert_eq!(off.seal(KEY, plain.clone()).unwrap(), plain);
        assert!(off.open(KEY, sealed).stale, "and back");
        let map = "/registry/core/configmaps/d/s";
        assert_eq!(new.seal(map, plain.clone()).unwrap(), plain);
        assert!(!new.open(map, plain).stale);
    }
}
