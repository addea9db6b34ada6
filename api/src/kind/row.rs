//! What a row of the kind table leaves out.

/// What most kinds have; rows override the rest.
macro_rules! kind {
    ($group:literal, $dir:literal, $version:literal, $kind:literal, $plural:literal, $singular:literal, $message:literal
     $(, $field:ident: $value:expr)* $(,)?) => {
        &$crate::kind::Kind {
            $($field: $value,)*
            ..$crate::kind::Kind {
                group: $group,
                version: $version,
                kind: $kind,
                list_kind: concat!($kind, "List"),
                plural: $plural,
                singular: $singular,
                short_names: &[],
                categories: &[],
                namespaced: true,
                verbs: $crate::kind::STANDARD_VERBS,
                subresources: &[],
                stored_as: None,
                generation: false,
                unconditional_update: true,
                create_on_update: false,
                graceful: false,
                delete_returns_object: false,
                delete_orphans: false,
                name_rule: $crate::kind::NameRule::Subdomain,
                topic: concat!("/registry/", $dir, "/", $plural, "/"),
                message: $message,
                defaults: |_| {},
                prepare: |_| {},
                prepare_change: |_, _| {},
                first_status: |_| serde_json::Map::new().into(),
                check: |_, _| {},
                check_new: |_, _| {},
                check_change: |_, _, _| {},
                selectable: &[],
                columns: $crate::table::NAME_AND_CREATED,
                row: |object, _| $crate::table::name_and_created(object),
                custom: None,
            }
        }
    };
}

/// A body without a resource of its own.
macro_rules! body {
    ($group:literal, $version:literal, $kind:literal, $message:literal
     $(, $field:ident: $value:expr)* $(,)?) => {
        kind!($group, "none", $version, $kind, "", "", $message, verbs: &[] $(, $field: $value)*)
    };
}
