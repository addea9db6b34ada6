//! Keys of service-account tokens: ES256 JSON web tokens, signed and verified with ring.

use std::collections::HashMap;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use parking_lot::Mutex;
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
        UnparsedPublicKey,
    },
};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Tokens whose signature was checked that are remembered; the cache starts anew when full.
const VERIFIED_MAX: usize = 4_096;
/// Characters per line of a PEM file.
const PEM_LINE: usize = 64;

/// Why a key or token cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// The PEM does not hold a usable key.
    #[error("not an ECDSA P-256 private key in PKCS#8 PEM form: {0}")]
    BadKey(String),
    /// The random number generator failed.
    #[error("the system gave no random numbers; try again")]
    NoRandom,
    /// The token is not one of ours.
    #[error("invalid bearer token: {0}")]
    BadToken(&'static str),
}

/// Claims of a service-account token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Audiences.
    #[serde(default)]
    pub aud: Vec<String>,
    /// End of validity, Unix seconds.
    pub exp: i64,
    /// Time of issue, Unix seconds.
    pub iat: i64,
    /// Issuer.
    pub iss: String,
    /// Id of this token.
    #[serde(default)]
    pub jti: String,
    /// Begin of validity, Unix seconds.
    pub nbf: i64,
    /// `system:serviceaccount:<ns>:<name>`.
    pub sub: String,
    /// What the token is about.
    #[serde(rename = "kubernetes.io")]
    pub kubernetes: KubernetesClaims,
}

/// The private claims.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubernetesClaims {
    /// Namespace of the account.
    pub namespace: String,
    /// The account.
    pub serviceaccount: SubjectRef,
    /// The pod the token is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<BoundRef>,
    /// The node of that pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<BoundRef>,
    /// The secret the token is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<BoundRef>,
    /// From when on a client should have fetched a new one, Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

/// The account of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectRef {
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
}

/// An object a token is bound to: the token dies with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundRef {
    /// Name.
    pub name: String,
    /// Uid.
    #[serde(default)]
    pub uid: String,
}

/// The key pair all members of a cluster share.
pub struct ServiceAccountKeys {
    pair: EcdsaKeyPair,
    pkcs8: Vec<u8>,
    kid: String,
    rng: SystemRandom,
    /// Claims of tokens whose signature is good; whether they are still valid is asked every time.
    verified: Mutex<HashMap<String, Claims>>,
}

impl std::fmt::Debug for ServiceAccountKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServiceAccountKeys({})", self.kid)
    }
}

