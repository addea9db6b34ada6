//! Who has which name in a group (upstream: apiextensions `pkg/controller/status`).

use std::collections::HashSet;

use kabuki_api::kind;
use serde_json::{Value, json};

use crate::registry::{Condition, View, set_condition};

/// Names that are taken in a group, by anybody.
struct Taken {
    resources: HashSet<String>,
    kinds: HashSet<String>,
}

impl Taken {
    fn new(view: &dyn View, group: &str) -> Self {
        let mut out = Self { resources: HashSet::new(), kinds: HashSet::new() };
        for definition in view.definitions().all().filter(|d| d.group() == group) {
            out.resources.extend(definition.names().resources.iter().cloned());
            out.kinds.extend(definition.names().kinds.iter().cloned());
        }
        // Upstream a definition of a built-in kind hides behind it; here they would share storage.
        for kind in kind::all().iter().filter(|kind| kind.group == group) {
            out.resources.extend([kind.plural.to_owned(), kind.singular.to_owned()]);
            out.kinds.extend([kind.kind.to_owned(), kind.list_kind.to_owned()]);
        }
        out
    }
}

/// Settles the names of a definition, and with them whether it is established: sets
/// `status.acceptedNames` and two conditions.
pub(super) fn decide(view: &dyn View, definition: &mut Value, now: &str) {
    let group = definition["spec"]["group"].as_str().unwrap_or_default();
    let taken = Taken::new(view, group);
    let wanted = definition["spec"]["names"].clone();
    let mut accepted = match &definition["status"]["acceptedNames"] {
        Value::Null => json!({}),
        known => known.clone(),
    };
    let conflict = settle(&wanted, &mut accepted, &taken);
    let status = &mut definition["status"];
    if !status.is_object() {
        *status = json!({});
    }
    status["acceptedNames"] = accepted;
    let condition = match &conflict {
        Some((reason, message)) => Condition { name: "NamesAccepted", is: false, reason, message },
        None => Condition {
            name: "NamesAccepted",
            is: true,
            reason: "NoConflicts",
            message: "no conflicts found",
        },
    };
    set_condition(status, &condition, now);
    let conditions = status["conditions"].as_array();
    let known = conditions.and_then(|all| all.iter().find(|c| c["type"] == "Established"));
    // Who was served once stays so.
    if known.is_some_and(|c| c["status"] == "True") {
        return;
    }
    let condition = if conflict.is_none() {
        Condition {
            name: "Established",
            is: true,
            reason: "InitialNamesAccepted",
            message: "the initial names have been accepted",
        }
    } else {
        Condition {
            name: "Established",
            is: false,
            reason: "NotAccepted",
            message: "not all names are accepted",
        }
    };
    set_condition(status, &condition, now);
}

/// Gives a definition the names that are free; the reason and message of the last one that is not.
fn settle(wanted: &Value, accepted: &mut Value, taken: &Taken) -> Option<(&'static str, String)> {
    let mut conflict = None;
    let own = accepted.clone();
    for (field, reason, used) in [
        ("plural", "PluralConflict", &taken.resources),
        ("singular", "SingularConflict", &taken.resources),
        ("shortNames", "ShortNamesConflict", &taken.resources),
        ("kind", "KindConflict", &taken.kinds),
        ("listKind", "ListKindConflict", &taken.kinds),
    ] {
        let found = match field {
            "shortNames" => short_names(wanted, &own, used),
            _ => match wanted[field].as_str() {
                Some(name) if own[field] != name && used.contains(name) => Some(in_use(name)),
                _ => None,
            },
        };
        match found {
            Some(message) => conflict = Some((reason, message)),
            None => copy(wanted, accepted, field),
        }
    }
    copy(wanted, accepted, "categories");
    conflict
}

fn short_names(wanted: &Value, own: &Value, used: &HashSet<String>) -> Option<String> {
    let is_own = |name: &Value| {
        own["shortNames"].as_array().is_some_and(|had| had.contains(name))
            || own["plural"] == *name
            || own["singular"] == *name
    };
    let names = wanted["shortNames"].as_array().into_iter().flatten();
    let mut found: Vec<String> = Vec::new();
    for name in names.filter(|name| !is_own(name)).filter_map(Value::as_str) {
        let message = in_use(name);
        if used.contains(name) && !found.contains(&message) {
            found.push(message);
        }
    }
    match found.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

fn in_use(name: &str) -> String {
    format!("{name:?} is already in use")
}

fn copy(from: &Value, to: &mut Value, field: &str) {
    let Some(map) = to.as_object_mut() else { return };
    match from.get(field) {
        Some(value) => {
            map.insert(field.to_owned(), value.clone());
        }
        None => {
            map.remove(field);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(resources: &[&str], kinds: &[&str]) -> Taken {
        let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        Taken { resources: set(resources), kinds: set(kinds) }
    }

    fn names(plural: &str, short: &[&str], kind: &str) -> Value {
        json!({"plural": plural, "singular": plural.trim_end_matches('s'), "shortNames": short,
            "kind": kind, "listKind": format!("{kind}List"), "categories": ["all"]})
    }

    #[test]
    fn names_that_are_free_are_given() {
        let wanted = names("plays", &["pl"], "Play");
        let mut accepted = json!({});
        assert_eq!(settle(&wanted, &mut accepted, &taken(&[], &[])), None);
        assert_eq!(accepted, wanted);
        // Its own names are no conflict.
        let all = taken(&["plays", "play", "pl"], &["Play", "PlayList"]);
        assert_eq!(settle(&wanted, &mut accepted, &all), None);
    }

    #[test]
    fn the_last_conflict_is_told() {
        let wanted = names("plays", &["pl", "p"], "Play");
        for (resources, kinds, reason, message) in [
            (vec!["plays"], vec![], "PluralConflict", r#""plays" is already in use"#),
            (vec!["play"], vec![], "SingularConflict", r#""play" is already in use"#),
            (vec!["pl"], vec![], "ShortNamesConflict", r#""pl" is already in use"#),
            (
                vec!["pl", "p"],
                vec![],
                "ShortNamesConflict",
                r#"["pl" is already in use, "p" is already in use]"#,
            ),
            (vec!["pl"], vec!["Play"], "KindConflict", r#""Play" is already in use"#),
            (vec![], vec!["PlayList"], "ListKindConflict", r#""PlayList" is already in use"#),
        ] {
            let mut accepted = json!({});
            let found = settle(&wanted, &mut accepted, &taken(&resources, &kinds));
            assert_eq!(found, Some((reason, message.to_owned())));
            assert_eq!(accepted["categories"], json!(["all"]));
        }
    }
}
