//! The parameters of a binding (apiserver `pkg/admission/plugin/policy/generic`).

use std::sync::Arc;

use kabuki_api::{
    kind::{self, Kind},
    selector::LabelSelector,
};
use serde_json::Value;

use crate::registry::{Object, View, object::text};

/// Most parameters of one binding that are looked at for one request.
const PARAMS_MAX: usize = 1_000;

/// The parameters a binding is to be evaluated with, one evaluation each; `None` is an evaluation
/// without. Nothing at all: parameters are missing and may be.
///
/// # Errors
/// How the binding is configured wrongly, in upstream's words.
pub(super) fn collect(
    view: &dyn View,
    policy: &Value,
    binding: &Value,
    namespace: &str,
) -> Result<Vec<Option<Arc<Object>>>, String> {
    let (of, reference) = (&policy["paramKind"], &binding["paramRef"]);
    if !of.is_object() || !reference.is_object() {
        return Ok(vec![None]);
    }
    let Some(kind) = kind_of(view, of) else {
        let (version, name) = (text(of, "apiVersion"), text(of, "kind"));
        return Err(format!("paramKind kind `{version}, Kind={name}` not known"));
    };
    let given = text(reference, "namespace");
    let namespace = match (kind.namespaced, given.is_empty()) {
        (false, true) => "",
        (false, false) => {
            return Err(
                "paramRef.namespace must not be provided for a cluster-scoped `paramKind`".into()
            );
        }
        (true, false) => given,
        (true, true) if namespace.is_empty() => {
            return Err("cannot use namespaced paramRef in policy binding that matches \
                        cluster-scoped resources"
                .into());
        }
        (true, true) => namespace,
    };
    let found = named_or_selected(view, kind, reference, namespace)?;
    if found.is_empty() && reference["parameterNotFoundAction"] == "Deny" {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".into());
    }
    Ok(found.into_iter().map(Some).collect())
}

fn named_or_selected(
    view: &dyn View,
    kind: &'static Kind,
    reference: &Value,
    namespace: &str,
) -> Result<Vec<Arc<Object>>, String> {
    let name = text(reference, "name");
    if !name.is_empty() {
        return Ok(view.get(kind, namespace, name).into_iter().collect());
    }
    let selector = LabelSelector::from_object(&reference["selector"]).map_err(|e| e.to_string())?;
    let within = (!namespace.is_empty()).then_some(namespace);
    let mut found = view.list(kind, within);
    found.retain(|object| object.matches_labels(&selector));
    if found.len() > PARAMS_MAX {
        return Err(format!("more than {PARAMS_MAX} params selected, narrow the selector"));
    }
    Ok(found)
}

/// The kind of the parameters, where it is served.
fn kind_of(view: &dyn View, of: &Value) -> Option<&'static Kind> {
    let (version, name) = (text(of, "apiVersion"), text(of, "kind"));
    let built_in = kind::by_kind(version, name).filter(|kind| kind.is_stored());
    built_in.or_else(|| view.definitions().by_kind(version, name))
}

#[cfg(test)]
mod tests {
    use kabuki_api::kind::CONFIG_MAP;
    use serde_json::json;

    use super::*;
    use crate::registry::MemView;

    #[test]
    fn by_name_and_by_selector() {
        let map = |name: &str, label: &str| json!({"metadata": {"name": name, "namespace": "n", "labels": {"l": label}}});
        let view = MemView::new().with(CONFIG_MAP, map("a", "x")).with(CONFIG_MAP, map("b", "x"));
        let policy = json!({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}});
        let count = |reference: Value, ns: &str| {
            collect(&view, &policy, &json!({"paramRef": reference}), ns).map(|p| p.len())
        };
        let deny = "no params found for policy binding with `Deny` parameterNotFoundAction";
        for (reference, ns, want) in [
            (json!({"name": "a", "parameterNotFoundAction": "Deny"}), "n", Ok(1)),
            (json!({"name": "a", "namespace": "n", "parameterNotFoundAction": "Deny"}), "", Ok(1)),
            (
                json!({"selector": {"matchLabels": {"l": "x"}}, "parameterNotFoundAction": "Deny"}),
                "n",
                Ok(2),
            ),
            (json!({"name": "c", "parameterNotFoundAction": "Deny"}), "n", Err(deny.to_owned())),
            (json!({"name": "c", "parameterNotFoundAction": "Allow"}), "n", Ok(0)),
        ] {
            assert_eq!(count(reference.clone(), ns), want, "{reference}");
        }
        assert!(count(json!({"name": "a"}), "").unwrap_err().contains("cluster-scoped"));
        assert_eq!(collect(&view, &json!({}), &json!({}), "").unwrap().len(), 1);
        let unknown = json!({"paramKind": {"apiVersion": "x/v1", "kind": "Y"}});
        let error = collect(&view, &unknown, &json!({"paramRef": {"name": "a"}}), "n");
        assert_eq!(error.unwrap_err(), "paramKind kind `x/v1, Kind=Y` not known");
    }
}
