//! What must have held at every moment.

use std::collections::{BTreeMap, BTreeSet};

use kabuki_api::kind::{NODE, POD, REPLICA_SET};
use serde_json::Value;

use super::history::History;

/// Uid of the managing owner.
pub(super) fn manager(value: &Value) -> Option<&str> {
    let owners = value["metadata"]["ownerReferences"].as_array()?;
    owners.iter().find(|o| o["controller"] == true)?["uid"].as_str()
}

/// Neither ended nor being deleted.
pub(super) fn is_active(pod: &Value) -> bool {
    !is_terminal(pod) && pod["metadata"]["deletionTimestamp"].is_null()
}

pub(super) fn is_terminal(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// No ReplicaSet ever had more pods than it was ever asked for.
pub(super) fn never_too_many(history: &History) -> Result<(), String> {
    let mut most: BTreeMap<String, i64> = BTreeMap::new();
    history.replay(&[POD, REPLICA_SET], |moment, there| {
        if moment.kind == REPLICA_SET {
            let asked = moment.value["spec"]["replicas"].as_i64().unwrap_or(1);
            let known = most.entry(moment.uid().to_owned()).or_default();
            *known = asked.max(*known);
            return Ok(());
        }
        let Some(owner) = manager(&moment.value) else { return Ok(()) };
        let pods = there.values().filter(|v| v["spec"]["containers"].is_array());
        let active = pods.filter(|v| manager(v) == Some(owner) && is_active(v)).count();
        let allowed = most.get(owner).copied().unwrap_or(0);
        if i64::try_from(active).unwrap_or(i64::MAX) > allowed {
            return Err(format!("{active} pods like {}, asked for {allowed}", moment.name()));
        }
        Ok(())
    })
}

/// A pod never moves from one node to another, and no node ever has more than fits.
pub(super) fn bound_once_and_fitting(history: &History) -> Result<(), String> {
    let mut homes: BTreeMap<String, String> = BTreeMap::new();
    history.replay(&[POD, NODE], |moment, there| {
        if moment.kind != POD || moment.gone {
            return Ok(());
        }
        let Some(node) = moment.value["spec"]["nodeName"].as_str() else { return Ok(()) };
        let home = homes.entry(moment.uid().to_owned()).or_insert_with(|| node.to_owned());
        if home != node {
            return Err(format!("{} moved from {home} to {node}", moment.name()));
        }
        let here = there.values().filter(|v| v["spec"]["nodeName"] == node && !is_terminal(v));
        let used: u64 = here.map(|v| millicores(v)).sum();
        if used > 4_000 {
            return Err(format!("{node} has pods of {used}m, {} the last", moment.name()));
        }
        Ok(())
    })
}

fn millicores(pod: &Value) -> u64 {
    let text = pod["spec"]["containers"][0]["resources"]["requests"]["cpu"].as_str();
    let millis = |text: &str| match text.strip_suffix('m') {
        Some(millis) => millis.parse().unwrap_or(0),
        None => text.parse::<u64>().unwrap_or(0) * 1000,
    };
    text.map_or(0, millis)
}

/// No two nodes ever had the same range of pod addresses.
pub(super) fn ranges_are_unique(history: &History) -> Result<(), String> {
    history.replay(&[NODE], |moment, there| {
        let mut seen = BTreeSet::new();
        for node in there.values() {
            if let Some(range) = node["spec"]["podCIDR"].as_str()
                && !seen.insert(range)
            {
                return Err(format!("{range} is given twice, last to {}", moment.name()));
            }
        }
        Ok(())
    })
}
