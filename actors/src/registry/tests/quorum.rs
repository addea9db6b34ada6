//! Registries on three members: what one wrote, another sees and respects.

use std::sync::Once;

use kabuki_api::kind::{CONFIG_MAP, NAMESPACE, SERVICE};
use kabuki_raft::{PeerTls, StoreConfig};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::auth::{JoinRole, NewToken, TokenStore};

const SERVER_NAME: &str = "member";
static PROVIDER: Once = Once::new();

fn certificates() -> PeerTls {
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![SERVER_NAME.to_owned()]).unwrap();
    let cert = params.self_signed(&key).unwrap().der().clone();
    let private = || PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut roots = RootCertStore::empty();
    roots.add(cert.clone()).unwrap();
    let roots = Arc::new(roots);
    let verifier = WebPkiClientVerifier::builder(Arc::clone(&roots)).build().unwrap();
    PeerTls {
        server: Arc::new(
            ServerConfig::builder()
                .with_client_cert_verifier(verifier)
                .with_single_cert(vec![cert.clone()], private())
                .unwrap(),
        ),
        client: Arc::new(
            ClientConfig::builder()
                .with_root_certificates(roots)
                .with_client_auth_cert(vec![cert], private())
                .unwrap(),
        ),
        server_name: SERVER_NAME.to_owned(),
        authorize: None,
    }
}

pub(super) async fn quorum() -> (Vec<Registry>, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let tls = certificates();
    let mut stores: Vec<Store> = Vec::new();
    for id in 1..=3_u64 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut cfg = StoreConfig::new(dir.path().join(id.to_string()), id, "test");
        cfg.peer_addr.clone_from(&address);
        cfg.tls = Some(tls.clone());
        let store = Store::open(cfg).await.unwrap();
        tokio::spawn({
            let store = store.clone();
            async move { store.serve_peers(listener).await }
        });
        match stores.first() {
            None => store.initialize().await.unwrap(),
            Some(first) => first.add_member(id, &address, "").await.unwrap(),
        }
        stores.push(store);
    }
    let registries: Vec<_> =
        stores.into_iter().map(|s| Registry::new(s, RegistryConfig::default())).collect();
    registries[0].bootstrap().await.unwrap();
    (registries, dir)
}

#[tokio::test(flavor = "multi_thread")]
async fn members_respect_each_others_writes() {
    let (members, _dir) = quorum().await;
    let info = internal();
    for round in 0..10 {
        let (a, b, c) = (&members[round % 3], &members[(round + 1) % 3], &members[(round + 2) % 3]);
        let ns = format!("ns{round}");
        a.create(&info, NAMESPACE, "", json!({"metadata": {"name": ns}})).await.unwrap();
        let made = b.create(&info, CONFIG_MAP, &ns, config("x", "1")).await.unwrap().object;
        let seen = c.get_consistent(CONFIG_MAP, &ns, "x", "").await.unwrap();
        assert_eq!(seen.revision(), made.revision());
        let mut next = made.value().clone();
        next["data"]["v"] = "2".into();
        let second = c.update(&info, CONFIG_MAP, &ns, "x", next.clone(), Subresource::Main).await;
        let second = second.unwrap().object;
        let stale = a.update(&info, CONFIG_MAP, &ns, "x", next, Subresource::Main).await;
        assert!(stale.unwrap_err().is_conflict());
        let at_least = second.revision().to_string();
        let read = b.get_consistent(CONFIG_MAP, &ns, "x", &at_least).await.unwrap();
        assert_eq!(read.value()["data"]["v"], "2");
        let taken = a.create(&info, CONFIG_MAP, &ns, config("x", "1")).await.unwrap_err();
        assert!(taken.is_already_exists());
        b.delete(&info, CONFIG_MAP, &ns, "x", &DeleteOptions::background()).await.unwrap();
        let gone = c.get_consistent(CONFIG_MAP, &ns, "x", "").await.unwrap_err();
        assert!(gone.is_not_found());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_share_counters_addresses_and_tokens() {
    const WRITERS: usize = 9;
    const EACH: usize = 5;
    let (members, _dir) = quorum().await;
    members[0].create(&internal(), CONFIG_MAP, "default", config("n", "0")).await.unwrap();
    let counting = (0..WRITERS).map(|i| {
        let member = members[i % 3].clone();
        tokio::spawn(async move {
            for _ in 0..EACH {
                let mut done = false;
                while !done {
                    let add = |v: &mut Value| {
                        let n: usize = v["data"]["v"].as_str().unwrap().parse().unwrap();
                        v["data"]["v"] = (n + 1).to_string().into();
                        true
                    };
                    let result = member
                        .update_with_retry(CONFIG_MAP, "default", "n", Subresource::Main, add)
                        .await;
                    // Many writers of one object may exhaust the attempts of one call.
                    done = result.map_err(|s| assert!(s.is_conflict(), "{s}")).is_ok();
                }
            }
        })
    });
    for task in counting.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let end = members[2].get_consistent(CONFIG_MAP, "default", "n", "").await.unwrap();
    assert_eq!(end.value()["data"]["v"], (WRITERS * EACH).to_string());
    let services =
        futures_util::future::join_all(
            (0..30).map(|i| {
                let member = members[i % 3].clone();
                let object = json!({"metadata": {"name": format!("s{i}")},
            "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
                async move {
                    member.create(&internal(), SERVICE, "default", object).await.unwrap().object
                }
            }),
        )
        .await;
    let mut ips: Vec<_> =
        services.iter().map(|s| s.value()["spec"]["clusterIP"].to_string()).collect();
    ips.sort();
    ips.dedup();
    assert_eq!(ips.len(), 30);
    let stores: Vec<_> = members.iter().cloned().map(TokenStore::new).collect();
    let new = NewToken {
        role: JoinRole::Server,
        lifetime: None,
        uses: Some(3),
        description: String::new(),
    };
    let bearer = stores[0].create(&new).await.unwrap().bearer();
    let spent = futures_util::future::join_all(
        (0..9).map(|i| stores[i % 3].spend(&bearer, JoinRole::Server)),
    )
    .await;
    assert_eq!(spent.iter().filter(|r| r.is_ok()).count(), 3, "{spent:?}");
}
