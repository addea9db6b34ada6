//! How many pods more or fewer a rolling update may run with (upstream:
//! `pkg/controller/deployment/util/deployment_util.go`).

use crate::controllers::model::Deployment;

/// Whether the strategy is RollingUpdate.
pub(super) fn is_rolling(deployment: &Deployment) -> bool {
    deployment.spec.strategy.kind != "Recreate"
}

/// Pods above the wanted number.
pub(super) fn max_surge(deployment: &Deployment) -> i64 {
    if is_rolling(deployment) { fenceposts(deployment).0 } else { 0 }
}

/// Pods that may be missing.
pub(super) fn max_unavailable(deployment: &Deployment) -> i64 {
    let replicas = deployment.spec.replicas;
    if !is_rolling(deployment) || replicas == 0 {
        return 0;
    }
    fenceposts(deployment).1.min(replicas)
}

/// Surge is rounded up and unavailable down; if both came out as 0 nothing could ever move.
fn fenceposts(deployment: &Deployment) -> (i64, i64) {
    let update = &deployment.spec.strategy.rolling_update;
    let surge = update.max_surge.scaled(deployment.spec.replicas, true);
    let unavailable = update.max_unavailable.scaled(deployment.spec.replicas, false);
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bounds() {
        for (replicas, surge, unavailable, expected) in [
            (10, json!("25%"), json!("25%"), (3, 2)),
            (1, json!("25%"), json!("25%"), (1, 0)),
            (1, json!(0), json!("25%"), (0, 1)),
            (3, json!(0), json!(5), (0, 3)),
            (0, json!("25%"), json!("25%"), (0, 0)),
        ] {
            let value = json!({"spec": {"replicas": replicas, "strategy": {"type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}});
            let deployment: Deployment = serde_json::from_value(value).unwrap();
            assert_eq!((max_surge(&deployment), max_unavailable(&deployment)), expected);
        }
    }
}
