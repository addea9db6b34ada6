//! Jobs and cron jobs (k8s pkg/apis/batch/validation/validation.go).

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::{
    FieldError,
    check::{
        Errors, immutable, items, label_selector, not_negative, one_of, selector_matches, text,
    },
    controllers::selected,
    cron, pod,
};
use crate::name;

/// Most pods of an indexed job at once.
const MAX_PARALLELISM: i64 = 100_000;
/// Longest name of a cron job: its jobs add eleven characters.
const MAX_CRON_JOB_NAME: usize = 52;
const MAX_MANAGER: usize = 63;
const MAX_RULES: usize = 20;
const MAX_EXIT_CODES: usize = 255;

pub(crate) fn job(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let selector = &spec["selector"];
    if selector.is_null() {
        out.push(FieldError::required("spec.selector", ""));
    } else {
        label_selector(out, "spec.selector", selector);
        selected(out, selector, &spec["template"]["metadata"]["labels"]);
    }
    job_spec(out, "spec", spec);
}

pub(crate) fn job_new(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    if spec["manualSelector"] == true {
        return;
    }
    let metadata = &object["metadata"];
    let mut expected = Map::new();
    for (key, value) in [
        ("controller-uid", &metadata["uid"]),
        ("job-name", &metadata["name"]),
        ("batch.kubernetes.io/controller-uid", &metadata["uid"]),
        ("batch.kubernetes.io/job-name", &metadata["name"]),
    ] {
        let wanted = value.as_str().unwrap_or("");
        let labels = &spec["template"]["metadata"]["labels"];
        match labels.get(key) {
            None => out.push(FieldError::required(
                format!("spec.template.metadata.labels[{key}]"),
                format!("must be '{wanted}'"),
            )),
            Some(found) if found != value => out.push(FieldError::invalid(
                format!("spec.template.metadata.labels[{key}]"),
                found.clone(),
                format!("must be '{wanted}'"),
            )),
            Some(_) => {}
        }
        expected.insert(key.to_owned(), value.clone());
    }
    if !selector_matches(&spec["selector"], &Value::Object(expected)) {
        let detail = "`selector` not auto-generated";
        out.push(FieldError::invalid("spec.selector", spec["selector"].clone(), detail));
    }
}

fn job_spec(out: &mut Errors, path: &str, spec: &Value) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        not_negative(out, format!("{path}.{field}"), &spec[field]);
    }
    if !spec["maxFailedIndexes"].is_null() && spec["backoffLimitPerIndex"].is_null() {
        out.push(FieldError::required(
            format!("{path}.backoffLimitPerIndex"),
            "when maxFailedIndexes is specified",
        ));
    }
    if let Some(manager) = spec["managedBy"].as_str() {
        let path = format!("{path}.managedBy");
        let (domain, rest) = manager.split_once('/').unwrap_or((manager, ""));
        if rest.is_empty() || !name::is_dns1123_subdomain(domain) {
            let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
            out.push(FieldError::invalid(path.clone(), manager, detail));
        }
        if manager.len() > MAX_MANAGER {
            out.push(FieldError::too_long(path, MAX_MANAGER));
        }
    }
    completion_mode(out, path, spec);
    failure_policy(out, path, spec);
    success_policy(out, path, spec);
    let template = &spec["template"];
    pod::template(out, &format!("{path}.template"), template);
    let restart = text(&template["spec"], "restartPolicy");
    let field = format!("{path}.template.spec.restartPolicy");
    match restart {
        "" | "Always" => {
            out.push(FieldError::required(field, "valid values: \"OnFailure\", \"Never\""));
        }
        "OnFailure" if !spec["podFailurePolicy"].is_null() => out.push(FieldError::invalid(
            field,
            restart,
            "only \"Never\" is supported when podFailurePolicy is specified",
        )),
        _ => {}
    }
}

fn completion_mode(out: &mut Errors, path: &str, spec: &Value) {
    match spec["completionMode"].as_str() {
        Some("Indexed") => {
            if spec["completions"].is_null() {
                let detail = "when completion mode is Indexed";
                out.push(FieldError::required(format!("{path}.completions"), detail));
            }
            let parallelism = spec["parallelism"].as_i64().unwrap_or(0);
            if parallelism > MAX_PARALLELISM {
                out.push(FieldError::invalid(
                    format!("{path}.parallelism"),
                    parallelism,
                    "must be less than or equal to 100000 when completion mode is Indexed",
                ));
            }
            if let (Some(most), Some(all)) =
                (spec["maxFailedIndexes"].as_i64(), spec["completions"].as_i64())
                && most > all
            {
                let detail = "must be less than or equal to completions";
                out.push(FieldError::invalid(format!("{path}.maxFailedIndexes"), most, detail));
            }
        }
        Some("NonIndexed") | None => {
            for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                if let Some(number) = spec[field].as_i64() {
                    let detail = "requires indexed completion mode";
                    out.push(FieldError::invalid(format!("{path}.{field}"), number, detail));
                }
            }
        }
        Some(other) => out.push(FieldError::not_supported(
            format!("{path}.completionMode"),
            other,
            &["Indexed", "NonIndexed"],
        )),
    }
}

