//! The doors through which bytes from outside come in, for the fuzz targets and for the replay of
//! their corpus: each function takes any bytes, and panics only where a promise is broken.

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{
    cel::{self, Budget, Environment, Program, Variables},
    decode::{self, Media},
    defaults,
    kind::{self, Kind},
    patch,
    quantity::Quantity,
    schema,
    selector::{FieldSelector, LabelSelector},
    status::Status,
    table, validate,
};

/// A request body on its whole way: the first byte chooses the kind, the second the media type.
///
/// # Panics
/// When the stored form of an accepted object does not read back as itself.
pub fn request(data: &[u8]) {
    let [which, media, body @ ..] = data else { return };
    let kinds = kind::all();
    let kind = kinds[usize::from(*which) % kinds.len()];
    let media = [Media::Json, Media::Yaml, Media::Protobuf][usize::from(*media) % 3];
    let Ok(decoded) = decode::decode(body, media, kind) else { return };
    let Some(stored) = admitted(kind, decoded.object) else { return };
    let text = stored.to_string();
    let again = decode::decode(text.as_bytes(), Media::Json, kind);
    let again = again.unwrap_or_else(|e| panic!("{}: {text}", e.message)).object;
    let again = admitted(kind, again).unwrap_or_else(|| panic!("refused the second time: {text}"));
    assert_eq!(again, stored, "the stored form is not stable");
}

/// A decoded object made canonical and checked, as a write does it.
fn admitted(kind: &'static Kind, mut object: Value) -> Option<Value> {
    schema::check_types(kind, &object).ok()?;
    let unknown = schema::unknown_fields(kind, &object);
    assert!(unknown.len() <= schema::MAX_STRICT_ERRORS);
    schema::prune(kind, &mut object);
    defaults::apply(kind, &mut object);
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let errors = validate::create(kind, &object);
    if !errors.is_empty() {
        let refused = Status::invalid(kind, &name, &errors);
        assert!(refused.code == 422 && serde_json::to_string(&refused).is_ok());
    }
    validate::update(kind, &object, &object);
    if kind.is_stored() {
        table::row(kind, &object, OffsetDateTime::UNIX_EPOCH);
    }
    Some(object)
}

/// A patch: the first byte chooses the object and the kind of patch, the rest is its body.
pub fn patch(data: &[u8]) {
    let [which, body @ ..] = data else { return };
    let (kind, original) = match which & 3 {
        0 => (kind::POD, pod()),
        1 => (kind::DEPLOYMENT, deployment()),
        2 => (kind::SERVICE, service()),
        _ => (kind::CONFIG_MAP, json!({"metadata": {"name": "a"}, "data": {"k": "v"}})),
    };
    let Ok(decoded) = decode::decode_value(body, Media::Json) else { return };
    let patched = match (which >> 2) % 3 {
        0 => patch::json_patch(&original, &decoded.object),
        1 => patch::merge_patch(&original, &decoded.object),
        _ => patch::strategic_merge(kind.message, &original, &decoded.object),
    };
    if let Ok(mut patched) = patched {
        patched["apiVersion"] = kind.api_version().into();
        admitted(kind, patched);
    }
}

/// Label and field selectors as a query carries them.
pub fn selector(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let labels = json!({"app": "a", "k8s.io/part": "1", "empty": ""});
    if let Ok(selector) = LabelSelector::parse(text) {
        selector.matches(&labels);
        assert!(!selector.is_everything() || selector.matches(&labels));
    }
    if let Ok(selector) = FieldSelector::parse(text) {
        for (kind, object) in [(kind::POD, pod()), (kind::SERVICE, service())] {
            if selector.check(kind).is_ok() {
                selector.matches(kind, &object);
            }
        }
        selector.exact("metadata.name");
    }
    if let Ok(object) = serde_json::from_str::<Value>(text)
        && let Ok(selector) = LabelSelector::from_object(&object)
    {
        selector.matches(&labels);
    }
}

/// A quantity.
///
/// # Panics
/// When the canonical text does not read back as the same amount.
pub fn quantity(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(quantity) = Quantity::parse(text) else { return };
    let canonical = quantity.to_string();
    let again = Quantity::parse(&canonical).unwrap_or_else(|e| panic!("{text} {canonical}: {e}"));
    assert!(again == quantity, "{text} became {canonical}");
    assert_eq!(again.to_string(), canonical, "{text}");
    assert!(quantity.round_up_milli() >= quantity || quantity.is_negative());
    let _ = (quantity.value(), quantity.milli_value(), quantity.is_integer());
}

/// A CEL expression, as a policy may hold it: compiled, evaluated, its value made JSON.
pub fn cel(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let environment = Environment::admission(true, false).with_mutation();
    let Ok(program) = Program::compile(text, &environment) else { return };
    let (object, dynamic) = (pod(), cel::Type::Dyn);
    let mut variables = Variables::new();
    variables.set("object", cel::Value::from_json(&object, &dynamic));
    variables.set("oldObject", cel::Value::Null);
    let mut budget = Budget::new(cel::RUNTIME_BUDGET);
    let before = budget.left();
    if let Ok(value) = program.eval(&variables, &mut budget) {
        let _ = value.to_json(&mut budget);
    }
    assert!(budget.left() <= before);
}

fn pod() -> Value {
    json!({"metadata": {"name": "a", "namespace": "d", "finalizers": ["x/y"]}, "spec": {
        "containers": [
            {"name": "c", "image": "i", "env": [{"name": "E", "value": "1"}],
                "ports": [{"containerPort": 80}]},
            {"name": "d", "image": "i", "resources": {"limits": {"cpu": "1"}}}],
        "volumes": [{"name": "v", "emptyDir": {}}],
        "tolerations": [{"key": "k", "operator": "Exists"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})
}

fn deployment() -> Value {
    let labels = json!({"app": "a"});
    json!({"metadata": {"name": "a", "namespace": "d"}, "spec": {
        "replicas": 1, "selector": {"matchLabels": labels},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
        "template": {"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
}

fn service() -> Value {
    json!({"metadata": {"name": "a", "namespace": "d"}, "spec": {"type": "ClusterIP",
        "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"], "selector": {"app": "a"},
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": "http"}]}})
}
