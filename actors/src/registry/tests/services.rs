//! Cluster IPs and node ports.

use kabuki_api::kind::{ENDPOINT_SLICE, ENDPOINTS, SERVICE};
use serde_json::json;

use super::*;

fn service(name: &str, spec: Value) -> Value {
    let mut object = json!({"metadata": {"name": name}, "spec": spec});
    if object["spec"]["ports"].is_null() {
        object["spec"]["ports"] = json!([{"port": 80}]);
    }
    object
}

async fn refused(c: &Fixture, object: Value) -> String {
    c.create(&internal(), SERVICE, "default", object).await.unwrap_err().message.clone()
}

#[tokio::test]
async fn addresses_are_unique_and_come_back() {
    let c = cluster().await;
    let a = c.make(SERVICE, service("a", json!({}))).await;
    let ip = a.value()["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert!(ip.starts_with("10."), "{ip}");
    assert_eq!(a.value()["spec"]["clusterIPs"], json!([ip]));
    assert_eq!(a.value()["spec"]["ipFamilies"], json!(["IPv4"]));
    let taken = refused(&c, service("b", json!({"clusterIP": ip}))).await;
    assert!(taken.contains("provided IP is already allocated"), "{taken}");
    let outside = refused(&c, service("b", json!({"clusterIP": "10.1.2.3"}))).await;
    assert!(outside.contains("is not in the valid range. The range of valid IPs is 10.96.0.0/12"));
    c.delete(&internal(), SERVICE, "default", "a", &DeleteOptions::background()).await.unwrap();
    c.make(SERVICE, service("b", json!({"clusterIP": ip}))).await;
    let headless = c.make(SERVICE, service("h", json!({"clusterIP": "None"}))).await;
    assert_eq!(headless.value()["spec"]["clusterIPs"], json!(["None"]));
}

#[tokio::test]
async fn updates_keep_what_was_allocated() {
    let c = cluster().await;
    let a = c.make(SERVICE, service("a", json!({"type": "NodePort"}))).await;
    let ip = a.value()["spec"]["clusterIP"].clone();
    let port = a.value()["spec"]["ports"][0]["nodePort"].clone();
    assert!((30_000..=32_767).contains(&port.as_u64().unwrap()));
    let blank = service("a", json!({"type": "NodePort", "selector": {"x": "y"}}));
    let kept = c.replace(SERVICE, blank, Subresource::Main).await.unwrap().object;
    assert_eq!(kept.value()["spec"]["clusterIP"], ip);
    assert_eq!(kept.value()["spec"]["ports"][0]["nodePort"], port);
    let ports = json!([{"port": 80, "nodePort": port}]);
    let taken = refused(&c, service("b", json!({"type": "NodePort", "ports": ports}))).await;
    assert!(taken.contains("provided port is already allocated"), "{taken}");
    let ports = json!([{"port": 80, "nodePort": 80}]);
    let outside = refused(&c, service("b", json!({"type": "NodePort", "ports": ports}))).await;
    assert!(outside.contains("The range of valid ports is 30000-32767"), "{outside}");
    let mut plain = kept.value().clone();
    plain["spec"]["type"] = "ClusterIP".into();
    let plain = c.replace(SERVICE, plain, Subresource::Main).await.unwrap().object;
    assert!(plain.value()["spec"]["ports"][0]["nodePort"].is_null());
    let ports = json!([{"port": 80, "nodePort": port}]);
    c.make(SERVICE, service("b", json!({"type": "NodePort", "ports": ports}))).await;
}

#[tokio::test]
async fn concurrent_services_never_share() {
    let c = cluster().await;
    let made = futures_util::future::join_all((0..60).map(|i| {
        let registry = c.registry.clone();
        async move {
            let object = service(&format!("s{i}"), json!({"type": "NodePort"}));
            registry.create(&internal(), SERVICE, "default", object).await.unwrap().object
        }
    }))
    .await;
    for pointer in ["/spec/clusterIP", "/spec/ports/0/nodePort"] {
        let mut all: Vec<_> =
            made.iter().map(|o| o.value().pointer(pointer).unwrap().to_string()).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 60, "{pointer}");
    }
}

#[tokio::test]
async fn the_api_shows_its_members() {
    let c = cluster().await;
    let api = c.get(SERVICE, "default", "kubernetes").unwrap();
    assert_eq!(api.value()["spec"]["clusterIP"], "10.96.0.1");
    let dns = c.get(SERVICE, "kube-system", "kube-dns").unwrap();
    assert_eq!(dns.value()["spec"]["clusterIP"], "10.96.0.10");
    let endpoint = |last| Endpoint { ip: [10, 0, 0, last].into(), port: 6443 };
    c.set_api_endpoints(&[endpoint(1)]).await.unwrap();
    c.set_api_endpoints(&[endpoint(2), endpoint(1)]).await.unwrap();
    let slice = c.get(ENDPOINT_SLICE, "default", "kubernetes").unwrap();
    assert_eq!(slice.value()["endpoints"][1]["addresses"], json!(["10.0.0.2"]));
    let endpoints = c.get(ENDPOINTS, "default", "kubernetes").unwrap();
    assert_eq!(endpoints.value()["subsets"][0]["addresses"][0]["ip"], "10.0.0.1");
}
