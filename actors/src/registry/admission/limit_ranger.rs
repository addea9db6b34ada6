//! LimitRanger: containers get the defaults of their namespace's limit ranges, and nobody asks for
//! less or more than they allow (k8s `plugin/pkg/admission/limitranger/admission.go`).

use std::sync::Arc;

use kabuki_api::{
    kind::{Kind, LIMIT_RANGE, PERSISTENT_VOLUME_CLAIM, POD},
    quantity::Quantity,
    status::Status,
};
use serde_json::{Value, json};

use super::{
    super::{
        object::{Object, text},
        view::View,
    },
    amounts::{self, Amounts, aggregate, containers, read},
};

/// Says on the pod what was set.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// The lists of containers, and what the annotation calls one of each.
const LISTS: [(&str, &str); 2] =
    [("containers", "container"), ("initContainers", "init container")];
/// Values up to which upstream compares ratios in thousandths.
const MILLI_MAX: i128 = i64::MAX as i128 / 1000;

fn ranges(view: &dyn View, object: &Value) -> Vec<Arc<Object>> {
    view.list(LIMIT_RANGE, Some(text(&object["metadata"], "namespace")))
}

fn limits(range: &Object) -> &[Value] {
    range.value()["spec"]["limits"].as_array().map_or(&[], Vec::as_slice)
}

/// Gives the containers of a new pod the defaults they leave open.
pub(super) fn mutate(view: &dyn View, pod: &mut Value) {
    for range in ranges(view, pod) {
        let (mut requests, mut most) = (Amounts::new(), Amounts::new());
        for item in limits(&range).iter().filter(|item| item["type"] == "Container") {
            requests.extend(read(&item["defaultRequest"]));
            most.extend(read(&item["default"]));
        }
        let mut said = Vec::new();
        for (list, called) in LISTS {
            let Some(all) = pod["spec"].get_mut(list).and_then(Value::as_array_mut) else {
                continue;
            };
            for container in all {
                let name = text(container, "name").to_owned();
                let set = fill(container, "limits", &most);
                let asked = fill(container, "requests", &requests);
                for (names, what) in [(asked, "request"), (set, "limit")] {
                    if !names.is_empty() {
                        said.push(format!("{} {what} for {called} {name}", names.join(", ")));
                    }
                }
            }
        }
        if !said.is_empty() {
            let text = format!("LimitRanger plugin set: {}", said.join("; "));
            let meta = &mut pod["metadata"];
            if !meta["annotations"].is_object() {
                meta["annotations"] = json!({});
            }
            meta["annotations"][ANNOTATION] = text.into();
        }
    }
}

/// Fills the gaps of one list of a container; the resources it set, in order.
fn fill(container: &mut Value, list: &str, defaults: &Amounts) -> Vec<String> {
    let given = &container["resources"][list];
    let missing: Vec<_> =
        defaults.iter().filter(|(name, _)| given[name.as_str()].is_null()).collect();
    if missing.is_empty() || !container.is_object() {
        return Vec::new();
    }
    let resources = &mut container["resources"];
    if !resources.is_object() {
        *resources = json!({});
    }
    if !resources[list].is_object() {
        resources[list] = json!({});
    }
    for (name, amount) in &missing {
        resources[list][name.as_str()] = amount.to_string().into();
    }
    missing.into_iter().map(|(name, _)| name.clone()).collect()
}

/// Refuses what a limit range of the namespace does not allow.
pub(super) fn validate(view: &dyn View, kind: &'static Kind, object: &Value) -> Result<(), Status> {
    if kind != POD && kind != PERSISTENT_VOLUME_CLAIM {
        return Ok(());
    }
    for range in ranges(view, object) {
        let mut errors = Vec::new();
        for item in limits(&range) {
            let own = text(item, "type");
            if kind == POD && own == "Container" {
                for container in LISTS.iter().flat_map(|(list, _)| containers(object, list)) {
                    let resources = &container["resources"];
                    let (asked, most) = (read(&resources["requests"]), read(&resources["limits"]));
                    Bounds { item, own }.check(&asked, &most, &mut errors);
                }
            } else if kind == POD && own == "Pod" {
                let asked = amounts::of_pod(object, "requests");
                let most = amounts::of_pod(object, "limits");
                Bounds { item, own }.check(&asked, &most, &mut errors);
            } else if kind == PERSISTENT_VOLUME_CLAIM && own == "PersistentVolumeClaim" {
                let asked = read(&object["spec"]["resources"]["requests"]);
                Bounds { item, own }.check_requests(&asked, &mut errors);
            }
        }
        if !errors.is_empty() {
            let name = text(&object["metadata"], "name");
            return Err(Status::forbidden(kind, name, &aggregate(&errors)));
        }
    }
    Ok(())
}

