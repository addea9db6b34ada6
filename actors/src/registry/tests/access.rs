//! Tokens, authorization and reviews over a real store.

use kabuki_api::kind::{
    CLUSTER_ROLE_BINDING, ENDPOINTS, POD, ROLE, ROLE_BINDING, SELF_SUBJECT_ACCESS_REVIEW,
    SERVICE_ACCOUNT, TOKEN_REVIEW,
};
use serde_json::json;

use super::*;
use crate::auth::{
    Attributes, Authenticator, Authorizer, BootstrapError, JoinRole, NewToken, Reviews, TokenStore,
    UserInfo,
};

fn ask<'a>(verb: &'a str, resource: &'a str, ns: &'a str) -> Attributes<'a> {
    Attributes { verb, resource, namespace: ns, version: "v1", ..Attributes::default() }
}

#[tokio::test]
async fn account_tokens_live_and_die() {
    let c = cluster().await;
    let authenticator = Authenticator::new(c.registry.clone());
    let made = c.make(POD, pod("p")).await;
    let request = json!({"spec": {"expirationSeconds": 3607,
        "boundObjectRef": {"kind": "Pod", "name": "p", "uid": made.uid()}}});
    let answer = c.create_token(&internal(), "default", "default", &request).await.unwrap();
    let token = answer["status"]["token"].as_str().unwrap();
    let user = authenticator.bearer(token).await.unwrap();
    assert_eq!(user.name, "system:serviceaccount:default:default");
    assert!(user.in_group("system:serviceaccounts:default"));
    let mut foreign = request.clone();
    foreign["spec"]["boundObjectRef"]["uid"] = "other".into();
    let refused = c.create_token(&internal(), "default", "default", &foreign).await.unwrap_err();
    assert_eq!(refused.code, 409);
    let short = json!({"spec": {"expirationSeconds": 5}});
    let refused = c.create_token(&internal(), "default", "default", &short).await.unwrap_err();
    assert_eq!(refused.code, 422);
    c.delete(&internal(), POD, "default", "p", &DeleteOptions::background()).await.unwrap();
    let gone = authenticator.bearer(token).await.unwrap_err();
    assert!(gone.to_string().contains("its pod \"p\" is gone"), "{gone}");
    assert_eq!(gone.status().code, 401);
    let plain = c.create_token(&internal(), "default", "default", &json!({})).await.unwrap();
    let plain = plain["status"]["token"].as_str().unwrap();
    authenticator.bearer(plain).await.unwrap();
    let options = DeleteOptions::background();
    c.delete(&internal(), SERVICE_ACCOUNT, "default", "default", &options).await.unwrap();
    assert!(authenticator.bearer(plain).await.is_err());
}

#[tokio::test]
async fn join_tokens_are_counted_and_told_apart() {
    let c = cluster().await;
    let tokens = TokenStore::new(c.registry.clone());
    let new = |uses| NewToken {
        role: JoinRole::Node,
        lifetime: Some(time::Duration::hours(1)),
        uses,
        description: String::new(),
    };
    let twice = tokens.create(&new(Some(2))).await.unwrap();
    let bearer = twice.bearer();
    assert!(matches!(
        tokens.spend(&bearer, JoinRole::Server).await,
        Err(BootstrapError::WrongRole { .. })
    ));
    let spent =
        futures_util::future::join_all((0..6).map(|_| tokens.spend(&bearer, JoinRole::Node))).await;
    assert_eq!(spent.iter().filter(|r| r.is_ok()).count(), 2);
    assert!(spent.iter().any(|r| matches!(r, Err(BootstrapError::UsedUp { .. }))));
    let endless = tokens.create(&new(None)).await.unwrap();
    assert_eq!(tokens.list().await.unwrap().len(), 2);
    let user = Authenticator::new(c.registry.clone()).bearer(&endless.bearer()).await.unwrap();
    assert_eq!(user.name, format!("system:bootstrap:{}", endless.id));
    tokens.delete(&endless.id).await.unwrap();
    assert_eq!(
        tokens.check(&endless.bearer()).await.unwrap_err(),
        BootstrapError::Unknown { id: endless.id.clone() }
    );
    let wrong = format!("{}.{}", twice.id, "0".repeat(16));
    assert_eq!(
        tokens.check(&wrong).await.unwrap_err(),
        BootstrapError::Wrong { id: twice.id.clone() }
    );
}

