//! Says of each FlowSchema whether its priority level exists
//! (upstream: `apiserver/pkg/util/flowcontrol/apf_controller.go`).

use kabuki_api::kind::{FLOW_SCHEMA, Kind, PRIORITY_LEVEL_CONFIGURATION};
use serde_json::{Value, json};

use crate::{
    controllers::{
        framework::{Change, Command, Controller, Key, Plan, ReconcileError},
        model::Time,
    },
    registry::{Object, View},
};

const DANGLING: &str = "Dangling";

/// Keeps the condition `Dangling` of every FlowSchema.
#[derive(Debug, Clone, Default)]
pub(crate) struct FlowSchemaStatus;

fn level(schema: &Object) -> &str {
    schema.value()["spec"]["priorityLevelConfiguration"]["name"].as_str().unwrap_or_default()
}

impl Controller for FlowSchemaStatus {
    const NAME: &'static str = "flow-schema-status";

    fn watches(&self) -> Vec<&'static Kind> {
        vec![FLOW_SCHEMA, PRIORITY_LEVEL_CONFIGURATION]
    }

    fn keys(&mut self, view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        if change.kind() == FLOW_SCHEMA {
            return out.push(Key::of(&change.object));
        }
        let all = view.list(FLOW_SCHEMA, None);
        let those = all.iter().filter(|schema| level(schema) == change.object.name());
        out.extend(those.map(|schema| Key::of(schema)));
    }

    fn reconcile(&mut self, view: &dyn View, key: &Key, now: Time) -> Result<Plan, ReconcileError> {
        let Some(schema) = view.get(FLOW_SCHEMA, "", &key.name) else { return Ok(Plan::done()) };
        let name = level(&schema);
        let found = view.get(PRIORITY_LEVEL_CONFIGURATION, "", name).is_some();
        let (status, reason, end) = if found {
            ("False", "Found", "and it exists")
        } else {
            ("True", "NotFound", "but there is no such object")
        };
        let message = format!(
            "This FlowSchema references the PriorityLevelConfiguration object named {name:?} {end}"
        );
        let mut value = schema.value().clone();
        let status_of = &mut value["status"];
        if !status_of["conditions"].is_array() {
            status_of["conditions"] = json!([]);
        }
        let Some(conditions) = status_of["conditions"].as_array_mut() else {
            return Ok(Plan::done());
        };
        let known = conditions.iter().position(|c| c["type"] == DANGLING);
        if known.is_some_and(|at| {
            conditions[at]["status"] == status && conditions[at]["message"] == message.as_str()
        }) {
            return Ok(Plan::done());
        }
        let since = known.map(|at| conditions[at].clone()).filter(|c| c["status"] == status);
        let since =
            since.map_or_else(|| Value::from(now.rfc3339()), |c| c["lastTransitionTime"].clone());
        let condition = json!({"type": DANGLING, "status": status, "reason": reason,
            "message": message, "lastTransitionTime": since});
        match known {
            Some(at) => conditions[at] = condition,
            None => conditions.push(condition),
        }
        Ok(Plan::one(Command::update_status(&schema, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::MemView;

    #[test]
    fn a_schema_without_its_level_dangles() {
        let now = Time::parse("2026-01-01T00:00:00Z").unwrap();
        let schema = json!({"metadata": {"name": "s"},
            "spec": {"priorityLevelConfiguration": {"name": "l"}}});
        let view = MemView::new().with(FLOW_SCHEMA, schema);
        let key = Key::new("", "s");
        let wanted = |view: &MemView| {
            let plan = FlowSchemaStatus.reconcile(view, &key, now).unwrap();
            match plan.commands().as_slice() {
                [] => None,
                [Command::Update { object, .. }] => Some(object.clone()),
                other => panic!("{other:?}"),
            }
        };
        let dangling = wanted(&view).unwrap();
        let condition = &dangling["status"]["conditions"][0];
        assert_eq!(condition["status"], "True");
        assert_eq!(
            condition["message"],
            "This FlowSchema references the PriorityLevelConfiguration object named \"l\" but there is no such object"
        );
        let view = view.with(FLOW_SCHEMA, dangling);
        assert_eq!(wanted(&view), None, "said already");
        let view = view.with(PRIORITY_LEVEL_CONFIGURATION, json!({"metadata": {"name": "l"}}));
        assert_eq!(wanted(&view).unwrap()["status"]["conditions"][0]["reason"], "Found");
    }
}
