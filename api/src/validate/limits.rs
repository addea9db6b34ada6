//! Limit ranges (k8s pkg/apis/core/validation/validation.go `ValidateLimitRange`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    FieldError,
    check::{Errors, each, entries, items, text},
    resources::{any_resource, container_resource, overcommits, quantity},
};
use crate::{name, quantity::Quantity};

/// The fields of an item that hold amounts.
const LISTS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];
/// What a type without a domain may be.
const TYPES: [&str; 3] = ["Pod", "Container", "PersistentVolumeClaim"];
/// Largest value whose thousandths upstream compares.
const MILLI_MAX: i128 = i64::MAX as i128 / 1000;

pub(crate) fn range(out: &mut Errors, object: &Value) {
    let mut seen = BTreeSet::new();
    for (i, item) in items(&object["spec"], "limits").iter().enumerate() {
        let at = format!("spec.limits[{i}]");
        let own = text(item, "type");
        type_name(out, &format!("{at}.type"), own);
        if !seen.insert(own) {
            out.push(FieldError::duplicate(format!("{at}.type"), own));
        }
        names(out, &at, own, item);
        let of_pod = |list: &str| own == "Pod" && list.starts_with("default");
        let resources: BTreeSet<&String> = LISTS
            .iter()
            .filter(|list| !of_pod(list))
            .flat_map(|list| entries(item, list).map(|(resource, _)| resource))
            .collect();
        for resource in resources {
            amounts(out, &at, item, resource);
        }
    }
}

fn type_name(out: &mut Errors, path: &str, own: &str) {
    let messages = name::qualified_name(own);
    if !messages.is_empty() {
        each(out, path, &own.into(), messages);
    } else if !own.contains('/') && !TYPES.contains(&own) {
        let detail = "must be a standard limit type or fully qualified";
        out.push(FieldError::invalid(path, own, detail));
    }
}

fn names(out: &mut Errors, at: &str, own: &str, item: &Value) {
    let check = match own {
        "Pod" | "Container" => container_resource,
        _ => any_resource,
    };
    for list in LISTS {
        if own == "Pod" && list.starts_with("default") {
            if entries(item, list).next().is_some() {
                let detail = "may not be specified when `type` is 'Pod'";
                out.push(FieldError::forbidden(format!("{at}.{list}"), detail));
            }
            continue;
        }
        for (resource, _) in entries(item, list) {
            check(out, &format!("{at}.{list}[{resource}]"), resource);
        }
    }
    let has = |list: &str| !item[list]["storage"].is_null();
    if own == "PersistentVolumeClaim" && !has("min") && !has("max") {
        let detail =
            "either minimum or maximum storage value is required, but neither was provided";
        out.push(FieldError::required(format!("{at}.limits"), detail));
    }
}

/// Compares what is said of one resource.
fn amounts(out: &mut Errors, at: &str, item: &Value, resource: &str) {
    let pod = item["type"] == "Pod";
    let of = |list: &str| -> Option<Quantity> {
        let skipped = pod && list.starts_with("default");
        if skipped { None } else { quantity(&item[list][resource]) }
    };
    let [max, min, default, request, ratio] = LISTS.map(of);
    let mut refuse = |list: &str, value: Quantity, detail: String| {
        let path = format!("{at}.{list}[{resource}]");
        out.push(FieldError::invalid(path, value.to_string(), detail));
    };
    // Smaller, its name, larger, its name; the list and the value the error shows.
    let rules = [
        (min, "min value", max, "max value", "min", min),
        (min, "min value", request, "default request value", "defaultRequest", request),
        (request, "default request value", max, "max value", "defaultRequest", request),
        (
            request,
            "default request value",
            default,
            "default limit value",
            "defaultRequest",
            request,
        ),
        (min, "min value", default, "default value", "default", min),
        (default, "default value", max, "max value", "default", max),
    ];
    for (low, low_name, high, high_name, list, shown) in rules {
        if let (Some(low), Some(high), Some(shown)) = (low, high, shown)
            && low > high
        {
            let detail = format!("{low_name} {low} is greater than {high_name} {high}");
            refuse(list, shown, detail);
        }
    }
    if let Some(ratio) = ratio {
        if ratio < Quantity::from_value(1) {
            refuse("maxLimitRequestRatio", ratio, format!("ratio {ratio} is less than 1"));
        }
        if let (Some(min), Some(max)) = (min, max)
            && let Some(widest) = exceeds(ratio, min, max)
        {
            let detail = format!("ratio {ratio} is greater than max/min = {widest:.6}");
            refuse("maxLimitRequestRatio", ratio, detail);
        }
    }
    if let (Some(default), Some(request)) = (default, request)
        && !overcommits(resource)
        && default != request
    {
        let detail = format!(
            "default value {default} must equal to defaultRequest value {request} in {resource}"
        );
        refuse("defaultRequest", request, detail);
    }
}