impl ServiceAccountKeys {
    /// A new key pair.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn generate() -> Result<Self, KeyError> {
        let rng = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng)
            .map_err(|_| KeyError::NoRandom)?;
        Self::from_pkcs8(pkcs8.as_ref())
    }

    /// Reads a private key, PKCS#8 in PEM.
    ///
    /// # Errors
    /// When it is no ECDSA P-256 key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|e| KeyError::BadKey(e.to_string()))?;
        Self::from_pkcs8(der.secret_pkcs8_der())
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let rng = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &rng)
            .map_err(|e| KeyError::BadKey(e.to_string()))?;
        let digest = ring::digest::digest(&ring::digest::SHA256, pair.public_key().as_ref());
        let kid = URL_SAFE_NO_PAD.encode(digest.as_ref());
        Ok(Self { pair, pkcs8: pkcs8.to_vec(), kid, rng, verified: Mutex::default() })
    }

    /// The private key, PKCS#8 in PEM. Keep it as secret as the CA's key.
    pub fn to_pem(&self) -> String {
        let encoded = STANDARD.encode(&self.pkcs8);
        let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
        for line in encoded.as_bytes().chunks(PEM_LINE) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        pem
    }

    /// The public key as a JSON web key set (`/openid/v1/jwks`).
    pub fn jwks(&self) -> Value {
        // An uncompressed point: 0x04, x, y.
        let point = self.pair.public_key().as_ref();
        let half = |range: std::ops::Range<usize>| {
            URL_SAFE_NO_PAD.encode(point.get(range).unwrap_or_default())
        };
        json!({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig",
            "kid": self.kid, "x": half(1..33), "y": half(33..65)}]})
    }

    /// Signs claims.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn sign(&self, claims: &Claims) -> Result<String, KeyError> {
        let header = json!({"alg": "ES256", "kid": self.kid, "typ": "JWT"});
        let payload = serde_json::to_vec(claims).unwrap_or_default();
        let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signature =
            self.pair.sign(&self.rng, token.as_bytes()).map_err(|_| KeyError::NoRandom)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        Ok(token)
    }

    /// Checks the signature and reads the claims. Times, audience and the bound objects are for the
    /// caller to check.
    ///
    /// # Errors
    /// When the token is not one of ours.
    pub fn verify(&self, token: &str) -> Result<Claims, KeyError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(KeyError::BadToken("it is too long"));
        }
        if let Some(claims) = self.verified.lock().get(token) {
            return Ok(claims.clone());
        }
        let (signed, signature) =
            token.rsplit_once('.').ok_or(KeyError::BadToken("it is no JWT"))?;
        let (header, payload) = signed.split_once('.').ok_or(KeyError::BadToken("it is no JWT"))?;
        let decode = |part: &str| {
            URL_SAFE_NO_PAD.decode(part).map_err(|_| KeyError::BadToken("it is not base64url"))
        };
        let header: Value = serde_json::from_slice(&decode(header)?)
            .map_err(|_| KeyError::BadToken("its header is not JSON"))?;
        if header["alg"] != "ES256" {
            return Err(KeyError::BadToken("it is not signed with ES256"));
        }
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key().as_ref())
            .verify(signed.as_bytes(), &decode(signature)?)
            .map_err(|_| KeyError::BadToken("its signature is not of this cluster"))?;
        let claims: Claims = serde_json::from_slice(&decode(payload)?)
            .map_err(|_| KeyError::BadToken("its claims are not those of a service account"))?;
        let mut verified = self.verified.lock();
        if verified.len() >= VERIFIED_MAX {
            verified.clear();
        }
        verified.insert(token.to_owned(), claims.clone());
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            aud: vec!["a".into()],
            exp: 20,
            iat: 10,
            iss: "i".into(),
            jti: "j".into(),
            nbf: 10,
            sub: "system:serviceaccount:d:x".into(),
            kubernetes: KubernetesClaims { namespace: "d".into(), ..KubernetesClaims::default() },
        }
    }

    #[test]
    fn tokens_are_verified_and_keys_survive_pem() {
        let keys = ServiceAccountKeys::generate().unwrap();
        let token = keys.sign(&claims()).unwrap();
        let again = ServiceAccountKeys::from_pem(&keys.to_pem()).unwrap();
        assert_eq!(again.verify(&token).unwrap(), claims());
        assert_eq!(again.verify(&token).unwrap(), claims());
        assert_eq!(keys.jwks(), again.jwks());
        let other = ServiceAccountKeys::generate().unwrap();
        assert!(other.verify(&token).is_err());
    }

    #[test]
    fn tampered_tokens_are_refused() {
        let keys = ServiceAccountKeys::generate().unwrap();
        let token = keys.sign(&claims()).unwrap();
        let parts: Vec<_> = token.split('.').collect();
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        let mut other = claims();
        other.sub = "system:serviceaccount:kube-system:admin".into();
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&other).unwrap());
        for bad in [
            format!("{}.{}.{}", none, parts[1], parts[2]),
            format!("{}.{}.{}", parts[0], payload, parts[2]),
            format!("{}.{}.", parts[0], parts[1]),
            "x".repeat(TOKEN_BYTES_MAX + 1),
            "a.b".into(),
            String::new(),
        ] {
            assert!(keys.verify(&bad).is_err(), "{bad}");
        }
    }
}
