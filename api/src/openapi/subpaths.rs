//! The paths below one object: subresources that are served.

use super::{
    names,
    operation::{Answer, Operation, PathItem, TEXT},
    parameter::{self as p, Parameter},
    paths::{Maker, gvk, operation},
};
use crate::kind::{self, GroupVersionKind, Subresource};

/// Methods of connections, by verb.
const CONNECT: &[(&str, &str, &str)] = &[
    ("get", "get", "Get"),
    ("update", "put", "Put"),
    ("create", "post", "Post"),
    ("delete", "delete", "Delete"),
    ("patch", "patch", "Patch"),
];
/// Methods a proxy has beside.
const PROXY: &[(&str, &str)] = &[("options", "Options"), ("head", "Head")];

/// The paths of all served subresources of a kind.
pub(super) fn of(maker: &Maker) -> Vec<PathItem> {
    maker.kind.subresources.iter().filter(|s| s.served).flat_map(|s| items(maker, s)).collect()
}

fn items(maker: &Maker, sub: &Subresource) -> Vec<PathItem> {
    let path = format!("{}/{{name}}/{}", maker.collection("", true), sub.name);
    if sub.name == "log" {
        return vec![log(maker, path)];
    }
    match sub.body {
        Some(body) if body.kind.ends_with("Options") => connections(maker, sub, body, &path),
        _ => vec![parts(maker, sub, path)],
    }
}

/// `ephemeralcontainers` is `Ephemeralcontainers`, as upstream has it.
fn suffix(sub: &Subresource) -> String {
    names::capital(sub.name)
}

/// The kind and the definition of a subresource's body.
fn body_of(maker: &Maker, sub: &Subresource) -> (GroupVersionKind, String) {
    let own = maker.kind;
    let body = sub.body.unwrap_or(GroupVersionKind {
        group: own.group,
        version: own.version,
        kind: own.kind,
    });
    let base = names::base(body.group, body.version);
    let api_version = base.trim_start_matches("/apis/").trim_start_matches("/api/");
    let found = kind::by_kind(api_version, body.kind).unwrap_or(own);
    (body, names::of_kind(found))
}

/// A part of an object, or something made from it.
fn parts(maker: &Maker, sub: &Subresource, path: String) -> PathItem {
    let (body, definition) = body_of(maker, sub);
    let kind = gvk(body.group, body.version, body.kind);
    let verbs = ["get", "update", "patch"].into_iter().filter(|v| sub.verbs.contains(v));
    let changes = verbs.filter_map(|verb| maker.change(verb, &suffix(sub), &definition));
    let mut operations: Vec<_> =
        changes.map(|o| Operation { gvk: Some(kind.clone()), ..o }).collect();
    let mut parameters = maker.in_path(true);
    if sub.verbs.contains(&"create") {
        let answers = [200, 201, 202].map(|code| (code, Answer::Definition(definition.clone())));
        operations.push(Operation {
            id: maker.id("create", &suffix(sub)),
            text: format!("creates the {} of a {}", sub.name, maker.kind.kind),
            gvk: Some(kind),
            parameters: p::WRITING.to_vec(),
            body: Some((definition, true)),
            answers: answers.to_vec(),
            ..operation(maker.kind, "post", "post")
        });
    }
    parameters.push(p::PRETTY);
    PathItem { path, operations, parameters }
}

fn log(maker: &Maker, path: String) -> PathItem {
    let operation = Operation {
        id: maker.id("read", "Log"),
        text: format!("reads the log of a {}", maker.kind.kind),
        produces: TEXT,
        answers: vec![(200, Answer::Text)],
        ..operation(maker.kind, "get", "get")
    };
    let mut parameters = p::LOG.to_vec();
    parameters.extend(maker.in_path(true));
    parameters.push(p::PRETTY);
    PathItem { path, operations: vec![operation], parameters }
}

/// Connections through an object: `exec`, `portforward`, `proxy`.
fn connections(
    maker: &Maker,
    sub: &Subresource,
    body: GroupVersionKind,
    path: &str,
) -> Vec<PathItem> {
    let proxy = sub.name == "proxy";
    let methods: Vec<(&'static str, &'static str)> = CONNECT
        .iter()
        .filter(|(verb, ..)| sub.verbs.contains(verb))
        .map(|(_, method, name)| (*method, *name))
        .chain(PROXY.iter().copied().filter(|_| proxy))
        .collect();
    let make = |suffix: &str| -> Vec<Operation> {
        let one = |(method, name): &(&'static str, &str)| Operation {
            id: maker.connect_id(name, suffix),
            text: format!(
                "connects {} to {} of a {}",
                method.to_uppercase(),
                sub.name,
                maker.kind.kind
            ),
            gvk: Some(gvk(body.group, body.version, body.kind)),
            produces: super::operation::ANY,
            answers: vec![(200, Answer::Text)],
            ..operation(maker.kind, method, "connect")
        };
        methods.iter().map(one).collect()
    };
    let core = format!("core.{}.{}", body.version, body.kind);
    let options = p::of_message(&core);
    let parameters = |more: Option<Parameter>| -> Vec<Parameter> {
        options.iter().copied().chain(maker.in_path(true)).chain(more).collect()
    };
    let name = suffix(sub);
    let mut items = vec![PathItem {
        path: path.to_owned(),
        operations: make(&name),
        parameters: parameters(None),
    }];
    if proxy {
        items.push(PathItem {
            path: format!("{path}/{{path}}"),
            operations: make(&format!("{name}WithPath")),
            parameters: parameters(Some(p::PATH)),
        });
    }
    items
}
