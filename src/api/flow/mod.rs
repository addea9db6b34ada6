//! Priority and fairness: how many requests run at once, whose turn it is, and who is told to come
//! again later (KEP-1040). FlowSchemas say which priority level a request belongs to, every level
//! has its share of the server's seats, and within a level the flows take turns, so that no client
//! keeps others from being served.

mod estimate;
mod level;
mod queues;
mod report;
mod schema;
mod shares;

use std::{collections::HashMap, sync::Arc, time::Duration};

use actix_web::{
    HttpResponse,
    http::header::{HeaderName, HeaderValue},
};
use kabuki_actors::registry::{Registry, View as _, mandatory_flow};
use kabuki_api::kind::{FLOW_SCHEMA, Kind, PRIORITY_LEVEL_CONFIGURATION};
use parking_lot::{Mutex, RwLock};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use self::{
    estimate::Sizes,
    level::{Level, Plan, Seat},
    schema::{Digest, Schema, Target},
    shares::{Bounds, bounds, lend},
};
use super::{answer, call::Call};

/// Seats of a server: requests that are no watches and streams, running at once. Upstream's 400
/// reading and 200 changing ones.
pub const SEATS: u32 = 600;
/// How often it is looked whether the configuration changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many such looks until seats are lent anew.
const LOOKS_PER_LENDING: u32 = 10;
/// Seconds after which who was refused may come again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");
/// A request waits for its turn at most this part of the time it may take.
const PATIENCE_PART: u32 = 4;
const REFUSED: &str = "Too many requests, please try again later.\n";

/// The limiter of one server.
pub(crate) struct Limiter {
    seats: u32,
    config: RwLock<Arc<Config>>,
    sizes: Mutex<Sizes>,
}

/// What holds until it is configured anew.
#[derive(Default)]
struct Config {
    /// In the order in which they are matched.
    schemas: Vec<Route>,
    levels: Vec<(Plan, Bounds, Arc<Level>)>,
}

struct Route {
    schema: Schema,
    level: Arc<Level>,
    exempt: bool,
    labels: Arc<Labels>,
}

/// The headers that say how a request was classified.
#[derive(Debug)]
pub(crate) struct Labels {
    schema: HeaderValue,
    level: HeaderValue,
}

impl Labels {
    pub(super) fn put(&self, response: &mut HttpResponse) {
        let headers = response.headers_mut();
        let name = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
        headers.insert(name, self.schema.clone());
        let name = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");
        headers.insert(name, self.level.clone());
    }
}

impl Limiter {
    /// A limiter of so many seats that knows only the mandatory objects yet.
    pub(crate) fn new(seats: u32) -> Self {
        let this = Self { seats, config: RwLock::default(), sizes: Mutex::new(Sizes::default()) };
        this.configure(&[], &[]);
        this
    }

    /// Takes over these FlowSchemas and PriorityLevelConfigurations. The mandatory ones hold also
    /// when they are not there; a schema without its level counts for nothing.
    fn configure(&self, schemas: &[Value], levels: &[Value]) {
        let (mandatory_schemas, mandatory_levels) = mandatory_flow();
        let plans = with_mandatory(levels, &mandatory_levels, Plan::read, |plan| &plan.name);
        let mut schemas =
            with_mandatory(schemas, &mandatory_schemas, Schema::read, |schema| &schema.name);
        schemas.sort_by(|a, b| (a.precedence, &a.name).cmp(&(b.precedence, &b.name)));
        let terms: Vec<_> = plans.iter().map(|plan| plan.terms).collect();
        let old = Arc::clone(&self.config.read());
        let mut known: HashMap<&str, &Arc<Level>> =
            old.levels.iter().map(|(plan, _, level)| (plan.name.as_str(), level)).collect();
        let levels: Vec<_> = plans
            .into_iter()
            .zip(bounds(self.seats, &terms))
            .map(|(plan, bounds)| {
                let limit = if plan.exempt { u32::MAX } else { bounds.nominal.max(1) };
                let level = match known.remove(plan.name.as_str()) {
                    Some(level) => {
                        level.change(plan.clone(), limit);
                        Arc::clone(level)
                    }
                    None => Level::new(plan.clone(), limit),
                };
                (plan, bounds, level)
            })
            .collect();
        let header = |uid: &str| HeaderValue::from_str(uid).unwrap_or(HeaderValue::from_static(""));
        let routes = schemas.into_iter().filter_map(|schema| {
            let (plan, _, level) = levels.iter().find(|(plan, ..)| plan.name == schema.level)?;
            let labels = Labels { schema: header(&schema.uid), level: header(&plan.uid) };
            let (level, exempt) = (Arc::clone(level), plan.exempt);
            Some(Route { schema, level, exempt, labels: Arc::new(labels) })
        });
        let config = Config { schemas: routes.collect(), levels };
        *self.config.write() = Arc::new(config);
    }