#[tokio::test]
async fn default_roles_authorize_in_upstreams_words() {
    let c = cluster().await;
    let authorizer = Authorizer::new(c.registry.clone());
    let jane = UserInfo::certificate("jane", &[]);
    let refused = authorizer.authorize(&jane, &ask("list", "pods", "default")).unwrap_err();
    assert_eq!(
        refused.message,
        "pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""
    );
    let anonymous = UserInfo::anonymous();
    assert!(authorizer.authorize(&anonymous, &Attributes::path("get", "/version")).is_ok());
    let refused = authorizer.authorize(&anonymous, &Attributes::path("get", "/api")).unwrap_err();
    assert_eq!(refused.message, "forbidden: User \"system:anonymous\" cannot get path \"/api\"");
    let master = UserInfo::certificate("root", &["system:masters".into()]);
    assert!(authorizer.authorize(&master, &ask("delete", "nodes", "")).is_ok());
    let binding = json!({"metadata": {"name": "b"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}]});
    c.make(ROLE_BINDING, binding).await;
    assert!(authorizer.authorize(&jane, &ask("list", "pods", "default")).is_ok());
    assert!(authorizer.authorize(&jane, &ask("delete", "secrets", "default")).is_ok());
    assert!(authorizer.authorize(&jane, &ask("list", "pods", "kube-system")).is_err());
    assert!(authorizer.authorize(&jane, &ask("create", "roles", "default")).is_err());
}

#[tokio::test]
async fn nobody_grants_what_they_do_not_hold() {
    let c = cluster().await;
    let info = RequestInfo::of(UserInfo::certificate("jane", &["team".into()]));
    let role = json!({"metadata": {"name": "r"}, "rules": [
        {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]});
    let refused = c.create(&info, ROLE, "default", role.clone()).await.unwrap_err();
    assert_eq!(
        refused.message,
        "roles.rbac.authorization.k8s.io \"r\" is forbidden: user \"jane\" (groups=[\"team\" \"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\"]}"
    );
    let binding = json!({"metadata": {"name": "b"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "Group", "name": "team", "apiGroup": "rbac.authorization.k8s.io"}]});
    let cluster_wide = c.create(&internal(), CLUSTER_ROLE_BINDING, "", binding).await;
    cluster_wide.unwrap();
    c.create(&info, ROLE, "default", role).await.unwrap();
}

/// An update may create some kinds, for those who may create them.
#[tokio::test]
async fn a_put_creates_only_for_who_may_create() {
    let c = cluster().await;
    let jane = RequestInfo::of(UserInfo::certificate("jane", &[]));
    let endpoints = json!({"metadata": {"name": "e"}, "subsets": []});
    let put = |info: RequestInfo, object: serde_json::Value| {
        let c = &c;
        async move { c.update(&info, ENDPOINTS, "default", "e", object, Subresource::Main).await }
    };
    let refused = put(jane.clone(), endpoints.clone()).await.unwrap_err();
    assert_eq!(
        refused.message,
        "endpoints \"e\" is forbidden: User \"jane\" cannot create resource \"endpoints\" in API group \"\" in the namespace \"default\""
    );
    assert!(put(internal(), endpoints.clone()).await.unwrap().created);
    // What is there already, the pipeline has judged by the verb update.
    assert!(!put(jane, endpoints).await.unwrap().created);
}

#[tokio::test]
async fn reviews() {
    let c = cluster().await;
    let authenticator = Authenticator::new(c.registry.clone());
    let reviews = Reviews::new(authenticator, Authorizer::new(c.registry.clone()));
    let jane = UserInfo::certificate("jane", &[]);
    let review = json!({"spec": {"nonResourceAttributes": {"verb": "get", "path": "/api"}}});
    let kind = SELF_SUBJECT_ACCESS_REVIEW;
    let answer = reviews.answer(&jane, kind, "", &review).await.unwrap();
    assert_eq!(
        answer["status"],
        json!({"allowed": true, "reason": "RBAC: allowed by ClusterRoleBinding \"system:discovery\" of ClusterRole \"system:discovery\" to Group \"system:authenticated\""})
    );
    let review = json!({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}});
    let answer = reviews.answer(&jane, kind, "", &review).await.unwrap();
    assert_eq!(answer["status"], json!({"allowed": false}));
    assert_eq!(reviews.answer(&jane, kind, "", &json!({})).await.unwrap_err().code, 422);
    let token = c.create_token(&internal(), "default", "default", &json!({})).await.unwrap();
    let review = json!({"spec": {"token": token["status"]["token"]}});
    let answer = reviews.answer(&jane, TOKEN_REVIEW, "", &review).await.unwrap();
    assert_eq!(answer["status"]["authenticated"], true);
    let review = json!({"spec": {"token": "nonsense"}});
    let answer = reviews.answer(&jane, TOKEN_REVIEW, "", &review).await.unwrap();
    assert!(answer["status"]["authenticated"].is_null());
}
