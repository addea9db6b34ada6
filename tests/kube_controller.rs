//! The controller of `examples/websites` at work: a CRD with defaults, rules and a status, owned
//! objects, server-side apply and a finalizer, through kube-rs against the real binary.

mod support;

#[allow(dead_code, reason = "the controller needs the server only, not its HTTP client")]
#[path = "access/server.rs"]
mod server;

#[path = "../examples/websites/controller.rs"]
mod controller;

use std::time::Duration;

use controller::{Website, websites};
use k8s_openapi::{
    api::core::v1::ConfigMap,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use server::Server;

const CRD: &str = include_str!("../examples/websites/crd.yaml");
const SITE: &str = include_str!("../examples/websites/website.yaml");
/// How long anything may take to happen.
const PATIENCE: Duration = Duration::from_secs(30);

async fn client(server: &Server) -> Client {
    let text = std::fs::read_to_string(server.path("data/admin.kubeconfig")).unwrap();
    let config = kube::config::Kubeconfig::from_yaml(&text).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &Default::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// Asks until the answer is there.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{what}"))
}

async fn define(client: &Client) {
    let definition: CustomResourceDefinition = serde_yaml::from_str(CRD).unwrap();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions.create(&PostParams::default(), &definition).await.unwrap();
    until("the definition is established", async || {
        let found = definitions.get("websites.examples.kabuki.dev").await.ok()?;
        let conditions = found.status?.conditions.unwrap_or_default();
        conditions.iter().any(|c| c.type_ == "Established" && c.status == "True").then_some(())
    })
    .await;
    let sites: Api<Website> = Api::all_with(client.clone(), &websites());
    until("sites are served", async || sites.list(&Default::default()).await.ok()).await;
}

fn refusal(outcome: Result<Website, kube::Error>) -> (u16, String) {
    match outcome {
        Err(kube::Error::Api(status)) => (status.code, status.message.clone()),
        other => panic!("a refusal was expected: {other:?}"),
    }
}

#[test]
fn a_controller_keeps_its_sites() {
    let server = Server::start(|_| {}, &[]);
    tokio::runtime::Runtime::new().unwrap().block_on(the_life_of_a_site(&server));
}

async fn the_life_of_a_site(server: &Server) {
    let client = client(server).await;
    define(&client).await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(controller::run(client.clone(), async {
        let _ = stopped.await;
    }));
    let sites: Api<Website> = Api::namespaced_with(client.clone(), "default", &websites());
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");

    // Written as YAML without what has a default.
    let site: Value = serde_yaml::from_str(SITE).unwrap();
    let apply = PatchParams::apply("someone");
    let made = sites.patch("hello", &apply, &Patch::Apply(&site)).await.unwrap();
    assert_eq!((made.spec.limit, made.spec.language.as_str()), (10, "en"));

    let pages = until("pages are rendered", async || maps.get("hello").await.ok()).await;
    let data = pages.data.unwrap();
    assert_eq!(data["index.html"], "<html lang=\"en\"><title>hello.example</title>Hello!</html>\n");
    assert_eq!(data.len(), 2);
    let owner = &pages.metadata.owner_references.unwrap()[0];
    assert_eq!((owner.kind.as_str(), owner.controller), ("Website", Some(true)));
    let ready = until("the site is ready", async || {
        sites.get("hello").await.ok().filter(|s| s.status.as_ref().is_some_and(|s| s.pages == 2))
    })
    .await;
    let status = ready.status.unwrap();
    assert_eq!(status.observed_generation, ready.metadata.generation);
    assert_eq!(status.conditions[0].type_, "Ready");

    // What the rules forbid is refused before the controller sees it.
    let moved = json!({"spec": {"host": "other.example"}});
    let (code, said) =
        refusal(sites.patch("hello", &PatchParams::default(), &Patch::Merge(moved)).await);
    assert_eq!(code, 422);
    assert!(said.contains("a site does not move to another host"), "{said}");
    let few = json!({"spec": {"limit": 1}});
    let (code, said) =
        refusal(sites.patch("hello", &PatchParams::default(), &Patch::Merge(few)).await);
    assert_eq!(code, 422);
    assert!(said.contains("there are more pages than limit allows"), "{said}");

    // A page goes, and so does its file; a file somebody deletes comes back.
    let less = json!({"spec": {"pages": {"about": null}}});
    sites.patch("hello", &PatchParams::default(), &Patch::Merge(less)).await.unwrap();
    until("the file of a page goes", async || {
        let data = maps.get("hello").await.ok()?.data?;
        (!data.contains_key("about.html")).then_some(())
    })
    .await;
    maps.delete("hello", &DeleteParams::default()).await.unwrap();
    until("pages are rendered again", async || maps.get("hello").await.ok()).await;

    // The index loses the line before the site goes; the pages are collected with their owner.
    let index = maps.get("websites").await.unwrap().data.unwrap();
    assert_eq!(index["hello"], "hello.example");
    sites.delete("hello", &DeleteParams::default()).await.unwrap();
    until("the site goes", async || sites.get_opt("hello").await.unwrap().is_none().then_some(()))
        .await;
    let index = maps.get("websites").await.unwrap().data.unwrap_or_default();
    assert_eq!(index.get("hello"), None);
    until("its pages go", async || maps.get_opt("hello").await.unwrap().is_none().then_some(()))
        .await;
    drop(stop);
    running.await.unwrap();
}