fn failure_policy(out: &mut Errors, path: &str, spec: &Value) {
    let rules = items(&spec["podFailurePolicy"], "rules");
    if rules.len() > MAX_RULES {
        let path = format!("{path}.podFailurePolicy.rules");
        out.push(FieldError::too_many(path, rules.len(), MAX_RULES));
    }
    let containers: HashSet<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| items(&spec["template"]["spec"], list))
        .map(|c| text(c, "name"))
        .collect();
    for (i, rule) in rules.iter().enumerate() {
        let path = format!("{path}.podFailurePolicy.rules[{i}]");
        const ACTIONS: &[&str] = &["Count", "FailIndex", "FailJob", "Ignore"];
        one_of(out, format!("{path}.action"), &rule["action"], ACTIONS);
        if rule["action"] == "FailIndex" && spec["backoffLimitPerIndex"].is_null() {
            let detail = "requires the backoffLimitPerIndex to be set";
            out.push(FieldError::invalid(format!("{path}.action"), "FailIndex", detail));
        }
        let codes = &rule["onExitCodes"];
        let patterns = items(rule, "onPodConditions");
        match (codes.is_null(), patterns.is_empty()) {
            (false, false) => out.push(FieldError::invalid(
                path.clone(),
                Value::Null,
                "specifying both OnExitCodes and OnPodConditions is not supported",
            )),
            (true, true) => out.push(FieldError::invalid(
                path.clone(),
                Value::Null,
                "specifying one of OnExitCodes and OnPodConditions is required",
            )),
            _ => {}
        }
        if !codes.is_null() {
            exit_codes(out, &format!("{path}.onExitCodes"), codes, &containers);
        }
        for (j, pattern) in patterns.iter().enumerate() {
            let path = format!("{path}.onPodConditions[{j}]");
            one_of(
                out,
                format!("{path}.status"),
                &pattern["status"],
                &["False", "True", "Unknown"],
            );
            if text(pattern, "type").is_empty() {
                out.push(FieldError::invalid(
                    format!("{path}.type"),
                    "",
                    "name part must be non-empty",
                ));
            }
        }
    }
}

fn exit_codes(out: &mut Errors, path: &str, codes: &Value, containers: &HashSet<&str>) {
    one_of(out, format!("{path}.operator"), &codes["operator"], &["In", "NotIn"]);
    if let Some(name) = codes["containerName"].as_str().filter(|n| !containers.contains(n)) {
        let detail = "must be one of the container or initContainer names in the pod template";
        out.push(FieldError::invalid(format!("{path}.containerName"), name, detail));
    }
    let values = items(codes, "values");
    let path = format!("{path}.values");
    if values.is_empty() {
        out.push(FieldError::invalid(path, json!([]), "at least one value is required"));
        return;
    }
    if values.len() > MAX_EXIT_CODES {
        out.push(FieldError::too_many(path, values.len(), MAX_EXIT_CODES));
        return;
    }
    let mut last = None;
    for (i, value) in values.iter().enumerate() {
        let number = value.as_i64().unwrap_or(0);
        let path = format!("{path}[{i}]");
        if number == 0 && codes["operator"] == "In" {
            let detail = "must not be 0 for the In operator";
            out.push(FieldError::invalid(path.clone(), 0, detail));
        }
        match last {
            Some(before) if before == number => out.push(FieldError::duplicate(path, number)),
            Some(before) if before > number => {
                out.push(FieldError::invalid(path, number, "must be ordered"));
            }
            _ => {}
        }
        last = Some(number);
    }
}

fn success_policy(out: &mut Errors, path: &str, spec: &Value) {
    let policy = &spec["successPolicy"];
    if policy.is_null() {
        return;
    }
    let path = format!("{path}.successPolicy");
    if spec["completionMode"] != "Indexed" {
        let detail = "requires indexed completion mode";
        out.push(FieldError::invalid(path, policy.clone(), detail));
        return;
    }
    let rules = items(policy, "rules");
    let path = format!("{path}.rules");
    if rules.is_empty() {
        let detail = "at least one rules must be specified when the successPolicy is specified";
        out.push(FieldError::required(path, detail));
    } else if rules.len() > MAX_RULES {
        out.push(FieldError::too_many(path, rules.len(), MAX_RULES));
    } else {
        for (i, rule) in rules.iter().enumerate() {
            let path = format!("{path}[{i}]");
            if rule["succeededCount"].is_null() && rule["succeededIndexes"].is_null() {
                let detail = "at least one of succeededCount or succeededIndexes must be specified";
                out.push(FieldError::required(path.clone(), detail));
            }
            if let Some(count) = rule["succeededCount"].as_i64().filter(|c| *c < 1) {
                let detail = "must be greater than 0";
                out.push(FieldError::invalid(format!("{path}.succeededCount"), count, detail));
            }
        }
    }
}