/// What lies between minimum and maximum, if that is less than the ratio.
#[allow(clippy::cast_precision_loss)]
fn exceeds(ratio: Quantity, min: Quantity, max: Quantity) -> Option<f64> {
    let fine = [ratio, min, max].iter().all(|q| q.value() < MILLI_MAX);
    let amount = |q: Quantity| if fine { q.milli_value() } else { q.value() };
    let widest = amount(max) as f64 / amount(min) as f64;
    let own = if fine { ratio.milli_value() as f64 / 1000.0 } else { ratio.value() as f64 };
    (own > widest).then_some(widest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors(limits: Value) -> Vec<String> {
        let mut out = Vec::new();
        range(&mut out, &json!({"spec": {"limits": limits}}));
        out.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn good_ranges_pass() {
        let limits = json!([
            {"type": "Pod", "max": {"cpu": "100m"}, "min": {"cpu": "50m"},
                "maxLimitRequestRatio": {"cpu": "2"}},
            {"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1"}, "default": {"cpu": "2"},
                "defaultRequest": {"cpu": "1"}},
            {"type": "PersistentVolumeClaim", "max": {"storage": "10Gi"}},
            {"type": "thirdparty.com/foo", "max": {"x.y/z": "1"}}]);
        assert_eq!(errors(limits), [] as [&str; 0]);
    }

    #[test]
    fn upstreams_words() {
        for (item, want) in [
            (
                json!({"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "2"}}),
                "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
            ),
            (
                json!({"type": "Container", "max": {"cpu": "1"}, "defaultRequest": {"cpu": "2"}}),
                "spec.limits[0].defaultRequest[cpu]: Invalid value: \"2\": default request value 2 is greater than max value 1",
            ),
            (
                json!({"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "2"}}),
                "spec.limits[0].defaultRequest[cpu]: Invalid value: \"2\": default request value 2 is greater than default limit value 1",
            ),
            (
                json!({"type": "Container", "default": {"cpu": "2"}, "max": {"cpu": "1"}}),
                "spec.limits[0].default[cpu]: Invalid value: \"1\": default value 2 is greater than max value 1",
            ),
            (
                json!({"type": "Pod", "default": {"cpu": "2"}}),
                "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
            ),
            (
                json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "800m"}}),
                "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"800m\": ratio 800m is less than 1",
            ),
            (
                json!({"type": "Container", "max": {"memory": "4Gi"}, "min": {"memory": "1Gi"},
                    "maxLimitRequestRatio": {"memory": "10"}}),
                "spec.limits[0].maxLimitRequestRatio[memory]: Invalid value: \"10\": ratio 10 is greater than max/min = 4.000000",
            ),
            (
                json!({"type": "foo"}),
                "spec.limits[0].type: Invalid value: \"foo\": must be a standard limit type or fully qualified",
            ),
            (
                json!({"type": "PersistentVolumeClaim"}),
                "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided",
            ),
            (
                json!({"type": "Container", "default": {"a.b/c": "2"}, "defaultRequest": {"a.b/c": "1"}}),
                "spec.limits[0].defaultRequest[a.b/c]: Invalid value: \"1\": default value 2 must equal to defaultRequest value 1 in a.b/c",
            ),
        ] {
            assert_eq!(errors(json!([item])), [want]);
        }
        let twice = errors(json!([{"type": "Pod"}, {"type": "Pod"}]));
        assert_eq!(twice, ["spec.limits[1].type: Duplicate value: \"Pod\""]);
    }
}
