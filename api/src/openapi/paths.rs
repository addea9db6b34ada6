//! The paths of a group version: every verb of every kind in the kind table.

use serde_json::{Value, json};

use super::{
    definition::VERSION_INFO,
    names,
    operation::{ANY, Answer, CUSTOM_PATCHES, OBJECTS, Operation, PATCHES, PathItem, STREAMS},
    parameter::{self as p, Parameter},
    subpaths,
};
use crate::kind::Kind;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// A definition of apimachinery.
pub(super) fn meta(name: &str) -> String {
    format!("{META}{name}")
}

/// The extension that names a kind.
pub(super) fn gvk(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "kind": kind, "version": version})
}

/// What is not said of every operation anew.
pub(super) fn operation(kind: &Kind, method: &'static str, action: &'static str) -> Operation {
    Operation {
        method,
        id: String::new(),
        text: String::new(),
        tag: names::tag(kind.group, kind.version),
        action,
        gvk: Some(gvk(kind.group, kind.version, kind.kind)),
        parameters: Vec::new(),
        body: None,
        consumes: ANY,
        produces: OBJECTS,
        answers: Vec::new(),
    }
}

/// Makes one operation.
type Make = fn(&Maker) -> Operation;

/// Makes the operations of one kind.
pub(super) struct Maker {
    pub(super) kind: &'static Kind,
    /// `AppsV1`.
    prefix: String,
    /// `NamespacedDeployment` or `Node`.
    scoped: String,
}

impl Maker {
    pub(super) fn new(kind: &'static Kind) -> Self {
        let prefix = names::operation_group(kind.group) + &names::capital(kind.version);
        let scoped = if kind.namespaced { "Namespaced" } else { "" }.to_owned() + kind.kind;
        Self { kind, prefix, scoped }
    }

    /// `create`, `AppsV1`, `NamespacedDeployment`, `Scale`.
    pub(super) fn id(&self, verb: &str, suffix: &str) -> String {
        format!("{verb}{}{}{suffix}", self.prefix, self.scoped)
    }

    /// `connect`, `CoreV1`, `Get`, `NamespacedPod`, `Exec`.
    pub(super) fn connect_id(&self, method: &str, suffix: &str) -> String {
        format!("connect{}{method}{}{suffix}", self.prefix, self.scoped)
    }

    /// The path of the collection; with `inside` in one namespace.
    pub(super) fn collection(&self, watch: &str, inside: bool) -> String {
        let base = names::base(self.kind.group, self.kind.version);
        let namespace = if inside && self.kind.namespaced { "/namespaces/{namespace}" } else { "" };
        format!("{base}{watch}{namespace}/{}", self.kind.plural)
    }

    /// The parameters that a path itself has.
    pub(super) fn in_path(&self, named: bool) -> Vec<Parameter> {
        let name = named.then_some(p::NAME);
        let namespace = self.kind.namespaced.then_some(p::NAMESPACE);
        name.into_iter().chain(namespace).collect()
    }

    fn with_pretty(&self, named: bool) -> Vec<Parameter> {
        let mut parameters = self.in_path(named);
        parameters.push(p::PRETTY);
        parameters
    }

    fn list(&self) -> Operation {
        Operation {
            id: self.id("list", ""),
            text: format!("lists or watches objects of kind {}", self.kind.kind),
            parameters: p::LISTING.to_vec(),
            produces: STREAMS,
            answers: vec![(200, Answer::Definition(names::of_list(self.kind)))],
            ..operation(self.kind, "get", "list")
        }
    }

    fn create(&self) -> Operation {
        let own = names::of_kind(self.kind);
        let answers = [200, 201, 202].map(|code| (code, Answer::Definition(own.clone())));
        Operation {
            id: self.id("create", ""),
            text: format!("creates a {}", self.kind.kind),
            parameters: p::WRITING.to_vec(),
            body: Some((own, true)),
            answers: answers.to_vec(),
            ..operation(self.kind, "post", "post")
        }
    }

    fn delete_collection(&self) -> Operation {
        Operation {
            id: format!("delete{}Collection{}", self.prefix, self.scoped),
            text: format!("deletes many objects of kind {}", self.kind.kind),
            parameters: p::DELETING_MANY.to_vec(),
            body: Some((meta("DeleteOptions"), false)),
            answers: vec![(200, Answer::Definition(meta("Status")))],
            ..operation(self.kind, "delete", "deletecollection")
        }
    }

    fn delete(&self) -> Operation {
        let answer = if self.kind.delete_returns_object {
            names::of_kind(self.kind)
        } else {
            meta("Status")
        };
        let answers = [200, 202].map(|code| (code, Answer::Definition(answer.clone())));
        Operation {
            id: self.id("delete", ""),
            text: format!("deletes a {}", self.kind.kind),
            parameters: p::DELETING.to_vec(),
            body: Some((meta("DeleteOptions"), false)),
            answers: answers.to_vec(),
            ..operation(self.kind, "delete", "delete")
        }
    }

    /// Reading, replacing and patching of the object or of what `suffix` names.
    pub(super) fn change(&self, verb: &str, suffix: &str, body: &str) -> Option<Operation> {
        let part = if suffix.is_empty() {
            self.kind.kind.to_owned()
        } else {
            format!("{} of a {}", suffix.to_lowercase(), self.kind.kind)
        };
        let own = || Answer::Definition(body.to_owned());
        let (method, name, text, parameters): (_, _, _, &[Parameter]) = match verb {
            "get" => ("get", "read", "reads", &[]),
            "update" => ("put", "replace", "replaces", p::WRITING),
            "patch" => ("patch", "patch", "changes parts of", p::PATCHING),
            _ => return None,
        };
        let answers = match verb {
            "get" => vec![(200, own())],
            _ => vec![(200, own()), (201, own())],
        };
        let body = match verb {
            "update" => Some((body.to_owned(), true)),
            "patch" => Some((meta("Patch"), true)),
            _ => None,
        };
        Some(Operation {
            id: self.id(name, suffix),
            text: format!("{text} the {part}"),
            parameters: parameters.to_vec(),
            body,
            consumes: match verb {
                "patch" if self.kind.custom.is_some() => CUSTOM_PATCHES,
                "patch" => PATCHES,
                _ => ANY,
            },
            answers,
            ..operation(self.kind, method, method)
        })
    }