    /// Waits until the request may run; its seats are held until the answer is dropped. `None` for
    /// one that is not limited.
    ///
    /// # Errors
    /// The answer 429, when there is no room for it to wait, or its turn does not come in time.
    pub(super) async fn enter(
        &self,
        registry: &Registry,
        call: &mut Call,
    ) -> Result<Option<Seat>, HttpResponse> {
        if call.is_long_running() && call.verb != "watch" {
            return Ok(None);
        }
        let config = Arc::clone(&self.config.read());
        let digest = digest(call);
        let Some(route) = config.schemas.iter().find(|r| r.schema.matches(&digest)) else {
            return Ok(None);
        };
        let flow = if route.exempt { 0 } else { route.schema.flow(&digest) };
        let seats = if route.exempt { 1 } else { self.sizes.lock().seats(registry, call) };
        call.flow = Some(Arc::clone(&route.labels));
        let patience = call.timeout() / PATIENCE_PART;
        match route.level.enter(seats, flow, patience).await {
            Ok(seat) => Ok(Some(seat)),
            Err(_) => Err(refused()),
        }
    }

    /// Follows the configuration, and lends seats, until the server stops.
    pub(super) async fn follow(self: Arc<Self>, registry: Registry, stopping: CancellationToken) {
        let revisions = || {
            [FLOW_SCHEMA, PRIORITY_LEVEL_CONFIGURATION]
                .map(|kind| registry.store().topic_revision(&kind.prefix(None)))
        };
        let mut seen = None;
        let mut looks = 0;
        while !stopping.is_cancelled() {
            let now = revisions();
            if seen != Some(now) {
                seen = Some(now);
                let all = |kind: &'static Kind| -> Vec<Value> {
                    registry.list(kind, None).iter().map(|o| o.value().clone()).collect()
                };
                self.configure(&all(FLOW_SCHEMA), &all(PRIORITY_LEVEL_CONFIGURATION));
            }
            looks += 1;
            if looks % LOOKS_PER_LENDING == 0 {
                self.lend();
            }
            tokio::select! {
                () = stopping.cancelled() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Gives seats that are not asked for to levels that ask for more.
    fn lend(&self) {
        let config = Arc::clone(&self.config.read());
        let limited: Vec<_> = config.levels.iter().filter(|(plan, ..)| !plan.exempt).collect();
        let asked: Vec<_> = limited.iter().map(|(_, b, level)| (*b, level.take_peak())).collect();
        for ((_, _, level), seats) in limited.into_iter().zip(lend(self.seats, &asked)) {
            level.set_limit(seats);
        }
    }
}

/// The objects as read, with those mandatory ones that are not among them.
fn with_mandatory<T>(
    objects: &[Value],
    mandatory: &[Value],
    read: impl Fn(&Value) -> T,
    name: impl Fn(&T) -> &String,
) -> Vec<T> {
    let mut all: Vec<T> = objects.iter().map(&read).collect();
    for one in mandatory.iter().map(&read) {
        if !all.iter().any(|other| name(other) == name(&one)) {
            all.push(one);
        }
    }
    all
}

fn digest(call: &Call) -> Digest<'_> {
    let resource = call.resource.as_ref().map(|r| Target {
        group: &r.group,
        resource: &r.resource,
        subresource: &r.subresource,
        namespace: &r.namespace,
    });
    Digest { user: &call.user, verb: call.verb, resource, path: &call.path }
}

/// The answer to a request there is no room for: plain text, as upstream's.
fn refused() -> HttpResponse {
    let mut response = answer::text(429, REFUSED.to_owned());
    response.headers_mut().insert(HeaderName::from_static("retry-after"), RETRY_AFTER);
    response
}
