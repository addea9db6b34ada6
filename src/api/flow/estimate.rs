//! How many seats a request takes: a list of many objects is more work than one object
//! (kubernetes `apiserver/pkg/util/flowcontrol/request/list_work_estimator.go`).

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use kabuki_actors::registry::Registry;

use crate::api::call::Call;

/// Objects of a list that are worth one seat.
const OBJECTS_PER_SEAT: u64 = 100;
/// Seats of the widest request.
const SEATS_MAX: u64 = 10;
/// How long a count is good enough.
const COUNT_AGE: Duration = Duration::from_secs(5);

/// How many objects there are of each kind, counted now and then.
#[derive(Debug, Default)]
pub(super) struct Sizes(HashMap<String, (Instant, u64)>);

impl Sizes {
    /// The seats of a request.
    pub(super) fn seats(&mut self, registry: &Registry, call: &Call) -> u32 {
        if call.verb != "list" {
            return 1;
        }
        // What is not served is refused soon.
        let Some(kind) = call.known_kind() else { return 1 };
        let prefix = kind.prefix(None);
        let count = match self.0.get(&prefix) {
            Some((at, count)) if at.elapsed() < COUNT_AGE => *count,
            _ => {
                let page = registry.store().list(&prefix, None, 1);
                let count = page.records.len() as u64 + page.remaining;
                self.0.insert(prefix, (Instant::now(), count));
                count
            }
        };
        let limit = call.query.get("limit").parse().unwrap_or(0);
        width(count, limit, call.query.get("resourceVersion"))
    }
}

/// A limit shortens only what is not answered from a cache as a whole.
fn width(count: u64, limit: u64, version: &str) -> u32 {
    let objects = if limit > 0 && version != "0" { count.min(limit) } else { count };
    let seats = objects.div_ceil(OBJECTS_PER_SEAT).clamp(1, SEATS_MAX);
    u32::try_from(seats).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_wide() {
        for (count, limit, version, seats) in [
            (0, 0, "", 1),
            (100, 0, "", 1),
            (101, 0, "", 2),
            (50_000, 0, "", 10),
            (50_000, 500, "", 5),
            (50_000, 500, "0", 10),
            (3, 500, "", 1),
        ] {
            assert_eq!(width(count, limit, version), seats, "{count} {limit} {version:?}");
        }
    }
}