pub(crate) fn job_change(out: &mut Errors, new: &Value, old: &Value) {
    let unstarted = old["spec"]["suspend"] == true && old["status"]["startTime"].is_null();
    let (new, old) = (&new["spec"], &old["spec"]);
    if new["completions"] != old["completions"] {
        if new["completionMode"] != "Indexed" {
            immutable(out, "spec.completions", &new["completions"], &old["completions"]);
        } else if new["completions"] != new["parallelism"] {
            out.push(FieldError::invalid(
                "spec.completions",
                new["completions"].clone(),
                "can only be modified in tandem with spec.parallelism",
            ));
        }
    }
    immutable(out, "spec.selector", &new["selector"], &old["selector"]);
    let (now, before) = (fixed(&new["template"], unstarted), fixed(&old["template"], unstarted));
    if now != before {
        out.push(FieldError::invalid(
            "spec.template",
            new["template"].clone(),
            super::check::IMMUTABLE,
        ));
    }
    for field in
        ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
    {
        immutable(out, &format!("spec.{field}"), &new[field], &old[field]);
    }
}

/// A job's template without what may change: while it waits to start, where its pods may run.
fn fixed(template: &Value, unstarted: bool) -> Value {
    let mut template = template.clone();
    if !unstarted {
        return template;
    }
    let remove = |at: &str, fields: &[&str], template: &mut Value| {
        if let Some(Value::Object(map)) = template.pointer_mut(at) {
            map.retain(|field, _| !fields.contains(&field.as_str()));
        }
    };
    remove("/metadata", &["labels", "annotations"], &mut template);
    remove("/spec", &["nodeSelector", "tolerations", "schedulingGates"], &mut template);
    remove("/spec/affinity", &["nodeAffinity"], &mut template);
    if template.pointer("/spec/affinity").and_then(Value::as_object).is_some_and(Map::is_empty) {
        remove("/spec", &["affinity"], &mut template);
    }
    template
}

pub(crate) fn cron_job(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let schedule = text(spec, "schedule");
    if schedule.is_empty() {
        out.push(FieldError::required("spec.schedule", ""));
    } else if schedule.contains("TZ") {
        let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        out.push(FieldError::invalid("spec.schedule", schedule, detail));
    } else if let Err(error) = cron::check(schedule) {
        out.push(FieldError::invalid("spec.schedule", schedule, error));
    }
    if let Some(zone) = spec["timeZone"].as_str() {
        time_zone(out, zone);
    }
    for field in ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"]
    {
        not_negative(out, format!("spec.{field}"), &spec[field]);
    }
    let policies = &["Allow", "Forbid", "Replace"];
    one_of(out, "spec.concurrencyPolicy".into(), &spec["concurrencyPolicy"], policies);
    let job = &spec["jobTemplate"]["spec"];
    job_spec(out, "spec.jobTemplate.spec", job);
    if !job["selector"].is_null() {
        out.push(FieldError::invalid(
            "spec.jobTemplate.spec.selector",
            job["selector"].clone(),
            "`selector` will be auto-generated",
        ));
    }
    if job["manualSelector"] == true {
        let path = "spec.jobTemplate.spec.manualSelector";
        out.push(FieldError::not_supported(path, true, &["nil", "false"]));
    }
}

pub(crate) fn cron_job_new(out: &mut Errors, object: &Value) {
    let own = text(&object["metadata"], "name");
    if own.len() > MAX_CRON_JOB_NAME {
        let detail = format!("must be no more than {MAX_CRON_JOB_NAME} characters");
        out.push(FieldError::invalid("metadata.name", own, detail));
    }
}

/// The shape of a time zone's name; whether there is such a zone is known where jobs are made.
fn time_zone(out: &mut Errors, zone: &str) {
    let plain = |part: &str| {
        part.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'+'))
            && part.starts_with(|c: char| c.is_ascii_alphabetic())
    };
    let detail = if zone.is_empty() {
        "timeZone must be nil or non-empty string".to_owned()
    } else if zone.eq_ignore_ascii_case("local") {
        "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
            .to_owned()
    } else if zone.split('/').all(plain) {
        return;
    } else {
        format!("unknown time zone {zone}")
    };
    out.push(FieldError::invalid("spec.timeZone", zone, detail));
}