    fn collection_item(&self) -> PathItem {
        let made: [(&str, Make); 3] = [
            ("list", Self::list),
            ("create", Self::create),
            ("deletecollection", Self::delete_collection),
        ];
        let operations = made.iter().filter(|(verb, _)| self.kind.has_verb(verb));
        PathItem {
            path: self.collection("", true),
            operations: operations.map(|(_, make)| make(self)).collect(),
            parameters: self.with_pretty(false),
        }
    }

    fn object_item(&self) -> PathItem {
        let own = names::of_kind(self.kind);
        let verbs = ["get", "update", "patch"].into_iter().filter(|v| self.kind.has_verb(v));
        let mut operations: Vec<_> = verbs.filter_map(|v| self.change(v, "", &own)).collect();
        if self.kind.has_verb("delete") {
            operations.push(self.delete());
        }
        PathItem {
            path: self.collection("", true) + "/{name}",
            operations,
            parameters: self.with_pretty(true),
        }
    }

    /// A namespaced kind is listed and watched across namespaces, and watched by the old paths.
    fn reading_items(&self) -> Vec<PathItem> {
        let kind = self.kind;
        let across = format!("{}ForAllNamespaces", kind.kind);
        let common = |parameters: Vec<Parameter>| -> Vec<Parameter> {
            let listing = p::LISTING.iter().copied();
            listing.chain(parameters).chain([p::PRETTY]).collect()
        };
        let mut items = Vec::new();
        if kind.namespaced && kind.has_verb("list") {
            let id = format!("list{}{across}", self.prefix);
            items.push(PathItem {
                path: self.collection("", false),
                operations: vec![Operation { id, parameters: Vec::new(), ..self.list() }],
                parameters: common(Vec::new()),
            });
        }
        if !kind.has_verb("watch") {
            return items;
        }
        let watch = |id: String, action| Operation {
            id,
            text: format!("deprecated: watches {}; use watch=true of a list", kind.kind),
            produces: STREAMS,
            answers: vec![(200, Answer::Definition(meta("WatchEvent")))],
            ..operation(kind, "get", action)
        };
        let mut push = |path: String, operation, parameters| {
            let parameters = common(parameters);
            items.push(PathItem { path, operations: vec![operation], parameters });
        };
        let inside = self.collection("/watch", true);
        let list = watch(self.id("watch", "List"), "watchlist");
        push(inside.clone(), list, self.in_path(false));
        if kind.has_verb("get") {
            let one = watch(self.id("watch", ""), "watch");
            push(inside + "/{name}", one, self.in_path(true));
        }
        if kind.namespaced {
            let id = format!("watch{}{}ListForAllNamespaces", self.prefix, kind.kind);
            push(self.collection("/watch", false), watch(id, "watchlist"), Vec::new());
        }
        items
    }
}

/// All paths of one kind.
pub(super) fn of_kind(kind: &'static Kind) -> Vec<PathItem> {
    let maker = Maker::new(kind);
    let mut items = vec![maker.collection_item(), maker.object_item()];
    items.extend(maker.reading_items());
    items.extend(subpaths::of(&maker));
    items.retain(|item| !item.operations.is_empty());
    items
}

fn document(path: String, id: String, tag: String, text: &str, definition: String) -> PathItem {
    let operation = Operation {
        method: "get",
        id,
        text: text.to_owned(),
        tag,
        action: "",
        gvk: None,
        parameters: Vec::new(),
        body: None,
        consumes: ANY,
        produces: OBJECTS,
        answers: vec![(200, Answer::Definition(definition))],
    };
    PathItem { path, operations: vec![operation], parameters: Vec::new() }
}

/// The path that names the resources of a group version.
pub(super) fn resources(group: &str, version: &str) -> PathItem {
    let id = names::operation_group(group) + &names::capital(version);
    document(
        names::base(group, version) + "/",
        format!("get{id}APIResources"),
        names::tag(group, version),
        "says which resources there are",
        meta("APIResourceList"),
    )
}

/// The path that names the versions of a group.
pub(super) fn group(group: &str) -> PathItem {
    document(
        format!("/apis/{group}/"),
        format!("get{}APIGroup", names::operation_group(group)),
        names::tag(group, ""),
        "says which versions the group has",
        meta("APIGroup"),
    )
}

/// `/api`, `/apis` and `/version`.
pub(super) fn roots() -> [(&'static str, PathItem); 3] {
    let of = |path: &str, id: &str, tag: &str, text, definition| {
        document(path.to_owned(), id.to_owned(), tag.to_owned(), text, definition)
    };
    [
        (
            "api",
            of(
                "/api/",
                "getCoreAPIVersions",
                "core",
                "says which versions the core group has",
                meta("APIVersions"),
            ),
        ),
        (
            "apis",
            of(
                "/apis/",
                "getAPIVersions",
                "apis",
                "says which groups there are",
                meta("APIGroupList"),
            ),
        ),
        (
            "version",
            of(
                "/version/",
                "getCodeVersion",
                "version",
                "says which version the server has",
                VERSION_INFO.to_owned(),
            ),
        ),
    ]
}