/// One item of a limit range.
struct Bounds<'a> {
    item: &'a Value,
    own: &'a str,
}

impl Bounds<'_> {
    fn check(&self, asked: &Amounts, most: &Amounts, errors: &mut Vec<String>) {
        for (name, bound) in read(&self.item["min"]) {
            errors.extend(self.too_little(&name, bound, asked.get(&name), most.get(&name)));
        }
        for (name, bound) in read(&self.item["max"]) {
            errors.extend(self.too_much(&name, bound, asked.get(&name), most.get(&name)));
        }
        for (name, bound) in read(&self.item["maxLimitRequestRatio"]) {
            errors.extend(self.too_wide(&name, bound, asked.get(&name), most.get(&name)));
        }
    }

    fn check_requests(&self, asked: &Amounts, errors: &mut Vec<String>) {
        for (name, bound) in read(&self.item["min"]) {
            errors.extend(self.too_little(&name, bound, asked.get(&name), None));
        }
        for (name, bound) in read(&self.item["max"]) {
            let start = format!("maximum {name} usage per {} is {bound}", self.own);
            match asked.get(&name) {
                None => errors.push(format!("{start}.  No request is specified")),
                Some(asked) if *asked > bound => {
                    errors.push(format!("{start}, but request is {asked}"));
                }
                Some(_) => {}
            }
        }
    }

    fn too_little(
        &self,
        name: &str,
        bound: Quantity,
        asked: Option<&Quantity>,
        most: Option<&Quantity>,
    ) -> Option<String> {
        let start = format!("minimum {name} usage per {} is {bound}", self.own);
        match (asked, most) {
            (None, _) => Some(format!("{start}.  No request is specified")),
            (Some(asked), _) if *asked < bound => Some(format!("{start}, but request is {asked}")),
            (_, Some(most)) if *most < bound => Some(format!("{start}, but limit is {most}")),
            _ => None,
        }
    }

    fn too_much(
        &self,
        name: &str,
        bound: Quantity,
        asked: Option<&Quantity>,
        most: Option<&Quantity>,
    ) -> Option<String> {
        let start = format!("maximum {name} usage per {} is {bound}", self.own);
        match (asked, most) {
            (_, None) => Some(format!("{start}.  No limit is specified")),
            (_, Some(most)) if *most > bound => Some(format!("{start}, but limit is {most}")),
            (Some(asked), _) if *asked > bound => Some(format!("{start}, but request is {asked}")),
            _ => None,
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn too_wide(
        &self,
        name: &str,
        bound: Quantity,
        asked: Option<&Quantity>,
        most: Option<&Quantity>,
    ) -> Option<String> {
        let start = format!("{name} max limit to request ratio per {} is {bound}, but", self.own);
        let there = |amount: Option<&Quantity>| amount.copied().filter(|a| !a.is_zero());
        let Some(asked) = there(asked) else {
            return Some(format!("{start} no request is specified or request is 0"));
        };
        let Some(most) = there(most) else {
            return Some(format!("{start} no limit is specified or limit is 0"));
        };
        let fine = [asked, most, bound].iter().all(|q| q.value() <= MILLI_MAX);
        let amount = |q: Quantity| if fine { q.milli_value() } else { q.value() };
        let ratio = amount(most) as f64 / amount(asked) as f64;
        let widest = bound.milli_value() as f64;
        (ratio * 1000.0 > widest).then(|| format!("{start} provided ratio is {ratio:.6}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::MemView;

    fn view(limits: Value) -> MemView {
        MemView::new().with(
            LIMIT_RANGE,
            json!({"metadata": {"name": "r", "namespace": "d"}, "spec": {"limits": limits}}),
        )
    }

    fn pod(resources: Value) -> Value {
        json!({"metadata": {"name": "p", "namespace": "d"},
            "spec": {"containers": [{"name": "c", "resources": resources}]}})
    }

    fn refusal(limits: Value, pod: &Value) -> Option<String> {
        validate(&view(limits), POD, pod).err().map(|status| {
            assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
            status.message.clone()
        })
    }

    #[test]
    fn defaults_and_what_the_pod_says_of_them() {
        let view = view(json!([{"type": "Container", "default": {"cpu": "1", "memory": "1Gi"},
            "defaultRequest": {"cpu": "500m", "memory": "512Mi"}}]));
        let mut new = pod(json!({"limits": {"cpu": "2"}}));
        new["spec"]["containers"][0]["resources"]["requests"] = json!({"cpu": "2"});
        new["spec"]["initContainers"] = json!([{"name": "i"}]);
        mutate(&view, &mut new);
        assert_eq!(
            new["metadata"]["annotations"][ANNOTATION],
            "LimitRanger plugin set: memory request for container c; memory limit for container c; cpu, memory request for init container i; cpu, memory limit for init container i"
        );
        assert_eq!(
            new["spec"]["containers"][0]["resources"],
            json!({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "2", "memory": "512Mi"}})
        );
        let mut untouched = pod(json!({}));
        mutate(&MemView::new(), &mut untouched);
        assert_eq!(untouched, pod(json!({})));
    }

    #[test]
    fn upstreams_words() {
        let asks = |requests: &str, limits: &str| {
            pod(json!({"requests": {"cpu": requests}, "limits": {"cpu": limits}}))
        };
        let item =
            |field: &str, own: &str, amount: &str| json!([{"type": own, field: {"cpu": amount}}]);
        for (limits, pod, want) in [
            (item("max", "Container", "1"), asks("1", "1"), None),
            (
                item("max", "Container", "500m"),
                asks("100m", "600m"),
                Some("maximum cpu usage per Container is 500m, but limit is 600m"),
            ),
            (
                item("max", "Container", "1"),
                pod(json!({"requests": {"cpu": "500m"}})),
                Some("maximum cpu usage per Container is 1.  No limit is specified"),
            ),
            (
                item("min", "Container", "50m"),
                asks("40m", "60m"),
                Some("minimum cpu usage per Container is 50m, but request is 40m"),
            ),
            (
                item("min", "Container", "50m"),
                pod(json!({})),
                Some("minimum cpu usage per Container is 50m.  No request is specified"),
            ),
            (
                item("maxLimitRequestRatio", "Container", "1"),
                asks("1250m", "2500m"),
                Some(
                    "cpu max limit to request ratio per Container is 1, but provided ratio is 2.000000",
                ),
            ),
            (
                item("maxLimitRequestRatio", "Container", "1"),
                pod(json!({"limits": {"cpu": "1"}})),
                Some(
                    "cpu max limit to request ratio per Container is 1, but no request is specified or request is 0",
                ),
            ),
            (
                item("max", "Pod", "100m"),
                asks("75m", "200m"),
                Some("maximum cpu usage per Pod is 100m, but limit is 200m"),
            ),
            (
                json!([{"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "50m"}}]),
                asks("40m", "2"),
                Some(
                    "[minimum cpu usage per Container is 50m, but request is 40m, maximum cpu usage per Container is 1, but limit is 2]",
                ),
            ),
        ] {
            let want = want.map(|text| format!("pods \"p\" is forbidden: {text}"));
            assert_eq!(refusal(limits, &pod), want);
        }
    }

    #[test]
    fn claims_have_requests_only() {
        let claim = |size: &str| {
            json!({"metadata": {"name": "c", "namespace": "d"},
                "spec": {"resources": {"requests": {"storage": size}}}})
        };
        let view = view(json!([{"type": "PersistentVolumeClaim", "max": {"storage": "2Gi"},
            "min": {"storage": "1Gi"}}]));
        let said = |size: &str| {
            let result = validate(&view, PERSISTENT_VOLUME_CLAIM, &claim(size));
            result.err().map(|status| status.message.clone())
        };
        assert_eq!(said("2Gi"), None);
        let start = "persistentvolumeclaims \"c\" is forbidden:";
        assert_eq!(
            said("3Gi").unwrap(),
            format!(
                "{start} maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"
            )
        );
        assert_eq!(
            said("1Mi").unwrap(),
            format!(
                "{start} minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"
            )
        );
    }
}
