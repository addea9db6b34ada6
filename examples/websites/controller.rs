//! The controller: a ConfigMap per Website, owned by it and applied server-side; the site's line in
//! the ConfigMap `websites`, which nobody owns, is removed by a finalizer; what was done is said in
//! the status.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::StreamExt;
use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ApiResource, Patch, PatchParams},
    core::{GroupVersionKind, object::Object},
    runtime::{
        Controller,
        controller::Action,
        finalizer::{Event, finalizer},
        watcher,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Who owns the fields that are applied.
const MANAGER: &str = "websites.examples.kabuki.dev";
/// Keeps a deleted site until its line is out of the index.
const FINALIZER: &str = "examples.kabuki.dev/index";
/// The ConfigMap with a line per site of its namespace.
const INDEX: &str = "websites";
/// When a failed site is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// What users write. Defaults are in the CRD: here nothing is ever missing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WebsiteSpec {
    /// Name under which the site is served; never changes.
    pub host: String,
    /// Pages there may be at most.
    pub limit: usize,
    /// Language of the pages.
    pub language: String,
    /// Text of each page by its name.
    pub pages: BTreeMap<String, String>,
}

/// What the controller says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WebsiteStatus {
    /// Pages rendered.
    pub pages: usize,
    /// Generation of the spec they are from.
    pub observed_generation: Option<i64>,
    /// `Ready`.
    pub conditions: Vec<Condition>,
}

/// A site.
pub type Website = Object<WebsiteSpec, WebsiteStatus>;

/// Why a site is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused, or cannot be reached.
    #[error("the API server answered: {0}")]
    Kube(#[from] kube::Error),
    /// Finalizers could not be written, or what they guard failed.
    #[error("finalizing failed: {0}")]
    Finalizer(Box<dyn std::error::Error + Send + Sync>),
}

/// The resource of the CRD beside this file.
pub fn websites() -> ApiResource {
    let kind = GroupVersionKind::gvk("examples.kabuki.dev", "v1", "Website");
    ApiResource::from_gvk_with_plural(&kind, "websites")
}

/// Runs until `stop` is over.
pub async fn run(client: Client, stop: impl Future<Output = ()> + Send + Sync + 'static) {
    let sites: Api<Website> = Api::all_with(client.clone(), &websites());
    let maps: Api<ConfigMap> = Api::all(client.clone());
    Controller::new_with(sites, watcher::Config::default(), websites())
        .owns(maps, watcher::Config::default())
        .graceful_shutdown_on(stop)
        .run(reconcile, |_, _, _| Action::requeue(RETRY), Arc::new(client))
        .for_each(|outcome| async move {
            if let Err(error) = outcome {
                eprintln!("{error}");
            }
        })
        .await;
}

async fn reconcile(site: Arc<Website>, client: Arc<Client>) -> Result<Action, Error> {
    let namespace = site.namespace().unwrap_or_default();
    let sites: Api<Website> = Api::namespaced_with((*client).clone(), &namespace, &websites());
    let maps: Api<ConfigMap> = Api::namespaced((*client).clone(), &namespace);
    let worked = finalizer(&sites, FINALIZER, site, |event| async {
        match event {
            Event::Apply(site) => serve(&site, &sites, &maps).await,
            Event::Cleanup(site) => withdraw(&site, &maps).await,
        }
    });
    worked.await.map_err(|error| Error::Finalizer(Box::new(error)))
}

/// Renders the pages, enters the site in the index, and says so.
async fn serve(
    site: &Website,
    sites: &Api<Website>,
    maps: &Api<ConfigMap>,
) -> Result<Action, Error> {
    let name = site.name_any();
    let apply = PatchParams::apply(MANAGER).force();
    maps.patch(&name, &apply, &Patch::Apply(rendered(site))).await?;
    let line = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": INDEX},
        "data": {&name: site.spec.host}});
    // Each site applies its own line, as a manager of its own.
    let own = PatchParams::apply(&format!("{MANAGER}/{name}")).force();
    maps.patch(INDEX, &own, &Patch::Apply(line)).await?;
    let status = json!({"apiVersion": "examples.kabuki.dev/v1", "kind": "Website",
        "metadata": {"name": name}, "status": status(site)});
    sites.patch_status(&name, &apply, &Patch::Apply(status)).await?;
    Ok(Action::await_change())
}

/// Removes the site's line; its pages go with their owner.
async fn withdraw(site: &Website, maps: &Api<ConfigMap>) -> Result<Action, Error> {
    let line = json!({"data": {site.name_any(): null}});
    match maps.patch(INDEX, &PatchParams::default(), &Patch::Merge(line)).await {
        // Without an index there is nothing to remove.
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        other => drop(other?),
    }
    Ok(Action::await_change())
}

/// The ConfigMap of a site.
fn rendered(site: &Website) -> Value {
    let WebsiteSpec { host, language, pages, .. } = &site.spec;
    let files: BTreeMap<String, String> = pages
        .iter()
        .map(|(page, text)| {
            let html = format!("<html lang={language:?}><title>{host}</title>{text}</html>\n");
            (format!("{page}.html"), html)
        })
        .collect();
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": site.name_any(), "ownerReferences": [site.controller_owner_ref(&websites())]},
        "data": files})
}

/// The status of a site that is served; `Ready` keeps the time since when it is.
fn status(site: &Website) -> WebsiteStatus {
    let before = site.status.as_ref().map_or(&[][..], |s| &s.conditions);
    let ready = before.iter().find(|c| c.type_ == "Ready" && c.status == "True");
    let condition = json!({"type": "Ready", "status": "True", "reason": "Rendered",
        "message": "", "lastTransitionTime": ready.map_or_else(|| json!(now()), |c| json!(c.last_transition_time))});
    WebsiteStatus {
        pages: site.spec.pages.len(),
        observed_generation: site.metadata.generation,
        conditions: serde_json::from_value(condition).into_iter().collect(),
    }
}

fn now() -> String {
    let now = time::OffsetDateTime::now_utc()
        .replace_nanosecond(0)
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    now.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}
