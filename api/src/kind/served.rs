//! What the definition of a custom kind says, in the form that requests use.

use serde_json::{Map, Value};

use crate::{
    crd::{Columns, Schema},
    schema,
    status::Status,
    validate::FieldError,
};

use super::Kind;

/// What the definition of one version of a custom kind says.
#[derive(Debug)]
pub struct Served {
    /// Its schema.
    pub schema: Schema,
    /// Its printer columns.
    pub columns: Columns,
    /// The scale subresource, if there is one.
    pub scale: Option<ScalePaths>,
    /// What clients of a deprecated version are told.
    pub warning: Option<String>,
}

/// Where the parts of a Scale are in an object: the fields of simple paths such as `.spec.replicas`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScalePaths {
    /// The replicas wanted.
    pub spec: Vec<String>,
    /// The replicas there are.
    pub status: Vec<String>,
    /// The selector of the pods, as text.
    pub selector: Option<Vec<String>>,
}

impl ScalePaths {
    /// Reads `subresources.scale` of a version.
    pub fn of(scale: &Value) -> Option<Self> {
        let path = |field: &str| {
            let text = scale[field].as_str().filter(|t| !t.is_empty())?;
            Some(text.trim_start_matches('.').split('.').map(str::to_owned).collect::<Vec<_>>())
        };
        Some(Self {
            spec: path("specReplicasPath")?,
            status: path("statusReplicasPath")?,
            selector: path("labelSelectorPath"),
        })
    }
}

/// The value at a path of fields.
pub fn at<'v>(object: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(object, |value, field| value.get(field.as_str()))
}

/// Sets the value at a path of fields; objects on the way are made, and take the place of what is
/// no object.
pub fn put(object: &mut Value, path: &[String], value: Value) {
    let Some((last, way)) = path.split_last() else { return };
    let mut holder = object;
    for field in way {
        if !holder.is_object() {
            *holder = Value::Object(Map::new());
        }
        holder = &mut holder[field.as_str()];
    }
    if !holder.is_object() {
        *holder = Value::Object(Map::new());
    }
    holder[last.as_str()] = value;
}

impl Served {
    /// Brings what a client sent into the form the schema knows; answers the paths of the fields
    /// that were dropped.
    ///
    /// # Errors
    /// 400 for metadata of a wrong type.
    pub fn accept(&self, kind: &Kind, object: &mut Value) -> Result<Vec<String>, Status> {
        schema::metadata::check(kind, object)?;
        let mut unknown = schema::metadata::prune(object);
        unknown.extend(self.schema.prune(object));
        unknown.truncate(schema::MAX_STRICT_ERRORS);
        Ok(unknown)
    }

    /// What a stored object is to readers: written before the schema became what it is, it may hold
    /// fields that it does not know any more, and lack defaults.
    pub fn refresh(&self, object: &mut Value) {
        self.schema.prune(object);
        // Too many defaults were refused when the object was written.
        let _ = self.schema.apply_defaults(object);
    }

    /// Sets the defaults.
    pub fn apply_defaults(&self, object: &mut Value) {
        let _ = self.schema.apply_defaults(object);
    }

    /// Everything wrong with an object beside its metadata.
    pub fn check(&self, out: &mut Vec<FieldError>, new: &Value, old: Option<&Value>) {
        out.extend(self.schema.validate(new, old));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_of_scale() {
        let paths = ScalePaths::of(&json!({"specReplicasPath": ".spec.a.n",
            "statusReplicasPath": ".status.n"}))
        .unwrap();
        assert_eq!(
            (paths.spec.as_slice(), &paths.selector),
            (&["spec", "a", "n"].map(String::from)[..], &None)
        );
        let mut object = json!({"spec": {"a": 1}});
        assert_eq!(at(&object, &paths.spec), None);
        put(&mut object, &paths.spec, 3.into());
        assert_eq!(object, json!({"spec": {"a": {"n": 3}}}));
        assert_eq!(at(&object, &paths.spec), Some(&json!(3)));
        assert_eq!(ScalePaths::of(&json!({"specReplicasPath": ".spec.n"})), None);
    }
}
