//! Autoscalers (k8s pkg/apis/autoscaling/validation/validation.go).

use serde_json::Value;

use super::{
    FieldError,
    check::{Errors, in_range, items, one_of, optional_one_of, required, text},
};

/// Longest stabilisation window, and longest period of a policy, seconds.
const MAX_WINDOW: i64 = 3600;
const MAX_PERIOD: i64 = 1800;
/// (metric type, field of its source).
const SOURCES: &[(&str, &str)] = &[
    ("Object", "object"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
    ("External", "external"),
];

pub(crate) fn autoscaler(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    common(out, spec);
    for (i, metric) in items(spec, "metrics").iter().enumerate() {
        self::metric(out, &format!("spec.metrics[{i}]"), metric);
    }
    for direction in ["scaleUp", "scaleDown"] {
        let rules = &spec["behavior"][direction];
        if !rules.is_null() {
            behavior(out, &format!("spec.behavior.{direction}"), rules);
        }
    }
}

pub(crate) fn autoscaler_v1(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    common(out, spec);
    if let Some(percent) = spec["targetCPUUtilizationPercentage"].as_i64().filter(|p| *p < 1) {
        let path = "spec.targetCPUUtilizationPercentage";
        out.push(FieldError::invalid(path, percent, "must be greater than 0"));
    }
}

fn common(out: &mut Errors, spec: &Value) {
    let least = spec["minReplicas"].as_i64();
    let most = spec["maxReplicas"].as_i64().unwrap_or(0);
    if let Some(least) = least.filter(|n| *n < 1) {
        let detail = "must be greater than or equal to 1";
        out.push(FieldError::invalid("spec.minReplicas", least, detail));
    }
    if most < 1 {
        out.push(FieldError::invalid("spec.maxReplicas", most, "must be greater than 0"));
    }
    if least.is_some_and(|least| most < least) {
        let detail = "must be greater than or equal to `minReplicas`";
        out.push(FieldError::invalid("spec.maxReplicas", most, detail));
    }
    for field in ["kind", "name"] {
        required(out, format!("spec.scaleTargetRef.{field}"), &spec["scaleTargetRef"][field]);
    }
}

fn metric(out: &mut Errors, at: &str, metric: &Value) {
    let own = text(metric, "type");
    let Some((_, field)) = SOURCES.iter().find(|(name, _)| *name == own) else {
        if own.is_empty() {
            let detail = "must specify a metric source type";
            out.push(FieldError::required(format!("{at}.type"), detail));
        } else {
            let mut names: Vec<&str> = SOURCES.iter().map(|(name, _)| *name).collect();
            names.sort_unstable();
            out.push(FieldError::not_supported(format!("{at}.type"), own, &names));
        }
        return;
    };
    let source = &metric[*field];
    let at = format!("{at}.{field}");
    if source.is_null() {
        let detail = "must populate information for the given metric source";
        out.push(FieldError::required(at, detail));
        return;
    }
    match *field {
        "resource" | "containerResource" => {
            if text(source, "name").is_empty() {
                let detail = "must specify a resource name";
                out.push(FieldError::required(format!("{at}.name"), detail));
            }
            if *field == "containerResource" && text(source, "container").is_empty() {
                let detail = "must specify a container";
                out.push(FieldError::required(format!("{at}.container"), detail));
            }
        }
        _ => {
            if text(&source["metric"], "name").is_empty() {
                let detail = "must specify a metric name";
                out.push(FieldError::required(format!("{at}.metric.name"), detail));
            }
        }
    }
    target(out, &format!("{at}.target"), &source["target"]);
}

fn target(out: &mut Errors, at: &str, target: &Value) {
    let types = &["AverageValue", "Utilization", "Value"];
    one_of(out, format!("{at}.type"), &target["type"], types);
    if let Some(percent) = target["averageUtilization"].as_i64().filter(|p| *p < 1) {
        let path = format!("{at}.averageUtilization");
        out.push(FieldError::invalid(path, percent, "must be greater than 0"));
    }
    let given = ["averageUtilization", "averageValue", "value"].iter();
    if given.filter(|f| !target[**f].is_null()).count() == 0 {
        let path = format!("{at}.averageUtilization");
        let detail = "must set either a target raw value or a target utilization";
        out.push(FieldError::required(path, detail));
    }
}

fn behavior(out: &mut Errors, at: &str, rules: &Value) {
    if !rules["stabilizationWindowSeconds"].is_null() {
        let path = format!("{at}.stabilizationWindowSeconds");
        in_range(out, path, &rules["stabilizationWindowSeconds"], 0, MAX_WINDOW);
    }
    let choices = &["Disabled", "Max", "Min"];
    optional_one_of(out, format!("{at}.selectPolicy"), &rules["selectPolicy"], choices);
    let policies = items(rules, "policies");
    if policies.is_empty() {
        let detail = "must specify at least one Policy";
        out.push(FieldError::required(format!("{at}.policies"), detail));
    }
    for (i, policy) in policies.iter().enumerate() {
        let at = format!("{at}.policies[{i}]");
        one_of(out, format!("{at}.type"), &policy["type"], &["Percent", "Pods"]);
        for field in ["value", "periodSeconds"] {
            let number = policy[field].as_i64().unwrap_or(0);
            if number < 1 {
                let detail = "must be greater than zero";
                out.push(FieldError::invalid(format!("{at}.{field}"), number, detail));
            }
            if field == "periodSeconds" && number > MAX_PERIOD {
                let detail = "must be less than or equal to 1800";
                out.push(FieldError::invalid(format!("{at}.{field}"), number, detail));
            }
        }
    }
}
