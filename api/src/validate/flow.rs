//! Flow schemas and priority levels (k8s pkg/apis/flowcontrol/validation/validation.go).

use serde_json::Value;

use super::{
    FieldError,
    check::{Errors, in_range, items, one_of, required_name, text},
};
use crate::name;

const MAX_PRECEDENCE: i64 = 10_000;
const MAX_QUEUES: i64 = 10_000_000;
const SUBJECTS: &[&str] = &["Group", "ServiceAccount", "User"];

pub(crate) fn schema(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let precedence = spec["matchingPrecedence"].as_i64().unwrap_or(0);
    const PATH: &str = "spec.matchingPrecedence";
    if precedence < 1 {
        out.push(FieldError::invalid(PATH, precedence, "must be a positive value"));
    } else if precedence > MAX_PRECEDENCE {
        let detail = "must not be greater than 10000";
        out.push(FieldError::invalid(PATH, precedence, detail));
    } else if precedence == 1 && text(&object["metadata"], "name") != "exempt" {
        let detail = "only the schema named 'exempt' may have matchingPrecedence 1";
        out.push(FieldError::invalid(PATH, precedence, detail));
    }
    required_name(
        out,
        "spec.priorityLevelConfiguration.name",
        &spec["priorityLevelConfiguration"]["name"],
        name::dns1123_subdomain,
    );
    if !spec["distinguisherMethod"].is_null() {
        let path = "spec.distinguisherMethod".to_owned();
        one_of(out, path, &spec["distinguisherMethod"]["type"], &["ByNamespace", "ByUser"]);
    }
    for (i, rule) in items(spec, "rules").iter().enumerate() {
        self::rule(out, &format!("spec.rules[{i}]"), rule);
    }
}

fn rule(out: &mut Errors, at: &str, rule: &Value) {
    let subjects = items(rule, "subjects");
    if subjects.is_empty() {
        let detail = "subjects must contain at least one value";
        out.push(FieldError::required(format!("{at}.subjects"), detail));
    }
    for (i, subject) in subjects.iter().enumerate() {
        one_of(out, format!("{at}.subjects[{i}].kind"), &subject["kind"], SUBJECTS);
    }
    let (resources, others) = (items(rule, "resourceRules"), items(rule, "nonResourceRules"));
    if resources.is_empty() && others.is_empty() {
        let detail = "at least one of resourceRules and nonResourceRules has to be non-empty";
        out.push(FieldError::required(at, detail));
    }
    for (list, rules, fields) in [
        ("resourceRules", resources, &["verbs", "apiGroups", "resources"] as &[&str]),
        ("nonResourceRules", others, &["verbs", "nonResourceURLs"]),
    ] {
        for (i, own) in rules.iter().enumerate() {
            let at = format!("{at}.{list}[{i}]");
            for field in fields.iter().filter(|f| items(own, f).is_empty()) {
                let detail = format!("{field} must contain at least one value");
                out.push(FieldError::required(format!("{at}.{field}"), detail));
            }
            if list == "resourceRules"
                && own["clusterScope"] != true
                && items(own, "namespaces").is_empty()
            {
                let detail =
                    "resource rules that are not cluster scoped must supply at least one namespace";
                out.push(FieldError::required(format!("{at}.namespaces"), detail));
            }
        }
    }
}

pub(crate) fn level(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let exempt = text(&object["metadata"], "name") == "exempt";
    match text(spec, "type") {
        "Exempt" => {
            if !exempt {
                let detail =
                    "must be 'Limited' because only the level named 'exempt' may be exempt";
                out.push(FieldError::invalid("spec.type", "Exempt", detail));
            }
            if !spec["limited"].is_null() {
                let detail = "must be nil if the type is not Limited";
                out.push(FieldError::forbidden("spec.limited", detail));
            }
        }
        "Limited" => {
            if !spec["exempt"].is_null() {
                let detail = "must be nil if the type is Limited";
                out.push(FieldError::forbidden("spec.exempt", detail));
            }
            if spec["limited"].is_null() {
                let detail = "must not be empty when type is Limited";
                out.push(FieldError::required("spec.limited", detail));
            } else {
                limited(out, &spec["limited"]);
            }
        }
        other => out.push(FieldError::not_supported("spec.type", other, &["Exempt", "Limited"])),
    }
}

fn limited(out: &mut Errors, limited: &Value) {
    const AT: &str = "spec.limited";
    if let Some(shares) = limited["nominalConcurrencyShares"].as_i64().filter(|s| *s < 0) {
        let detail = "must be a non-negative integer";
        out.push(FieldError::invalid(format!("{AT}.nominalConcurrencyShares"), shares, detail));
    }
    in_range(out, format!("{AT}.lendablePercent"), &limited["lendablePercent"], 0, 100);
    let response = &limited["limitResponse"];
    let queuing = &response["queuing"];
    match text(response, "type") {
        "Reject" if !queuing.is_null() => out.push(FieldError::forbidden(
            format!("{AT}.limitResponse.queuing"),
            "must be nil if limited.limitResponse.type is not Limited",
        )),
        "Reject" => {}
        "Queue" if queuing.is_null() => out.push(FieldError::required(
            format!("{AT}.limitResponse.queuing"),
            "must not be empty if limited.limitResponse.type is Queue",
        )),
        "Queue" => {
            let at = format!("{AT}.limitResponse.queuing");
            let queues = queuing["queues"].as_i64().unwrap_or(0);
            for field in ["queueLengthLimit", "queues", "handSize"] {
                let number = queuing[field].as_i64().unwrap_or(0);
                let path = format!("{at}.{field}");
                if number < 1 {
                    out.push(FieldError::invalid(path, number, "must be positive"));
                } else if field == "queues" && number > MAX_QUEUES {
                    let detail = "must not be greater than 10000000";
                    out.push(FieldError::invalid(path, number, detail));
                } else if field == "handSize" && number > queues {
                    let detail = format!("should not be greater than queues ({queues})");
                    out.push(FieldError::invalid(path, number, detail));
                }
            }
        }
        other => out.push(FieldError::not_supported(
            format!("{AT}.limitResponse.type"),
            other,
            &["Queue", "Reject"],
        )),
    }
}
