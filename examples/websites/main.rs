//! A controller as people write them, with kube-rs: it renders each Website into a ConfigMap.
//!
//! `kubectl apply -f examples/websites/crd.yaml`, then
//! `KUBECONFIG=… cargo run --release --example websites`, then
//! `kubectl apply -f examples/websites/website.yaml`.

mod controller;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = kube::Client::try_default().await?;
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    controller::run(client, stop).await;
    Ok(())
}
