//! A Kubernetes watch as a stream of messages, with short pauses after errors.

use std::{fmt::Debug, time::Duration};

use actix::Message;
use futures_util::{Stream, StreamExt};
use kube::{
    Api, Resource,
    runtime::{WatchStreamExt, utils::Backoff, watcher},
};
use serde::de::DeserializeOwned;

/// First and longest pause between attempts: a node that comes back has to be current in seconds.
const MIN: Duration = Duration::from_millis(50);
const MAX: Duration = Duration::from_secs(1);

/// What a watch says.
#[derive(Debug)]
pub(super) enum News<K> {
    /// A complete list begins.
    Listing,
    /// One object of that list.
    Listed(K),
    /// The list is complete: what was not in it is gone.
    ListEnd,
    Changed(K),
    Gone(K),
}

impl<K: 'static> Message for News<K> {
    type Result = ();
}

/// Follows a collection for ever.
pub(super) fn follow<K>(api: Api<K>) -> impl Stream<Item = News<K>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    K::DynamicType: Default + Clone,
{
    watcher(api, watcher::Config::default()).backoff(Pauses(MIN)).filter_map(|event| async move {
        match event {
            Ok(watcher::Event::Init) => Some(News::Listing),
            Ok(watcher::Event::InitApply(k)) => Some(News::Listed(k)),
            Ok(watcher::Event::InitDone) => Some(News::ListEnd),
            Ok(watcher::Event::Apply(k)) => Some(News::Changed(k)),
            Ok(watcher::Event::Delete(k)) => Some(News::Gone(k)),
            Err(error) => {
                tracing::debug!(%error, "watch interrupted");
                None
            }
        }
    })
}

struct Pauses(Duration);

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.0;
        self.0 = (self.0 * 2).min(MAX);
        // So that nodes do not return in step.
        Some(pause.mul_f64(0.75 + 0.25 * rand::random::<f64>()))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0 = MIN;
    }
}
